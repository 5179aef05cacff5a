"""Golden vectors of the original's engine are replayed, and what is wrong with a case is said."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import verify
from config import NetworkSettings
from deepqnetwork import DeepQNetwork
from errors import UserError
from verify import main, replay_golden

GOLDEN = Path(__file__).parent / "golden"
CASES = ["rmsprop", "adam", "adadelta", "batch_norm"]
TOLERANCE = 1e-5


def copy_case(folder: Path, case: str = "rmsprop", **changes: Any) -> Path:
    """A case of its own with arrays replaced, or left out where None; its .npz."""
    for path in GOLDEN.glob(f"{case}*"):
        shutil.copy(path, folder)
    npz = folder / f"{case}.npz"
    with np.load(npz) as file:
        arrays = {name: file[name] for name in file.files} | changes
    np.savez(npz, **{name: array for name, array in arrays.items() if array is not None})
    return npz


def config_of(case: str = "rmsprop", **changes: Any) -> np.ndarray:
    with np.load(GOLDEN / f"{case}.npz") as file:
        text = str(file["config"].item())
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return np.array([text])


@pytest.mark.parametrize("update_parts", [1, 2, 3])
@pytest.mark.parametrize("case", CASES)
def test_golden_cases_are_met(case: str, update_parts: int) -> None:
    errors = replay_golden(GOLDEN / f"{case}.npz", backend="cpu", update_parts=update_parts)
    assert errors.keys() == {"Q", "cost", "weights"}
    assert max(errors.values()) <= TOLERANCE


def test_a_folder_is_replayed_case_by_case(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["golden", str(GOLDEN), "--backend", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == sorted(CASES)
    assert all(line.endswith("ok") for line in lines[1:])


def test_errors_over_the_tolerance_give_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy_case(tmp_path)
    assert main(["golden", str(tmp_path), "--tolerance", "1e-12"]) == 1
    assert "over 1e-12" in capsys.readouterr().out
    assert main(["golden", str(tmp_path), "--tolerance", "1"]) == 0


@pytest.mark.parametrize("what", ["Q", "cost", "weights"])
def test_each_kind_of_error_is_seen(what: str, tmp_path: Path) -> None:
    with np.load(GOLDEN / "rmsprop.npz") as file:
        arrays = {name: file[name] for name in ("qvalues", "costs")}
    arrays["qvalues"][5, 2, 1] += 0.25 * (what == "Q")
    arrays["costs"][7] += 0.25 * (what == "cost")
    npz = copy_case(tmp_path, **arrays)
    if what == "weights":
        shutil.copy(GOLDEN / "adam_end.pkl", tmp_path / "rmsprop_end.pkl")
    errors = replay_golden(npz)
    assert errors.pop(what) > 0.01
    assert max(errors.values()) <= TOLERANCE


def test_a_nan_is_not_within_any_tolerance(tmp_path: Path) -> None:
    with np.load(GOLDEN / "rmsprop.npz") as file:
        costs = file["costs"]
    costs[3] = np.nan
    copy_case(tmp_path, costs=costs)
    assert main(["golden", str(tmp_path), "--tolerance", "1e9"]) == 1


def test_the_settings_are_those_of_the_case(tmp_path: Path) -> None:
    for n, (old, new) in enumerate({"'lr': 0.00025": "'lr': 0.1", "'rmsprop'": "'adam'"}.items()):
        folder = tmp_path / str(n)
        folder.mkdir()
        npz = copy_case(folder, config=config_of(**{old: new}))
        assert replay_golden(npz)["weights"] > TOLERANCE


@pytest.mark.parametrize(
    "changes",
    [
        dict(prestates=None),
        dict(config=None),
        dict(config=np.array(["not a dict {"])),
        dict(config=np.array(["[]"])),
        dict(prestates=np.zeros((2, 3), np.uint8)),
        dict(rewards=np.zeros((1, 8), np.float32)),
        dict(valid=np.zeros((4, 4, 20, 20), np.uint8)),
        dict(actions=np.full((12, 8), 6, np.uint8)),
        dict(actions=np.full((12, 8), -1, np.int8)),
        dict(config=config_of(**{"'actions': 6": f"'actions': {10**12}"})),
        dict(config=config_of(**{"'rmsprop', 'batch": "'nosuch', 'batch"})),
        dict(prestates=np.zeros((0, 8, 4, 36, 36), np.uint8)),
    ],
    ids=lambda changes: f"{next(iter(changes))}",
)
def test_an_incomplete_case_is_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    npz = copy_case(tmp_path, **changes)
    with pytest.raises(UserError, match="is not a whole golden case"):
        replay_golden(npz)


@pytest.mark.parametrize("damage", ["cut", "text", "start", "end", "bomb"])
def test_broken_files_give_exit_code_2_and_a_sentence(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    npz = copy_case(tmp_path)
    if damage == "cut":
        npz.write_bytes(npz.read_bytes()[:5000])
    elif damage == "text":
        npz.write_text("golden")
    elif damage == "bomb":
        with zipfile.ZipFile(npz, "w", zipfile.ZIP_DEFLATED) as packed:
            packed.writestr("prestates.npy", bytes(1 << 20))
        data = bytearray(npz.read_bytes())
        where = data.rindex((1 << 20).to_bytes(4, "little"))
        data[where : where + 4] = ((1 << 30) + 1).to_bytes(4, "little")
        npz.write_bytes(data)
    elif damage == "start":
        (tmp_path / "rmsprop_start.pkl").write_bytes(b"golden")
    else:
        (tmp_path / "rmsprop_end.pkl").unlink()
    assert main(["golden", str(tmp_path)]) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("verify: ")
    assert str(tmp_path) in errors


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("golden DIR --update_parts 0", "--update_parts must be at least 1, not 0."),
        ("golden DIR --device_id -5", "--device_id must be at least 0, not -5."),
        ("golden DIR --backend cuda", "--backend is one of auto, cpu, gpu, not 'cuda'."),
        *(
            (
                f"golden DIR --tolerance {word}",
                f"--tolerance: takes a number from 0, not {word!r}; see ./verify.sh golden --help.",
            )
            for word in ("nan", "-1", "inf", "x")
        ),
        ("golden DIR --parts 3", "unrecognized arguments: --parts 3; see ./verify.sh --help."),
        ("golden", "arguments are required: DIR; see ./verify.sh golden --help."),
    ],
)
def test_wrong_flags_are_a_sentence(
    words: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words.replace("DIR", str(GOLDEN)).split()) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("verify: ")
    assert said.endswith(sentence)


def test_a_pipe_in_place_of_a_case_is_not_waited_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    npz = copy_case(tmp_path)
    npz.unlink()
    os.mkfifo(npz)
    assert main(["golden", str(tmp_path)]) == 2
    assert main(["nvis", str(npz), str(tmp_path / "rmsprop_start.pkl")]) == 2
    assert capsys.readouterr().err.count("it is no regular file") == 2


def test_weights_of_another_network_at_the_end_are_refused(tmp_path: Path) -> None:
    npz = copy_case(tmp_path)
    settings = NetworkSettings(screen_height=36, screen_width=36, backend="cpu")
    other = DeepQNetwork(settings, num_actions=5, rng=np.random.default_rng(0))
    other.save_weights(tmp_path / "rmsprop_end.pkl", info={})
    with pytest.raises(UserError, match="other layers"):
        replay_golden(npz)


def test_a_folder_without_cases_gives_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        assert main(["golden", str(folder)]) == 2
        assert "There is no golden case" in capsys.readouterr().err


def test_it_runs_as_a_script(tmp_path: Path) -> None:
    copy_case(tmp_path)
    command = [sys.executable, verify.__file__, "golden", str(tmp_path), "--backend", "cpu"]
    run = subprocess.run(
        command,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert "rmsprop" in run.stdout
