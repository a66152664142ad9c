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


def mended(theta, gradients, rate, beta1=0.9, beta2=0.999, epsilon=1e-8):
    """The corrected means are for the step alone; the running means go on as they are."""
    m = v = np.zeros_like(theta)
    for n, g in enumerate(gradients, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat, v_hat = m / (1 - beta1**n), v / (1 - beta2**n)
        theta = theta - rate * m_hat / (np.sqrt(v_hat) + epsilon)
    return theta


def ends_at():
    """100 steps of η, whatever the size of the gradient; hardly anywhere, if its sign changes all the time."""
    return -1.0, -1.0, 0.0
