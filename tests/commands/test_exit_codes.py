"""Which errors end a command with which exit code."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from atomic import NotWritten
from commands.exit_codes import Messages, exit_code
from errors import NOT_SAVED, PART_DIED, UNUSABLE_INPUT, USERS_MODULE


def code_of(error: Exception, *, in_a_run: bool) -> int:
    run: Any = SimpleNamespace(settle=lambda intact: [], memory=None)
    with exit_code("test") as ending:
        ending.run = run if in_a_run else None
        raise error
    return ending.code


def test_what_could_not_be_written_is_not_saved(capsys: pytest.CaptureFixture[str]) -> None:
    gone = OSError(errno.ENOENT, "No such file or directory", "a")
    unwritten = NotWritten(gone, Path("a"), b"")
    full = OSError(errno.ENOSPC, "No space left on device", "a")
    for in_a_run in (False, True):
        assert code_of(unwritten, in_a_run=in_a_run) == NOT_SAVED
        assert code_of(full, in_a_run=in_a_run) == NOT_SAVED
        assert code_of(gone, in_a_run=in_a_run) == (PART_DIED if in_a_run else UNUSABLE_INPUT)
    assert "test: a: No such file or directory.\n" in capsys.readouterr().err


def test_memory_that_runs_out_is_not_a_mistake_in_the_users_code() -> None:
    scope = {"__name__": f"{USERS_MODULE}world"}
    exec("def act(error): raise error", scope)
    for error, code in ((MemoryError(), PART_DIED), (ValueError("?"), UNUSABLE_INPUT)):
        run: Any = SimpleNamespace(settle=lambda intact: [], memory=None)
        with exit_code("test") as ending:
            ending.run = run
            scope["act"](error)  # type: ignore[operator]
        assert ending.code == code


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk is /dev/full here")
def test_messages_return_once_the_disk_has_room(tmp_path: Path) -> None:
    with Path("/dev/full").open("w", buffering=1) as stream:
        messages = Messages(stream)
        messages.emit(logging.makeLogRecord({"msg": "lost"}))
        with (tmp_path / "log").open("w") as file:
            os.dup2(file.fileno(), stream.fileno())
        messages.emit(logging.makeLogRecord({"msg": "kept"}))
    assert (tmp_path / "log").read_text() == "kept\n"
