"""The scripts: how each is called, what it is for, its defaults, and the flags its --help shows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Verb:
    """A script: how to call it, what it does, and the default flag values that make it do that."""

    usage: str
    description: str
    defaults: dict[str, Any] = field(default_factory=dict)
    flags: dict[str, str] = field(default_factory=dict)  # names by title, shown by --help
    options: dict[str, str] = field(default_factory=dict)  # what only this verb has, with its help
    places: dict[str, str] = field(default_factory=dict)  # of files, by flag, shown by --help
    kept: str = ""  # flags whose default is the value with which the agent was trained; "all"


# Predictions are computed by one thread; the others are for weight updates.
TEST = {"random_steps": 0, "train_steps": 0, "epochs": 1, "threads": 1}
PLAY = {"play_games": 1, "random_steps": 0, "threads": 1}
GAMES = "play_games max_episode_frames exploration_rate_test random_seed"
MACHINE = "backend datatype"
PREPROCESSING = """environment frame_skip repeat_action_probability minimal_action_set
    color_averaging frame_maximum resize screen_width screen_height history_length zero_history
    random_starts max_episode_frames"""
NETWORK = """network network_width dueling noisy distribution atoms value_min value_max
    normalization batch_norm bias padding pixel_max"""
# Flags of a snapshot's training that must be the same when it plays.
FROM_SNAPSHOT = f"{PREPROCESSING} {NETWORK} random_ties exploration_rate_test"
VERBS = {
    "train": Verb(
        "./train.sh GAME [LABEL] [flags]",
        "Trains an agent on GAME, a game's name (pong) or a ROM file (roms/pong.bin).\n"
        "Writes results/<game>[_LABEL].csv and .json, and a snapshot after each epoch,\n"
        "snapshots/<game>[_LABEL]_<epoch>.pkl. Ctrl-C saves and says how to resume.",
        flags={
            "What is learned": "preset environment load_weights random_seed",
            "How long": "epochs train_steps test_steps random_steps",
            "The machine": "backend datatype threads num_envs replay_size replay_storage",
            "Files": "keep_snapshots checkpoint_minutes overwrite",
            "Watching from elsewhere": "tensorboard log",
        },
        options={
            "list": "list the games, their random and human scores, and the agents that are shipped"
        },
        places={
            "csv_file": "results/<game>[_LABEL].csv",
            "save_weights_prefix": "snapshots/<game>[_LABEL]",
            "checkpoint_path": "checkpoints/<game>[_LABEL]",
        },
    ),
    "resume": Verb(
        "./resume.sh GAME [LABEL]|SNAPSHOT [flags]",
        "Resumes a run exactly where it was, from its newest checkpoint, or makes it longer:\n"
        "--epochs 300. The run is GAME [LABEL], or their names joined with _ as in the file\n"
        "names. From a snapshot of an earlier epoch, or where there is no checkpoint, it resumes\n"
        "with the snapshot's network, optimizer and flags and a new replay memory.\n\n"
        "From a checkpoint, only the flags that --help lists and those that name files can be\n"
        "changed. Most of the others can be changed only when the run is resumed from a\n"
        "snapshot (docs/reliability.md).",
        flags={
            "How long": "epochs",
            "What is learned": "learning_rate learning_rate_end learning_rate_decay_updates "
            "average_decay environment",
            "The machine": "backend device_id threads replay_storage",
            "Files": "keep_snapshots checkpoint_path checkpoint_minutes",
            "Watching": "display_screen tensorboard log log_level",
        },
        kept="all",
    ),
    "test": Verb(
        "./test.sh SNAPSHOT...|GAME [flags]",
        "Plays with a snapshot, or with the agent of GAME that comes with the project, for\n"
        "--test_steps steps or --test_games N whole games, and prints how well it does.\n"
        "Several snapshots all play; --csv_file keeps every game's score of each.\n"
        "The published protocol: --test_games 30 --max_episode_frames 18000\n"
        "--exploration_rate_test 0.05.",
        TEST,
        flags={
            "The test": "test_games test_steps max_episode_frames exploration_rate_test "
            "repeat_action_probability random_seed environment",
            "The machine": f"num_envs {MACHINE}",
            "Files": "csv_file overwrite",
        },
        options={"best": "of several snapshots, name the one with the highest mean score"},
        kept=FROM_SNAPSHOT,
    ),
    "play": Verb(
        "./play.sh [SNAPSHOT|GAME] [flags]",
        "Shows a snapshot playing, or the agent of GAME that comes with the project, in a window\n"
        "with sound. Keys: m gives you the joystick (arrows and space bar), h shows the others.\n"
        "Without SNAPSHOT or GAME it offers the agents that come with the project, in a terminal.",
        {**PLAY, "display_screen": True},
        flags={"The games": GAMES, "Watching": "display volume", "The machine": MACHINE},
        options={"alone": "play GAME yourself, without an agent"},
        kept=FROM_SNAPSHOT,
    ),
    "record": Verb(
        "./record.sh SNAPSHOT|GAME [flags]",
        "Films a snapshot playing, or the agent of GAME that comes with the project, with sound:\n"
        "videos/<snapshot>.mov, and from the second film on videos/<snapshot>.2.mov and so on.",
        PLAY,
        flags={
            "The games": GAMES,
            "The film": "video_file overlay record_screen_path record_sound_filename overwrite",
            "The machine": MACHINE,
        },
        kept=FROM_SNAPSHOT,
    ),
    "nvis": Verb(
        "./nvis.sh SNAPSHOT|GAME [flags]",
        "Plays a game and shows what each filter of the network looks for: results/<run>.html.",
        PLAY,
        flags={
            "The games": GAMES,
            "The page": "visualization_filters visualization_file overwrite",
            "The machine": MACHINE,
        },
        kept=FROM_SNAPSHOT,
    ),
    "profile_random": Verb(
        "./profile_random.sh [GAME] [flags]",
        "Shows what emulation costs: random steps, nothing predicted, nothing learned.",
        {"random_steps": 10_000, "train_steps": 0, "test_steps": 0, "epochs": 1},
        flags={
            "What is measured": "random_steps frame_skip color_averaging num_envs random_seed "
            "environment preset",
            "The machine": "replay_size replay_storage",
        },
    ),
    "profile_test": Verb(
        "./profile_test.sh [GAME] [flags]",
        "Shows what prediction costs: testing steps without exploration.",
        {**TEST, "test_steps": 5_000, "exploration_rate_test": 0.0},
        flags={
            "What is measured": "test_steps network num_envs random_seed environment preset",
            "The machine": "backend device_id datatype engine",
        },
    ),
    "profile_train": Verb(
        "./profile_train.sh [GAME] [flags]",
        "Shows what learning costs: training steps with random actions, an update every step.",
        {
            "random_steps": 500,
            "train_steps": 1_000,
            "test_steps": 0,
            "epochs": 1,
            "exploration_rate_end": 1.0,
            "train_frequency": 1,
            "replay_size": 10_000,
        },
        flags={
            "What is measured": "train_steps batch_size network optimizer overlap num_envs "
            "random_seed environment preset",
            "The machine": "backend device_id datatype threads engine replay_storage",
        },
    ),
    "run": Verb(
        "python src/main.py GAME [flags]",
        "Trains, tests or plays as the flags say; the scripts call this with flags of their own.",
    ),
}
