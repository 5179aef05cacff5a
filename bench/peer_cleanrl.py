"""The job of bench/peers.py as CleanRL's dqn_atari.py does it: its network, its loop, its settings.

CleanRL is a collection of scripts and no package, so this one is written after its description:
the wrappers and the replay buffer are those of Stable-Baselines3, as there. Prints steps per second
of the training loop; filling and warming up is not counted.
"""

from __future__ import annotations

import sys
import time

import ale_py
import gymnasium
import numpy as np
import torch
import torch.nn.functional as F
from gymnasium.wrappers import FrameStackObservation, GrayscaleObservation, ResizeObservation
from stable_baselines3.common.atari_wrappers import (
    ClipRewardEnv,
    EpisodicLifeEnv,
    FireResetEnv,
    MaxAndSkipEnv,
    NoopResetEnv,
)
from stable_baselines3.common.buffers import ReplayBuffer
from torch import nn

FILL, WARM_UP = 1000, 400  # steps


def make_env() -> gymnasium.Env:
    """Breakout in the usual wrappers."""
    env = gymnasium.make("BreakoutNoFrameskip-v4")
    env = MaxAndSkipEnv(NoopResetEnv(gymnasium.wrappers.RecordEpisodeStatistics(env), 30), 4)
    env = ClipRewardEnv(FireResetEnv(EpisodicLifeEnv(env)))
    return FrameStackObservation(GrayscaleObservation(ResizeObservation(env, (84, 84))), 4)


def make_network(actions: int) -> nn.Module:
    """The network of Mnih et al. 2015."""
    return nn.Sequential(
        nn.Conv2d(4, 32, 8, stride=4),
        nn.ReLU(),
        nn.Conv2d(32, 64, 4, stride=2),
        nn.ReLU(),
        nn.Conv2d(64, 64, 3, stride=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(3136, 512),
        nn.ReLU(),
        nn.Linear(512, actions),
    )


def main(steps: int, device: str) -> None:
    """Train for `steps` counted steps on `device` (cpu or cuda)."""
    gymnasium.register_envs(ale_py)
    envs = gymnasium.vector.SyncVectorEnv([make_env])
    actions = int(envs.single_action_space.n)  # type: ignore[attr-defined]
    online, target = make_network(actions).to(device), make_network(actions).to(device)
    target.load_state_dict(online.state_dict())
    optimizer = torch.optim.Adam(online.parameters(), lr=1e-4)
    memory = ReplayBuffer(
        20_000,
        envs.single_observation_space,
        envs.single_action_space,
        device,
        optimize_memory_usage=True,
        handle_timeout_termination=False,
    )
    rng = np.random.default_rng(1)
    obs, _ = envs.reset(seed=1)
    start = 0.0
    for step in range(FILL + WARM_UP + steps):
        if step == FILL + WARM_UP:
            start = time.perf_counter()
        if rng.random() < 0.1:
            chosen = envs.action_space.sample()
        else:
            with torch.no_grad():
                q = online(torch.Tensor(obs).to(device) / 255)
            chosen = q.argmax(dim=1).cpu().numpy()
        next_obs, rewards, terminations, _, _ = envs.step(chosen)
        memory.add(obs, next_obs, chosen, rewards, terminations, [{}])
        obs = next_obs
        if step > FILL and step % 4 == 0:
            data = memory.sample(32)
            with torch.no_grad():
                best = target(data.next_observations / 255.0).max(dim=1)[0]
                y = data.rewards.flatten() + 0.99 * best * (1 - data.dones.flatten())
            q = online(data.observations / 255.0).gather(1, data.actions).squeeze()
            loss = F.mse_loss(y, q)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    print(f"{steps / (time.perf_counter() - start):.1f}")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "cpu")
