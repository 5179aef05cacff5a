"""A sweep on this machine alone, from Ctrl-C to its end."""

from __future__ import annotations

import importlib.util
import signal
from pathlib import Path

import psutil
import pytest

from tests.sweeps.cluster import PATIENCE, SweepSandbox, wait_until

SWEEP = """pong --seeds 1 --vary learning_rate=0.0001,1e9 --name lr --random_steps 100 --train_steps
150 --test_steps 30 --epochs 2 --replay_size 1000 --batch_size 4 --screen_width 44 --screen_height
44 --checkpoint_minutes 0.02 --backend cpu""".split()

pytestmark = pytest.mark.skipif(
    not importlib.util.find_spec("ray"), reason="Ray is not installed; ./sweep.sh installs it"
)


def test_ctrl_c_saves_and_a_run_that_diverges_stops_no_other(tmp_path: Path) -> None:
    sandbox = SweepSandbox(tmp_path)
    driver = sandbox.sweep(*SWEEP)
    try:
        runs = wait_until(lambda: len(found := sandbox.runs()) == 2 and found, driver)
        assert "is running already" in sandbox.finish(*SWEEP)[1]
        started = psutil.Process(driver.pid).children(recursive=True)
        driver.send_signal(signal.SIGINT)
        assert driver.wait(PATIENCE) == 130
    finally:
        driver.kill()
        driver.wait()
    assert not any(process.is_running() for process in [*runs.values()]), "all ended before it"
    _, left = psutil.wait_procs(started, timeout=PATIENCE)
    assert not left, "nothing of Ray is left behind"

    code, said = sandbox.finish(*SWEEP)
    assert code == 1, said
    assert "1 of 2 runs are finished" in said
    assert "pong_lr_learning_rate_1e9_seed1 failed: train: " in said or "failed: resume: " in said
    assert "Its log is " in said
    rows = (tmp_path / "results" / "lr.csv").read_text().splitlines()
    assert rows[1].startswith("pong_lr_learning_rate_0.0001_seed1,pong,learning_rate_0.0001,1,true")
