"""Answers of PyTorch's autograd and Adam for `tests/test_oracle_torch.py`, frozen in `torch_oracle.npz`.

The paper's model (Sec. 2, 3, 4.1) written a second time in float64 PyTorch, straight from the equations and
without a line of minirsed: one time step, one clip, one frame at a time, no batching. Autograd does the rest.

    pip install torch==2.13.0 numpy
    python tests/oracle/make_torch_oracle.py        # rewrites tests/oracle/torch_oracle.npz, a second or two

Keys of the file, for each case in `cases`:
    CASE/config                 JSON: arch, n_layers, n_units, n_classes, alpha, margin_frames
    CASE/param/NAME             parameters, named as in minirsed
    CASE/x (B, T, D), CASE/has_event (B,), CASE/onset_frame, CASE/offset_frame (B,) exclusive, −1 without event,
    CASE/labels (B, T)
    CASE/frame_logits (B, T), CASE/clip_logits (B,), CASE/loss ()
    CASE/grad/NAME, CASE/grad_x
With C classes head.w is (C, K), what is said of a clip has an axis C after B, and the loss of a clip is the sum over
classes, each with its own vector, attention, clip state and events.
And for Adam: adam/param/NAME, adam/grads/NAME (steps, …), adam/steps, adam/after/NAME (len(steps), …).
"""

import json
import platform
from pathlib import Path

import numpy as np
import torch

OUT = Path(__file__).with_name("torch_oracle.npz")
B, D, H = 3, 5, 4  # all dimensions differ, so that no transpose goes unnoticed
CASES = {  # name: architecture, layers, frames, margin of the frame loss in frames; classes, if several
    "uni3": ("uni", 3, 13, 3),
    "bi3": ("bi", 3, 13, 3),
    "multires3": ("multires", 3, 13, 3),
    "multires4": ("multires", 4, 13, 3),
    "uni1_margin50": ("uni", 1, 131, 50),  # the paper's margin, cut by both edges and by neither
    "multires3_classes3": ("multires", 3, 13, 3, 3),
}
EVENTS = {  # frames: [(onset_frame, offset_frame) of each clip, or None]
    13: [(5, 8), None, (0, 2)],
    131: [(60, 63), (120, 131), None],
}
EVENTS_OF_CLASSES = [[(5, 8), None, (6, 10)], [(0, 2), (11, 13), None]]  # the same of 3 classes, for each of two clips
ALPHA = 0.7


def cell(x, h, W, U, b):
    """One step of the GRU whose reset gate acts before the recurrent product; columns [z | r | c]."""
    n = len(h)
    z = torch.sigmoid(x @ W[:, :n] + h @ U[:, :n] + b[:n])
    r = torch.sigmoid(x @ W[:, n : 2 * n] + h @ U[:, n : 2 * n] + b[n : 2 * n])
    c = torch.tanh(x @ W[:, 2 * n :] + (r * h) @ U[:, 2 * n :] + b[2 * n :])
    return z * h + (1 - z) * c


def layer(sequence, W, U, b):
    """States of one direction over a list of (D,) frames."""
    h = torch.zeros(U.shape[0], dtype=torch.float64)
    states = []
    for x in sequence:
        h = cell(x, h, W, U, b)
        states.append(h)
    return states


def bidirectional(sequence, params, name):
    forward = layer(sequence, *(params[f"{name}.fwd.{k}"] for k in "WUb"))
    backward = layer(sequence[::-1], *(params[f"{name}.bwd.{k}"] for k in "WUb"))[::-1]
    return [torch.cat(pair) for pair in zip(forward, backward, strict=True)]


def halve(sequence):
    """Averages of neighbouring pairs; an odd last frame stands alone."""
    return [sum(sequence[i : i + 2]) / len(sequence[i : i + 2]) for i in range(0, len(sequence), 2)]


def representation(x, params, arch, n_layers):
    """f(X) of one clip, a list of T states (Sec. 3)."""
    sequence, levels = list(x), []
    for i in range(n_layers):
        if arch == "uni":
            sequence = layer(sequence, *(params[f"gru{i}.fwd.{k}"] for k in "WUb"))
        else:
            sequence = bidirectional(sequence, params, f"gru{i}")
        if arch == "multires":
            sequence = halve(sequence)
            levels.append(sequence)
    if arch != "multires":
        return sequence
    return [sum(level[t // 2 ** (i + 1)] for i, level in enumerate(levels)) for t in range(len(x))]


def clip_loss(states, w, event, margin):
    """Frame logits, clip logit and loss of one clip (Sec. 2; 4.1 for the margin)."""
    frame_logits = torch.stack([w @ h for h in states])
    p = torch.sigmoid(frame_logits)
    clip_logit = w @ sum(a * h for a, h in zip(p / p.sum(), states, strict=True))
    if event is None:
        return frame_logits, clip_logit, -torch.log(1 - torch.sigmoid(clip_logit))
    onset, offset = event
    terms = [
        -torch.log(p[t]) if onset <= t < offset else -torch.log(1 - p[t])
        for t in range(len(states))
        if onset - margin <= t < offset + margin
    ]
    return frame_logits, clip_logit, -torch.log(torch.sigmoid(clip_logit)) + ALPHA * sum(terms) / len(terms)


def draw_parameters(rng, arch, n_layers, n_classes):
    shapes, n_in = {}, D
    for i in range(n_layers):
        for direction in ("fwd",) if arch == "uni" else ("fwd", "bwd"):
            name = f"gru{i}.{direction}"
            shapes |= {f"{name}.W": (n_in, 3 * H), f"{name}.U": (H, 3 * H), f"{name}.b": (3 * H,)}
        n_in = H if arch == "uni" else 2 * H
    shapes["head.w"] = (n_in,) if n_classes is None else (n_classes, n_in)
    return {name: 0.6 * rng.standard_normal(shape) for name, shape in shapes.items()}


def run_case(name, seed):
    arch, n_layers, T, margin, *n_classes = CASES[name]
    clips_of_events = EVENTS_OF_CLASSES if n_classes else [[event] for event in EVENTS[T]]
    n_clips, shape = len(clips_of_events), (len(clips_of_events), *n_classes)
    rng = np.random.default_rng([20260, seed])
    arrays = draw_parameters(rng, arch, n_layers, *(n_classes or [None]))
    params = {k: torch.tensor(v, requires_grad=True) for k, v in arrays.items()}
    x = torch.tensor(rng.standard_normal((n_clips, T, D)), requires_grad=True)
    rows = []  # of each class of each clip
    for i, events in enumerate(clips_of_events):
        states = representation(x[i], params, arch, n_layers)
        vectors = params["head.w"] if n_classes else [params["head.w"]]
        rows += [clip_loss(states, w, event, margin) for w, event in zip(vectors, events, strict=True)]
    loss = sum(row[2] for row in rows) / n_clips
    loss.backward()

    every = [event for events in clips_of_events for event in events]
    onset = np.array([-1 if event is None else event[0] for event in every]).reshape(shape)
    offset = np.array([-1 if event is None else event[1] for event in every]).reshape(shape)
    t = np.arange(T)
    config = {"arch": arch, "n_layers": n_layers, "n_units": H, "alpha": ALPHA, "margin_frames": margin}
    config |= {"n_classes": n_classes[0]} if n_classes else {}
    answer = {
        "config": np.array(json.dumps(config)),
        "x": x.detach().numpy(),
        "has_event": onset >= 0,
        "onset_frame": onset,
        "offset_frame": offset,
        "labels": ((onset[..., None] <= t) & (t < offset[..., None])).astype(np.float64),
        "frame_logits": torch.stack([row[0] for row in rows]).detach().numpy().reshape(*shape, T),
        "clip_logits": torch.stack([row[1] for row in rows]).detach().numpy().reshape(shape),
        "loss": loss.detach().numpy(),
        "grad_x": x.grad.numpy(),
    }
    answer |= {f"param/{k}": v.detach().numpy() for k, v in params.items()}
    answer |= {f"grad/{k}": v.grad.numpy() for k, v in params.items()}
    return {f"{name}/{key}": value for key, value in answer.items()}


def run_adam(n_steps=100, kept=(1, 2, 10, 50, 100)):
    """torch.optim.Adam (lr 1e-3, defaults otherwise) on gradients from 1e-9, where eps rules, to 1e3."""
    rng = np.random.default_rng([20260, 99])
    params = {name: torch.tensor(rng.standard_normal(shape)) for name, shape in {"a": (2, 3), "b": (4,)}.items()}
    scale = {"a": np.array([[1e-9, 1e-4, 1.0], [1e3, 0.0, 1e-8]]), "b": np.array([1.0, 1e-2, 10.0, 1e-6])}
    grads = {name: scale[name] * rng.standard_normal((n_steps, *p.shape)) for name, p in params.items()}
    answer = {f"param/{name}": p.numpy().copy() for name, p in params.items()}
    after = {name: [] for name in params}
    optimizer = torch.optim.Adam(params.values(), lr=1e-3)
    for step in range(n_steps):
        for name, p in params.items():
            p.grad = torch.tensor(grads[name][step])
        optimizer.step()
        if step + 1 in kept:
            for name, p in params.items():
                after[name].append(p.numpy().copy())
    answer |= {f"grads/{name}": g for name, g in grads.items()}
    answer |= {f"after/{name}": np.stack(states) for name, states in after.items()}
    return {f"adam/{key}": value for key, value in answer.items()} | {"adam/steps": np.array(kept)}


def main():
    """Run all cases and write the file."""
    versions = {"torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()}
    answers = {"versions": np.array(json.dumps(versions)), "cases": np.array(list(CASES))}
    for seed, name in enumerate(CASES):
        answers |= run_case(name, seed)
    answers |= run_adam()
    np.savez_compressed(OUT, allow_pickle=False, **answers)
    print(f"{OUT.name}: {OUT.stat().st_size} bytes, {versions}")


if __name__ == "__main__":
    main()
