"""The position of a run, now or when a checkpoint was saved."""

from __future__ import annotations

from typing import NamedTuple

from agent import Phase
from checkpoint.files import Checkpoint


class Position(NamedTuple):
    """The position of a run: `step` steps of a phase are done."""

    epoch: int
    phase: str
    step: int

    def steps_done(self, phase: Phase) -> int | None:
        """The steps done of `phase`; None if it is complete."""
        here = (self.epoch, self.phase == "test")
        there = (phase.epoch, phase.name == "test")
        if here == there:
            return self.step
        return None if there < here else 0

    def __str__(self) -> str:
        epoch = f"epoch {self.epoch}, " if self.epoch else ""
        return f"{epoch}{self.phase}, step {self.step}"


def position(checkpoint: Checkpoint) -> Position:
    """The position of a run when it saved `checkpoint`."""
    return Position(*checkpoint.state["position"])


def last_epoch(at: Position, start: int) -> int:
    """The epoch of the last snapshot before `at`, in a run that began after epoch `start`."""
    return at.epoch - (at.phase == "train") if at.epoch else start
