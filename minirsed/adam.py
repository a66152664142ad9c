"""Adam, one update (Kingma & Ba 2015, Algorithm 1; paper, Sec. 4.1: step size 1e-4).

With gradient g at update number n, for every parameter θ:

    m ← β₁ m + (1 − β₁) g            running mean of the gradient
    v ← β₂ v + (1 − β₂) g²           running mean of its square
    θ ← θ − η · m̂ / (√v̂ + ε),       m̂ = m / (1 − β₁ⁿ),  v̂ = v / (1 − β₂ⁿ)

The hats undo the bias of starting m and v at zero.
"""

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Adam:
    """State of the optimizer; sees only a flat dict of parameters.

    Attributes
    ----------
    learning_rate : float
        η, step size; 1e-4 in the paper.
    beta1, beta2, epsilon : float
        Decay of the two running means, and the guard of the division; defaults of Kingma & Ba.
    n_updates : int
        n, updates made so far.
    m, v : dict of ndarray
        Running means, made at the first update, dtype of the parameters.
    """

    learning_rate: float = 1e-4
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    n_updates: int = 0
    m: dict = field(default_factory=dict)
    v: dict = field(default_factory=dict)

    def update(self, params, grads):
        """Change `params` in place.

        Parameters
        ----------
        params, grads : dict of ndarray
            Same names and shapes.

        Raises
        ------
        ValueError
            Names differ.

        Notes
        -----
        The equations at the head of this module; `tutorials/07_training_and_curves.md` derives the hats.

        Examples
        --------
        The first step is η up or down, whatever the size of the gradient:

        >>> params = {"W": np.zeros(3)}
        >>> Adam(learning_rate=0.01).update(params, {"W": np.array([1e6, -1.0, 1e-3])})
        >>> params["W"].round(4)
        array([-0.01,  0.01, -0.01])
        """
        if params.keys() != grads.keys():
            raise ValueError(f"params and grads name different arrays: {sorted(params.keys() ^ grads.keys())}")
        self.n_updates += 1
        step = self.learning_rate / (1 - self.beta1**self.n_updates)  # η and the hat of m in one factor
        v_scale = 1 / np.sqrt(1 - self.beta2**self.n_updates)
        for name, theta in params.items():
            g = grads[name]
            m = self.m.setdefault(name, np.zeros_like(theta))
            v = self.v.setdefault(name, np.zeros_like(theta))
            m += (1 - self.beta1) * (g - m)
            v += (1 - self.beta2) * (g * g - v)
            theta -= (step * m / (float(v_scale) * np.sqrt(v) + self.epsilon)).astype(theta.dtype, copy=False)


def clip_by_global_norm(grads, max_norm):
    """Scale all gradients so that their joint Euclidean norm is at most `max_norm` (Pascanu et al. 2013).

    Parameters
    ----------
    grads : dict of ndarray
    max_norm : float
        0 or less leaves them as they are.

    Returns
    -------
    grads : dict of ndarray
        The same arrays where nothing was scaled.
    norm : float
        Norm before scaling; NaN or infinite if any gradient is.

    Notes
    -----
    g ← g · min(1, max_norm / √Σ‖g‖²), the sum over all arrays. See `tutorials/07_training_and_curves.md`.

    Examples
    --------
    >>> grads, norm = clip_by_global_norm({"W": np.array([3.0, 0.0]), "b": np.array([4.0])}, 1.0)
    >>> norm, grads["b"].round(3)
    (5.0, array([0.8]))
    """
    norm = float(np.sqrt(sum(float(np.vdot(g, g)) for g in grads.values())))
    if 0 < max_norm < norm < np.inf:
        grads = {name: g * g.dtype.type(max_norm / norm) for name, g in grads.items()}
    return grads, norm
