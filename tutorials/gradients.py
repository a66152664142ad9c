"""All gradients on one page: forward, backward, where it stands, and how well it agrees with finite differences.

`python -m tutorials.build` writes the page, and each check runs as it is made: the last column is measured.
"""

import html
import inspect
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minirsed import attention, gru, losses, model, multires
from minirsed.gradcheck import compare
from minirsed.rivals import batch_norm, convolution, lstm, pooling

ROOT = Path(__file__).resolve().parents[1]
B, T, D, H, K = 2, 7, 5, 3, 4  # all different, an odd number of frames


class Part(NamedTuple):
    """Rows of the page that one check covers: forward, what comes back (one formula each), shape."""

    name: str
    notebook: str
    functions: tuple
    rows: tuple
    check: callable


def _error(loss, grads, arrays):
    """Largest relative difference between gradients and finite differences, over all arrays."""
    return max(row.error for row in compare(loss, grads, arrays, np.random.default_rng(1)))


def _gru():
    rng = np.random.default_rng(0)
    params = {name: value + 0.1 for name, value in gru.init_gru(D, H, rng, np.float64).items()}
    arrays = {"x": rng.standard_normal((B, T, D)), "h0": rng.standard_normal((B, H)), **params}
    upstream = rng.standard_normal((B, T, H))

    def run(a):
        return gru.gru_forward({name: a[name] for name in "WUb"}, a["x"], a["h0"])

    dx, dh0, grads = gru.gru_backward(upstream, run(arrays)[1])
    return _error(lambda a: np.vdot(upstream, run(a)[0]), {"x": dx, "h0": dh0, **grads}, arrays)


def _average():
    rng = np.random.default_rng(0)
    x, upstream = rng.standard_normal((B, T, K)), rng.standard_normal((B, -(-T // 2), K))
    dx = multires.average_pairs_backward(upstream, T)
    return _error(lambda a: np.vdot(upstream, multires.average_pairs(a["x"])), {"x": dx}, {"x": x})


def _replicate():
    rng = np.random.default_rng(0)
    s, upstream = rng.standard_normal((B, -(-T // 4), K)), rng.standard_normal((B, T, K))
    ds = multires.replicate_backward(upstream, 4)
    return _error(lambda a: np.vdot(upstream, multires.replicate(a["s"], 4, T)), {"s": ds}, {"s": s})


def _encoder():
    rng = np.random.default_rng(0)
    params = multires.init_encoder("multires", 3, D, H, rng, np.float64)
    arrays = {"x": rng.standard_normal((B, T, D)), **params}
    upstream = rng.standard_normal((B, T, 2 * H))
    dx, grads = multires.encoder_backward(upstream, multires.encoder_forward(params, arrays["x"], "multires", 3)[1])

    def loss(a):
        return np.vdot(upstream, multires.encoder_forward(a, a["x"], "multires", 3)[0])

    return _error(loss, {"x": dx, **grads}, arrays)


def _attention():
    rng = np.random.default_rng(0)
    arrays = {"w": rng.standard_normal(K), "h": rng.standard_normal((B, T, K))}
    up_frames, up_clips = rng.standard_normal((B, T)), rng.standard_normal(B)

    def run(a):
        return attention.attention_forward(a["w"], a["h"])

    dh, dw = attention.attention_backward(up_frames, up_clips, run(arrays)[2])
    return _error(lambda a: np.vdot(up_frames, run(a)[0]) + np.vdot(up_clips, run(a)[1]), {"h": dh, "w": dw}, arrays)


def _utterance_loss():
    rng = np.random.default_rng(0)
    e, y, upstream = rng.standard_normal(B), np.array([0, 1]), rng.standard_normal(B)
    de = losses.utterance_loss_backward(upstream, losses.utterance_loss_forward(e, y)[1])
    return _error(lambda a: upstream @ losses.utterance_loss_forward(a["e"], y)[0], {"e": de}, {"e": e})


def _frame_loss():
    rng = np.random.default_rng(0)
    e_t, y, upstream = rng.standard_normal((B, T)), np.zeros((B, T)), rng.standard_normal(B)
    y[1, 2:4] = 1
    weights = losses.frame_loss_weights(y, margin=2)
    de_t = losses.frame_loss_backward(upstream, losses.frame_loss_forward(e_t, y, weights)[1])
    return _error(lambda a: upstream @ losses.frame_loss_forward(a["e"], y, weights)[0], {"e": de_t}, {"e": e_t})


def _convolution():
    rng = np.random.default_rng(0)
    arrays = {"W": rng.standard_normal((3, 3, 2, K)), "x": rng.standard_normal((B, T, D, 2))}
    upstream = rng.standard_normal((B, T, D, K))
    dx, dW = convolution.convolution_backward(upstream, convolution.convolution_forward(arrays["W"], arrays["x"], 1)[1])

    def loss(a):
        return np.vdot(upstream, convolution.convolution_forward(a["W"], a["x"], 1)[0])

    return _error(loss, {"W": dW, "x": dx}, arrays)


def _maximum():
    rng = np.random.default_rng(0)
    z, upstream = rng.standard_normal((B, T, D, K)), rng.standard_normal((B, T, 2, K))
    dz = pooling.max_pool_backward(upstream, pooling.max_pool_forward(z, 2)[1])
    return _error(lambda a: np.vdot(upstream, pooling.max_pool_forward(a["z"], 2)[0]), {"z": dz}, {"z": z})


def _batch_norm():
    rng = np.random.default_rng(0)
    arrays = {"z": rng.standard_normal((B, T, D, K)), "gamma": rng.standard_normal(K), "beta": rng.standard_normal(K)}
    running, upstream = batch_norm.init_batch_norm(K, np.float64), rng.standard_normal((B, T, D, K))

    def run(a):
        return batch_norm.batch_norm_forward(running | {name: a[name] for name in ("gamma", "beta")}, a["z"], own=True)

    dz, grads = batch_norm.batch_norm_backward(upstream, run(arrays)[1])
    return _error(lambda a: np.vdot(upstream, run(a)[0]), {"z": dz, **grads}, arrays)


def _lstm():
    rng = np.random.default_rng(0)
    params = lstm.init_lstm(D, H, rng, np.float64)
    arrays, upstream = {"x": rng.standard_normal((B, T, D)), **params}, rng.standard_normal((B, T, H))

    def run(a):
        return lstm.lstm_forward({name: a[name] for name in "WUb"}, a["x"], reverse=True)

    dx, grads = lstm.lstm_backward(upstream, run(arrays)[1])
    return _error(lambda a: np.vdot(upstream, run(a)[0]), {"x": dx, **grads}, arrays)


def _model():
    rng = np.random.default_rng(0)
    config = model.ModelConfig("multires", n_layers=2, n_units=H, n_inputs=D)
    params, y = model.init_params(config, rng, np.float64), np.zeros((B, T))
    y[0, 2:4] = 1
    x = rng.standard_normal((B, T, D))
    _, grads, dx = model.loss_and_grads(params, config, x, y, 0.7, margin=2)

    def loss(a):
        return model.loss_and_grads({name: a[name] for name in params}, config, a["x"], y, 0.7, margin=2)[
            0
        ].total.mean()

    return _error(loss, {"x": dx, **grads}, {"x": x, **params})


PARTS = (
    Part(
        "a GRU layer",
        "04_backpropagation_through_time",
        (gru.gru_backward, gru.recurrence_backward),
        (
            (
                r"h = z \odot h' + (1 - z) \odot c",
                (
                    r"\delta z = \delta h \odot (h' - c)",
                    r"\delta c = \delta h \odot (1 - z)",
                    r"\delta h' = \delta h \odot z",
                ),
                "B H",
            ),
            (
                r"c = \tanh(x W_c + q U_c + b_c)",
                (
                    r"\delta a_c = \delta c \odot (1 - c^2)",
                    r"\delta q = \delta a_c U_c^\top",
                ),
                "B H",
            ),
            (
                r"q = r \odot h'",
                (
                    r"\delta r = \delta q \odot h'",
                    r"\delta h' \leftarrow \delta h' + \delta q \odot r",
                ),
                "B H",
            ),
            (
                r"z, r = \sigma(x W_{zr} + h' U_{zr} + b_{zr})",
                (
                    r"\delta a_z = \delta z \odot z (1 - z)",
                    r"\delta a_r = \delta r \odot r (1 - r)",
                    r"\delta h' \leftarrow \delta h' + \delta a_{zr} U_{zr}^\top",
                ),
                "B H",
            ),
            (
                r"a_t = x_t W + \dots + b",
                (
                    r"\delta x_t = \delta a_t W^\top",
                    r"\delta W = \sum x_t^\top \delta a_t",
                    r"\delta b = \sum \delta a_t",
                ),
                "D 3H",
            ),
            (
                r"h_{t-1} U_{zr}, \quad (r_t \odot h_{t-1}) U_c",
                (
                    r"\delta U_{zr} = \sum h_{t-1}^\top \delta a_{zr,t}",
                    r"\delta U_c = \sum (r_t \odot h_{t-1})^\top \delta a_{c,t}",
                ),
                "H 3H",
            ),
        ),
        _gru,
    ),
    Part(
        "average of pairs",
        "06_multiresolution",
        (multires.average_pairs_backward,),
        (
            (
                r"s_i = (h_{2i} + h_{2i+1}) / 2",
                (r"\delta h_{2i} = \delta h_{2i+1} = \delta s_i / 2 \quad \text{(a lone last frame: all)}",),
                "B T K",
            ),
        ),
        _average,
    ),
    Part(
        "copies",
        "06_multiresolution",
        (multires.replicate_backward,),
        (
            (
                r"y_t = s_{\lfloor t / n \rfloor}",
                (r"\delta s_i = \sum_{t : \lfloor t / n \rfloor = i} \delta y_t",),
                "B ⌈T/n⌉ K",
            ),
        ),
        _replicate,
    ),
    Part(
        "the encoder",
        "06_multiresolution",
        (multires.encoder_backward,),
        (
            (
                r"h_t = \sum_l s^l_{\lfloor t / 2^l \rfloor}",
                (
                    r"\delta s^l = R_l^\top \delta h + \delta x^{l+1}",
                    r"\delta h^l = A^\top \delta s^l",
                ),
                "B T K",
            ),
        ),
        _encoder,
    ),
    Part(
        "the head",
        "05_attention_and_losses",
        (attention.attention_backward,),
        (
            (
                r"p_t = \sigma(e_t), \quad a_t = p_t / \sum_s p_s, \quad e = \sum_t a_t e_t",
                (r"\partial e / \partial e_t = a_t [1 + (1 - p_t)(e_t - e)]",),
                "B T",
            ),
            (
                r"e_t = w^\top h_t",
                (
                    r"\delta h_t = \delta e_t \cdot w",
                    r"\delta w = \sum \delta e_t h_t",
                ),
                "B T K",
            ),
        ),
        _attention,
    ),
    Part(
        "loss of the clip",
        "05_attention_and_losses",
        (losses.utterance_loss_backward,),
        ((r"L_\text{utt} = \ln(1 + \exp(e)) - y e", (r"\delta e = p - y",), "B"),),
        _utterance_loss,
    ),
    Part(
        "loss of the frames",
        "05_attention_and_losses",
        (losses.frame_loss_backward,),
        (
            (
                r"L_\text{frame} = \frac{1}{|W|} \sum_{t \in W} [\ln(1 + \exp(e_t)) - y_t e_t]",
                (r"\delta e_t = (p_t - y_t) / |W| \quad (t \in W)",),
                "B T",
            ),
        ),
        _frame_loss,
    ),
    Part(
        "all of it",
        "05_attention_and_losses",
        (model.loss_and_grads,),
        (
            (
                r"L = L_\text{utt} + \alpha L_\text{frame}",
                (
                    r"\delta e_t = \alpha (p_t - y_t) / |W| + \delta e \cdot \partial e / \partial e_t",
                    r"\text{then the head, then the encoder}",
                ),
                "B T",
            ),
        ),
        _model,
    ),
    Part(
        "a convolution",
        "11_what_the_winners_did",
        (convolution.convolution_backward,),
        (
            (
                r"z_i = \sum_j x_{i+j} W_j",
                (r"\delta W_j = \sum_i x_{i+j} \delta z_i", r"\delta x_k = \sum_j \delta z_{k-j} W_j"),
                "B T F M",
            ),
        ),
        _convolution,
    ),
    Part(
        "a maximum",
        "11_what_the_winners_did",
        (pooling.max_pool_backward,),
        ((r"y = \max_i z_i", (r"\delta z_i = \delta y \ \text{at the first maximum, else } 0",), "B T F M"),),
        _maximum,
    ),
    Part(
        "batch normalisation",
        "11_what_the_winners_did",
        (batch_norm.batch_norm_backward,),
        (
            (
                r"\bar z = (z - \mu) / s, \quad y = \gamma \bar z + \beta",
                (
                    r"\delta \beta = \sum \delta y",
                    r"\delta \gamma = \sum \delta y \cdot \bar z",
                    r"\delta z = \frac{\gamma}{s} [\delta y - \frac{\delta \beta}{N} - \bar z \frac{\delta \gamma}{N}]",
                ),
                "B T F M",
            ),
        ),
        _batch_norm,
    ),
    Part(
        "an LSTM layer",
        "11_what_the_winners_did",
        (lstm.lstm_backward, lstm.lstm_recurrence_backward),
        (
            (
                r"h = o \odot \tanh c",
                (
                    r"\delta o = \delta h \odot \tanh c",
                    r"\delta c \leftarrow \delta c + \delta h \odot o \odot (1 - \tanh^2 c)",
                ),
                "B H",
            ),
            (
                r"c = f \odot c' + i \odot g",
                (
                    r"\delta f = \delta c \odot c'",
                    r"\delta i = \delta c \odot g",
                    r"\delta g = \delta c \odot i",
                    r"\delta c' = \delta c \odot f",
                ),
                "B H",
            ),
        ),
        _lstm,
    ),
)


def where(function):
    """Path from the root and line of a function's definition, "minirsed/gru.py:120"."""
    path = Path(inspect.getsourcefile(function)).relative_to(ROOT).as_posix()
    return f"{path}:{inspect.getsourcelines(function)[1]}"


def page(mathml, style):
    """The page as HTML; `mathml` makes a formula of LaTeX. All checks run."""
    rows = []
    for part in PARTS:
        error, n = part.check(), len(part.rows)
        places = (html.escape(where(function)).replace("/", "/<wbr>") for function in part.functions)
        places = "<br>".join(f"<code>{place}</code>" for place in places)
        for i, (forward, back, shape) in enumerate(part.rows):
            backward = " &ensp;".join(
                f'<span class="unbroken">{mathml(each)}{"," if each is not back[-1] else ""}</span>' for each in back
            )
            cells = [f"<td>{mathml(forward)}</td><td>{backward}</td><td>{html.escape(shape)}</td>"]
            if i == 0:
                name = f'<a href="{part.notebook}.html">{html.escape(part.name)}</a>'
                cells = [
                    f'<th rowspan="{n}">{name}</th>',
                    *cells,
                    f'<td rowspan="{n}">{places}</td><td rowspan="{n}">{error:.0e}</td>',
                ]
            rows.append(f"<tr>{''.join(cells)}</tr>")
    head = "".join(f"<th>{text}</th>" for text in ("", "forward", "backward", "shape", "where", "checked to"))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>All gradients</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"{style}<style>body {{ font-family: sans-serif; max-width: 90rem; }} table {{ border-spacing: 0; }}"
        "td, th { border-top: 1px solid #ccc; padding: 0.4em 0.45em; text-align: left; vertical-align: top; }"
        "td:nth-last-child(3) { white-space: nowrap; } th[rowspan] { position: sticky; left: 0; background: Canvas; }"
        "code { font-size: 0.8em; }</style></head><body>\n<h1>All gradients on one page</h1>\n"
        "<p>δa is the gradient of the loss with respect to a, and has its shape. Sums run over frames and clips. h′ is "
        "the state before, and q what the reset gate leaves of it; R copies frames, A averages pairs of them; in the "
        "loss of the frames W is the set of frames near the event. Shapes: B clips, T frames, D inputs, H units, K "
        "numbers a frame. The last column is the largest relative difference from finite "
        "differences, in float64, over all arrays of the part; it was measured when this page was made.</p>\n"
        f'<p><a href="index.html">contents</a></p>\n<div style="overflow-x: auto"><table><tr>{head}</tr>\n'
        + "\n".join(rows)
        + "\n</table></div></body></html>\n"
    )
