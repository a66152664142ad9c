"""Several classes under each change: what `measure` has found of each of them, put together.

Data flow: figures and events of each class → **several** → `measure`.
"""

from minirsed.analysis.several import average_difference, average_figures, counts_of

SUMMED = ("n_ref", "n_sys", "n_tp", "n_fp", "n_fn", "n_missed", "n_misplaced", "n_false_alarms")


def together(classes, heard):
    """Figures of all classes, with the fields of those of one, so that whatever shows these shows them too.

    Parameters
    ----------
    classes : dict of str to dict
        For each class its figures, as of `minirsed.robustness.measure.measure`.
    heard : dict of str to dict
        For each class, its `minirsed.robustness.measure.Heard` by the name of each change, `plain` first.

    Returns
    -------
    changes : list of dict
        Counts are sums over the classes, n_clips apart; ER and F1, their intervals and the difference to the plain
        mixtures are those of the mean over the classes (`minirsed.analysis.average`). "classes" has the ER of each.
    guards : list of dict
        "probability" is the highest of all classes, "is_detected" whether any is found; "classes" has each one's p.
    """
    changes, plain = [], None
    for rows in zip(*(own["changes"] for own in classes.values()), strict=True):
        name, n_clips = rows[0]["change"], rows[0]["n_clips"]
        counts = {label: counts_of(own[name]) for label, own in heard.items()}
        plain = plain or counts
        sums = {count: sum(row[count] for row in rows) for count in SUMMED}
        rates = average_figures(counts) | average_difference(counts, plain)
        each = {"classes": {label: row["error_rate"] for label, row in zip(classes, rows, strict=True)}}
        changes.append({"change": name, "n_clips": n_clips} | sums | rates | each)
    guards = []
    for rows in zip(*(own["guards"] for own in classes.values()), strict=True):
        of_all = {"probability": max(row["probability"] for row in rows)}
        of_all |= {"is_detected": any(row["is_detected"] for row in rows)}
        of_all |= {"classes": {label: row["probability"] for label, row in zip(classes, rows, strict=True)}}
        guards.append(rows[0] | of_all)
    return changes, guards
