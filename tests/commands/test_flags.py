"""What --help shows."""

from __future__ import annotations

import os
import re

import pytest

from commands.catalog import VERBS
from commands.verbs import parse
from config import FIELDS, ROOT

SCRIPTS = [verb for verb in VERBS if verb != "run"]


def shown(verb: str, *words: str, capsys: pytest.CaptureFixture[str]) -> tuple[str, list[str]]:
    """What --help prints, and the flags that it explains."""
    with pytest.raises(SystemExit) as left:
        parse(verb, ["--help", *words])
    assert left.value.code == 0
    text = capsys.readouterr().out
    return text, re.findall(r"^  --(\w+)", text, re.MULTILINE)


@pytest.mark.parametrize("verb", SCRIPTS)
def test_a_verb_shows_its_own_flags_first(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    text, flags = shown(verb, capsys=capsys)
    assert text.startswith(f"usage: {VERBS[verb].usage}\n")
    assert 6 <= len(flags) <= 24
    assert set(flags) <= FIELDS.keys() | VERBS[verb].options.keys()
    assert len(set(flags)) == len(flags)
    own = [flag for flag in flags if flag in FIELDS]
    assert f"the other {len(FIELDS) - 1 - len(own)} flags." in text


@pytest.mark.parametrize("verb", VERBS)
def test_help_all_shows_every_flag(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    text, flags = shown(verb, "all", capsys=capsys)
    assert sorted(flags) == sorted([*(FIELDS.keys() - {"game"}), *VERBS[verb].options])
    assert "--help all" not in text


def test_no_default_is_shown_where_the_agents_own_value_applies(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "COLUMNS", "200")
    text, _ = shown("test", "all", capsys=capsys)
    assert re.search(r"in testing and playing \[the agent's\]$", text, re.MULTILINE)
    assert re.search(r"instead of --test_steps \(test.sh\)( |\n +)\[0\]$", text, re.MULTILINE)
    text, _ = shown("resume", "all", capsys=capsys)
    found = re.findall(r"\[[a-z0-9.]+\]$", text.partition("\n")[2], re.MULTILINE)
    assert found == ["[false]"]  # of --overwrite


def test_help_names_the_usual_places_of_files(capsys: pytest.CaptureFixture[str]) -> None:
    text, _ = shown("train", "all", capsys=capsys)
    text = " ".join(text.split())
    config = parse("train", ["pong", "mine"]).config
    for flag, path in VERBS["train"].places.items():
        assert re.search(rf" --{flag} [^\[]* \[{re.escape(path)}\] ", text)
        assert getattr(config, flag) == ROOT / path.replace("<game>[_LABEL]", "pong_mine")


def test_verbs_that_only_predict_compute_with_one_thread(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As predictions do; help says so."""
    monkeypatch.setitem(os.environ, "COLUMNS", "200")
    for verb in SCRIPTS:
        threads = 1 if verb in ("test", "play", "record", "nvis", "profile_test") else 0
        text, _ = shown(verb, "all", capsys=capsys)
        assert verb == "resume" or re.search(rf"--threads N .*\[{threads}\]", text)
    assert parse("profile_test", []).config.threads == 1
    assert parse("profile_test", ["--threads", "2"]).config.threads == 2
    assert parse("train", ["pong"]).config.threads == 0
