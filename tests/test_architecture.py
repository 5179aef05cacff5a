"""The arrows of docs/design.md, read off the source: who may import whom."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = {
    path.stem if path.parent.name == "src" else f"nvis.{path.stem}": path
    for folder in ("src", "nvis")
    for path in sorted((ROOT / folder).glob("*.py"))
}
# The PyTorch engine is deepqnetwork and what it owns: nobody else may import these or torch.
OWNED_BY_DEEPQNETWORK = {"network", "network_snapshot", "optimizers", "fused", "cuda_graph"}
# What crosses from other parts to the agent: plain data, and the buffer of the last screens.
KNOWN_TO_AGENT = {"Screen", "Step", "Minibatch", "StateBuffer"}
MAX_LINES_OF_CODE = 300


def does_not_run(node: ast.AST, *, lazy: bool) -> bool:
    if isinstance(node, ast.If):
        return ast.unparse(node.test).endswith("TYPE_CHECKING")
    return not lazy and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


def imports_in(node: ast.AST, *, lazy: bool = True) -> Iterator[tuple[str, str]]:
    """Each import below the node as (module, name in it or ""), those for types alone left out.

    Without `lazy`, only those that the import of the file itself runs.
    """
    for child in ast.iter_child_nodes(node):
        if does_not_run(child, lazy=lazy):
            continue
        if isinstance(child, ast.Import):
            yield from ((alias.name, "") for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield from ((child.module or ".", alias.name) for alias in child.names)
        elif isinstance(child, ast.Call) and ast.unparse(child.func).endswith("import_module"):
            yield ast.unparse(child.args[0]).strip("'"), ""
        yield from imports_in(child, lazy=lazy)


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(FILES[module].read_text()) if module in FILES else ast.Module([], [])


def modules_of(imports: Iterator[tuple[str, str]]) -> set[str]:
    """Modules of ours by their full names, others by their first: nvis.page, torch."""
    full = {name for module, name in imports for name in (module, f"{module}.{name}")}
    return {name if name in FILES else name.partition(".")[0] for name in full} - {"nvis"}


@cache
def imports(module: str) -> frozenset[str]:
    return frozenset(modules_of(imports_in(tree(module))))


def reach(module: str) -> set[str]:
    """All that the module imports, and what these import, and so on."""
    seen: set[str] = set()
    new = {module}
    while new:
        seen |= new
        new = {found for each in new for found in imports(each)} - seen
    return seen - {module}


def importers(name: str) -> set[str]:
    return {module for module in FILES if name in imports(module)}


def test_imports_are_found_wherever_they_stand() -> None:
    source = """
import torch.nn as nn, cv2
from agent import Agent
if TYPE_CHECKING:
    import environment
class A:
    def f(self):
        from nvis import page
        importlib.import_module("neon.backends")
"""
    parsed = ast.parse(source)
    assert modules_of(imports_in(parsed)) >= {"torch", "cv2", "agent", "nvis.page", "neon"}
    assert "environment" not in modules_of(imports_in(parsed))
    assert modules_of(imports_in(parsed, lazy=False)) == {"torch", "cv2", "agent"}


def test_nobody_imports_main() -> None:
    assert importers("main") == set()


def test_the_agent_knows_interfaces_and_data_only() -> None:
    found = [(m, name) for m, name in imports_in(tree("agent")) if m in FILES]
    assert {name for _, name in found} <= KNOWN_TO_AGENT
    assert {m for m, _ in found} <= {"game", "replay_memory", "state_buffer"}
    assert not reach("agent") & {"torch", "deepqnetwork", "neon_engine", "stats", "main"}


def test_the_replay_memory_imports_numpy_and_no_engine() -> None:
    assert imports("replay_memory") & {"numpy", "torch", "neon", "ale_py"} <= {"numpy"}
    assert not reach("replay_memory") & {"torch", "neon", "network", "neon_library", "agent"}


def test_torch_is_imported_by_deepqnetwork_and_what_it_owns_alone() -> None:
    inside = OWNED_BY_DEEPQNETWORK | {"deepqnetwork"}
    assert importers("torch") <= inside | {"device", "device_screens"}
    for module in OWNED_BY_DEEPQNETWORK:
        assert importers(module) <= inside, module


@pytest.mark.parametrize("module", ["neon_engine", "environment", "snapshot", "stats", "plot"])
def test_these_do_without_torch_and_without_the_agents_engine(module: str) -> None:
    assert not reach(module) & {"torch", "deepqnetwork"}


def test_nvis_sees_the_network_not_the_agent() -> None:
    for module in FILES:
        if module.startswith("nvis."):
            forbidden = {"agent", "game", "environment", "replay_memory", "stats", "main"}
            assert not reach(module) & forbidden, module


def test_imports_run_in_no_circle() -> None:
    def walk(module: str, path: tuple[str, ...]) -> None:
        if module in path:
            circle = [*path[path.index(module) :], module]
            pytest.fail(" -> ".join(circle))
        if module not in done:
            for other in sorted(at_once[module] & set(FILES)):
                walk(other, (*path, module))
            done.add(module)

    at_once = {module: modules_of(imports_in(tree(module), lazy=False)) for module in FILES}
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
