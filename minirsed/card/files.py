"""The door of the card: `card.md` of a run folder."""

from pathlib import Path

from data_tools.files import atomic_write
from minirsed.card.content import sections, title
from minirsed.card.facts import read_facts
from minirsed.card.markdown import markdown

CARD = "card.md"


def card(folder):
    """The card of a run as Markdown.

    Parameters
    ----------
    folder : str or Path
        Run folder, also one of an earlier version, of which less is known.

    Raises
    ------
    InputError
        No run folder, or no detector in it yet.
    """
    facts = read_facts(folder)
    return markdown(title(facts), sections(facts))


def write(folder):
    """Write `card.md` into a run folder; errors as of `card`, and OSError where it cannot be written."""
    text = card(folder)
    with atomic_write(Path(folder) / CARD, "w") as file:
        file.write(text)
