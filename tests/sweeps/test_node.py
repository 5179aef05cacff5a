"""One process of a run on a node: begun or resumed, waited for, and never left behind."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from sweeps.node import MARK, Job, look_around, progress, work

SOURCE = str(Path(__file__).resolve().parents[2] / "src")
SAY = "import os, sys; print(sys.argv[1:], os.environ.get('CUDA_VISIBLE_DEVICES'), flush=True); "


def job(folder: Path, program: str, **changes: Any) -> Job:
    """A job whose program is a line of Python."""
    values: dict[str, Any] = {
        "name": "a",
        "begin": ("train", "a"),
        "again": ("resume", "a"),
        "checkpoints": str(folder / "checkpoints"),
        "snapshots": str(folder / "pong_[a]"),
        "log": str(folder / "a.log"),
        "program": (sys.executable, "-c", program),
        "cwd": str(folder),
        "gpus": 0.0,
    }
    return Job(**values | changes)


def marks(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "a.log").read_text().splitlines()
    return [json.loads(line.removeprefix(MARK)) for line in lines if line.startswith(MARK)]


@pytest.mark.parametrize("code", [0, 1, 2, 130])
def test_the_exit_code_comes_back_and_the_log_says_all(tmp_path: Path, code: int) -> None:
    assert work(job(tmp_path, f"{SAY}sys.exit({code})")) == code
    assert "['train', 'a'] \n" in (tmp_path / "a.log").read_text(), "and sees no GPU"
    first, last = marks(tmp_path)
    assert first["words"] == ["train", "a"]
    assert last["code"] == code


def test_a_killed_process_has_a_negative_code(tmp_path: Path) -> None:
    assert work(job(tmp_path, "import os; os.kill(os.getpid(), 9)")) == -9


def test_a_full_disk_behind_the_log_changes_nothing(tmp_path: Path) -> None:
    full = 1 << 20
    (tmp_path / "a.log").write_bytes(bytes(full))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (full, hard))
    try:
        assert work(job(tmp_path, "")) == 0
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_log_that_is_no_file_is_not_written(tmp_path: Path) -> None:
    mine, log = tmp_path / "mine", tmp_path / "a.log"
    mine.touch()
    log.symlink_to(mine)
    with pytest.raises(OSError, match="symbolic link"):
        work(job(tmp_path, SAY))
    assert mine.read_bytes() == b""
    log.unlink()
    os.mkfifo(log)
    reader = os.open(log, os.O_RDONLY | os.O_NONBLOCK)  # without one it could not be opened at all
    with pytest.raises(OSError, match="no regular file"):
        work(job(tmp_path, SAY))
    os.close(reader)


def test_where_there_is_a_checkpoint_the_run_is_resumed(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    assert progress(job(tmp_path, SAY)) == (0, 0)
    work(job(tmp_path, SAY))
    (folder / "000003.json").touch()
    (folder / "000012.json").touch()
    assert progress(job(tmp_path, SAY)) == (12, 0)
    work(job(tmp_path, SAY))
    assert [mark["words"][0] for mark in marks(tmp_path) if "words" in mark] == ["train", "resume"]


def test_without_checkpoints_a_run_is_resumed_from_its_snapshot(tmp_path: Path) -> None:
    (tmp_path / "pong_[a]_b_3.pkl").touch()  # of another run
    (tmp_path / "pong_a_3.pkl").touch()
    work(job(tmp_path, SAY))
    (tmp_path / "pong_[a]_3.pkl").touch()
    work(job(tmp_path, SAY))
    assert [mark["words"][0] for mark in marks(tmp_path) if "words" in mark] == ["train", "resume"]
    assert progress(job(tmp_path, SAY)) == (0, 3)


def test_a_job_with_gpus_sees_those_that_ray_gave_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    work(job(tmp_path, SAY, gpus=0.5))
    assert "['train', 'a'] 3\n" in (tmp_path / "a.log").read_text()


def test_cancelling_ends_the_process_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cancel(_: float) -> None:
        if (tmp_path / "ready").exists():
            monkeypatch.undo()
            raise KeyboardInterrupt
        sleep(0.01)

    sleep = time.sleep
    monkeypatch.setattr("time.sleep", cancel)
    program = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
pathlib.Path("ready").touch()
time.sleep(60)
"""
    assert work(job(tmp_path, program)) == 130


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell it")
def test_the_process_ends_in_order_when_its_parent_is_killed(tmp_path: Path) -> None:
    program = """
import pathlib, signal, sys, time
def end(*_):
    pathlib.Path("ended").touch()
    sys.exit(130)
signal.signal(signal.SIGTERM, end)
pathlib.Path("ready").touch()
time.sleep(60)
"""
    parent = f"""
import sys
sys.path.insert(0, {SOURCE!r})
from sweeps.node import Job, work
work({job(tmp_path, program)!r})
"""
    with subprocess.Popen([sys.executable, "-c", parent], cwd=tmp_path) as process:
        while not (tmp_path / "ready").exists():
            assert process.poll() is None
            time.sleep(0.01)
        (child,) = psutil.Process(process.pid).children()
        process.send_signal(signal.SIGKILL)
    child.wait(60)
    assert (tmp_path / "ended").exists()


def test_an_earlier_process_of_the_run_is_waited_for(tmp_path: Path) -> None:
    lock = (tmp_path / "checkpoints.lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    timer = threading.Timer(0.3, lock.close)
    timer.start()
    assert work(job(tmp_path, "")) == 0
    assert [next(iter(mark)) for mark in marks(tmp_path)] == ["waits", "words", "ended"]
    timer.join()


def test_a_node_without_the_folder_or_the_program_says_so(tmp_path: Path) -> None:
    (tmp_path / "probe").write_text("word")
    command = (sys.executable, "-c", "print('versions')")
    seen = look_around(str(tmp_path / "probe"), command, str(tmp_path))
    assert (seen["probe"], seen["answer"]) == ("word", "versions")
    assert look_around(str(tmp_path / "none"), command, str(tmp_path))["probe"] == ""
    answer = look_around(str(tmp_path / "probe"), ("/no/python",), str(tmp_path))["answer"]
    assert "/no/python" in answer
