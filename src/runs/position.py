"""Where a run is, and was when a checkpoint of it was saved."""

from __future__ import annotations

from typing import NamedTuple

from agent import Phase
from runs.checkpoint_files import Checkpoint


class Position(NamedTuple):
    """Where a run is: `step` steps of a phase are done."""

    epoch: int
    phase: str
    step: int

    def steps_done(self, phase: Phase) -> int | None:
        """Steps done of a phase; None if it is over."""
        here = (self.epoch, self.phase == "test")
        there = (phase.epoch, phase.name == "test")
        if here == there:
            return self.step
        return None if there < here else 0

    def __str__(self) -> str:
        epoch = f"epoch {self.epoch}, " if self.epoch else ""
        return f"{epoch}{self.phase}, step {self.step}"


def position(checkpoint: Checkpoint) -> Position:
    """Where the run of a checkpoint was."""
    return Position(*checkpoint.state["position"])
