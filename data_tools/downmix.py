"""Make one channel of many: their mean, unless they cancel each other.

A stereo recording of which one side was wired the wrong way round, L = −R, has a mean of nothing. In such a part the
channel with the sound is taken instead, from the next tenth of a second on.
"""

import numpy as np

CELL_S = 0.1  # seconds, for which one decision holds
N_CELLS = 10  # that it rests on: this one and those before it
FADE_S = 0.005  # from one rule to the next
CANCELLED = 0.1  # of the energy that unrelated channels would leave in their mean; −0.6 and 1 leave 0.12
MEAN = -1
PIECE_CELLS = 100  # worked on at a time


class Downmix:
    """Mean of channels of sound that comes in pieces; where they cancel, the first channel of those with the sound.

    The sound is cut into cells of 0.1 s. With E the energies of a cell and the nine before it, its channels cancel if

        E(mean of the channels) < 0.1 · Σ_c E(channel c) / C²,

    a tenth of what C unrelated channels leave in their mean. Then the cell is that of the first channel which has half
    the energy of the loudest, faded in for 5 ms where the rule changes. Channels that differ in part of the sound are
    averaged.

    Parameters
    ----------
    n_channels : int
        One passes unchanged.
    sr : float
        Rate in Hz.
    """

    def __init__(self, n_channels, sr):
        self.n_channels = n_channels
        self.cell, self.n_fade = max(1, round(CELL_S * sr)), max(1, round(FADE_S * sr))
        self.rest = np.zeros((0, n_channels))
        self.energies = np.zeros((N_CELLS - 1, n_channels + 1))  # of the cells before: channels, then their mean
        self.rule = None  # of the cell before

    def push(self, y, last=False):
        """(frames, channels) → (samples,) of the cells that are complete, in order; with `last` of all."""
        if self.n_channels == 1:
            return y[:, 0]
        y = np.asarray(y, np.float64)
        y = np.concatenate([self.rest, y]) if len(self.rest) else y
        n_whole = len(y) // self.cell * self.cell
        bounds = [*range(0, n_whole, PIECE_CELLS * self.cell), n_whole]
        parts = [y[a:b].reshape(-1, self.cell, self.n_channels) for a, b in zip(bounds, bounds[1:], strict=False)]
        self.rest = y[n_whole:].copy()
        if last and len(self.rest):
            parts.append(self.rest[None])
            self.rest = self.rest[:0]
        return np.concatenate([np.zeros(0), *map(self._mix, parts)])

    def _mix(self, cells):
        """(k, n, channels) → (k · n,)."""
        mean = to_mono(cells.reshape(-1, self.n_channels)).reshape(cells.shape[:2])
        rules = self._rules(cells, mean)
        before = [rules[0] if self.rule is None else self.rule, *rules[:-1]]
        self.rule = rules[-1]
        weights = (np.arange(self.n_fade) + 0.5) / self.n_fade
        for k in range(len(rules)):
            if rules[k] == before[k] == MEAN:
                continue
            new, old = (mean[k] if rule == MEAN else cells[k, :, rule] for rule in (rules[k], before[k]))
            n = min(self.n_fade, len(new))
            faded = weights[:n] * new[:n] + (1 - weights[:n]) * old[:n]
            mean[k] = new
            if rules[k] != before[k]:
                mean[k, :n] = faded
        return mean.reshape(-1)

    def _rules(self, cells, mean):
        """For each cell `MEAN` or the number of a channel."""
        with np.errstate(over="ignore", invalid="ignore"):  # NaN and the like are found by who reads the result
            channels = np.einsum("knc,knc->kc", cells, cells)
            energies = np.column_stack([channels, np.einsum("kn,kn->k", mean, mean)])
            energies = np.concatenate([self.energies, energies])
            self.energies = energies[1 - N_CELLS :]
            *channels, of_mean = sum(energies[i : i + len(cells)] for i in range(N_CELLS)).T
            channels = np.array(channels)  # (channels, k)
            cancelled = of_mean * self.n_channels**2 < CANCELLED * channels.sum(axis=0)
            with_sound = np.argmax(channels >= channels.max(axis=0) / 2, axis=0)
        return np.where(cancelled, with_sound, MEAN).tolist()


def downmix(y, sr):
    """One channel of an array by the rule of `Downmix`.

    Parameters
    ----------
    y : (samples,) or (samples, channels) float array
    sr : float
        Rate in Hz.

    Returns
    -------
    (samples,) : `y` itself if it has one dimension, else float64

    Raises
    ------
    ValueError
        `sr` is no rate.
    """
    if not 0 < sr < np.inf:
        raise ValueError(f"sr is {sr}: expected a sample rate in Hz, above 0")
    return y if y.ndim == 1 else Downmix(y.shape[1], sr).push(y, last=True)


def to_mono(y):
    """Mean of the channels: (frames, channels) → (frames,)."""
    return sum(y.T[1:], start=y[:, 0]) / y.shape[1]  # column by column: 15 times as fast as a mean over short rows
