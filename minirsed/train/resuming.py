"""Resuming a run (`--resume`): with which settings, from where, and what to tell whoever stopped it."""

import dataclasses
import logging
import shlex

from data_tools.errors import InputError
from minirsed.run.checkpoint import has_checkpoint
from minirsed.run.folder import newest_run, settings_to_resume, versions
from minirsed.run.log import say
from minirsed.run.settings import given_settings, option_name, value_text
from minirsed.training import Training

RESUMED = ("epochs",)  # settings that may change when a run is resumed

log = logging.getLogger(__name__)


def resumed_settings(arguments):
    """Settings of the run to resume; also sets `arguments.out` where it was not given."""
    arguments.out = arguments.out or newest_run(arguments.label)
    settings, asked = settings_to_resume(arguments.out), given_settings(arguments)
    for name, value in dataclasses.asdict(settings).items():
        given = asked.get(name, value)
        if given != value and name not in RESUMED:
            raise InputError(
                f"--resume: {arguments.out} has {option_name(name)} {value_text(value)}, not {value_text(given)}"
            )
    return dataclasses.replace(settings, epochs=asked.get("epochs", settings.epochs))


def begun(folder, settings, train_store, is_resumed):
    """A new run, or the one to resume; one that was killed before its first checkpoint begins again."""
    if not (is_resumed and has_checkpoint(folder)):
        return Training.start(folder, settings, train_store, versions())
    run = Training.resume(folder, settings)
    place = f" and {run.position.n_batches} updates of the next" if run.position else ""
    say(f"resuming after epoch {len(run.history)}{place} of {settings.epochs}")
    now = versions()
    changed = sorted(name for name in run.versions | now if run.versions.get(name) != now.get(name))
    if changed:
        then = ", ".join(f"{name} {run.versions.get(name)} → {now.get(name)}" for name in changed)
        log.warning("not the versions that the run started with, so its last bits may differ: %s", then)
    return run


def how_to_resume(arguments, words):
    """The command that resumes a run, for whoever stopped the one with these arguments and words."""
    if arguments.out is None or not has_checkpoint(arguments.out):
        return "nothing was trained yet; the same command uses the mixtures that are prepared already"
    words += [] if arguments.resume else ["--resume"]
    words += [] if any(word.split("=")[0] == "--out" for word in words) else ["--out", str(arguments.out)]
    return f"resume with: python -m minirsed.train {shlex.join(words)}"
