"""What the commands share at the terminal: options of places, and what is said of a place that cannot be used."""

import argparse
import re
from pathlib import Path

import pytest

from data_tools.errors import InputError
from minirsed.console.options import PLACES, add_place, named

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


def test_an_option_that_gave_an_unusable_place_is_named(tmp_path):
    (tmp_path / "file").touch()
    features, out = tmp_path / "file", tmp_path / "new" / "out"

    def refuse_to_make_the_folder_above():
        raise PermissionError(13, "Permission denied", str(out.parent))

    for doing, message in (
        (lambda: (features / "store").mkdir(parents=True), f"--features {features / 'store'}: Not a directory"),
        (lambda: features.mkdir(), f"--features {features}: File exists"),
        (lambda: open(out / "table.md"), f"--out {out / 'table.md'}: No such file or directory"),
        (refuse_to_make_the_folder_above, f"--out {out.parent}: Permission denied"),
    ):
        with pytest.raises(InputError) as caught, named(features=features, out=out, compare=None):
            doing()
        assert str(caught.value) == message and isinstance(caught.value.__cause__, OSError)


def test_what_is_wrong_elsewhere_stays_as_it_is(tmp_path):
    """Beside the place, or at a folder above it that is there; without any name."""
    place = tmp_path / "out"
    for error in (
        FileNotFoundError(2, "No such file or directory", str(tmp_path / "out.wav")),
        PermissionError(13, "Permission denied", str(tmp_path)),
        OSError(28, "No space left on device"),
    ):
        with pytest.raises(OSError) as caught, named(out=place):
            raise error
        assert caught.value is error
