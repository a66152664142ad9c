"""Pictures and sounds for a web page: SVG that follows the page's colours, MP3 as text.

Data flow: plots → **media** → pages of `minirsed.report`, `minirsed.mine`. Figures are small, so that their text can be
read on a phone.
"""

import base64
import io
import re

import numpy as np

from data_tools.errors import InputError
from minirsed.analysis import plots

SIZE = (4.2, 3.1)  # inches; on a phone, 360 CSS pixels wide, a text of 9 points is still 9 pixels high
LEGEND_FACE = "#fdfcfb"  # stands for the page's background until the SVG is done
STYLE = {
    "svg.fonttype": "none",  # text stays text: it can be read aloud, searched and selected
    "svg.hashsalt": "minirsed",  # the same ids every time
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "legend.fontsize": 8,
    "legend.facecolor": LEGEND_FACE,
}
AUDIO = {"samplerate": 44100, "format": "MP3", "subtype": "MPEG_LAYER_III", "compression_level": 0.8}  # 45 kbit/s
PEAK = 0.9  # of full scale; mixtures are a fifth as loud as they might be


def svg(name, title, draw, size=SIZE):
    """A picture as an `svg` element for HTML.

    Parameters
    ----------
    name : str
        Letters and digits, unlike that of any other picture of the page: ids begin with it.
    title : str
        What it shows, for those who do not see it; escaped here.
    draw : callable
        `draw(figure)` fills a `matplotlib.figure.Figure`.
    size : (width, height) in inches

    Returns
    -------
    str
        Black is `currentColor`, the page's text colour; there is no background; width and height are those of its
        container. Neither script nor address of anything outside of it.
    """
    from html import escape

    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context(STYLE):
        figure = plots.new_figure(figsize=size, layout="constrained")
        draw(figure)
        figure.savefig(buffer, format="svg", transparent=True, dpi=100, metadata={"Date": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.S)  # its links lead outside
    view_box = re.search(r'viewBox="([^"]+)"', text)[1]
    label = escape(title)
    root = f'<svg viewBox="{view_box}" role="img" aria-label="{label}" fill="currentColor"><title>{label}</title>'
    text = root + text[text.index(">") + 1 :]
    text = re.sub(r'\b(id="|url\(#|xlink:href="#)', rf"\g<1>{name}-", text)  # ids are unique in a page
    for black in ("#000000", "black"):
        text = text.replace(f"stroke: {black}", "stroke: currentColor").replace(f"fill: {black}", "fill: currentColor")
    return text.replace(LEGEND_FACE, "var(--surface)")


def span(onset_s, offset_s):
    """`12.34 – 13.50 s`."""
    return f"{onset_s:.2f} – {offset_s:.2f} s"


def audio(y):
    """A sound as the `src` of an HTML `audio` element: MP3, its peak raised to 0.9.

    Parameters
    ----------
    y : (samples,) float array, 44.1 kHz

    Returns
    -------
    str
        `data:audio/mpeg;base64,…`, 7.5 kB a second.

    Raises
    ------
    InputError
        This libsndfile has no MP3.
    """
    import soundfile

    if AUDIO["format"] not in soundfile.available_formats():
        version = soundfile.__libsndfile_version__
        raise InputError(f"libsndfile {version} writes no MP3, which the sounds of the page are; 1.1 and later may")
    buffer = io.BytesIO()
    soundfile.write(buffer, y * (PEAK / max(np.abs(y).max(), 1e-9)), **AUDIO)
    return "data:audio/mpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
