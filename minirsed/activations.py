"""The two functions that turn a logit into a probability and its logarithm, safe at any size.

Data flow: **activations** → gru, attention, losses.

    σ(x) = 1 / (1 + exp(−x))        softplus(x) = ln(1 + exp x)        ln σ(x) = −softplus(−x)
"""

import numpy as np


def sigmoid(x):
    """1 / (1 + exp(−x)), any shape, dtype kept; written with tanh so that no exponential can overflow."""
    half = np.asarray(x).dtype.type(0.5)
    return half * np.tanh(half * x) + half


def softplus(x):
    """ln(1 + exp x) = max(x, 0) + ln(1 + exp(−|x|)), any shape, dtype kept; exact to rounding at ±100 and beyond."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
