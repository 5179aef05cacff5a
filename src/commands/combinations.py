"""Which flags go together. The errors say why, and what to do."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

from config import Config
from errors import UserError

logger = logging.getLogger(__name__)

# Of a zeta distribution. Below 1 there is none, and near 1 most numbers exceed 64 bits.
MIN_ZETA = 1.01

PLAYING = ("play", "record", "nvis")  # verbs that play games for somebody

# Flags for training alone: what it writes, how long it is, what it remembers and how it learns.
OF_TRAINING = """random_steps train_steps epochs start_epoch save_weights_prefix keep_snapshots
    checkpoint_path checkpoint_minutes replay_size replay_storage target_steps target_clock
    learning_rate learning_rate_end learning_rate_decay_updates train_frequency train_repeat
    exploration_rate_start exploration_rate_end exploration_decay_steps""".split()

# Flags that do nothing by themselves, what they need, and whether it is there.
NEEDS: tuple[tuple[str, str, Callable[[Config], object]], ...] = (
    (
        "priority_exponent importance_exponent importance_steps",
        "--prioritized true",
        lambda c: c.prioritized,
    ),
    ("atoms", "--distribution", lambda c: c.distribution != "none"),
    ("value_min value_max", "--distribution c51", lambda c: c.distribution == "c51"),
    (
        "clip_error",
        "--loss clipped and no --distribution c51",
        lambda c: c.loss == "clipped" and c.distribution != "c51",
    ),
    (
        "adam_epsilon adam_beta_1 adam_beta_2",
        "--optimizer adam or adam_corrected",
        lambda c: c.optimizer in ("adam", "adam_corrected"),
    ),
    (
        "decay_rate",
        "--optimizer rmsprop, centered_rmsprop or adadelta",
        lambda c: c.optimizer not in ("adam", "adam_corrected"),
    ),
    ("learning_rate", "another --optimizer than adadelta", lambda c: c.optimizer != "adadelta"),
    (
        "exploration_rate_start exploration_rate_end exploration_decay_steps",
        "--noisy false",
        lambda c: not c.noisy,
    ),
    ("device_id", "--backend gpu or auto", lambda c: c.backend != "cpu"),
    ("display volume", "--display_screen true", lambda c: c.display_screen),
    ("minimal_action_set", "--environment ale or gym", lambda c: c.environment in ("ale", "gym")),
    ("color_averaging frame_maximum", "--environment ale", lambda c: c.environment == "ale"),
    ("overlay", "--video_file", lambda c: c.video_file),
    ("visualization_file visualization_filters", "./nvis.sh", lambda c: c.play_games),
    ("test_steps", "a test without --test_games", lambda c: not (c.play_games or c.test_games)),
)


def warn_without_effect(given: Collection[str], config: Config, *, learns: bool) -> None:
    """Warn of flags that were `given` on a command line and do nothing there.

    `learns` says whether the command trains an agent.
    """
    if not learns:
        given = warn_of_training(given)
    for names, needed, is_there in NEEDS:
        for name in names.split():
            if name in given and not is_there(config):
                logger.warning("--%s has no effect: it needs %s.", name, needed)


def warn_of_training(given: Collection[str]) -> list[str]:
    """Warn of flags `given` to a command that does not train; returns the others."""
    for name in OF_TRAINING:
        if name in given:
            logger.warning("--%s has no effect: it needs ./train.sh or ./resume.sh.", name)
    return [name for name in given if name not in OF_TRAINING]


def check_verb(verb: str, config: Config) -> None:
    """Raise UserError for a command that would not do what its verb says."""
    if verb == "test" and not (config.test_games or config.test_steps):
        raise UserError("--test_steps 0 tests nothing: give more, or --test_games.")
    if verb == "test" and config.play_games:
        raise UserError(
            "--play_games is for ./play.sh and ./record.sh: ./test.sh plays --test_games."
        )
    if verb in PLAYING and not config.play_games:
        raise UserError("--play_games 0 plays nothing: give 1 or more.")
    if verb in PLAYING and config.test_games:
        raise UserError(f"--test_games is for ./test.sh: ./{verb}.sh plays --play_games.")
    if config.play_games and config.test_games:
        raise UserError("--play_games and --test_games are different tasks: give one of them.")
    if verb not in ("train", "resume", "profile_random", "profile_train"):
        return
    if config.test_games:
        raise UserError(
            "--test_games is for ./test.sh only: remove it; the length of tests in training "
            "is --test_steps."
        )
    if config.play_games:
        raise UserError(f"--play_games is for ./play.sh and ./record.sh: ./{verb}.sh trains.")
    if verb == "train" and config.start_epoch and not config.load_weights:
        raise UserError(
            f"--start_epoch {config.start_epoch} continues from a snapshot: give it with "
            "--load_weights, or leave it out."
        )
    if verb == "train" and config.epochs <= config.start_epoch:
        raise UserError(
            f"--epochs {config.epochs} is the last epoch and the run begins after epoch "
            f"{config.start_epoch}, so that nothing would be learned: give more --epochs."
        )


def check_together(config: Config) -> None:
    """Raise UserError for flags that do not go together."""
    c = config
    slots = c.replay_size // c.num_envs
    # NB! Then there is always a transition on one side of the position that is written next.
    needed = 2 * (c.history_length + c.n_step)
    if slots < needed:
        raise UserError(
            f"--replay_size {c.replay_size} is too small for transitions of "
            f"{c.history_length + c.n_step} screens: use at least {needed * c.num_envs} steps, "
            f"{needed} for each of --num_envs {c.num_envs} games."
        )
    if slots * c.num_envs <= c.batch_size and c.train_steps:
        raise UserError(
            f"--replay_size {c.replay_size} is too small for minibatches of --batch_size "
            f"{c.batch_size} transitions, so that nothing would be learned: make it larger."
        )
    if not c.zero_history and c.random_starts < c.history_length:
        raise UserError(
            f"--random_starts {c.random_starts} is too small: the no-op steps must fill a state of "
            f"--history_length {c.history_length}; --zero_history true allows any number."
        )
    if c.remember_all and c.zero_history:
        raise UserError(
            "--remember_all true remembers no-op steps but --zero_history true has none: "
            "leave one of them out."
        )
    if c.min_reward > c.max_reward:
        raise UserError("--min_reward is above --max_reward: lower it.")
    if c.exploration_rate_end > c.exploration_rate_start:
        raise UserError("--exploration_rate_end is above --exploration_rate_start: lower it.")
    if c.exploration_spread and (c.num_envs == 1 or c.noisy):
        raise UserError(
            "--exploration_spread needs several games (--num_envs) that explore by chance "
            "(--noisy false): give these, or --exploration_spread 0."
        )
    if 0 < c.exploration_zeta < MIN_ZETA:
        raise UserError(
            f"--exploration_zeta {c.exploration_zeta} would repeat actions for ever: use an "
            f"exponent from {MIN_ZETA} on, such as 2."
        )
    if c.exploration_zeta and c.noisy:
        raise UserError(
            "--exploration_zeta repeats random actions, of which --noisy true has none: leave one "
            "of them out."
        )
    if c.frame_maximum and c.color_averaging:
        raise UserError("--frame_maximum true needs --color_averaging false.")
    if c.overlap and (c.engine != "torch" or not c.target_steps):
        raise UserError("--overlap needs --engine torch and a target network (--target_steps).")
    if c.learning_rate_decay_updates and c.optimizer == "adadelta":
        raise UserError(
            "--optimizer adadelta has no learning rate that can fall: give "
            "--learning_rate_decay_updates 0."
        )
    if c.learning_rate_end and not c.learning_rate_decay_updates:
        raise UserError(
            "--learning_rate_end has no effect without --learning_rate_decay_updates: give both, "
            "or --learning_rate_end 0."
        )
    _check_research(c)
    if c.num_envs > 1:
        _check_side_by_side(c)
    if c.stochastic_round and c.engine != "neon":
        raise UserError("--stochastic_round works with Neon only: remove it, or use --engine neon.")


def _check_research(c: Config) -> None:
    """Raise UserError, with the reason, for combinations of methods that make no sense."""
    if c.target != "standard" and (c.munchausen or c.double_q or c.target_exploration):
        raise UserError(
            "--target replaces --double_q, --munchausen and --target_exploration: remove them, or "
            "remove --target."
        )
    if c.munchausen and c.target_exploration:
        raise UserError(
            "--munchausen true has a policy of its own, and --target_exploration another: remove "
            "one of them."
        )
    if c.munchausen and c.double_q:
        raise UserError(
            "--double_q true corrects the maximum over actions, which --munchausen true does not "
            "use: remove one of them."
        )
    if c.munchausen and c.distribution == "c51":
        raise UserError(
            "--munchausen true mixes the returns of all actions, which fixed atoms cannot "
            "represent: use --distribution quantile or iqn, or leave it out."
        )
    if (c.munchausen or c.double_q) and not c.target_steps:
        raise UserError("--double_q and --munchausen need a target network: give --target_steps.")
    if c.distribution == "c51" and c.value_min >= c.value_max:
        raise UserError(
            f"--value_min {c.value_min:g} is not below --value_max {c.value_max:g}: lower it, or "
            "raise the other."
        )
    if c.distribution != "none" and c.atoms == 1:
        raise UserError("--atoms 1 is no distribution: give at least 2, or 0 for the paper's.")
    if c.distribution != "none" and c.loss == "mse":
        raise UserError(
            f"--loss mse is for values; --distribution {c.distribution} has a loss of its own: "
            "leave one of them out."
        )
    if c.batch_norm and c.datatype == "float16" and c.engine != "neon":
        raise UserError(
            "--batch_norm true begins with factors that are too large for --datatype float16: use "
            "bfloat16 or float32."
        )
    if c.batch_norm and c.normalization == "layer":
        raise UserError("--batch_norm true and --normalization layer do the same: use one.")
    if c.batch_norm and c.noisy:
        raise UserError(
            "--batch_norm true would normalize the noise of --noisy true away: leave one of "
            "them out."
        )
    if c.normalization != "none" and c.noisy:
        raise UserError(
            f"--normalization {c.normalization} does not normalize the layers of --noisy true: "
            "leave one of them out."
        )
    if c.padding and c.network not in ("nature", "nips"):
        raise UserError(
            f"--padding is for --network nature and nips, not {c.network}: give --padding 0."
        )
    if c.engine == "neon":
        _check_neon(c)


def _check_neon(c: Config) -> None:
    plain = Config()
    names = (
        "target double_q munchausen target_exploration dueling distribution noisy prioritized "
        "network network_width normalization loss reset_steps average_decay bias padding pixel_max "
        "sum_gradient n_step learning_rate_decay_updates adam_epsilon adam_beta_1 adam_beta_2"
    ).split()
    for name in names:
        if getattr(c, name) != getattr(plain, name):
            raise UserError(
                f"--{name} {getattr(c, name)} does not work with --engine neon: use --engine torch."
            )
    if c.optimizer not in ("rmsprop", "adam", "adadelta") or c.init == "torch":
        raise UserError(
            "--engine neon has the optimizers rmsprop, adam and adadelta, and --init uniform and "
            "gaussian: use --engine torch."
        )


def _check_side_by_side(c: Config) -> None:
    for name in ("random_steps", "train_steps", "test_steps"):
        if 0 < getattr(c, name) < c.num_envs:
            raise UserError(
                f"--num_envs {c.num_envs} makes {c.num_envs} steps at a time, more than "
                f"--{name} {getattr(c, name)}: use fewer games or more steps."
            )
    if c.play_games or c.display_screen or c.records or c.visualization_file:
        raise UserError("Only one game can be watched or recorded: give --num_envs 1.")
