"""docs/ingredients.md against the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from config import FIELDS
from tests.test_architecture import lines_of_code

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "ingredients.md").read_text()
ROWS = re.findall(r"^\| .* \| `(src/\S+\.py)` \| (\S+) \|", PAGE, re.MULTILINE)


def test_the_page_has_rows() -> None:
    assert len(ROWS) == 15


@pytest.mark.parametrize(("path", "lines"), ROWS)
def test_a_piece_has_as_many_lines_as_the_page_says(path: str, lines: str) -> None:
    assert lines == str(lines_of_code((ROOT / path).read_text()))


def test_all_that_the_page_names_exists() -> None:
    for path in re.findall(r"`((?:src|tests)/[\w/]+\.py)`", PAGE):
        assert (ROOT / path).is_file(), path
    for name in re.findall(r"`--preset (\w+)`", PAGE) + re.findall(r"`(rainbow|iqn|c51)`\.", PAGE):
        assert (ROOT / "presets" / f"{name}.toml").is_file(), name
    for flag in re.findall(r"--(\w+)", PAGE):
        assert flag in FIELDS, flag
