"""The card as Markdown, in which no name of a sound can do anything but be read."""

import re

from minirsed.card.content import Command, Points, Table

SPECIAL = re.compile(r"([\\`*\[\]<>#|~$&]|(?<!\w)_|_(?!\w))")


def markdown(heading, sections):
    """Text of `card.md`; heading and sections are those of `minirsed.card.content`."""
    parts = [f"# {escape(heading)}"]
    for title, blocks in sections.items():
        parts += [f"## {escape(title)}", *map(shown, blocks)]
    return "\n\n".join(parts) + "\n"


def shown(block):
    """One block as Markdown."""
    if isinstance(block, Points):
        return "\n".join(f"- {paragraph(text)}" for text in block.texts)
    if isinstance(block, Table):
        lines = [[escape(cell) for cell in line] for line in (block.columns, *block.rows)]
        return "\n".join(f"| {' | '.join(line)} |" for line in (lines[0], ["---"] * len(block.columns), *lines[1:]))
    if isinstance(block, Command):
        return f"```bash\n{block.text}\n```"
    return paragraph(block)


def paragraph(text):
    """A text that does not begin a list or a heading either."""
    return re.sub(r"^(\d*)([-+=.)])", r"\1\\\2", escape(text))


def escape(text):
    """A text in one line, without any meaning of its own to Markdown or HTML.

    Marks get a backslash, and so does the colon or dot of an address, which would else become a link.
    """
    text = SPECIAL.sub(r"\\\1", " ".join(str(text).split()))
    return re.sub(r"(?i)\b(https?|ftp|mailto|xmpp|www)([:.])", r"\1\\\2", text)
