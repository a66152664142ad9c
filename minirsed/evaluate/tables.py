"""Scores and intervals as text, for the tables of `minirsed.evaluate`."""


def score_lines(name, row):
    """Counts, ER and F1 with intervals over mixtures; below them, if it is known, those over recordings."""
    counts = " ".join(f"{row[count]:6}" for count in ("n_ref", "n_sys", "n_tp", "n_fn", "n_fp"))
    figures = "  ".join(f"{rate(row[figure]):>4}  {span(row[f'{figure}_95']):13}" for figure in ("error_rate", "f1"))
    yield f"{name:22} {counts}  {figures}".rstrip()
    if "error_rate_95_by_recording" in row:
        edges = (span(row[f"{figure}_95_by_recording"]) for figure in ("error_rate", "f1"))
        yield f"{'  over recordings':59}  {'    '.join(f'    {span:13}' for span in edges)}".rstrip()


def difference_text(change):
    """How far the ER of a change is from that of the plain mixtures, in two columns; nothing of these themselves."""
    if change["change"] == "plain" or change["error_rate"] is None:
        return ""
    return f"  {change['error_rate_difference']:+11.2f}  {span(change['error_rate_difference_95'])}"


def guard_lines(guards):
    """Rows of "guards" by label, that of the only class is empty: p of each sound at each sample rate."""
    from minirsed.robustness.changes import GUARD_RATES_HZ

    lines = {}
    for label, rows in guards.items():
        for row in rows:
            name = f"{row['sound']}, {label}" if label else row["sound"]
            lines.setdefault(name, []).append(f"{row['probability']:8.2f}" + "*" * row["is_detected"])
    width = max(22, *map(len, lines))
    rates = "".join(f"{f'{rate_hz / 1000:g} kHz':>9}" for rate_hz in GUARD_RATES_HZ)
    yield f"{'p of 30 s of':{width}}{rates}    (* an event was found)"
    for name, row in lines.items():
        yield f"{name:{width}}{''.join(f'{p:9}' for p in row)}".rstrip()


def rate(value):
    """Two digits, or a dash where it is undefined."""
    return "-" if value is None else f"{value:.2f}"


def span(edges):
    """An interval, or a dash."""
    return "-" if None in edges else f"{edges[0]:.2f} … {edges[1]:.2f}"
