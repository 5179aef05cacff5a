"""Exports an agent for other programs: `./export.sh SNAPSHOT` writes exports/<name>.safetensors.

SNAPSHOT is a .pkl file, or the name of a game for which an agent comes with the project. Given such
a .safetensors file, it writes snapshots/<name>.pkl. docs/export.md describes the files.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from config import ROOT
from errors import UserError

FORMATS = ("safetensors", "onnx", "pkl")


class Parser(argparse.ArgumentParser):
    """Reports a wrong flag in one sentence."""

    def error(self, message: str) -> NoReturn:
        """Raises UserError."""
        raise UserError(f"{message}; see ./export.sh --help.")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = Parser(prog="export.sh", description=__doc__, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
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
        "one; pkl: a snapshot (default for a .safetensors file)",
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
    kind = options.format or ("pkl" if back else "safetensors")
    if back != (kind == "pkl"):
        raise UserError(
            "A .safetensors file can only become a .pkl file, and a snapshot only one of the other "
            "formats: leave --format out, or give another file."
        )
    names = ("environment", "network")
    flags: Any = {name: getattr(options, name) for name in names if getattr(options, name)}
    if back:
        from exchange.safetensors_file import import_agent

        path = output(options, ROOT / "snapshots", source.stem, kind)
        import_agent(source, path, **flags)
        return f"Wrote {path}"
    from api.load import load  # it needs nvis/, which `main` makes importable

    agent, environment = load(options.agent, backend="cpu", **flags)
    path = output(options, ROOT / "exports", agent.path.stem, kind)
    if kind == "onnx":
        from exchange.onnx_file import CHECKED_STATES, write_onnx

        difference = write_onnx(path, agent, environment)
        states = 2 * CHECKED_STATES
        return f"Wrote {path}: the Q-values of {states} states differ by at most {difference:.1g}"
    from exchange.safetensors_file import write_safetensors

    write_safetensors(path, agent, environment)
    return f"Wrote {path}"


def output(options: argparse.Namespace, folder: Path, stem: str, kind: str) -> Path:
    """The file to write; creates its folder. Raises UserError if the file exists."""
    path: Path = options.output or folder / f"{stem}.{kind}"
    if path.suffix != f".{kind}":
        raise UserError(f"--output {path} must end in .{kind}.")
    if path.exists() and not options.overwrite:
        raise UserError(f"{path} already exists: give another --output, or add --overwrite.")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def main(arguments: Sequence[str]) -> int:
    """Run the command line; returns 0, or 2 after an error that the user can fix."""
    sys.path.append(str(ROOT))  # nvis/ lies beside src/
    try:
        print(export(parse(arguments)))
    except UserError as error:
        print(f"export: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(
            f"export: {error.name} is not installed: run ./export.sh, which installs it, or "
            ".venv/bin/pip install -r requirements-extras.txt",
            file=sys.stderr,
        )
        return 2
    except OSError as error:
        print(f"export: cannot write {error.filename}: {error.strerror}.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nexport: stopped.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
