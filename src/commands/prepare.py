"""What a program does before its imports, which take a second."""

from __future__ import annotations

import io
import os
import signal
import sys
from pathlib import Path

from errors import STOPPED


def prepare() -> None:
    """Let Ctrl-C end the program without a traceback, until a command handles it.

    Then output works wherever it goes: to a stream that the shell has closed (`>&-`), and for the
    name of a file that is not UTF-8, which is shown with escapes.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # nohup and & ignore it
        signal.signal(signal.SIGINT, lambda *_: os._exit(STOPPED))
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 - it stays open
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.path.append(str(Path(__file__).resolve().parent.parent.parent))  # nvis/ lies beside src/
