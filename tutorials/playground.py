"""The interactive page: the detectors of notebook 5 by epoch and loss, the loss surface, the latch of notebook 3.

Notebook 5 gives its own runs to `hand_over`, which puts them into the output of a cell; `tutorials.build` finds them
there and writes playground.html, one file that needs no network. `playground.js` holds its mathematics.
"""

import io
import json
from base64 import b64encode
from pathlib import Path

import numpy as np

KIND = "application/vnd.playground+json"
SOUND_HZ = 8000
LOGIT_STEP = 0.125  # logits are stored in 8 bits: −16 to 15.875
DECADES = 4  # of the gradient, from 0 to 255
BODY = """
<h1>Playground</h1>
<p><a href="index.html">contents</a> · <a href="05_attention_and_losses.html">notebook 5</a></p>
<h2>Training, epoch by epoch</h2>
<p>Five losses, sixteen moments of training. <b style="color:#d95f02">p<sub>t</sub></b>, the attention
<b style="color:#7570b3">a<sub>t</sub></b> (its largest at the top) and the push
<b style="color:#e7298a">−δe<sub>t</sub></b> that the loss gives each frame (its largest at the edge); green: the true
cry. Move over the pictures to see which part of the sound a frame's logit listens to.</p>
<p><select id="clip"></select> <select id="loss"></select> epoch <input id="epoch" type="range" min="0" step="1">
<span id="numbers"></span></p>
<canvas id="spectrogram"></canvas><canvas id="curves" width="866" height="220"></canvas>
<canvas id="reach" width="866" height="70"></canvas><p id="reaching"></p><audio id="sound" controls></audio>
<h2>The loss surface</h2>
<p>Event frames have the logit u (upwards), all others v (to the right), both from −7 to 7; dark is low. Put the point
somewhere and see it roll; on the green line p is one half. α says how much the frame loss counts.</p>
<p>α <input id="alpha" type="range" min="-2" max="1" step="0.05" value="0"> <span id="surfaceNumbers"></span></p>
<canvas id="surface" width="480" height="480"></canvas>
<h2>A unit that remembers</h2>
<p>The latch of <a href="03_gru_forward.html">notebook 3</a>: two signals (green: begin, pink: over), its
<b style="color:#7570b3">gate z<sub>t</sub></b> and its <b>state h<sub>t</sub></b>.</p>
<p>b<sub>z</sub> <input id="bias" type="range" min="-2" max="8" step="0.5" value="6">
pull <input id="pull" type="range" min="-16" max="0" step="1" value="-12">
candidate <input id="candidate" type="range" min="-4" max="4" step="0.5" value="3"></p>
<canvas id="latchCurves" width="866" height="160"></canvas><p id="latchNumbers"></p>
"""
STYLE = """:root { color-scheme: light dark; }
@media (prefers-color-scheme: dark) { a { color: #7ab8f0; } }
body { font-family: sans-serif; max-width: 900px; margin: 0 auto; padding: 0 1rem; line-height: 1.5; }
canvas { display: block; width: 100%; background: #fafafa; margin: 4px 0; touch-action: none; }
#spectrogram { height: 160px; image-rendering: pixelated; cursor: crosshair; } #curves { cursor: crosshair; }
#surface { width: 480px; max-width: 100%; cursor: grab; } p { margin: 0.4em 0; }"""


def clip_data(title, features, logits, onset_s=np.nan, offset_s=np.nan, sound=None, sr=None):
    """A clip for the page.

    Parameters
    ----------
    title : str
    features : (T, 64) ndarray
    logits : (losses, epochs, T) ndarray
    onset_s, offset_s : float
        Seconds; NaN without an event.
    sound : (samples,) ndarray, optional
        Waveform at `sr`, to be heard at `SOUND_HZ` in 8 bits.
    """
    low, high = np.percentile(features, [1, 99.5])
    grey = np.clip((features - low) / (high - low) * 255, 0, 255).astype(np.uint8)
    steps = np.clip(np.round(logits / LOGIT_STEP), -128, 127).astype(np.int8)
    never = -1.0  # JSON has no NaN
    return {
        "title": title,
        "spectrogram": _text(grey.tobytes()),
        "logits": _text(steps.tobytes()),
        "onset": float(np.nan_to_num(onset_s, nan=never)),
        "offset": float(np.nan_to_num(offset_s, nan=never)),
        "sound": "" if sound is None else _text(_wav(sound, sr)),
    }


def reach_data(sizes):
    """|∂e_t/∂x_s| (t, s) for the page, each row relative to its largest, on a logarithmic scale of `DECADES`."""
    level = 1 + np.log10(sizes / sizes.max(axis=1, keepdims=True) + 1e-12) / DECADES
    grey = np.clip(255 * level, 0, 255).astype(np.uint8)
    return {"rows": len(grey), "columns": grey.shape[1], "map": _text(grey.tobytes()), "decades": DECADES}


def hand_over(**data):
    """Put data into the output of a notebook's cell, with a link for whoever reads on."""
    from IPython.display import display

    display({KIND: {"step": LOGIT_STEP, **data}, "text/markdown": "[Play with these runs](playground.html)"}, raw=True)


def handed_over(notebook):
    """What `hand_over` has put into an executed notebook, or None."""
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", []))
    return next((output["data"][KIND] for output in outputs if KIND in output.get("data", {})), None)


def page(data):
    """The page as HTML."""
    script = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Playground</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head><body>{BODY}'
        f"<script>const DATA = {json.dumps(data)};\n{script}</script></body></html>\n"
    )


def _text(data):
    return b64encode(data).decode()


def _wav(y, sr):
    """8 bits at `SOUND_HZ`."""
    import wave

    from data_tools.audio import resample

    y = resample(y, sr, SOUND_HZ)
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(1)
        out.setframerate(SOUND_HZ)
        out.writeframes(np.clip(128 + 120 * y / np.abs(y).max(), 0, 255).astype(np.uint8).tobytes())
    return file.getvalue()
