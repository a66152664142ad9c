"""The few elements that a report page is made of: paragraph, table, picture; whatever enters them is escaped.

Data flow: **elements** → `page`.
"""

from html import escape


class Html(str):
    """Text that is HTML already; any other text is escaped where it enters a page."""


def table(caption, columns, rows, style="numbers"):
    """A table that scrolls in its own container where it is too wide; the first cell of a row is its heading."""
    head = "".join(f'<th scope="col">{escape(str(column))}</th>' for column in columns)
    body = "".join(
        f'<tr><th scope="row">{cell(first)}</th>{"".join(f"<td>{cell(value)}</td>" for value in rest)}</tr>'
        for first, *rest in rows
    )
    return Html(
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(caption)}"><table class="{style}">'
        f"<caption>{escape(caption)}</caption>"
        + (f"<thead><tr>{head}</tr></thead>" if any(columns) else "")
        + f"<tbody>{body}</tbody></table></div>"
    )


def cell(value):
    """The content of a cell, escaped unless it is HTML already."""
    return value if isinstance(value, Html) else escape(str(value))


def paragraph(text):
    """A paragraph of plain text."""
    return Html(f"<p>{escape(text)}</p>")


def figure(svg, caption):
    """A picture with its caption."""
    return Html(f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>")


def interval(value, edges):
    """A share and its interval on a line from 0 to 1, as a small picture; its numbers stand beside it."""
    if value is None or None in edges:
        return Html("")
    low, high = (100 * edge for edge in edges)
    return Html(
        '<svg class="interval" viewBox="-4 0 108 10" aria-hidden="true">'
        '<path class="scale" d="M0 5H100M0 2V8M100 2V8"/>'
        f'<path d="M{low:.1f} 5H{high:.1f}"/><circle cx="{100 * value:.1f}" cy="5" r="3"/></svg>'
    )
