"""The sentence that a comparison of two detectors allows, and no other.

Every verdict that a notebook prints is made here, out of an interval, so that it cannot say more than the interval does
and changes with it. `tests/test_tutorials.py` looks for verdicts that were written by hand.
"""

LOWER, HIGHER, OPEN = "makes fewer errors than", "makes more errors than", "cannot be told from"
FEWER, MORE = "has fewer false alarms than", "has more false alarms than"


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
        f"**{name}** {says} **{other}**: difference {_signed(comparison.error_rate_difference)}, "
        f"{100 * confidence:g} % interval {_signed(low)} … {_signed(high)}"
    )


def _signed(number):
    """Two decimals with a sign, a true minus, and no sign for a zero."""
    return f"{number:+.2f}".replace("-", "−") if abs(number) >= 0.005 else "0.00"


def rate_interval(n, n_other, confidence=0.95):
    """Exact interval of the ratio of two rates, from numbers of alarms in equally long recordings.

    Of n + n' alarms that come one by one, each is one of the n with probability s = λ / (λ + λ'), so n is binomial, and
    the ends of its interval (Clopper and Pearson 1934) give those of λ / λ' = s / (1 − s).

    Parameters
    ----------
    n, n_other : int
        Alarms of the one and of the other.
    confidence : float in (0, 1)

    Returns
    -------
    low, high : float
        0 … infinity without any alarm.
    """
    from scipy.stats import beta

    half = (1 - confidence) / 2
    low = beta.ppf(half, n, n_other + 1) if n else 0.0
    high = beta.ppf(1 - half, n + 1, n_other) if n_other else 1.0
    return float(low / (1 - low)), float(high / (1 - high)) if high < 1 else float("inf")


def rate_verdict(n, n_other, name, other, confidence=0.95):
    """What the interval of two rates of false alarms says, in words: a line of Markdown.

    For recordings that are equally long. Where they are the same ones, both hear the same sounds, and the interval is
    wider than it need be.
    """
    low, high = rate_interval(n, n_other, confidence)
    says = FEWER if high < 1 else MORE if low > 1 else OPEN
    return (
        f"**{name}** {says} **{other}**: {n} against {n_other}, ratio {low:.2f} … {high:.2f} at {100 * confidence:g} %"
    )
