"""How a command ends: a sentence, and an exit code that scripts can use."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from errors import Diverged, UserError
from runs.signals import treat_signals_as_interrupts

if TYPE_CHECKING:
    from runs.run import Run

logger = logging.getLogger("simple_dqn")

DONE = 0
DIVERGED = 1  # training came to numbers that are not finite
UNUSABLE_INPUT = 2
STOPPED = 130  # by Ctrl-C or a signal, as shells have it


@dataclass
class Ending:
    """How a command ended."""

    code: int = DONE
    run: Run | None = None  # once it has been constructed


@contextlib.contextmanager
def exit_code(verb: str) -> Iterator[Ending]:
    """Turn the ways in which a command can end into a sentence and an exit code."""
    from runs.files import how_to_resume

    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stderr)
    treat_signals_as_interrupts()
    ending = Ending()
    try:
        yield ending
        if ending.run and ending.run.agent.stopped:
            ending.code = STOPPED
            if ending.run.agent.interrupted and ending.run.memory:
                logger.info(how_to_resume(ending.run))
    except UserError as error:
        print(f"{verb}: {error}", file=sys.stderr)
        ending.code = UNUSABLE_INPUT
    except Diverged as error:
        hint = how_to_resume(ending.run) if ending.run else ""
        print(f"{verb}: {error} {hint}", file=sys.stderr)
        ending.code = DIVERGED
    except KeyboardInterrupt:
        print(f"\n{verb}: stopped.", file=sys.stderr)
        ending.code = STOPPED
