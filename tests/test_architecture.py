"""The arrows of docs/design.md, read off the source: who may import whom, and how much there is."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def name_of(path: Path, folder: Path) -> str:
    """The dotted name by which a file below `folder` is imported; a package's is its folder's."""
    return ".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")


FILES = {
    name_of(path, folder): path
    for folder, files in ((ROOT / "src", "**/*.py"), (ROOT, "nvis/**/*.py"))
    for path in sorted(folder.glob(files))
}
# What one training step passes through, in the order in which it is read.
TRAINING_STEP = (
    "main environment game state_buffer agent replay_memory deepqnetwork targets heads network "
    "optimizers"
).split()
# The only other files directly in src/: used in many packages, and what else a script starts.
COMMON = {"config", "schema", "paths", "errors", "palette", "stats", "seeds", "atomic"}
ENTRY_POINTS = {"plot", "verify", "export", "sweep"}
MAX_LINES_OF_A_TRAINING_STEP = 1800
MAX_LINES_OF_CODE = 300

# The PyTorch engine is deepqnetwork and what it owns: these alone may import torch. One variant is
# the agent's.
ENGINE = {
    module
    for module in FILES
    if module in ("deepqnetwork", "targets", "heads", "network", "optimizers")
    or module in ("snapshot.torch_weights", "replay.gpu")
    or (module.startswith(("engine.", "variants.")) and module != "variants.repeated_actions")
}
# Others may import these of them, which load PyTorch when it is asked for.
DOORS = {"engine.make", "engine.export", "engine.hardware", "replay.gpu"}
# What the agent knows of others: settings, data, and what it needs of a game and a network.
KNOWN_TO_AGENT = {
    ("config", "AgentSettings"),
    ("game", "Step"),
    ("envs.parallel", "Playable"),
    ("engine.make", "LearningNetwork"),
    ("replay_memory", "ReplayMemory"),
    ("variants.repeated_actions", "RepeatedActions"),
}


def does_not_run(node: ast.AST, *, lazy: bool, types: bool) -> bool:
    if isinstance(node, ast.If):
        return not types and ast.unparse(node.test).endswith("TYPE_CHECKING")
    return not lazy and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


def imports_in(
    node: ast.AST, *, lazy: bool = True, types: bool = False
) -> Iterator[tuple[str, str]]:
    """Each import below the node as (module, name in it or "").

    Without `lazy`, only those that the import of the file itself runs; with `types`, those for
    types alone too.
    """
    for child in ast.iter_child_nodes(node):
        if does_not_run(child, lazy=lazy, types=types):
            continue
        if isinstance(child, ast.Import):
            yield from ((alias.name, "") for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield from ((child.module or ".", alias.name) for alias in child.names)
        elif isinstance(child, ast.Call) and ast.unparse(child.func).endswith("import_module"):
            yield ast.unparse(child.args[0]).strip("'"), ""
        yield from imports_in(child, lazy=lazy, types=types)


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(FILES[module].read_text()) if module in FILES else ast.Module([], [])


def modules_of(imports: Iterator[tuple[str, str]]) -> set[str]:
    """Modules of ours by their full names, others by their first: engine.make, torch."""
    found = set()
    for module, name in imports:
        full = f"{module}.{name}"
        known = next((each for each in (full, module) if each in FILES), module.partition(".")[0])
        found.add(known)
    return found


@cache
def imports(module: str, *, lazy: bool = True) -> frozenset[str]:
    return frozenset(modules_of(imports_in(tree(module), lazy=lazy)))


@cache
def reach(module: str, *, lazy: bool = True) -> frozenset[str]:
    """All that the module imports, and what these import, and so on."""
    seen: set[str] = set()
    new = {module}
    while new:
        seen |= new
        new = {found for each in new for found in imports(each, lazy=lazy)} - seen
    return frozenset(seen - {module})


def importers(name: str) -> set[str]:
    return {module for module in FILES if name in imports(module)}


def test_files_are_known_by_the_names_they_are_imported_by() -> None:
    assert FILES["engine.make"] == ROOT / "src/engine/make.py"
    assert FILES["engine"] == ROOT / "src/engine/__init__.py"
    assert FILES["nvis.page"] == ROOT / "nvis/page.py"
    assert FILES.keys() >= {"main", "variants.optimizers", "nvis", "watch.player"}


def test_imports_are_found_wherever_they_stand() -> None:
    source = """
import torch.nn as nn, cv2
from agent import Agent
from engine import compiled
if TYPE_CHECKING:
    import environment
class A:
    def f(self):
        from nvis import page
        from replay.make import make_screens
        importlib.import_module("neon.backends")
"""
    parsed = ast.parse(source)
    at_once = {"torch", "cv2", "agent", "engine.compiled"}
    later = {"nvis.page", "replay.make", "neon"}
    assert modules_of(imports_in(parsed, lazy=False)) == at_once
    assert modules_of(imports_in(parsed)) == at_once | later
    assert modules_of(imports_in(parsed, types=True)) == at_once | later | {"environment"}


def test_only_sweeps_which_measure_runs_import_main() -> None:
    assert importers("main") == {"sweep"}


def test_the_agent_knows_interfaces_and_data_only() -> None:
    every = imports_in(tree("agent"), types=True)
    assert {(module, name) for module, name in every if module in FILES} == KNOWN_TO_AGENT
    at_work = imports("agent") & FILES.keys()
    assert at_work == {"config", "game"}
    assert not reach("agent") & {"torch", "deepqnetwork", "replay_memory", "stats", "main"}


def test_the_replay_memory_imports_numpy_and_no_engine() -> None:
    assert imports("replay_memory") & FILES.keys() == {"config", "errors"}
    assert imports("replay_memory") - FILES.keys() - set(sys.stdlib_module_names) == {"numpy"}
    assert not reach("replay_memory") & (ENGINE | {"torch", "neon", "agent"})


def test_torch_is_imported_by_deepqnetwork_and_what_it_owns_alone() -> None:
    assert importers("torch") <= ENGINE
    assert {"deepqnetwork", "network", "replay.gpu", "engine.layer"} <= importers("torch")
    for module in ENGINE - DOORS - {"deepqnetwork"}:
        assert importers(module) <= ENGINE, module
    assert importers("deepqnetwork") <= ENGINE


@pytest.mark.parametrize("module", sorted(FILES.keys() - ENGINE | DOORS - {"replay.gpu"}))
def test_nothing_else_loads_torch_before_it_is_asked_for(module: str) -> None:
    """`--help`, an error in the flags and the worker processes are there at once."""
    assert "torch" not in reach(module, lazy=False)


@pytest.mark.parametrize(
    "module", ["envs.worker", "environment", "game", "replay.compressed", "snapshot.format"]
)
def test_these_never_reach_torch_or_the_engine(module: str) -> None:
    assert not reach(module) & {"torch", "neon", "deepqnetwork"}


@pytest.mark.parametrize("module", [name for name in FILES if name.startswith("neon_engine.")])
def test_neons_engine_does_without_torch(module: str) -> None:
    assert not reach(module) & {"torch", "deepqnetwork"}


@pytest.mark.parametrize("module", [name for name in FILES if name.partition(".")[0] == "nvis"])
def test_nvis_sees_the_network_not_the_agent(module: str) -> None:
    forbidden = {"agent", "game", "environment", "replay_memory", "stats", "main", "deepqnetwork"}
    assert not reach(module) & forbidden


def test_imports_run_in_no_circle() -> None:
    def walk(module: str, path: tuple[str, ...]) -> None:
        if module in path:
            circle = [*path[path.index(module) :], module]
            pytest.fail(" -> ".join(circle))
        if module not in done:
            for other in sorted(imports(module, lazy=False) & FILES.keys()):
                walk(other, (*path, module))
            done.add(module)

    done: set[str] = set()
    for module in FILES:
        walk(module, ())


def public(node: ast.AST, name: str = "") -> Iterator[tuple[str, ast.AST]]:
    """The module, its public classes, their public methods, and its public functions."""
    yield name, node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if child.name.startswith("_"):
                continue
            if isinstance(child, ast.ClassDef):
                yield from public(child, f"{name}.{child.name}")
            else:
                yield f"{name}.{child.name}", child


@pytest.mark.parametrize("module", FILES)
def test_every_public_name_has_a_docstring(module: str) -> None:
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for name, node in public(tree(module), module):
        assert isinstance(node, documented)
        assert ast.get_docstring(node), name


def lines_of_code(source: str) -> int:
    """Lines less blank ones, comments and docstrings."""
    explained: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            explained |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = enumerate(map(str.strip, source.splitlines()), start=1)
    return sum(bool(line) and line[0] != "#" and i not in explained for i, line in lines)


def test_lines_of_code_are_counted() -> None:
    assert (
        lines_of_code('"""Two\nlines."""\n\n# one\ndef f():\n    """Doc."""\n    return 1\n') == 2
    )


# config is a table: every flag once, with its help.
@pytest.mark.parametrize("module", sorted(FILES.keys() - {"config"}))
def test_no_file_is_too_long_to_read_in_one_go(module: str) -> None:
    assert lines_of_code(FILES[module].read_text()) <= MAX_LINES_OF_CODE


def test_one_training_step_is_read_in_an_hour() -> None:
    lines = {module: len(FILES[module].read_text().splitlines()) for module in TRAINING_STEP}
    assert sum(lines.values()) <= MAX_LINES_OF_A_TRAINING_STEP, lines


def test_directly_in_src_is_what_a_training_step_passes_through() -> None:
    direct = {name for name, path in FILES.items() if path.parent == ROOT / "src"}
    assert direct == {*TRAINING_STEP, *COMMON, *ENTRY_POINTS}


def test_every_package_says_what_it_is_for() -> None:
    for folder in {path.parent for path in FILES.values()} - {ROOT / "src"}:
        assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text())), folder
