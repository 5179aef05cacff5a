"""Exports an agent for other programs: `./export.sh SNAPSHOT` writes exports/<name>.safetensors.

SNAPSHOT is a .pkl file, or the name of a game for which an agent comes with the project. Given such
a .safetensors file, it writes snapshots/<name>.pkl. docs/export.md describes the files.
"""

from __future__ import annotations

from commands.prepare import prepare

if __name__ == "__main__":
    prepare()

import argparse
import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from atomic import check_replaceable, make_folder
from checkpoint.lock import file_locked
from commands.exit_codes import exit_code
from commands.plain_parser import PlainParser
from config import ROOT
from errors import UserError

FORMATS = ("safetensors", "onnx", "pkl")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = PlainParser(prog="./export.sh", description=__doc__)
    add = parser.add_argument
    add(
        "agent",
        metavar="SNAPSHOT|GAME|FILE.safetensors",
        help="the agent to export or to read back",
    )
    add(
        "--format",
        choices=FORMATS,
        help="safetensors: the parameters (default); onnx: the network, compared with the original "
        "one (default for --output FILE.onnx); pkl: a snapshot (default for a .safetensors file)",
    )
    add(
        "--output",
        type=Path,
        metavar="FILE",
        help="the file to write (default: exports/<name>.<format> or snapshots/<name>.pkl)",
    )
    add("--overwrite", action="store_true", help="replace an existing file (default: refuse)")
    for flag in ("environment", "network"):
        help = f"the {flag} class of your own with which the agent was trained"
        add(f"--{flag}", metavar="FILE.py:CLASS", help=help)
    return parser.parse_args(arguments)


def export(options: argparse.Namespace) -> str:
    """Write the file; returns what to print."""
    source = Path(options.agent)
    back = source.suffix == ".safetensors"
    ending = options.output.suffix[1:] if options.output else ""
    usual = "pkl" if back else "onnx" if ending == "onnx" else "safetensors"
    kind = options.format or usual
    if back != (kind == "pkl"):
        raise UserError(
            "A .safetensors file can only become a .pkl file, and a snapshot only one of the other "
            "formats: leave --format out, or give another file."
        )
    names = ("environment", "network")
    flags: Any = {name: getattr(options, name) for name in names if getattr(options, name)}
    if back:
        from exchange.safetensors_file import import_agent

        with output(options, ROOT / "snapshots", source.stem, kind) as path:
            import_agent(source, path, **flags)
        return f"Wrote {path}"
    from api.load import load

    agent, environment = load(options.agent, backend="cpu", **flags)
    with output(options, ROOT / "exports", agent.path.stem, kind) as path:
        if kind == "onnx":
            from exchange.onnx_file import CHECKED_STATES, write_onnx

            difference = write_onnx(path, agent, environment)
            note = f"the Q-values of {2 * CHECKED_STATES} states differ by at most"
            return f"Wrote {path}: {note} {difference:.1g}"
        from exchange.safetensors_file import write_safetensors

        write_safetensors(path, agent, environment)
        return f"Wrote {path}"


@contextlib.contextmanager
def output(options: argparse.Namespace, folder: Path, stem: str, kind: str) -> Iterator[Path]:
    """The file to write, which no other process writes meanwhile; creates its folder.

    Raises UserError if it exists or cannot be written.
    """
    path: Path = options.output or folder / f"{stem}.{kind}"
    if path.suffix != f".{kind}":
        raise UserError(f"--output {path} must end in .{kind}.")
    try:
        check_replaceable(path)
        make_folder(path.parent)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.") from None
    with file_locked(path):
        if path.exists() and not options.overwrite:
            raise UserError(f"{path} already exists: give another --output, or add --overwrite.")
        yield path


def main(arguments: Sequence[str]) -> int:
    """Run the command line. Returns an exit code, see errors.py."""
    with exit_code("export") as ending:
        try:
            print(export(parse(arguments)))
        except ModuleNotFoundError as error:
            raise UserError(
                f"{error.name} is not installed: run ./export.sh, which installs it, or "
                ".venv/bin/pip install -r requirements-extras.txt"
            ) from error
    return ending.code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
