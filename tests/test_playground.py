"""The interactive page of the tutorials: small, without a network, and its JavaScript computes what Python does."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from minirsed.activations import sigmoid, softplus
from minirsed.attention import attention_backward, attention_forward, attention_weights
from minirsed.gru import gru_forward
from minirsed.losses import frame_loss_weights
from tutorials import playground

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
T, EPOCHS = 433, 16  # as in notebook 5
LOSSES = [("both", 1, "near"), ("clip", 1, "none"), ("near", 0, "near"), ("all", 0, "all"), ("balanced", 0, "balanced")]
HOP_S, FIRST_S, SHARE, MARGIN = 0.023, 0.023, 0.06, 50


@pytest.fixture(scope="module")
def logits():
    return np.random.default_rng(0).normal(-2, 3, (len(LOSSES), EPOCHS, T))


@pytest.fixture(scope="module")
def page(logits):
    rng = np.random.default_rng(1)
    features, sound = rng.standard_normal((T, 64)), rng.standard_normal(441000)
    data = {
        "step": playground.LOGIT_STEP,
        "clips": [
            playground.clip_data("a cry", features, logits, 3.0, 4.5, sound, 44100),
            playground.clip_data("no cry", features, logits[::-1]),
        ],
        "losses": [{"name": name, "clip": clip, "frames": frames} for name, clip, frames in LOSSES],
        **{"epochs": EPOCHS, "frames": T, "hop": HOP_S, "first": FIRST_S, "share": SHARE, "margin": MARGIN},
        "reach": playground.reach_data(np.exp(rng.standard_normal((55, 109)))),
        "surface": {"T": 1303, "event": 87, "near": 100},
    }
    return playground.page(json.loads(json.dumps(data)))


def test_it_is_one_small_file_that_fetches_nothing(page):
    assert len(page.encode()) <= 300_000  # of which the sound of one clip is a third
    assert not re.search(r'\b(src|href)="(?!\w+\.html)', page) and "http" not in page.replace("http-equiv", "")
    assert "fetch(" not in page and "import " not in page


def test_every_element_that_the_script_asks_for_exists(page):
    script = Path(playground.__file__).with_suffix(".js").read_text(encoding="utf-8")
    asked = set(re.findall(r'\$\("(\w+)"\)', script)) | {"bias", "pull", "candidate"}
    assert asked <= set(re.findall(r'id="(\w+)"', page))


@pytest.fixture(scope="module")
def in_browser(page, tmp_path_factory):
    """What the functions of the page return, as JSON."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    probe = """<pre id="probe"></pre><script>
    const clip = DATA.clips[0], quiet = DATA.clips[1], found = logitsOf(clip, 0, 7);
    const extreme = [-800, -795, -790, -900];
    document.getElementById("probe").textContent = JSON.stringify({
      logits: found, attend: attend(found), extreme: attend(extreme), labels: labelsOf(clip),
      deltas: DATA.losses.map(loss => delta(loss, found, labelsOf(clip))),
      quiet: DATA.losses.map(loss => delta(loss, found, labelsOf(quiet))),
      surface: [[1.5, -2], [-3, 4], [6, 6]].map(([u, v]) => surface(u, v, 0.7)),
      latch: latch(6, -12, 3, latchSignals()), shown: document.getElementById("numbers").textContent,
      roll: roll([-1, -1], 1).at(-1),
    });</script>"""
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(page.replace("</body>", probe + "</body>"), encoding="utf-8")
    words = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", path.as_uri()]
    shown = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True).stdout
    return json.loads(re.search(r'<pre id="probe">(.*?)</pre>', shown, re.S)[1])


@pytest.mark.slow
def test_attention_and_gradients_are_those_of_the_package(in_browser, logits):
    e_t = np.array(in_browser["logits"])
    assert np.abs(e_t - np.clip(logits[0, 7], -16, 15.875)).max() <= playground.LOGIT_STEP / 2
    _, e, cache = attention_forward(np.ones(1), e_t[None, :, None])
    assert np.allclose(in_browser["attend"]["a"], cache.a[0]) and np.isclose(in_browser["attend"]["e"], e[0])
    g, _ = attention_backward(np.zeros((1, T)), np.ones(1), cache)
    assert np.allclose(in_browser["attend"]["g"], g[0, :, 0])
    extreme = np.array([[-800.0, -795.0, -790.0, -900.0]])
    assert np.allclose(in_browser["extreme"]["a"], attention_weights(extreme)[0])

    seconds = FIRST_S + HOP_S * np.arange(T)
    labels = ((seconds >= 3.0) & (seconds < 4.5)).astype(float)
    assert in_browser["labels"] == labels.tolist()
    weights = {
        "near": frame_loss_weights(labels[None], MARGIN)[0],
        "none": 0 * labels,
        "all": np.full(T, 1 / T),
        "balanced": np.where(labels == 1, 0.5 / SHARE, 0.5 / (1 - SHARE)) / T,
    }
    for (_, clip, frames), delta in zip(LOSSES, in_browser["deltas"], strict=True):
        expected = clip * (sigmoid(e) - 1) * g[0, :, 0] + weights[frames] * (sigmoid(e_t) - labels)
        assert np.allclose(delta, expected, atol=1e-12)
    for (_, clip, frames), delta in zip(LOSSES, in_browser["quiet"], strict=True):
        weight = {"all": 1 / T, "balanced": 0.5 / (1 - SHARE) / T}.get(frames, 0.0)
        assert np.allclose(delta, clip * sigmoid(e) * g[0, :, 0] + weight * sigmoid(e_t), atol=1e-12)


@pytest.mark.slow
def test_surface_and_latch_are_those_of_the_notebooks(in_browser):
    def loss(u, v, alpha=0.7, n_event=87, n_near=100, n_frames=1303):
        e_t = np.repeat([u, v], [n_event, n_frames - n_event]).astype(float)
        e = attention_weights(e_t[None])[0] @ e_t
        near = n_event * softplus(-u) + n_near * softplus(np.array(v, float))
        return softplus(-e) + alpha * near / (n_event + n_near)

    for (u, v), found in zip([(1.5, -2), (-3, 4), (6, 6)], in_browser["surface"], strict=True):
        assert np.isclose(found["loss"], loss(u, v))
        assert np.isclose(found["du"], (loss(u + 1e-5, v) - loss(u - 1e-5, v)) / 2e-5, atol=1e-7)
        assert np.isclose(found["dv"], (loss(u, v + 1e-5) - loss(u, v - 1e-5)) / 2e-5, atol=1e-7)
    u, v = in_browser["roll"]
    assert u > 2 and v < -2  # downhill from (−1, −1) the event goes up and the rest down

    signals = np.zeros((1, 200, 2))
    signals[0, [40, 140], 0] = signals[0, 110, 1] = 1
    weights = {"W": np.array([[-12.0, 0, 3], [-12.0, 0, 0]]), "U": np.zeros((1, 3)), "b": np.array([6.0, 0, 0])}
    h, cache = gru_forward(weights, signals)
    assert np.allclose(in_browser["latch"]["states"], h[0, :, 0])
    assert np.allclose(in_browser["latch"]["gates"], cache.gates[:, 0, 0])
    assert re.match(r"after epoch 15: p = 0\.\d{3}", in_browser["shown"])
