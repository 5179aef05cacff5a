"""How a command ends: with a sentence, and with an exit code of errors.py."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from tqdm import tqdm

from atomic import NotWritten
from errors import (
    DIVERGED,
    DONE,
    NOT_SAVED,
    PART_DIED,
    STOPPED,
    UNUSABLE_INPUT,
    Diverged,
    NotSaved,
    PartDied,
    UserError,
    clean,
    stopped,
    users_code,
)
from runs.signals import treat_signals_as_interrupts

if TYPE_CHECKING:
    from runs.run import Run

logger = logging.getLogger("simple_dqn")


@dataclass
class Ending:
    """How a command ended."""

    code: int = DONE
    run: Run | None = None  # once it has been constructed


@contextlib.contextmanager
def exit_code(verb: str) -> Iterator[Ending]:
    """Turn the errors that end a command into a sentence and an exit code."""
    logging.basicConfig(format="%(message)s", level=logging.INFO, handlers=[Messages(sys.stderr)])
    treat_signals_as_interrupts()
    ending = Ending()
    try:
        yield ending
        if ending.run and ending.run.agent.stopped and not ending.run.finished:
            ending.code = ending.code or STOPPED
            if ending.run.memory:
                logger.info(_advice(ending))
    except UserError as error:
        _end(ending, UNUSABLE_INPUT, f"{verb}: {error} {_if_played(ending)}")
    except Diverged as error:
        hint = " Give it a lower --learning_rate, or it diverges again." if ending.run else ""
        _end(ending, DIVERGED, f"{verb}: {error} {_advice(ending)}{hint}")
    except NotSaved as error:
        remaining = "" if ending.run and ending.run.finished else _advice(ending)
        _end(ending, NOT_SAVED, f"{verb}: {error} {remaining}")
    except PartDied as error:
        _end(ending, PART_DIED, f"{verb}: {error} {_advice(ending)}")
    except KeyboardInterrupt:
        _end(ending, STOPPED, f"\n{verb}: stopped. {_if_played(ending)}")
    except BrokenPipeError:  # the program that read the output has ended
        silence(1)
    except (Exception, SystemExit) as error:
        name = users_code(error)
        if name and not _is_of_memory(error):
            _end(ending, UNUSABLE_INPUT, f"{verb}: {stopped(name, error)} {_advice(ending)}")
        elif sentence := _of_the_world(error):
            code = PART_DIED if ending.run else UNUSABLE_INPUT
            if isinstance(error, NotWritten) or getattr(error, "errno", 0) == errno.ENOSPC:
                code = NOT_SAVED
            _end(ending, code, f"{verb}: {sentence} {_advice(ending)}")
        else:
            raise
    finally:
        if not flush(sys.stdout):
            say(f"{verb}: the output could not be written: the disk is full.")
            ending.code = ending.code or NOT_SAVED
            if isinstance(sys.exc_info()[1], SystemExit):  # --help
                raise SystemExit(NOT_SAVED)


def _advice(ending: Ending) -> str:
    """How to resume a run that ended early; "" if none had begun."""
    from runs.files import how_to_resume

    return how_to_resume(ending.run) if ending.run and ending.run.memory else ""


def _if_played(ending: Ending) -> str:
    played = ending.run and (ending.run.stats.rows or ending.run.agent.phase_step)
    return _advice(ending) if played else ""


def _end(ending: Ending, code: int, sentence: str) -> None:
    ending.code = code
    say(sentence.rstrip())


@contextlib.contextmanager
def settled(ending: Ending) -> Iterator[None]:
    """However a run ends, write the files that could not be written earlier.

    If that fails, the exit code is 3. It belongs inside the run's lock: the next process that takes
    that lock must find these files complete.
    """
    intact = False
    try:
        yield
        intact = True
    finally:
        missing = ending.run.settle(intact=intact) if ending.run else []
        if missing:
            logger.error("Not saved: %s.", ", ".join(missing))
            ending.code = ending.code or NOT_SAVED


def _of_the_world(error: BaseException) -> str:
    """The sentence for an error that has a cause outside the program."""
    if not isinstance(error, MemoryError | RuntimeError | OSError):
        return ""
    if _is_of_memory(error):
        return (
            "There is not enough memory: free some, or use smaller screens, a smaller "
            "--batch_size or --replay_size, or fewer --num_envs."
        )
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'A file could not be written or read'}: {error.strerror}."
    return ""


def _is_of_memory(error: BaseException) -> bool:
    text = str(error)
    return isinstance(error, MemoryError) or "allocate memory" in text or "out of memory" in text


class Messages(logging.StreamHandler):  # type: ignore[type-arg]
    """Shows messages with any content, and ignores errors of writing them."""

    def emit(self, record: logging.LogRecord) -> None:
        """Show a message; on a terminal above the progress bar, which is drawn again below it."""
        with _beside_bars(self.stream):
            super().emit(record)

    def format(self, record: logging.LogRecord) -> str:
        """The message without control characters."""
        return clean(super().format(record))

    def handleError(self, record: logging.LogRecord) -> None:
        """Continue: a full disk behind `2> file` is no reason to stop."""
        drop(self.stream)


def say(text: str) -> None:
    """A line for people."""
    try:
        with _beside_bars(sys.stderr):
            print(clean(text), file=sys.stderr, flush=True)
    except OSError:
        drop(sys.stderr)


def _beside_bars(stream: TextIO) -> contextlib.AbstractContextManager[None]:
    return tqdm.external_write_mode(stream) if stream.isatty() else contextlib.nullcontext()


def flush(stream: object) -> bool:
    """Flush `stream`; False if that fails, unless the reader of a pipe has ended."""
    try:
        stream.flush()  # type: ignore[attr-defined]
    except BrokenPipeError:
        silence(1)
    except OSError:
        silence(1)
        return False
    return True


def drop(stream: TextIO) -> None:
    """Drop what `stream` could not write, so that the next message has a new chance."""
    number = stream.fileno()
    kept = os.dup(number)
    silence(number)
    try:
        stream.flush()
    finally:
        os.dup2(kept, number)
        os.close(kept)


def silence(number: int) -> None:
    """Send stdout (1) or stderr (2) to nowhere, so that flushing it at exit cannot fail."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, number)
    os.close(nothing)
