"""All flags: name, default, unit and meaning of each, and the values that they accept.

What a default comes from is said in presets/simple_dqn.toml, other values in the other presets.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from errors import UserError, shown
from schema import MAX_EPOCHS, MAX_GAMES, Value, value_of

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_PRESET = "simple_dqn"


def flag(
    default: Any,
    help: str,
    *,
    choices: Sequence[str] = (),
    low: float | None = None,
    high: float | None = None,
    code: Sequence[str] = (),
) -> Any:
    """A flag: its default, its meaning, and the values that it accepts (schema.py).

    The value of a flag with `code` is one of these names, or my_file.py:MyClass, which is executed:
    see user_code/trust.py.
    """
    limits = {
        "help": help,
        "choices": tuple(choices),
        "low": low,
        "high": high,
        "code": tuple(code),
    }
    return dataclasses.field(default=default, metadata=limits)


@dataclass(frozen=True, kw_only=True)
class StateSettings:
    """The shape of a state."""

    screen_width: int = flag(
        84,
        "width of a screen in pixels; the network sees all pixels of 36, 44, 52 ... 84",
        low=1,
        high=256,
    )
    screen_height: int = flag(84, "height of a screen in pixels", low=1, high=256)
    history_length: int = flag(4, "screens in a state", low=1, high=100)
    zero_history: bool = flag(
        False, "screens before the start of an episode are black, no-ops are single frames (nature)"
    )
    num_envs: int = flag(
        1,
        "games played side by side; in training each has its own part of the replay memory",
        low=1,
        high=MAX_GAMES,
    )


@dataclass(frozen=True, kw_only=True)
class LearningSettings(StateSettings):
    """What agent, replay memory and network must agree on."""

    batch_size: int = flag(32, "transitions in a minibatch", low=1, high=16_384)
    target_steps: int = flag(
        10_000, "steps between copies to the target network; 0: no target network", low=0
    )
    noisy: bool = flag(
        False,
        "explore with factorized noise in the last layers instead of random actions (Fortunato et "
        "al. 2018)",
    )
    reset_steps: int = flag(
        0,
        "training steps between resets of the last layers to new weights (Nikishin et al. 2022); "
        "0: never",
        low=0,
    )


@dataclass(frozen=True, kw_only=True)
class EnvironmentSettings(StateSettings):
    """How a game is played and what the agent sees."""

    environment: str = flag(
        "ale",
        "ale: Atari games; gym: Gymnasium environments; my_env.py:MyClass: your own class",
        code=("ale", "gym"),
    )
    frame_skip: int | None = flag(
        4,
        "frames for which an action is repeated; outside of ale, the environment's own",
        low=1,
        high=1000,
    )
    repeat_action_probability: float | None = flag(
        0.0,
        "probability that a frame repeats the last action (sticky actions); outside of ale, the "
        "environment's own",
        low=0,
        high=1,
    )
    minimal_action_set: bool = flag(True, "only the actions that the game uses, not all 18")
    color_averaging: bool = flag(True, "average the colors of the last two frames, as ALE does")
    frame_maximum: bool = flag(
        False, "take the pixel-wise maximum of the last two frames instead (nature)"
    )
    resize: str = flag(
        "bilinear", "how the screen is scaled down (nature: area)", choices=("bilinear", "area")
    )
    life_loss_terminal: bool = flag(True, "losing a life ends the episode in training")
    life_loss_ends_step: bool = flag(
        False, "an action is not repeated after a life is lost in training (nature)"
    )
    max_episode_frames: int = flag(
        0, "frames after which a game is cut off; 0: never (papers: 18000 or 108000)", low=0
    )
    random_starts: int = flag(
        30,
        "an episode begins with history_length + 1 to random_starts + 1 no-op steps (nature: 2 to "
        "random_starts + 1 frames); outside of ale the default is 0",
        low=0,
        high=10_000,
    )


@dataclass(frozen=True, kw_only=True)
class ReplaySettings(LearningSettings):
    """What the replay memory keeps, and how it makes transitions."""

    replay_size: int = flag(1_000_000, "steps kept in the replay memory", low=1, high=100_000_000)
    replay_storage: str = flag(
        "auto",
        "where screens are kept: array: uncompressed; compressed: lossless, in a twentieth of the "
        "memory; gpu: uncompressed on the GPU; auto: the first of gpu, array and compressed that "
        "fits in half of the free memory",
        choices=("array", "compressed", "gpu", "auto"),
    )
    discount_rate: float = flag(0.99, "discount factor gamma, per step", low=0, high=1)
    min_reward: float = flag(-1.0, "clip rewards to at least this for learning")
    max_reward: float = flag(1.0, "clip rewards to at most this for learning")
    n_step: int = flag(
        1,
        "n-step returns: number of rewards summed before the next state's value is added",
        low=1,
        high=100,
    )
    prioritized: bool = flag(
        False, "draw transitions in proportion to their last TD error (Schaul et al. 2016)"
    )
    priority_exponent: float = flag(
        0.6, "exponent alpha of priorities (--prioritized); 0: uniform sampling", low=0, high=1
    )
    importance_exponent: float = flag(
        0.4,
        "exponent beta of importance weights (--prioritized); 1: full correction",
        low=0,
        high=1,
    )
    importance_steps: int = flag(
        0, "weight updates over which --importance_exponent rises to 1; 0: it is constant", low=0
    )


@dataclass(frozen=True, kw_only=True)
class NetworkSettings(LearningSettings):
    """The deep Q-network, how it learns, and what computes it."""

    learning_rate: float = flag(0.00025, "step size of a weight update", low=0)
    learning_rate_end: float = flag(0.0, "step size after --learning_rate_decay_updates", low=0)
    learning_rate_decay_updates: int = flag(
        0, "weight updates over which --learning_rate falls linearly; 0: it is constant", low=0
    )
    optimizer: str = flag(
        "rmsprop",
        "update rule of the weights; adam: Neon's, epsilon beside the uncorrected root; "
        "adam_corrected: algorithm 1 of its paper, as in PyTorch; centered_rmsprop: nature's",
        choices=("rmsprop", "adam", "adam_corrected", "adadelta", "centered_rmsprop"),
    )
    adam_epsilon: float = flag(
        1e-8, "epsilon of Adam, added to the root of the mean square", low=1e-30
    )
    adam_beta_1: float = flag(0.9, "decay rate of Adam's mean of gradients", low=0, high=0.99999)
    adam_beta_2: float = flag(0.999, "decay rate of Adam's mean of squares", low=0, high=0.99999)
    decay_rate: float = flag(
        0.95, "decay rate of the averages of RMSProp and Adadelta", low=0, high=1
    )
    average_decay: float = flag(
        0.0,
        "decay rate, per weight update, of an average of the weights; tests play with it and "
        "snapshots keep it (Polyak and Juditsky 1992); 0: no average",
        low=0,
        high=1,
    )
    clip_error: float = flag(1.0, "clip TD errors to +-this; 0 disables clipping", low=0)
    loss: str = flag(
        "clipped",
        "loss of a TD error: clipped: squared up to --clip_error and linear beyond it (kappa of "
        "quantile methods); mse: squared",
        choices=("clipped", "mse"),
    )
    target: str = flag(
        "standard",
        "what the network learns to predict: standard: see --double_q, --target_exploration and "
        "--munchausen; my_target.py:my_target: your own function",
        code=("standard",),
    )
    double_q: bool = flag(
        False,
        "the network chooses the next action, the target network evaluates it (van Hasselt et al. "
        "2016)",
    )
    munchausen: bool = flag(
        False, "add the log-policy to the reward, and use soft values (Vieillard et al. 2020)"
    )
    target_exploration: float = flag(
        0.0,
        "share of random actions that targets expect in later steps, so that the agent learns to "
        "act well in spite of them (Expected Sarsa, van Seijen et al. 2009)",
        low=0,
        high=1,
    )
    dueling: bool = flag(
        False,
        "dueling network: streams for the state's value and the actions' advantages (Wang et al. "
        "2016)",
    )
    distribution: str = flag(
        "none",
        "learn the distribution of returns: c51: probabilities of fixed returns (Bellemare et al. "
        "2017); quantile: fixed quantiles; iqn: any quantile (both Dabney et al. 2018)",
        choices=("none", "c51", "quantile", "iqn"),
    )
    atoms: int = flag(
        0,
        "size of a distribution; 0: as in its paper: c51 51, quantile 200, iqn 64",
        low=0,
        high=1024,
    )
    value_min: float = flag(-10.0, "smallest return that c51 can represent")
    value_max: float = flag(10.0, "largest return that c51 can represent")
    network: str = flag(
        "nature",
        "the layers up to the features: nature (Mnih et al. 2015), nips (Mnih et al. 2013), impala "
        "(Espeholt et al. 2018), or my_network.py:MyNetwork: your own class",
        code=("nature", "nips", "impala"),
    )
    network_width: float = flag(
        1.0, "multiply the filters of the layers up to the features by this", low=0.05, high=16
    )
    normalization: str = flag(
        "none",
        "layer: layer normalization before each layer's own ReLU (Gallici et al. 2024); spectral: "
        "spectral normalization of the hidden layer (Gogianu et al. 2021)",
        choices=("none", "layer", "spectral"),
    )
    batch_norm: bool = flag(False, "batch normalization before each layer's own ReLU")
    bias: bool = flag(False, "layers have biases (nature)")
    padding: int = flag(0, "black pixels around the screen (nature: 1)", low=0, high=4)
    pixel_max: float = flag(
        1.0,
        "the network's input for a white pixel, with 0 for a black one; 1 in papers; with 255 the "
        "first layer learns sooner (docs/experiments.md)",
        low=0.001,
        high=255,
    )
    init: str = flag(
        "uniform",
        "new weights: uniform: +-sqrt(3/fan_in); gaussian: standard deviation 0.01 (2015); torch: "
        "+-1/sqrt(fan_in) (nature)",
        choices=("uniform", "gaussian", "torch"),
    )
    sum_gradient: bool = flag(
        False, "sum the gradient over the minibatch instead of averaging it (nature)"
    )
    overlap: bool = flag(
        False, "learn while the agent plays; in training it then acts with the target network"
    )
    update_parts: int = flag(
        2,
        "parts of a minibatch, each computed by one thread; another number of parts changes the "
        "last bits of a run, another number of threads does not",
        low=1,
        high=1024,
    )
    engine: str = flag("torch", "what computes the network", choices=("torch", "neon"))
    backend: str = flag(
        "auto",
        "device of the network; auto: the GPU if there is one",
        choices=("auto", "cpu", "gpu"),
    )
    device_id: int = flag(0, "number of the GPU", low=0, high=1000)
    datatype: str = flag(
        "float32",
        "precision; 16 bits mean mixed precision with float32 weights",
        choices=("float16", "bfloat16", "float32", "float64"),
    )
    stochastic_round: bool = flag(False, "round stochastically (Neon only)")
    threads: int = flag(
        0, "CPU threads that compute weight updates; 0: one per core", low=0, high=1024
    )


@dataclass(frozen=True, kw_only=True)
class AgentSettings(LearningSettings):
    """How the agent acts and when it learns."""

    exploration_rate_start: float = flag(
        1.0, "share of random actions when training begins", low=0, high=1
    )
    exploration_rate_end: float = flag(
        0.1, "share of random actions after the decay", low=0, high=1
    )
    exploration_decay_steps: float = flag(
        1_000_000, "training steps over which that share falls linearly", low=1, high=1e12
    )
    exploration_spread: float = flag(
        0.0,
        "of games side by side, each explores less than the one before: a share s becomes s^1 to "
        "s^(1 + this); 7 in Horgan et al. 2018, with an --exploration_rate_end of 0.4",
        low=0,
        high=100,
    )
    exploration_zeta: float = flag(
        0.0,
        "in training a random action is repeated for a number of steps from a zeta distribution "
        "with this exponent, 2 in Dabney et al. 2021; 0: for one step",
        low=0,
        high=100,
    )
    exploration_rate_test: float = flag(
        0.05, "share of random actions in testing and playing", low=0, high=1
    )
    train_frequency: int = flag(4, "steps between weight updates", low=1)
    train_repeat: int = flag(1, "weight updates made each time", low=0, high=1000)
    target_clock: str = flag(
        "epoch",
        "what target_steps counts: the steps of the epoch, or of the whole run (nature)",
        choices=("epoch", "run"),
    )
    remember_all: bool = flag(False, "also remember no-op steps and test steps (2015)")
    random_ties: bool = flag(False, "choose at random among equal Q-values (nature)")


@dataclass(frozen=True, kw_only=True)
class WatchSettings:
    """What is shown and recorded."""

    display_screen: bool = flag(False, "show the game while it is played")
    display: str = flag(
        "window",
        "where the game is shown, if it is (--display_screen): in a window or in the text terminal",
        choices=("window", "terminal"),
    )
    volume: float = flag(0.5, "loudness of the sound; the keys [ and ] change it", low=0, high=1)
    video_file: Path | None = flag(None, "film the game into this .mov, .mp4 or .gif file")
    overlay: str = flag(
        "none", "mind: the film shows the agent's view beside the game", choices=("none", "mind")
    )
    record_screen_path: Path | None = flag(None, "write the frames as PNG files into this folder")
    record_sound_filename: Path | None = flag(None, "write the sound to this .wav file")
    visualization_filters: int = flag(
        4, "filters shown of each convolutional layer", low=1, high=1000
    )
    visualization_file: Path | None = flag(None, "write the filter page to this .html file")
    tensorboard: Path | None = flag(
        None, "write curves, filters and films for TensorBoard into this folder/<run>"
    )


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """How long a run is and which files it reads and writes."""

    game: str = flag("", "ROM file or name of a game")
    random_steps: int = flag(50_000, "random steps that fill the replay memory first", low=0)
    train_steps: int = flag(250_000, "training steps in an epoch", low=0)
    test_steps: int = flag(125_000, "steps of a testing phase", low=0)
    epochs: int = flag(
        200,
        "the last epoch of the run, which is the number of epochs of a new run",
        low=0,
        high=MAX_EPOCHS,
    )
    start_epoch: int = flag(0, "epochs that are already done", low=0, high=MAX_EPOCHS)
    play_games: int = flag(0, "play this many games and learn nothing", low=0, high=1_000_000)
    test_games: int = flag(
        0, "whole games to play instead of --test_steps (test.sh)", low=0, high=1_000_000
    )
    load_weights: Path | None = flag(None, "begin with the network of this snapshot")
    save_weights_prefix: Path | None = flag(None, "write snapshots <prefix>_<epoch>.pkl")
    csv_file: Path | None = flag(
        None, "results, one row for each phase; with several snapshots, one for each of them"
    )
    checkpoint_path: Path | None = flag(
        None, "folder for checkpoints, from which the run can be resumed exactly"
    )
    checkpoint_minutes: float = flag(
        10.0,
        "minutes between checkpoints; one is also made after each phase; 0: no checkpoints",
        low=0,
        high=1_000_000,
    )
    keep_snapshots: int = flag(
        0,
        "number of newest snapshots to keep, in addition to the best one; 0: keep all",
        low=0,
        high=1_000_000,
    )
    overwrite: bool = flag(False, "replace existing files")
    preset: str = flag(DEFAULT_PRESET, "presets/<name>.toml, or a file of flags")
    random_seed: int | None = flag(
        None,
        "the same seed gives the same run; if none is given, one is drawn and printed",
        low=0,
        high=2**63 - 1,
    )
    log_level: str = flag(
        "INFO",
        "least severe messages that are shown",
        choices=("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
    )
    log: str = flag(
        "text",
        "json: print events on standard output, one JSON object per line, for other programs",
        choices=("text", "json"),
    )


@dataclass(frozen=True, kw_only=True)
class Config(
    RunSettings, WatchSettings, AgentSettings, NetworkSettings, ReplaySettings, EnvironmentSettings
):
    """The values of all flags. The original's flags have their names and defaults.

    Each part of a run accepts the settings that it needs, so a Config can be passed to all of them.
    """

    @property
    def records(self) -> bool:
        """Whether a film, frames or sound are written."""
        return bool(self.video_file or self.record_screen_path or self.record_sound_filename)


FIELDS = {field.name: field for field in dataclasses.fields(Config)}
TYPES = typing.get_type_hints(Config)
GROUPS: dict[str, Any] = {
    "Environment": EnvironmentSettings,
    "Deep Q-network": NetworkSettings,
    "Replay memory": ReplaySettings,
    "Agent": AgentSettings,
    "Watching and recording": WatchSettings,
    "Run": RunSettings,
}  # by their titles in --help; a flag belongs to the first group that has it


def parse_value(name: str, text: str) -> Any:
    """The value of flag `name` written as `text`. Raises UserError if it is not valid."""
    return VALUES[name].parse(f"--{name}", text)


def group_of(name: str) -> str:
    """The title of a flag's group in --help."""
    return next(title for title, group in GROUPS.items() if name in group.__dataclass_fields__)


def kind_of(name: str) -> Any:
    """The type of a flag, without the None of an optional one."""
    kind = TYPES[name]
    if isinstance(kind, types.UnionType):
        return next(part for part in typing.get_args(kind) if part is not type(None))
    return kind


def _value(name: str) -> Value:
    limits = FIELDS[name].metadata
    optional = kind_of(name) is not TYPES[name]
    ranges = {key: limits[key] for key in ("choices", "low", "high")}
    return value_of(kind_of(name), optional=optional, **ranges)


VALUES = {name: _value(name) for name in FIELDS}
# Flags whose value may name code, and their values that do not.
CODE = {name: f.metadata["code"] for name, f in FIELDS.items() if f.metadata["code"]}


def check(name: str, value: Any) -> Any:
    """A TOML, JSON or command line value of flag `name`, converted. Raises UserError."""
    return VALUES[name].check(f"--{name}", value)


def unknown_flag(name: str) -> UserError:
    """The error for a flag that does not exist."""
    known = [each for each in FIELDS if each != "game"]
    near = difflib.get_close_matches(name[:60], known, 3, 0.6)
    hint = f" Did you mean {' or '.join('--' + n for n in near)}?" if near else ""
    word = name if name.isidentifier() and len(name) <= 60 else shown(name)
    return UserError(f"There is no flag --{word}.{hint} See --help all.")


def to_plain(config: Config) -> dict[str, Any]:
    """Flag values for JSON, with paths as text."""
    values = dataclasses.asdict(config)
    return {k: str(v) if isinstance(v, Path) else v for k, v in values.items()}
