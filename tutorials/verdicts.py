"""The sentence that a comparison of two detectors allows, and no other.

Every verdict that a notebook prints is made here, out of an interval, so that it cannot say more than the interval does
and changes with it. `tests/test_tutorials.py` looks for verdicts that were written by hand.
"""

LOWER, HIGHER, OPEN = "makes fewer errors than", "makes more errors than", "cannot be told from"


def verdict(comparison, name, other, confidence=0.95):
    """What the paired interval of two error rates says, in words.

    Parameters
    ----------
    comparison : minirsed.analysis.uncertainty.Comparison
        Of `name` against `other`, on the same clips: the difference of their error rates and its interval.
    name, other : str
        What the two are called.
    confidence : float in (0, 1)
        That of the interval, to be printed.

    Returns
    -------
    str
        A line of Markdown. The two differ only where the interval leaves out zero.
    """
    low, high = comparison.interval
    says = LOWER if high < 0 else HIGHER if low > 0 else OPEN
    return (
        f"**{name}** {says} **{other}**: difference {comparison.error_rate_difference:+.2f}, "
        f"{confidence:.0%} interval {low:+.2f} … {high:+.2f}"
    )
