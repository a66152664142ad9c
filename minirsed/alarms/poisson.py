"""How sure is a number of alarms an hour? Exact intervals, if alarms come one by one (Poisson; Garwood 1936).

n alarms in T hours are n / T an hour. Were the true rate λ, their number would be Poisson with mean λT, and

    lowest λ that n or more do not contradict     χ²_{α/2}(2n) / 2T,          0 for n = 0
    highest λ that n or fewer do not contradict   χ²_{1−α/2}(2n + 2) / 2T

are the ends of the interval at 1 − α. Where only the upper end is asked for, as with n = 0, α is not halved: no alarm
in T hours means less than 3.0 / T an hour at 95 %.
"""

LEVEL = 0.95


def interval(n, hours, level=LEVEL):
    """Two-sided interval of the rate.

    Parameters
    ----------
    n : int
        Alarms.
    hours : float
        Above 0.
    level : float

    Returns
    -------
    low, high : float
        An hour.
    """
    from scipy.stats import chi2  # here, so that importing this module stays cheap

    half = (1 - level) / 2
    low = chi2.ppf(half, 2 * n) / 2 if n else 0.0
    return float(low / hours), float(chi2.ppf(1 - half, 2 * n + 2) / 2 / hours)


def upper(n, hours, level=LEVEL):
    """The rate that the true one is below, one-sided; an hour."""
    from scipy.stats import chi2

    return float(chi2.ppf(level, 2 * n + 2) / 2 / hours)


def in_words(n, hours, level=LEVEL):
    """`0 in 6.2 h: below 0.48 an hour at 95 %`, `3 in 6.2 h: 0.48 an hour, 0.10 … 1.41 at 95 %`."""
    at = f"at {100 * level:g} %"
    if n == 0:
        return f"0 in {hours_text(hours)}: below {rate_text(upper(0, hours, level))} an hour {at}"
    low, high = (rate_text(edge) for edge in interval(n, hours, level))
    return f"{n} in {hours_text(hours)}: {rate_text(n / hours)} an hour, {low} … {high} {at}"


def hours_text(hours):
    """`6.2 h`; below an hour in minutes."""
    return f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.1f} min"


def rate_text(rate):
    """Two digits after the point below 10, else one or none."""
    return f"{rate:.2f}" if rate < 10 else f"{rate:.1f}" if rate < 100 else f"{rate:.0f}"
