"""Several small networks, trained side by side on clips of their own and joined into one.

Data flow: clips, inputs → **members** → detector; `minirsed.run.resumable` counts, saves and judges. In order:

    clips     member k draws minibatch i of epoch n from a generator of its own, seeded with (seed, k, n, i)
    loss      L_utt + α L_frame, where L_frame may be a mean over *all* frames of *all* clips, the frames within 0.5 s
              of an onset counting more: what a false alarm is made of, and what the scorer asks for
    inputs    normalised, some bands masked, noise added, decorrelated by one matrix, which is part of W in the end
    step      η_i rises linearly over the first tenth of all updates, then falls to 0 along half a cosine
              (Loshchilov and Hutter 2017); Adam as ever, then W ← (1 − η_i λ) W, U ← (1 − η_i λ) U (the same 2019)
    average   θ̄ ← d θ̄ + (1 − d) θ,  d = min(average, (i + 1)/(i + 10)): what is kept (Polyak and Juditsky 1992)
    join      K networks of H units are one of K·H: W and U block by block, w_head / K. Its frame logits are the mean of
              theirs, exactly; so a detector of several is a detector like any other

No member knows of the others, so threads take one each and the bytes do not depend on their number.
"""

import dataclasses

import numpy as np

from data_tools.errors import InputError
from minirsed.adam import Adam, clip_by_global_norm
from minirsed.features import HOP, SAMPLE_RATE
from minirsed.inference.network import part_of
from minirsed.listening.inputs import INPUTS
from minirsed.losses import frame_loss_weights
from minirsed.model import Losses, ModelConfig, groups, init_params, loss_and_grads
from minirsed.multires import ARCHITECTURES, directions
from minirsed.outside import changes
from minirsed.outside.clips import draw_batch
from minirsed.store.dataset import MIN_STD
from minirsed.training import Update

ONSET_S = 0.5  # the scorer's collar
WARM_UP = 0.1  # share of all updates
STATISTICS_CLIPS = 100  # whose inputs mean and std are taken of
STATISTICS_STREAM = 1 << 32  # no member has that number


class Members:
    """K networks in training.

    Attributes
    ----------
    config : minirsed.model.ModelConfig
        Of each.
    params, averages : list of dict of ndarray
        What is trained, and what is kept.
    adams : list of minirsed.adam.Adam
    mean, std : (D,) float32
        Of their inputs.
    whitener : (D, D) float32
        What the normalised inputs are multiplied by, see `input_stats`.
    """

    def __init__(self, config, params, averages, adams, mean, std, whitener):
        self.config, self.params, self.averages, self.adams = config, params, averages, adams
        self.mean, self.std, self.whitener = mean, std, whitener

    @classmethod
    def start(cls, settings, spectra, origin=None):
        """Random weights, a generator for each member, and the statistics of some clips.

        With `origin`, a detector, its weights and statistics instead: member k has those of its network k mod K.
        InputError: it is not made of such networks.
        """
        config = model_config(settings, settings.n_mels)
        if origin:
            own = split(origin, config)
            params = [
                {name: value.copy() for name, value in own[k % len(own)].items()} for k in range(settings.members)
            ]
            statistics = origin.mean, origin.std, np.eye(config.n_inputs, dtype=np.float32)
        else:
            params = [init_params(config, np.random.default_rng([settings.seed, k])) for k in range(settings.members)]
            statistics = input_stats(settings, spectra)
        averages = [{name: value.copy() for name, value in each.items()} for each in params]
        adams = [Adam(settings.learning_rate) for _ in params]
        return cls(config, params, averages, adams, *statistics)

    def updates(self, spectra, settings, epoch, n_done, executor):
        """Update every member with one minibatch after another, in place.

        Parameters
        ----------
        spectra : minirsed.outside.spectra.Spectra
        settings : minirsed.run.settings.TrainSettings
        epoch, n_done : int
            Number of the epoch, from 1 on, and of its updates that are done already.
        executor : concurrent.futures.Executor

        Yields
        ------
        minirsed.training.Update
            After each update of all members: losses of their clips, one member after another; the mean norm.
        """
        n_batches = n_updates_of_epoch(settings)
        for batch in range(n_done, n_batches):
            number, total = (epoch - 1) * n_batches + batch, settings.epochs * n_batches
            n_clips = min(settings.batch_size, settings.clips - batch * settings.batch_size)

            def one(k, batch=batch, number=number, total=total, n_clips=n_clips):
                rng = np.random.default_rng([settings.seed, k, epoch, batch])
                return self._update(k, rng, spectra, settings, step_size(settings, number, total), number, n_clips)

            results = list(executor.map(one, range(len(self.params))))
            losses = Losses(*(np.concatenate(part) for part in zip(*(each for each, _ in results), strict=True)))
            rows = np.tile(batch * settings.batch_size + np.arange(n_clips), len(results))
            yield Update(rows, losses, float(np.mean([norm for _, norm in results])))

    def _update(self, k, rng, spectra, settings, learning_rate, number, n_clips):
        params, average, adam = self.params[k], self.averages[k], self.adams[k]
        kind = INPUTS[settings.inputs]
        batch = draw_batch(rng, spectra, settings, n_clips)
        x = (kind.of_power(batch.power, spectra.n_mels) - self.mean) / self.std
        x = changes.noisy(changes.masked(x, rng, settings.mask_bands), rng, settings.input_noise) @ self.whitener
        labels = thinned(batch.labels, kind.rate)
        weights = frame_weights(labels, settings, kind.rate)
        parts, grads = [], None
        for rows in groups(n_clips):
            losses, own, _ = loss_and_grads(
                params, self.config, x[rows], labels[rows], settings.alpha,
                frame_weights=weights[rows], rng=rng, weight=1 / n_clips, with_dx=False,
            )  # fmt: skip
            parts.append(losses)
            grads = own if grads is None else {name: grads[name] + own[name] for name in grads}
        grads, norm = clip_by_global_norm(grads, settings.max_grad_norm)
        adam.learning_rate = learning_rate
        adam.update(params, grads)
        shrink(params, settings.weight_decay * learning_rate)
        decay = np.float32(min(settings.average, (number + 1) / (number + 10)))
        for name, value in params.items():
            average[name][...] = value + decay * (average[name] - value)
        return Losses(*(np.concatenate(part) for part in zip(*parts, strict=True))), norm

    def __iter__(self):
        """Parameters, averages and Adam of one member after another."""
        return zip(self.params, self.averages, self.adams, strict=True)

    def joined(self):
        """`join` of what is kept: the parameters of one network on normalised inputs, and its configuration."""
        config = dataclasses.replace(self.config, n_units=self.config.n_units * len(self.averages))
        params = join(self.averages, self.config)
        for direction in directions(config.arch):
            params[f"gru0.{direction}.W"] = self.whitener @ params[f"gru0.{direction}.W"]  # (x V) W = x (V W)
        return params, config


def model_config(settings, n_mels):
    """`ModelConfig` of a run, or of each of its members, for features of n_mels bands."""
    n_inputs = INPUTS[settings.inputs].n_inputs(n_mels)
    return ModelConfig(
        settings.arch, settings.layers, settings.units, n_inputs, settings.head, settings.inputs, settings.rule, n_mels,
        round(settings.onset_lead * SAMPLE_RATE / HOP) if settings.rule == "strongest" else 0, len(settings.classes),
    )  # fmt: skip


def n_updates_of_epoch(settings):
    """Minibatches in an epoch."""
    return -(-settings.clips // settings.batch_size)


def step_size(settings, number, total):
    """η of update `number` of `total`, from 0 on."""
    if settings.schedule == "constant":
        return settings.learning_rate
    rising = WARM_UP * total
    if number < rising:
        return settings.learning_rate * (number + 1) / rising
    return settings.learning_rate * 0.5 * (1 + np.cos(np.pi * (number - rising) / (total - rising)))


def shrink(params, share):
    """Weight decay apart from the gradient: take a share off every matrix, W and U, in place; 0 changes nothing.

    After Loshchilov and Hutter, "Decoupled weight decay regularization" (2019).
    """
    if share > 0:
        for name, value in params.items():
            if value.ndim == 2 and not name.startswith("head"):  # event vectors are no matrix, however many
                value *= np.float32(1 - share)


def frame_weights(labels, settings, rate):
    """Weights of the frames in L_frame, (…, T) float32 as `labels`; a row is a class of a clip.

    With `frame_loss` near those of the paper (Sec. 4.1, `minirsed.losses.frame_loss_weights`), with all 1/T for every
    frame of every clip; either way times `onset_weight` from 0.5 s before an onset to 0.5 s after it.
    """
    shape, n_frames = labels.shape, labels.shape[-1]
    labels = labels.reshape(-1, n_frames)
    half = round(ONSET_S * SAMPLE_RATE / HOP / rate)
    if settings.frame_loss == "all":
        weights = np.full_like(labels, 1 / n_frames)
    else:
        weights = frame_loss_weights(labels, margin=50 // rate)
    for row, active in zip(weights, labels, strict=True):
        if active.any():
            onset = int(active.argmax())
            row[max(onset - half, 0) : onset + half] *= settings.onset_weight
    return weights.reshape(shape)


def thinned(labels, rate):
    """Labels (…, T) of every `rate` frames as one: those of the first; an event keeps one at least."""
    thin = labels[..., ::rate].copy()
    lost = labels.any(axis=-1) & ~thin.any(axis=-1)
    thin[lost] = labels[lost].reshape(lost.sum(), thin.shape[-1], rate).max(axis=2)
    return thin


def input_stats(settings, spectra):
    """Statistics of the inputs of some training clips, all of usual places.

    Quiet places, as far below these as their sounds are above, would nearly double the standard deviation of the low
    bands, and with it the noise on the inputs, which is measured by it.

    Returns
    -------
    mean, std : (D,) float32
        Of every input.
    whitener : (D, D) float32
        V = U (Λ + w)^−½ Uᵀ, scaled to unit variance, of the covariance U Λ Uᵀ of the normalised inputs, where w is the
        setting `whitening`. Neighbouring bands say much the same, and a step along what they share should not be longer
        than others (LeCun et al. 1998). With w = 0, the identity.
    """
    kind, inputs = INPUTS[settings.inputs], []
    settings = dataclasses.replace(settings, everyday=0.0)
    for i in range(-(-STATISTICS_CLIPS // settings.batch_size)):
        rng = np.random.default_rng([settings.seed, STATISTICS_STREAM, i])
        inputs.append(kind.of_power(draw_batch(rng, spectra, settings, settings.batch_size).power, spectra.n_mels))
    frames = np.concatenate(inputs).reshape(-1, inputs[0].shape[-1]).astype(np.float64)
    mean, std, whitener = frames.mean(axis=0), np.maximum(frames.std(axis=0), MIN_STD), np.eye(frames.shape[1])
    if settings.whitening > 0:
        normalised = (frames - mean) / std
        variance, axes = np.linalg.eigh(np.cov(normalised.T))
        whitener = (axes / np.sqrt(variance + settings.whitening)) @ axes.T
        whitener /= np.sqrt(np.mean((normalised @ whitener) ** 2))
    return tuple(part.astype(np.float32) for part in (mean, std, whitener))


def join(members, config):
    """K networks of H units as one of K·H whose frame logits are the mean of theirs.

    Parameters
    ----------
    members : list of dict of ndarray
        Parameters of recurrent networks with the same inputs.
    config : minirsed.model.ModelConfig
        Of each.

    Returns
    -------
    dict of ndarray
        Parameters of the same architecture. States are [those of member 1 | member 2 | …] in each direction, and so are
        the columns of each gate.
    """
    K, H, names = len(members), config.n_units, directions(config.arch)
    if K == 1:
        return {name: value.copy() for name, value in members[0].items()}
    joined = {}
    for layer in range(config.n_layers):
        for direction in names:
            name = f"gru{layer}.{direction}"
            own = [{key: each[f"{name}.{key}"] for key in ("W", "U", "b")} for each in members]
            gates = [{key: np.split(value, 3, axis=-1) for key, value in each.items()} for each in own]
            joined[f"{name}.b"] = np.concatenate([each["b"][gate] for gate in range(3) for each in gates])
            joined[f"{name}.U"] = np.hstack([_blocks([each["U"][gate] for each in gates]) for gate in range(3)])
            if layer == 0:  # all see the same inputs
                joined[f"{name}.W"] = np.hstack([each["W"][gate] for gate in range(3) for each in gates])
                continue
            joined[f"{name}.W"] = np.hstack(
                [
                    np.vstack(
                        [
                            _blocks([each["W"][gate][side * H : (side + 1) * H] for each in gates])
                            for side in range(len(names))
                        ]
                    )
                    for gate in range(3)
                ]
            )
    w = [np.split(each["head.w"], len(names), axis=-1) for each in members]
    joined["head.w"] = np.concatenate([each[side] for side in range(len(names)) for each in w], axis=-1) / np.float32(K)
    if "head.b" in members[0]:
        joined["head.b"] = np.mean([each["head.b"] for each in members], axis=0, dtype=np.float32)
    return joined


def split(detector, config):
    """The networks of a detector that `join` made one: list of dict of ndarray, each with the shapes of `config`.

    Raises
    ------
    InputError
        Another architecture, other inputs, or a network that does not fall apart into such.
    """
    same = {"n_units": config.n_units, "rule": config.rule, "lead": config.lead}
    K, rest = divmod(detector.config.n_units, config.n_units)
    if rest or dataclasses.replace(detector.config, **same) != config:
        raise InputError(f"--init-from: its network is {detector.config}; expected {config}, or several of them")
    if K == 1:
        return [{name: value.copy() for name, value in detector.params.items()}]
    if config.arch not in ARCHITECTURES:
        raise InputError(f"--init-from: its network has {detector.config.n_units} units, not {config.n_units}")
    H = config.n_units
    members = [part_of(detector.params, detector.config, np.arange(k * H, (k + 1) * H)) for k in range(K)]
    for member in members:
        member["head.w"] = member["head.w"] * np.float32(K)
    joined = join(members, config)
    if any(not np.allclose(joined[name], value, atol=1e-6) for name, value in detector.params.items()):
        raise InputError(f"--init-from: its network of {detector.config.n_units} units is not made of {K} others")
    return members


def _blocks(matrices):
    """Block-diagonal matrix."""
    rows, columns = matrices[0].shape
    blocks = np.zeros((len(matrices) * rows, len(matrices) * columns), matrices[0].dtype)
    for k, matrix in enumerate(matrices):
        blocks[k * rows : (k + 1) * rows, k * columns : (k + 1) * columns] = matrix
    return blocks
