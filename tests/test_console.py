"""What the commands share at the terminal: options of places, and what is said of a place that cannot be used."""

import argparse
import re
from pathlib import Path

import pytest

from minirsed.console import PLACES, add_place

MINIRSED = Path(__file__).parents[1] / "minirsed"


def parser(*options, **about):
    result = argparse.ArgumentParser()
    add_place(result, *options, **about)
    return result


def test_places_are_paths_and_features_have_a_default():
    assert parser("--features").parse_args([]).features == Path("features")
    assert parser("--features").parse_args(["--features", "a b"]).features == Path("a b")
    assert parser("--out").parse_args([]).out is None
    assert parser("-o", "--out", metavar="FILE").parse_args(["-o", "page.html"]).out == Path("page.html")
    assert parser("--cluster").parse_args(["--cluster", "tcp://a:8786"]).cluster == "tcp://a:8786"
    assert "--out FILE" in parser("--out", metavar="FILE").format_help()
    assert "--out DIR" in parser("--out").format_help()


@pytest.mark.parametrize("option", PLACES)
def test_no_command_declares_a_place_by_itself(option):
    calls = [
        call
        for path in MINIRSED.rglob("*.py")
        for call in re.findall(r"\b\w+\([^()]*?\"--[\w-]+\"", path.read_text(encoding="utf-8"))
        if call.endswith(f'"{option}"') and not re.match(r"(add_place|require_\w+)\(", call)
    ]
    assert calls == []
