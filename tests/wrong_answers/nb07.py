"""Mistakes in the exercises of notebook 7, each with words of the hint that it must get."""

import numpy as np


def _means(g, beta, correction):
    m, means = 0.0, []
    for n, value in enumerate(g, 1):
        m = beta * m + (1 - beta) * value
        means.append(m / correction(beta, n))
    return np.array(means)


def _norms(grads):
    return [np.linalg.norm(g) for g in grads]


def _best(history, key=lambda row: (row["dev_error_rate"], row["dev_loss"]), kept=lambda row: True):
    return min((row for row in history if kept(row)), key=key)["epoch"]


def _best_nonzero(history):
    """Takes a zero for nothing."""
    return _best(history, kept=lambda row: row["dev_error_rate"]) if any(r["dev_error_rate"] for r in history) else 0


def _diagnosed(train, dev, jumps=0.05, turned=0.2):
    """The right rule with other limits."""
    if np.mean(train[-3:]) < 0.7:
        return "overfitting" if np.mean(dev[-3:]) > min(dev) + turned else "fine"
    return "too large" if np.abs(np.diff(train)).mean() > jumps else "too small"


def _adam(correct=lambda m, v, n: (m / (1 - 0.9**n), v / (1 - 0.999**n)), kept=False, under=False):
    def answer(theta, gradients, rate):
        m, v = 0.0, 0.0
        for n, g in enumerate(gradients, 1):
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            m_hat, v_hat = correct(m, v, n)
            if kept:
                m, v = m_hat, v_hat
            theta = theta - rate * m_hat / (np.sqrt(v_hat + 1e-8) if under else np.sqrt(v_hat) + 1e-8)
        return theta

    return answer


WRONG = {
    "07.running_means": [
        (lambda g, beta: _means(g, beta, lambda b, n: 1.0), "before the correction"),
        (lambda g, beta: _means(g, beta, lambda b, n: 1 - b ** (n - 1) or 1.0), "number 1, not 0"),
        (lambda g, beta: _means(g, beta, lambda b, n: 1 - b), "fades with n"),
        (lambda g, beta: np.cumsum(g) / np.arange(1, len(g) + 1), "Plain means"),
        (lambda g, beta: _means(g, beta, lambda b, n: 1 - b ** (n + 1)), "first value itself"),
        (lambda g, beta: _means(g, beta, lambda b, n: 1 - b**n + 0.1 * (n > 3)), "a later one is not"),
    ],
    "07.clip_factor": [
        (lambda g, limit: limit / np.sqrt(sum((x**2).sum() for x in g)), "become larger"),
        (lambda g, limit: min(1.0, limit / sum(_norms(g))), "one long vector"),
        (lambda g, limit: min(1.0, limit / max(_norms(g))), "one long vector"),
        (lambda g, limit: min(1.0, limit**2 / sum((x**2).sum() for x in g)), "where is the root"),
        (lambda g, limit: 0.5, "it is not 0.5"),
        (lambda g, limit: max(1.0, np.sqrt(sum((x**2).sum() for x in g)) / limit), "Upside down"),
    ],
    "07.best_epoch": [
        (lambda history: _best(history, key=lambda row: row["dev_loss"]), "whatever the loss"),
        (lambda history: _best(history, key=lambda row: row["dev_error_rate"]), "Of equal error rates"),
        (_best, "leave it out"),
        (lambda history: _best(history, kept=lambda row: row["dev_error_rate"] is not None), "0 was asked for"),
        (_best_nonzero, "An error rate of zero"),
        (lambda history: int(np.argmin([row["dev_error_rate"] for row in history])), "a place in the list"),
    ],
    "07.diagnose": [
        (lambda train, dev: "fine", "the development loss turns"),
        (lambda train, dev: "fine" if train[-1] < 0.7 else "too small", "the development loss turns"),
        (lambda train, dev: _diagnosed(train, dev, jumps=9.0), "both jump about"),
        (lambda train, dev: _diagnosed(train, dev, jumps=0.0), "but smoothly"),
        (lambda train, dev: _diagnosed(train, dev, turned=-1.0), "stay together"),
        (lambda train, dev: "unclear", "asked for is one of"),
    ],
    "07.mended": [
        (_adam(kept=True), "What is m at the beginning of the second one"),
        (_adam(lambda m, v, n: (m, v)), "Without the correction"),
        (_adam(lambda m, v, n: (m / 0.1, v / 0.001)), "What is m at the beginning"),
        (_adam(lambda m, v, n: (m / (1 - 0.9 ** (n + 1)), v / (1 - 0.999 ** (n + 1)))), "Not even the first"),
        (_adam(under=True), "added to the root"),
    ],
    "07.ends_at": [
        (lambda: (-1.0, -0.001, 0.0), "with gradient descent"),
        (lambda: (1.0, 1.0, 0.0), "Downhill"),
        (lambda: (-0.01, -0.01, 0.0), "steps of η each"),
        (lambda: (-1.0, -1.0, -1.0), "In turn"),
    ],
}
