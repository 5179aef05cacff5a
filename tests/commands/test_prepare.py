"""What a program does before its imports: a quiet end by Ctrl-C, and output wherever it goes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent.parent / "src"
# A NumPy whose import is interrupted, as by somebody who has changed their mind at once.
INTERRUPTED = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"


def run(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environ,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.parametrize("program", ["main", "plot", "verify", "export", "sweep"])
def test_ctrl_c_during_the_imports_ends_quietly(tmp_path: Path, program: str) -> None:
    (tmp_path / "numpy.py").write_text(INTERRUPTED)
    ended = run(str(SOURCE / f"{program}.py"), "pong", PYTHONPATH=str(tmp_path))
    assert (ended.returncode, ended.stderr, ended.stdout) == (130, "", "")


def prepared(code: str, **environ: str) -> subprocess.CompletedProcess[str]:
    begin = f"import sys; sys.path.insert(0, {str(SOURCE)!r})\n"
    return run("-c", f"{begin}from commands.prepare import prepare\n{code}", **environ)


def test_a_signal_that_nohup_ignores_stays_ignored() -> None:
    code = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); prepare()\n"
    ended = prepared(f"{code}signal.raise_signal(signal.SIGINT); print('goes on')")
    assert (ended.returncode, ended.stdout) == (0, "goes on\n")


def test_names_that_are_not_utf_8_can_be_printed() -> None:
    ended = prepared(r"prepare(); print('p\udcff.pkl')", PYTHONIOENCODING="utf-8:strict")
    assert (ended.returncode, ended.stdout) == (0, "p\\udcff.pkl\n")


@pytest.mark.parametrize("closed", [1, 2])
def test_streams_that_are_closed_are_no_error(closed: int) -> None:
    words = ["bash", "-c", f'exec "$@" {closed}>&-', "", sys.executable, str(SOURCE / "main.py")]
    ended = subprocess.run(
        [*words, "test", "nosuch.pkl"], capture_output=True, text=True, timeout=100, check=False
    )
    sentence = "" if closed == 2 else "test: There is no snapshot nosuch.pkl"
    assert ended.returncode == 2
    assert ended.stderr.startswith(sentence)
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""
