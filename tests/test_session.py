"""`minirsed.run.session` as a notebook calls it: a resumed run keeps its settings, a stop says what can be resumed."""

from pathlib import Path

import pytest

from data_tools.errors import InputError
from minirsed.run import session
from minirsed.run.folder import read_settings
from minirsed.run.settings import TrainSettings
from minirsed.train import __main__ as train_command
from tests.killing import contents

TINY = {"label": "gunshot", "clips": 4, "dev_clips": 2, "layers": 1, "units": 2}


@pytest.fixture
def finished(tmp_path, monkeypatch):
    """A run of one epoch in ./runs/gunshot; its settings."""
    monkeypatch.chdir(tmp_path)
    settings = TrainSettings(**TINY, epochs=1)
    session.train(settings, say=lambda text: None)
    return settings


def test_a_run_resumed_without_naming_its_folder_is_the_newest_of_its_class(finished, tmp_path):
    run, _ = session.train(TrainSettings(**TINY, epochs=2), resume=True, say=lambda text: None)
    assert run.folder.resolve() == (tmp_path / "runs" / "gunshot").resolve() and len(run.history) == 2
    session.train(TrainSettings(**TINY, epochs=2), "whole", say=lambda text: None)
    assert contents(run.folder) == contents(tmp_path / "whole")


def test_other_settings_are_refused_before_anything_is_written(finished, tmp_path):
    folder = tmp_path / "runs" / "gunshot"
    kept = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(InputError, match="--units 2, not 3$"):
        session.train(TrainSettings(**TINY | {"units": 3}, epochs=2), folder, resume=True, say=lambda text: None)
    assert kept == {path.name: path.read_bytes() for path in folder.iterdir()}
    assert read_settings(folder) == finished


WRONG_ORIGINS = [({"init_from": "nowhere"}, "^nowhere"), ({"units": 3}, "^--init-from")]


@pytest.mark.parametrize(("change", "message"), WRONG_ORIGINS)
def test_a_detector_that_cannot_be_started_from_is_refused_before_anything_is_prepared(finished, change, message):
    settings = TrainSettings(**TINY | {"init_from": "runs/gunshot"} | change)
    with pytest.raises(InputError, match=message):
        session.train(settings, "other", machine=session.Machine("other_features"), say=lambda text: None)
    assert not Path("other").exists() and not Path("other_features").exists()


def test_stopped_before_anything_is_read_again(finished, monkeypatch, capsys):
    """Ctrl-C while mixtures are drawn: a run that has a checkpoint can still be resumed, and the command says so."""

    def stop(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(session, "recipes_of", stop)
    for words, advice in (
        (["gunshot", "--resume"], "resume with: python -m minirsed.train gunshot --resume"),
        (["gunshot", "--out", "new"], "nothing was trained yet"),
    ):
        with pytest.raises(SystemExit):
            train_command.main(words)
        assert advice in capsys.readouterr().err
