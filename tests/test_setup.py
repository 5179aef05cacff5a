"""The set-up by the first run, in copies of the scripts whose paths have spaces.

`template` makes one true environment with a tiny package. Tests of what pip and Python cannot be
made to do on demand run on a fake Python, which is quick, does as the test says and keeps a log.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = {
    "train.sh": "src/main.py train",
    "test.sh": "src/main.py test",
    "resume.sh": "src/main.py resume",
    "play.sh": "src/main.py play",
    "record.sh": "src/main.py record",
    "nvis.sh": "src/main.py nvis",
    "profile_train.sh": "src/main.py profile_train",
    "profile_test.sh": "src/main.py profile_test",
    "profile_random.sh": "src/main.py profile_random",
    "plot.sh": "src/plot.py",
    "bench.sh": "bench/bench.py",
    "verify.sh": "src/verify.py",
    "sweep.sh": "src/sweep.py",
    "export.sh": "src/export.py",
}
MAIN = "import json, os, sys, tiny; print(json.dumps([tiny.version, os.getcwd(), *sys.argv[1:]]))"
FAKE_PYTHON = """#!/usr/bin/env bash
self='{folder}/python3'
case "$1 $2" in
"-m venv") echo venv >>'{folder}/log'; mkdir -p "$3/bin"; ln -s "$self" "$3/bin/python" ;;
"-m pip") [[ $3 != install ]] || {{ echo pip >>'{folder}/log'; {pip}; }} ;;
-c*) exec '{real}' -c "import sys; sys.executable = '$self'; {lie}; $2" ;;
*) echo "$@" ;;
esac
"""


@dataclass
class Clone:
    """A copy of the scripts, and the surroundings to run them in."""

    folder: Path
    env: dict[str, str]

    def start(
        self, script: str = "train.sh", *args: str, cwd: Path | None = None
    ) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [str(self.folder / script), *args],
            cwd=cwd or self.folder,
            env=self.env,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            text=True,
            start_new_session=True,
        )

    def run(
        self, script: str = "train.sh", *args: str, cwd: Path | None = None
    ) -> tuple[int, str, str]:
        """Exit code, standard output and standard error."""
        process = self.start(script, *args, cwd=cwd)
        output, errors = process.communicate(timeout=60)
        return process.returncode, output, errors

    def require(self, text: str) -> None:
        (self.folder / "requirements.txt").write_text(text)


def copy_scripts(folder: Path) -> None:
    for name in ("src", "docs"):
        (folder / name).mkdir(parents=True)
    for path in [*ROOT.glob("*.sh"), ROOT / "src" / "setup.sh", ROOT / "docs" / "pictures.sh"]:
        shutil.copy(path, folder / path.relative_to(ROOT))


def plain_env(**extra: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PIP_"))}
    return kept | dict(PIP_CONFIG_FILE=os.devnull, PIP_NO_INDEX="1", PIP_NO_CACHE_DIR="1") | extra


def write_wheel(folder: Path, version: str) -> None:
    """A package `tiny` that knows its version."""
    with zipfile.ZipFile(folder / f"tiny-{version}-py3-none-any.whl", "w") as wheel:
        info = f"tiny-{version}.dist-info"
        wheel.writestr("tiny.py", f"version = '{version}'")
        wheel.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tiny\nVersion: {version}\n"
        )
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone after its first run, with the package tiny 1.0 in its environment."""
    wheels = tmp_path_factory.mktemp("wheels")
    for version in ("1.0", "2.0"):
        write_wheel(wheels, version)
    temporary = tmp_path_factory.mktemp("tmp")
    env = plain_env(PIP_FIND_LINKS=wheels.as_uri(), PYTHON=sys.executable, TMPDIR=str(temporary))
    clone = Clone(tmp_path_factory.mktemp("clones") / "a clone", env)
    copy_scripts(clone.folder)
    (clone.folder / "src" / "main.py").write_text(MAIN)
    clone.require("tiny==1.0\n")

    code, output, errors = clone.run("train.sh", "my game", "--help")
    assert code == 0, errors
    assert json.loads(output) == ["1.0", str(clone.folder), "train", "my game", "--help"]
    first, last = errors.splitlines()
    assert "Setting up .venv, once" in first
    assert last == ".venv is ready."
    assert list(temporary.iterdir()) == [], "the set-up leaves nothing behind elsewhere"
    return clone


@pytest.fixture
def clone(template: Clone, tmp_path: Path) -> Clone:
    """A copy of the template, which is thereby one that was moved after its set-up, too."""
    folder = tmp_path / "the clone"
    shutil.copytree(template.folder, folder, symlinks=True)
    return Clone(folder, dict(template.env))


@pytest.fixture
def fake(tmp_path: Path) -> Callable[..., Clone]:
    """Makes a clone and tells the fake Python that it finds what to do."""
    fakes = tmp_path / "bin"
    fakes.mkdir()
    folder = tmp_path / "the clone"
    copy_scripts(folder)
    (folder / "requirements.txt").touch()

    def tell(*, pip: str = ":", lie: str = "pass") -> Clone:
        text = FAKE_PYTHON.format(folder=fakes, real=sys.executable, pip=pip, lie=lie)
        (fakes / "python3").write_text(text)
        (fakes / "python3").chmod(0o755)
        for name in ("python3.11", "python3.12", "python3.13", "python3.14"):  # hides true ones
            (fakes / name).write_text("#!/bin/sh\nexit 127\n")
            (fakes / name).chmod(0o755)
        return Clone(folder, plain_env(PATH=f"{fakes}:{os.environ['PATH']}"))

    return tell


def log(clone: Clone) -> list[str]:
    path = clone.folder.parent / "bin" / "log"
    return path.read_text().split() if path.exists() else []


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("it did not come about in 30 s")


def test_second_run_is_silent(clone: Clone) -> None:
    assert clone.run()[2] == ""


def test_runs_from_another_folder_and_through_links(clone: Clone, tmp_path: Path) -> None:
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    (elsewhere / "link to the clone").symlink_to(clone.folder)
    (elsewhere / "go").symlink_to("link to the clone/train.sh")
    for script in (clone.folder / "train.sh", "go", "../the clone/train.sh"):
        code, output, errors = Clone(elsewhere, clone.env).run(str(script), "x", cwd=elsewhere)
        assert (code, errors) == (0, "")
        assert json.loads(output) == ["1.0", str(elsewhere), "train", "x"], "files are the caller's"


def test_changed_requirements_are_installed(clone: Clone) -> None:
    clone.require("tiny==2.0\n")
    code, output, errors = clone.run()
    assert (code, json.loads(output)[0]) == (0, "2.0")
    assert errors == "Updating .venv to requirements.txt.\n.venv is ready.\n"
    assert clone.run()[2] == ""


def test_failed_update_leaves_the_environment_as_it_was(clone: Clone) -> None:
    clone.require("tiny==3.0\n")
    code, _, errors = clone.run()
    assert code == 2
    assert "pip finds no tiny==3.0 for " in errors
    clone.require("tiny==1.0\n")
    code, output, errors = clone.run()
    assert (code, json.loads(output)[0], errors) == (0, "1.0", "")


def lock(clone: Clone, version: str, hash_: str = "") -> str:
    """Lock tiny at a version, by default with the hash of its wheel; returns the requirement."""
    requirement = f"tiny=={version}"
    if not hash_:
        wheels = Path(clone.env["PIP_FIND_LINKS"].removeprefix("file://"))
        wheel = wheels / f"tiny-{version}-py3-none-any.whl"
        hash_ = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (clone.folder / "locks").mkdir(exist_ok=True)
    text = f"# {requirement}\n{requirement} \\\n    --hash=sha256:{hash_}\n"
    (clone.folder / "locks" / "requirements.txt").write_text(text)
    return requirement + "\n"


def test_locked_packages_are_installed(clone: Clone) -> None:
    clone.require(lock(clone, "2.0"))
    code, output, errors = clone.run()
    assert (code, json.loads(output)[0]) == (0, "2.0"), errors
    assert clone.run()[2] == ""
    # A lock alone changes too, when a package that no requirements file names becomes newer.
    with (clone.folder / "locks" / "requirements.txt").open("a") as file:
        file.write("# newer\n")
    assert clone.run()[2].startswith("Updating .venv")


def test_a_package_that_is_not_the_locked_one_is_refused(clone: Clone) -> None:
    clone.require(lock(clone, "2.0", "0" * 64))
    code, _, errors = clone.run()
    assert code == 2
    assert errors.splitlines()[-1].startswith("A downloaded package is not the file that ")
    assert "tiny==2.0" in errors
    clone.require(lock(clone, "1.0"))
    assert json.loads(clone.run()[1])[0] == "1.0", "what was there still works"


def test_requirements_changed_since_their_lock_are_installed(clone: Clone) -> None:
    lock(clone, "1.0", "0" * 64)
    clone.require("tiny==2.0\n")
    assert json.loads(clone.run()[1])[0] == "2.0"


@pytest.mark.parametrize("path", sorted(ROOT.glob("requirements*.txt")), ids=lambda path: path.stem)
def test_locks_are_those_of_the_requirements(path: Path) -> None:
    text, locked = path.read_text(), (ROOT / "locks" / path.name).read_text()
    copy = "".join(f"# {line}\n" for line in text.splitlines())
    assert locked.startswith(copy), "run docs/lock.sh"
    packages = re.findall(r"^([\w-]+==\S+)(.*)$", locked.removeprefix(copy), re.MULTILINE)
    assert all(rest.endswith(" \\") for _, rest in packages), "each has hashes"
    named = {line.lower() for line in text.splitlines() if not line.startswith("#")}
    assert named - {name for name, _ in packages} <= {
        line for line in named if line.startswith("torch==")
    }
    assert not re.search("^(torch=|nvidia|cuda|triton)", locked, re.MULTILINE)


@pytest.mark.skipif(shutil.which("ps") is None, reason="finds running scripts by ps")
def test_update_waits_for_running_scripts(clone: Clone) -> None:
    (clone.folder / "src" / "plot.py").write_text("print('running', flush=True); input()")
    with clone.start("plot.sh") as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "running\n"
        clone.require("tiny==2.0\n")
        code, output, errors = clone.run()
        assert (code, json.loads(output)[0]) == (0, "1.0")
        assert f"process {running.pid} still runs from .venv" in errors
        running.communicate("\n")
    assert json.loads(clone.run()[1])[0] == "2.0"


@pytest.mark.skipif(shutil.which("ps") is None, reason="finds running scripts by ps")
def test_an_unfinished_environment_that_is_in_use_stays(clone: Clone) -> None:
    (clone.folder / "src" / "plot.py").write_text("print('running', flush=True); input()")
    with clone.start("plot.sh") as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "running\n"
        (clone.folder / ".venv" / "unfinished").touch()  # as an interrupted update leaves it
        code, _, errors = clone.run()
        assert code == 2
        assert f"process {running.pid} still runs from it" in errors
        running.communicate("\n")
    code, output, errors = clone.run()
    assert (code, json.loads(output)[0]) == (0, "1.0")
    assert "half-made" in errors


def test_vanished_python_is_replaced(fake: Callable[..., Clone]) -> None:
    clone = fake()
    assert clone.run()[0] == 0
    python = clone.folder / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/nowhere/python3.10")
    code, _, errors = clone.run()
    assert code == 0
    assert "Making .venv again" in errors
    assert log(clone) == ["venv", "pip"] * 2


def test_interrupted_set_up_is_repaired(fake: Callable[..., Clone]) -> None:
    clone = fake(pip="sleep 60")
    with clone.start() as process:
        wait_for(lambda: log(clone) == ["venv", "pip"])
        os.killpg(process.pid, signal.SIGKILL)
    code, _, errors = fake().run()
    assert code == 0
    assert "half-made" in errors
    assert log(clone) == ["venv", "pip"] * 2
    assert clone.run()[2] == ""


def test_two_at_once_make_one_environment(fake: Callable[..., Clone], tmp_path: Path) -> None:
    clone = fake(pip=f"until [[ -e '{tmp_path}/go' ]]; do sleep .01; done")
    with clone.start() as first:
        wait_for(lambda: log(clone) == ["venv", "pip"])
        with clone.start() as second:
            assert second.stderr is not None
            assert "Another script is setting up .venv" in second.stderr.readline()
            (tmp_path / "go").touch()
            assert second.communicate()[1] == ""
        assert ".venv is ready." in first.communicate()[1]
    assert (first.returncode, second.returncode) == (0, 0)
    assert log(clone) == ["venv", "pip"]


def test_the_gate_adds_its_own_requirements(fake: Callable[..., Clone]) -> None:
    clone = fake()
    (clone.folder / "requirements-dev.txt").write_text("pytest\n")
    script = 'source "$0/src/setup.sh"; ensure requirements.txt requirements-dev.txt'
    for _ in range(2):
        command = ["bash", "-c", script, str(clone.folder)]
        subprocess.run(command, env=clone.env, check=True, capture_output=True)
        assert log(clone) == ["venv", "pip", "pip"]
    clone.require("# changed\n")
    assert clone.run()[2].startswith("Updating .venv")
    # What the gate asked for is installed again with it, and not forgotten.
    assert (clone.folder / ".venv" / "requirements-dev.txt").exists()


def test_packages_that_must_come_alone_do(fake: Callable[..., Clone], tmp_path: Path) -> None:
    clone = fake(pip=f"[[ $* != *gym.txt ]] || echo $6 >>'{tmp_path}/bin/log'")
    (clone.folder / "requirements-gym.txt").write_text("# pip install --no-deps -r this\n")
    script = 'source "$0/src/setup.sh"; ensure requirements.txt requirements-gym.txt'
    command = ["bash", "-c", script, str(clone.folder)]
    subprocess.run(command, env=clone.env, check=True, capture_output=True)
    assert log(clone) == ["venv", "pip", "pip", "pip", "--no-deps"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("OSError: [Errno 28] No space left on device", "is full"),
        ("WARNING: Retrying after NewConnectionError('...')", "Cannot reach the package index"),
        ("ERROR: No matching distribution found for torch==2.13.0", "pip finds no torch==2.13.0 "),
        ("something else", "something else"),
    ],
)
def test_failures_are_named(fake: Callable[..., Clone], words: str, sentence: str) -> None:
    clone = fake(pip=f'echo "{words}"; exit 1')
    code, output, errors = clone.run()
    assert (code, output) == (2, "")
    assert sentence in errors
    assert "run this again." in errors.splitlines()[-1]
    assert not (clone.folder / ".venv").exists(), "what is of no use takes no disk"


@pytest.mark.parametrize(
    ("lie", "sentence"),
    [
        ("sys.version_info = (3, 10, 2)", "but python3 is 3.10: install another"),
        ("sys.version_info = (3, 15, 0)", "but python3 is 3.15: install another"),
        (
            "sys.version_info = (3, 12, 1); sys.modules['ensurepip'] = None",
            "sudo apt install python3.12-venv",
        ),
        ("sys.exit(1)", "but python3 does not run: install it"),
    ],
)
def test_unfit_pythons_are_named(fake: Callable[..., Clone], lie: str, sentence: str) -> None:
    clone = fake(lie=lie)
    code, output, errors = clone.run()
    assert (code, output) == (2, "")
    assert sentence in errors
    assert len(errors.splitlines()) == 1
    assert log(clone) == []


def test_the_build_of_an_index_of_ones_own_is_taken(clone: Clone, tmp_path: Path) -> None:
    more = tmp_path / "more wheels"
    more.mkdir()
    write_wheel(more, "2.0+cpu")
    clone.env["PIP_FIND_LINKS"] += f" {more.as_uri()}"
    clone.require("tiny==2.0\n")
    assert json.loads(clone.run()[1])[0] == "2.0+cpu"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is no choice")
def test_without_a_gpu_the_choice_is_explained(fake: Callable[..., Clone]) -> None:
    clone = fake()
    has_gpu = Path("/dev/nvidiactl").exists() or Path("/dev/dxg").exists()
    assert ("docs/platforms.md says how to leave CUDA out" in clone.run()[2]) != has_gpu
    assert (ROOT / "docs" / "platforms.md").exists()
    shutil.rmtree(clone.folder / ".venv")
    clone.env["PIP_EXTRA_INDEX_URL"] = "file:///an/index/of/mine"
    assert "CUDA out" not in clone.run()[2]  # the choice has been made


def test_unwritable_folder_is_named(fake: Callable[..., Clone]) -> None:
    clone = fake()
    (clone.folder / ".venv.lock").mkdir()  # root may write to any folder, but not over this
    code, _, errors = clone.run()
    assert code == 2
    assert f"Cannot write in {clone.folder}" in errors


def test_every_script_reaches_its_verb(fake: Callable[..., Clone]) -> None:
    clone = fake()
    assert clone.run()[0] == 0
    assert {path.name for path in ROOT.glob("*.sh")} == {*SCRIPTS, "check.sh"}
    for path in ROOT.glob("requirements*.txt"):
        (clone.folder / path.name).touch()
    for script, target in SCRIPTS.items():
        expected = f"{clone.folder}/{target} a  b --help\n"
        assert clone.run(script, "a  b", "--help")[:2] == (0, expected), script
    expected = f"{clone.folder}/bench/loop.py --steps 5\n"
    assert clone.run("bench.sh", "loop", "--steps", "5") == (0, expected, "")
    expected = f"{clone.folder}/docs/pictures.py a  b\n"
    assert clone.run("docs/pictures.sh", "a  b")[:2] == (0, expected)


@pytest.mark.parametrize("script", ["check.sh", "docs/lock.sh"])
def test_help_of_the_developers_scripts_sets_up_nothing(
    fake: Callable[..., Clone], script: str
) -> None:
    clone = fake()
    shutil.copy(ROOT / script, clone.folder / script)
    code, output, errors = clone.run(script, "--help")
    assert (code, errors) == (0, "")
    assert output.startswith(f"usage: {script if '/' in script else './' + script} [")
    assert not (clone.folder / ".venv").exists()


BENCHMARKS = [f"bench/{name}.py" for name in "peers loop replay health ingredients sweeps".split()]


@pytest.mark.parametrize("target", sorted({*SCRIPTS.values(), *BENCHMARKS}))
def test_every_verb_starts_as_its_script_starts_it(target: str, tmp_path: Path) -> None:
    # Not from the clone, and with nothing of it on the path of modules.
    words = [sys.executable, str(ROOT / target.split()[0]), *target.split()[1:], "--help"]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    found = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert found.stdout
