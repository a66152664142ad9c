"""Answers of PyTorch for `tests/test_oracle_winners.py`, frozen in `winners_oracle.npz`.

The layers of `minirsed.rivals` as PyTorch has them, and both winning networks (`--arch crnn1d` and `crnn`) written a
second time in float64 without a line of minirsed: its convolutions, batch normalisation, maxima and LSTM, autograd and
Adam. The GRU is a loop, because PyTorch's own is another cell. There is no dropout: its numbers are random.

    pip install torch==2.14.1 numpy
    python tests/oracle/make_winners_oracle.py        # rewrites tests/oracle/winners_oracle.npz, some seconds

Keys of the file. For each layer LAYER/NAME (inputs and parameters), LAYER/y, LAYER/dy (what the gradient starts from)
and LAYER/grad/NAME. For each network in `cases`:
    CASE/config                 JSON: arch, n_layers, n_units, n_inputs, head, alpha
    CASE/param/NAME             parameters and running statistics, named and shaped as in minirsed
    CASE/x (B, T, D), CASE/labels (B, T)
    CASE/detecting/frame_logits, CASE/training/frame_logits (B, T), CASE/…/loss (), CASE/…/grad/NAME, CASE/…/grad_x
    CASE/after/NAME             after ten updates with Adam at 1e-2, update k with `minibatch(x, k)`
Minibatches go through the network in groups of at most five clips, and the running statistics are PyTorch's own update
of each group, averaged with the clips as weights.
"""

import json
import platform
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

OUT = Path(__file__).with_name("winners_oracle.npz")
GROUP, N_UPDATES, STEP, ALPHA, MARGIN = 5, 10, 1e-2, 0.7, 50
CASES = {  # arch, head, units, clips, bands
    "crnn1d": ("crnn1d", "frames", 4, 3, 37),
    "crnn1d_attention": ("crnn1d", "attention", 3, 3, 37),
    "crnn1d_groups": ("crnn1d", "frames", 4, 7, 37),
    "crnn": ("crnn", "frames", 2, 3, 67),
    "crnn_attention": ("crnn", "attention", 2, 3, 37),
    "crnn_groups": ("crnn", "frames", 2, 7, 37),
}
T = 9


def tensor(rng, *shape):
    return torch.tensor(rng.standard_normal(shape), requires_grad=True)


def numpy(values):
    return {name: value.detach().numpy().copy() for name, value in values.items()}


def asked(name, y, arrays, rng):
    """What goes into a layer, what comes out, and the gradients of a random upstream."""
    dy = torch.tensor(rng.standard_normal(y.shape))
    y.backward(dy)
    answer = {**arrays, "y": y, "dy": dy, **{f"grad/{key}": value.grad for key, value in arrays.items()}}
    return {f"{name}/{key}": value for key, value in numpy(answer).items()}


def kernels(W):
    """(I, J, C, M) as here → (M, C, I, J) as PyTorch has them."""
    return W.permute(3, 2, 0, 1)


def layers(rng):
    """Each layer by itself, in the shapes of minirsed."""
    answer = {}
    for name, kernel, pad in (("in_two_dimensions", (3, 3, 2, 5), (1, 1)), ("along_frequency", (1, 6, 1, 4), (0, 0))):
        arrays = {"W": tensor(rng, *kernel), "x": tensor(rng, 3, 7, 10, kernel[2])}
        z = functional.conv2d(arrays["x"].permute(0, 3, 1, 2), kernels(arrays["W"]), padding=pad)
        answer |= asked(name, z.permute(0, 2, 3, 1), arrays, rng)
    x = tensor(rng, 3, 7, 10, 4)
    y = functional.max_pool2d(x.permute(0, 3, 1, 2), (1, 3)).permute(0, 2, 3, 1)
    answer |= asked("max_pool", y, {"x": x}, rng)
    for name, trains in (("batch_norm_training", True), ("batch_norm_detecting", False)):
        arrays = {"gamma": tensor(rng, 4), "beta": tensor(rng, 4), "z": tensor(rng, 3, 7, 5, 4)}
        mean, var = torch.tensor(rng.standard_normal(4)), torch.tensor(rng.random(4) + 0.5)
        before = {f"{name}/running_mean": mean.numpy().copy(), f"{name}/running_var": var.numpy().copy()}
        z = arrays["z"].permute(0, 3, 1, 2)
        y = functional.batch_norm(z, mean, var, arrays["gamma"], arrays["beta"], trains, 0.1, 1e-5)
        answer |= before | asked(name, y.permute(0, 2, 3, 1), arrays, rng)
        answer |= {f"{name}/after/running_mean": mean.numpy(), f"{name}/after/running_var": var.numpy()}
    for name, reverse in (("lstm", False), ("lstm_reverse", True)):
        arrays = {"x": tensor(rng, 3, 7, 5), "W": tensor(rng, 5, 16), "U": tensor(rng, 4, 16), "b": tensor(rng, 16)}
        answer |= asked(name, lstm(arrays["x"], arrays, reverse), arrays, rng)
    return answer


def lstm(x, params, reverse):
    """torch.nn.LSTM with one of its two biases."""
    layer = torch.nn.LSTM(x.shape[2], params["U"].shape[0], batch_first=True).double()
    own = {"weight_ih_l0": params["W"].T, "weight_hh_l0": params["U"].T, "bias_ih_l0": params["b"]}
    own["bias_hh_l0"] = torch.zeros_like(params["b"])
    x = x.flip(1) if reverse else x
    h = torch.func.functional_call(layer, own, (x,))[0]
    return h.flip(1) if reverse else h


def gru(x, params, reverse):
    """The GRU whose reset gate acts before the recurrent product; columns [z | r | c]."""
    n = params["U"].shape[0]
    h, states = torch.zeros(len(x), n, dtype=torch.float64), {}
    W, U, b = params["W"], params["U"], params["b"]
    for t in reversed(range(x.shape[1])) if reverse else range(x.shape[1]):
        a = x[:, t] @ W + b
        z = torch.sigmoid(a[:, :n] + h @ U[:, :n])
        r = torch.sigmoid(a[:, n : 2 * n] + h @ U[:, n : 2 * n])
        h = z * h + (1 - z) * torch.tanh(a[:, 2 * n :] + (r * h) @ U[:, 2 * n :])
        states[t] = h
    return torch.stack([states[t] for t in range(x.shape[1])], dim=1)


def part(params, name):
    return {key.removeprefix(f"{name}."): value for key, value in params.items() if key.startswith(f"{name}.")}


def maps(x, own, running, pad, pool, trains):
    """Convolution, normalisation, ReLU, maximum: (B, C, T, F) → (B, M, T, F'). `running` is changed by training."""
    z = functional.conv2d(x, kernels(own["W"]), padding=pad)
    statistics = running["running_mean"], running["running_var"]
    n = functional.batch_norm(z, *statistics, own["gamma"], own["beta"], trains, 0.1, 1e-5)
    return functional.max_pool2d(torch.relu(n), (1, pool or n.shape[3]))


def states(arch, x, params, running, trains):
    """Frame states (B, T, K)."""
    if arch == "crnn1d":
        a = maps(x[:, None], part(params, "conv0"), part(running, "conv0"), (0, 0), None, trains)
        a = a[..., 0].permute(0, 2, 1)
        for layer in range(2):
            a = lstm(a, part(params, f"lstm{layer}"), reverse=True)
        return torch.relu(a @ params["dense.W"] + params["dense.b"])
    a = x[:, None]
    for i, pool in enumerate((8, 2, 2)):
        a = maps(a, part(params, f"conv{i}"), part(running, f"conv{i}"), (1, 1), pool, trains)
    a = a.permute(0, 2, 3, 1).flatten(2)  # bands, and of each all maps
    for layer in range(2):
        a = gru(a, part(params, f"gru{layer}.fwd"), False) * gru(a, part(params, f"gru{layer}.bwd"), True)
    return a @ params["dense.W"] + params["dense.b"]


def loss_of(head, h, params, labels):
    """Frame logits, and the loss of each clip."""
    logits = h @ params["head.w"]
    if head == "frames":
        logits = logits + params["head.b"]
        return logits, functional.binary_cross_entropy_with_logits(logits, labels, reduction="none").mean(1)
    p = torch.sigmoid(logits)
    clip_logits = ((p / p.sum(1, keepdim=True))[:, :, None] * h).sum(1) @ params["head.w"]
    losses = []
    for clip, own in enumerate(labels):
        has_event = own.any().double()
        loss = functional.binary_cross_entropy_with_logits(clip_logits[clip], has_event)
        if has_event:
            active = torch.nonzero(own)[:, 0]
            near = slice(max(int(active[0]) - MARGIN, 0), int(active[-1]) + 1 + MARGIN)
            loss = loss + ALPHA * functional.binary_cross_entropy_with_logits(logits[clip, near], own[near])
        losses.append(loss)
    return logits, torch.stack(losses)


def mean_loss(arch, head, x, labels, params, running, trains):
    """Of a minibatch in groups; `running` moves once, to the weighted mean of what PyTorch makes of it in each."""
    logits, total, moved = [], 0.0, {name: torch.zeros_like(value) for name, value in running.items()}
    for start in range(0, len(x), GROUP):
        rows = slice(start, start + GROUP)
        own = {name: value.clone() for name, value in running.items()}
        group_logits, losses = loss_of(head, states(arch, x[rows], params, own, trains), params, labels[rows])
        logits.append(group_logits)
        total = total + losses.sum() / len(x)
        for name, value in own.items():
            moved[name] += value * len(losses) / len(x)
    for name, value in moved.items():
        running[name][:] = value
    return torch.cat(logits), total


def draw(rng, arch, units, bands):
    """Parameters and running statistics."""
    n_maps = units if arch == "crnn1d" else 4 * units
    shapes = {}
    for i, n_below in enumerate([1] if arch == "crnn1d" else [1, n_maps, n_maps]):
        shapes[f"conv{i}.W"] = (*((1, 32) if arch == "crnn1d" else (3, 3)), n_below, n_maps)
        shapes |= {f"conv{i}.{name}": (n_maps,) for name in ("gamma", "beta", "running_mean", "running_var")}
    n_in = units if arch == "crnn1d" else bands // 8 // 2 // 2 * n_maps
    for layer in range(2):
        for name in [f"lstm{layer}"] if arch == "crnn1d" else [f"gru{layer}.fwd", f"gru{layer}.bwd"]:
            n_columns = (4 if arch == "crnn1d" else 3) * units
            shapes |= {f"{name}.W": (n_in, n_columns), f"{name}.U": (units, n_columns), f"{name}.b": (n_columns,)}
        n_in = units
    shapes |= {"dense.W": (units, units), "dense.b": (units,), "head.w": (units,)}
    params = {name: 0.6 * rng.standard_normal(shape) for name, shape in shapes.items()}
    positive = ("beta", "running_var", "dense.b")
    return {name: np.abs(v) + 0.3 if name.endswith(positive) else v for name, v in params.items()}


def minibatch(x, k):
    """That of update k: another level and spread each time."""
    return x * (1 + 0.1 * k) + 0.05 * k


def run_case(name, seed):
    """All answers for a network."""
    arch, head, units, clips, bands = CASES[name]
    rng = np.random.default_rng([20261, seed])
    arrays = draw(rng, arch, units, bands) | ({"head.b": rng.standard_normal(1)} if head == "frames" else {})
    labels = np.zeros((clips, T))
    labels[0, 3:6] = labels[2, :2] = labels[clips - 1, -1] = 1
    x, y = rng.standard_normal((clips, T, bands)), torch.tensor(labels)
    config = {"arch": arch, "n_layers": 2, "n_units": units, "n_inputs": bands, "head": head}
    config |= {"alpha": ALPHA if head == "attention" else 1.0}
    answer = {"config": np.array(json.dumps(config)), "x": x, "labels": labels}
    answer |= {f"param/{key}": value for key, value in arrays.items()}
    values = {key: torch.tensor(value) for key, value in arrays.items()}
    running = {key: values.pop(key) for key in list(values) if "running" in key}
    params = {key: value.requires_grad_() for key, value in values.items()}
    for mode, trains in (("detecting", False), ("training", True)):
        own, inputs = {key: value.clone() for key, value in running.items()}, torch.tensor(x, requires_grad=True)
        logits, loss = mean_loss(arch, head, inputs, y, params, own, trains)
        loss.backward()
        answer |= {f"{mode}/frame_logits": logits.detach().numpy(), f"{mode}/loss": loss.detach().numpy()}
        answer |= {f"{mode}/grad/{key}": value.grad.numpy().copy() for key, value in params.items()}
        answer[f"{mode}/grad_x"] = inputs.grad.numpy()
        for value in params.values():
            value.grad = None
    adam = torch.optim.Adam(params.values(), lr=STEP)
    for k in range(N_UPDATES):
        adam.zero_grad()
        mean_loss(arch, head, minibatch(torch.tensor(x), k), y, params, running, True)[1].backward()
        adam.step()
    answer |= {f"after/{key}": value for key, value in numpy({**params, **running}).items()}
    return {f"{name}/{key}": value for key, value in answer.items()}


def main():
    """Run all cases and write the file."""
    versions = {"torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()}
    answers = {"versions": np.array(json.dumps(versions)), "cases": np.array(list(CASES))}
    answers |= layers(np.random.default_rng([20261, 99]))
    for seed, name in enumerate(CASES):
        answers |= run_case(name, seed)
    np.savez_compressed(OUT, allow_pickle=False, **answers)
    print(f"{OUT.name}: {OUT.stat().st_size} bytes, {versions}")


if __name__ == "__main__":
    main()
