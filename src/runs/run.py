"""A run: what is to be done, and the parts that do it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent import Agent
from commands.verbs import Task
from engine.make import LearningNetwork
from replay_memory import ReplayMemory
from runs.owed import Owed
from stats import Statistics

if TYPE_CHECKING:
    from checkpoint.checkpointer import Checkpointer


@dataclass
class Run:
    """A task and the parts that carry it out."""

    task: Task
    environment: Any  # the first game's; of one in another process only its action_names are here
    memory: ReplayMemory | None
    network: LearningNetwork | None
    agent: Agent
    stats: Statistics
    owed: Owed
    checkpointer: Checkpointer | None = None
    finished: bool = False  # whether all phases were completed

    @property
    def resumable(self) -> bool:
        """Whether an interrupted phase can be resumed and gets its row then."""
        return bool(self.checkpointer and self.task.config.checkpoint_minutes)

    def settle(self, *, intact: bool) -> list[str]:
        """Write files that could not be written before, and return those that still cannot.

        If the run is not `intact`, it makes no checkpoint.
        """
        missing = [str(path) for path in self.owed.settle()]
        saver = self.checkpointer
        if saver and saver.failed and intact:
            saver.save(saver.failed)
        if saver and saver.failed and intact:
            missing.append("a checkpoint")
        return missing
