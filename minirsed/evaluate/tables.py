"""Scores and intervals as text, for the tables of `minirsed.evaluate`."""


def score_lines(name, row):
    """Counts, ER and F1 with intervals over mixtures; below them, if it is known, those over recordings."""
    counts = " ".join(f"{row[count]:6}" for count in ("n_ref", "n_sys", "n_tp", "n_fn", "n_fp"))
    figures = "  ".join(f"{rate(row[figure]):>4}  {span(row[f'{figure}_95']):13}" for figure in ("error_rate", "f1"))
    yield f"{name:22} {counts}  {figures}".rstrip()
    if "error_rate_95_by_recording" in row:
        edges = (span(row[f"{figure}_95_by_recording"]) for figure in ("error_rate", "f1"))
        yield f"{'  over recordings':59}  {'    '.join(f'    {span:13}' for span in edges)}".rstrip()


def rate(value):
    """Two digits, or a dash where it is undefined."""
    return "-" if value is None else f"{value:.2f}"


def span(edges):
    """An interval, or a dash."""
    return "-" if None in edges else f"{edges[0]:.2f} … {edges[1]:.2f}"
