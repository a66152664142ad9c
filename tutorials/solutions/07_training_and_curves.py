"""Solutions of the exercises in 07_training_and_curves.md."""

import numpy as np


def running_means(g, beta):
    """m_n / (1 − βⁿ), n from 1."""
    m, corrected = 0.0, []
    for n, value in enumerate(g, 1):
        m = beta * m + (1 - beta) * value
        corrected.append(m / (1 - beta**n))
    return np.array(corrected)


def clip_factor(grads, max_norm):
    """The limit over the joint norm, where that exceeds it."""
    norm = np.sqrt(sum((g**2).sum() for g in grads))
    return min(1.0, max_norm / norm)


def best_epoch(history):
    """`min` takes the first of equals, and compares pairs by their first items first."""
    defined = [row for row in history if row["dev_error_rate"] is not None]
    if not defined:
        return 0
    return min(defined, key=lambda row: (row["dev_error_rate"], row["dev_loss"]))["epoch"]


def diagnose(train_loss, dev_loss):
    """Has the training loss come down? If so, has the development loss turned? If not, does it jump?"""
    start = 1.5 * np.log(2)
    if np.mean(train_loss[-3:]) < 0.7 * start:
        return "overfitting" if np.mean(dev_loss[-3:]) > min(dev_loss) + 0.2 else "fine"
    return "too large" if np.abs(np.diff(train_loss)).mean() > 0.05 else "too small"
