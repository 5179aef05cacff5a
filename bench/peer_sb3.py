"""The job of bench/peers.py on Stable-Baselines3, in a virtual environment of its own.

Prints steps per second of its training loop; filling and warming up are not counted.
"""

from __future__ import annotations

import sys
import time

import ale_py
import gymnasium
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_atari_env
from stable_baselines3.common.vec_env import VecFrameStack

FILL, WARM_UP = 1000, 400  # steps


class Clock(BaseCallback):  # type: ignore[misc]
    """Notes the time when the counted steps begin and end."""

    def _on_step(self) -> bool:
        if self.num_timesteps == FILL + WARM_UP:
            self.start = time.perf_counter()
        self.end = time.perf_counter()
        return True


def main(steps: int, device: str) -> None:
    """Train for `steps` counted steps on `device` (cpu or cuda)."""
    gymnasium.register_envs(ale_py)
    env = VecFrameStack(make_atari_env("BreakoutNoFrameskip-v4", n_envs=1, seed=1), 4)
    model = DQN(
        "CnnPolicy",
        env,
        learning_rate=1e-4,
        buffer_size=20_000,
        learning_starts=FILL,
        batch_size=32,
        train_freq=4,
        gradient_steps=1,
        target_update_interval=10_000,
        exploration_initial_eps=0.1,
        exploration_final_eps=0.1,
        seed=1,
        device=device,
    )
    clock = Clock()
    model.learn(FILL + WARM_UP + steps, callback=clock)
    print(f"{steps / (clock.end - clock.start):.1f}")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "cpu")
