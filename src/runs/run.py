"""A run: what is to be done, and the parts that do it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent import Agent
from engine.make import LearningNetwork
from replay_memory import ReplayMemory
from runs.verbs import Task
from stats import Statistics

if TYPE_CHECKING:
    from runs.checkpoint import Checkpointer


@dataclass
class Run:
    """A task and the parts that work on it."""

    task: Task
    environment: Any  # the first game's; of one in another process only its action_names are here
    memory: ReplayMemory | None
    network: LearningNetwork | None
    agent: Agent
    stats: Statistics
    checkpointer: Checkpointer | None = None

    @property
    def resumable(self) -> bool:
        """Whether an interrupted phase can be continued, and has its row then."""
        return bool(self.checkpointer and self.task.config.checkpoint_minutes)
