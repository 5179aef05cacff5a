"""What a file from somebody else may run: nothing that the user has not agreed to."""

from __future__ import annotations

import io
import os
import pty
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import main
from commands.verbs import parse
from config import ROOT
from errors import UserError
from user_code import trust
from user_code.trust import is_moved, is_ours, remember_code, sign, trusted_code

CATCH = "examples/catch.py:Catch"


def test_code_that_a_snapshot_names_runs_only_if_the_user_agrees_to_that_very_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot, file = tmp_path / "x_1.pkl", tmp_path / "world.py"
    file.write_text("class World: pass\n")
    name = f"{file}:World"
    assert trusted_code(snapshot, "environment", "gym") == "gym"
    assert trusted_code(snapshot, "network", "impala") == "impala"
    for value in (name, CATCH, f"{ROOT}/.venv/lib/site.py:World"):
        for flag in ("environment", "network"):
            with pytest.raises(UserError, match=rf"add --{flag} /|cannot be read"):
                trusted_code(snapshot, flag, value)
    asked: list[str] = []

    def agrees(question: str) -> bool:
        asked.append(question)
        return True

    monkeypatch.setattr(trust, "agrees", agrees)
    assert trusted_code(snapshot, "environment", name) == name
    assert trusted_code(snapshot, "environment", name) == name
    assert len(asked) == 1, "agreed to once"
    assert f"the class World of the file {file}" in asked[0]
    trusted_code(snapshot, "environment", f"{file}:Other")
    assert len(asked) == 2, "another class is another question"
    file.write_text("class World: import os\n")
    trusted_code(snapshot, "environment", name)
    assert len(asked) == 3, "a changed file is another question"
    copy = tmp_path / "copy.py"
    shutil.copy(file, copy)
    trusted_code(snapshot, "environment", f"{copy}:World")
    assert len(asked) == 4, "the same file elsewhere is another question"


def test_what_the_command_line_has_named_is_agreed_to(tmp_path: Path) -> None:
    remember_code(CATCH)
    assert trusted_code(tmp_path / "x_1.pkl", "environment", CATCH) == f"{ROOT}/{CATCH}"
    remember_code("gym")


@pytest.mark.parametrize(
    "value", ["x.txt:World", "x.py:a b", "x.py", "x\x1b[31m.py:World", "a" * 5000 + ".py:W", ":"]
)
def test_what_names_no_code_is_refused_and_shown_harmlessly(tmp_path: Path, value: str) -> None:
    with pytest.raises(UserError, match=r"which is not valid|cannot be read") as error:
        trusted_code(tmp_path / "x_1.pkl", "environment", value)
    assert str(error.value).isprintable()


def test_processes_that_start_at_once_keep_one_key_and_all_agreements(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = trust._write

    def write_late(name: str, data: bytes) -> None:
        time.sleep(0.1)  # until all have found that there is no key and have read what is agreed to
        write(name, data)

    monkeypatch.setattr(trust, "_write", write_late)
    file = tmp_path / "world.py"
    file.write_text("class World: pass\n")
    names = [f"{file}:World{n}" for n in range(4)]
    with ThreadPoolExecutor(len(names)) as threads:
        signatures = set(threads.map(sign, ["digest"] * 4))
        list(threads.map(remember_code, names))
    assert signatures == {sign("digest")}
    for name in names:
        assert trusted_code(tmp_path / "x_1.pkl", "environment", name) == name


def test_nobody_agrees_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert not trust.agrees("Run it?")


@pytest.mark.parametrize(("answer", "agrees"), [(b"y\n", True), (b"n\n", False), (b"\n", False)])
def test_somebody_agrees_at_a_terminal_by_saying_yes(answer: bytes, agrees: bool) -> None:
    ours, theirs = pty.openpty()
    os.write(ours, answer)
    code = "from user_code.trust import agrees; raise SystemExit(not agrees('Run it?'))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT / "src",
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        check=False,
    )
    os.close(ours)
    os.close(theirs)
    assert (done.returncode == 0) is agrees


def test_a_strangers_snapshot_runs_no_code_until_the_command_line_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, ran = tmp_path / "world.py", tmp_path / "ran"
    shutil.copy(ROOT / "examples" / "catch.py", file)
    name = f"{file}:Catch"
    line = (
        f"catch --environment {name} --random_steps 100 --train_steps 8 --test_steps 0 --epochs 1"
    )
    line += f" --replay_size 1000 --save_weights_prefix {tmp_path}/catch --threads 1"
    line += " --screen_width 36 --screen_height 36"
    assert main.main(line.split()) == 0
    snapshot = str(tmp_path / "catch_1.pkl")
    assert parse("test", [snapshot]).config.environment == name, "named when it was trained"
    monkeypatch.setattr(trust, "FOLDER", tmp_path / "another clone")
    file.write_text(f"open({str(ran)!r}, 'w')\nclass Catch: pass\n")
    for verb in ("test", "play", "record", "nvis", "resume"):
        capsys.readouterr()
        assert main.main([verb, snapshot, "--epochs", "2"]) == 2
        assert f"add --environment {name}" in capsys.readouterr().err
    assert not ran.exists()
    assert parse("test", [snapshot, "--environment", name]).config.environment == name


def test_a_run_resumes_with_its_code_in_another_place(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, other = (home / f"{name}.py" for name in ("first", "second", "other"))
    shutil.copy(ROOT / "examples" / "catch.py", first)
    line = "train catch --random_steps 100 --train_steps 8 --test_steps 0 --epochs 1 --threads 1"
    line += f" --replay_size 1000 --backend cpu --environment {first}:Catch"
    assert main.main([*line.split(), "--screen_width", "36", "--screen_height", "36"]) == 0
    first.rename(second)
    resume = ["resume", "catch", "--epochs", "2"]
    assert main.main(resume) == 2
    assert "give its place with --environment FILE.py:Catch" in capsys.readouterr().err
    assert main.main([*resume, "--environment", f"{second}:Catch"]) == 0
    shutil.copy(second, first)
    first.write_text(f"{first.read_text()}# not the same\n")
    resume[-1] = "3"
    assert main.main([*resume, "--environment", f"{first}:Catch"]) == 2
    assert "would change what the run has done" in capsys.readouterr().err
    other.write_text("Catch = 3\n")
    assert is_moved(f"{home}/gone.py:Catch", f"{other}:Catch")
    assert not is_moved(f"{home}/gone.py:Catch", f"{other}:Other")
    assert not is_moved("ale", f"{other}:Catch")


def test_a_checkpoint_is_ours_if_this_clones_key_has_signed_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    trust._warn.cache_clear()
    signature = sign("digest")
    assert is_ours("digest", signature)
    for digest, other in (
        ("another", signature),
        ("digest", ""),
        ("digest", None),
        ("digest", "ä"),
    ):
        assert not is_ours(digest, other)
    monkeypatch.setattr(trust, "FOLDER", tmp_path / "another clone")
    assert not is_ours("digest", signature)
    monkeypatch.setattr(trust, "FOLDER", tmp_path / "none" / "to be made")
    assert not is_ours("digest", sign("digest")), "without a key nothing is signed"
    (warning,) = caplog.messages
    assert "No such file or directory" in warning
    assert "checkpoints are not signed" in warning
