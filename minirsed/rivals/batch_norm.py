"""Batch normalisation, forward and backward by hand (Ioffe & Szegedy 2015).

Data flow: convolution → **batch_norm** → ReLU → pooling.

Each of M maps is brought to zero mean and unit variance over all N values that it has in the clips at hand, one for
each clip, frame and band, and then to a level and a spread that are learnt:

    μ = (1/N) Σ z      σ² = (1/N) Σ (z − μ)²      z̄ = (z − μ) / √(σ² + ε)      y = γ z̄ + β

Every z moves μ and σ², so its gradient has three parts: what arrives, less its mean, less what lies along z̄:

    dβ = Σ dy      dγ = Σ dy z̄      dz = γ / √(σ² + ε) · ( dy − dβ/N − z̄ dγ/N )

When detecting, a clip must not depend on those beside it. So μ and σ² are then *running statistics*, which training
leaves behind; y is linear in z, and dz = γ / √(σ² + ε) · dy. With the statistics s of a minibatch,

    r ← r + m (s − r),    m = 0.1,        where s of the variance is N/(N − 1) σ²        (as in PyTorch)

**Groups of clips.** `minirsed.model` takes a minibatch through the network five clips at a time, so that threads need
not wait for each other. Here that is more than an arrangement: each group is normalised by its own statistics, those
of five clips (of 6,500 frames in mixtures of 30 s), not of ten; the last group of a minibatch may be smaller. PyTorch
would get the same by calling the network once for each group ("ghost" batches, Hoffer et al. 2017). The running
statistics move once for each minibatch, towards the mean of those of its groups, each weighted by its clips. Groups
are the same on any number of threads, and so are the bits.

Running statistics are entries of the model's parameters, by the names `….running_mean` and `….running_var`, so that
whatever keeps parameters keeps them: checkpoints, detectors, the best epoch. They have no gradient. In its place stands
r − s, in `minirsed.model.loss_and_grads` times the group's share of the minibatch, which adds up over groups as
gradients do; `follow` takes it out before Adam sees it.
"""

from typing import NamedTuple

import numpy as np

EPSILON = 1e-5
MOMENTUM = 0.1  # m: after 44 updates 99 % of what was there is forgotten
RUNNING = (".running_mean", ".running_var")


class Statistics(NamedTuple):
    """Mean and variance of each map, (M,) each, and of how many values; n = 0: running ones, which are constants."""

    mean: np.ndarray
    var: np.ndarray
    n: int


class BatchNormCache(NamedTuple):
    """What `batch_norm_backward` needs; normalised is (…, M)."""

    gamma: np.ndarray
    normalised: np.ndarray
    statistics: Statistics


def batch_norm_shapes(n_maps):
    """Shapes of γ and β, and of the running statistics."""
    return {name: (n_maps,) for name in ("gamma", "beta", "running_mean", "running_var")}


def init_batch_norm(n_maps, dtype=np.float32):
    """γ = 1, β = 0, running mean 0 and variance 1."""
    return {name: np.full(n_maps, name in ("gamma", "running_var"), dtype) for name in batch_norm_shapes(n_maps)}


def batch_norm_forward(params, z, *, own):
    """Normalise.

    Parameters
    ----------
    params : dict
        `gamma`, `beta`, `running_mean`, `running_var`, (M,) each.
    z : (…, M) ndarray
    own : bool
        By the statistics of `z`, as in training, or by the running ones.

    Returns
    -------
    y : ndarray like `z`
    cache : BatchNormCache
    """
    statistics = statistics_of(z) if own else running(params)
    normalised = (z - statistics.mean) / np.sqrt(statistics.var + z.dtype.type(EPSILON))
    return params["gamma"] * normalised + params["beta"], BatchNormCache(params["gamma"], normalised, statistics)


def batch_norm_backward(dy, cache):
    """Differentiate `batch_norm_forward`: dz (…, M) and the gradients of `gamma` and `beta`."""
    gamma, normalised, (_, var, n) = cache
    over = tuple(range(dy.ndim - 1))
    dbeta, dgamma = dy.sum(axis=over), (dy * normalised).sum(axis=over)
    centred = dy - dbeta / n - normalised * (dgamma / n) if n else dy
    return gamma / np.sqrt(var + dy.dtype.type(EPSILON)) * centred, {"gamma": dgamma, "beta": dbeta}


def statistics_of(z):
    """Mean and variance of (…, M) over all but the last axis."""
    flat = z.reshape(-1, z.shape[-1])
    return Statistics(flat.mean(axis=0), flat.var(axis=0), len(flat))


def running(params):
    """The running statistics, as `Statistics`."""
    return Statistics(params["running_mean"], params["running_var"], 0)


def drift(params, statistics):
    """By the names of the running statistics, in the place of gradients, r − s; nothing where they were in use."""
    mean, var, n = statistics
    if not n:
        return {}
    unbiased = var * var.dtype.type(n / max(n - 1, 1))
    return {"running_mean": params["running_mean"] - mean, "running_var": params["running_var"] - unbiased}


def share_of(grads, share):
    """Gradients of a group of clips, with r − s times the group's share of the minibatch, in place."""
    for name in statistics_in(grads):
        grads[name] *= grads[name].dtype.type(share)
    return grads


def follow(params, grads):
    """Move the running statistics of a model, in place, and leave them out.

    Parameters
    ----------
    params, grads : dict of ndarray
        As of `minirsed.model.batch_loss_and_grads`.

    Returns
    -------
    params, grads : dict of ndarray
        Those that have a gradient, for Adam.
    """
    for name in statistics_in(grads):
        params[name] -= params[name].dtype.type(MOMENTUM) * grads[name]
    return trained(params), trained(grads)


def trained(params):
    """Parameters without the running statistics, or gradients, or shapes."""
    return {name: value for name, value in params.items() if not name.endswith(RUNNING)}


def statistics_in(params):
    """Names of the running statistics among parameters or gradients."""
    return [name for name in params if name.endswith(RUNNING)]


def has_variances(params):
    """Whether no running variance is below 0, as a damaged file might have it."""
    return all((params[name] >= 0).all() for name in statistics_in(params) if name.endswith(RUNNING[1]))
