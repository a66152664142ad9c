"""The page on which findings are heard, seen and judged: one HTML file that needs no network and no other file.

Data flow: findings, clips, `minirsed.pages.media` → **page**. Its only script is page.js, and the page's own policy
allows no other: names of recordings and classes are escaped, and if one did get through, it would be text still.
"""

import base64
import hashlib
from html import escape
from pathlib import Path

import numpy as np

import minirsed.pages
from data_tools.audio import SAMPLE_RATE, resample
from minirsed import __version__
from minirsed.analysis.plots import FOUND, draw_log_mel
from minirsed.console.options import probability_text
from minirsed.features import frame_to_seconds, lfbe
from minirsed.pages import media
from minirsed.pages.elements import Html, paragraph

TITLES = {
    "alarm": ("Alarms", "what the detector takes for the event"),
    "near": ("Nearly alarms", "what it does not take for the event, but nearly"),
}
BUTTONS = (("event", "1 event"), ("not", "2 not"), ("unsure", "3 unsure"))


def policy(script):
    """Content security policy: this script, what is in the page, and nothing else."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    )


def page(label, cards, command, summary):
    """The whole page.

    Parameters
    ----------
    label : str
        The detector's class.
    cards : dict of str to list of (str, Html)
        A key of `TITLES` → name of the clip and `card`.
    command : str
        What makes this page again.
    summary : str
        What was listened to.
    """
    own, folder = Path(__file__).parent, Path(minirsed.pages.__file__).parent
    css = (folder / "pages.css").read_text(encoding="utf-8") + (own / "page.css").read_text(encoding="utf-8")
    script = (own / "page.js").read_text(encoding="utf-8")
    names = [name for group in cards.values() for name, _ in group]
    identity = hashlib.blake2b("\n".join(names).encode(), digest_size=8).hexdigest()
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy(script)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" '
        f'content="light dark"><title>{escape(label)}, or not?</title><style>{css}</style></head>'
        f'<body data-page="{identity}"><header><h1>{escape(label)}, or not?</h1>{paragraph(summary)}{how_to(label)}'
        '</header><div class="bar"><span id="progress" role="status"></span>'
        '<button id="save" type="button">Save verdicts.csv</button></div>'
        f"<main>{''.join(section(kind, group) for kind, group in cards.items())}</main>"
        f"<footer>Made by minirsed {__version__}: <code>{escape(command)}</code></footer>"
        f"<script>{script}</script></body></html>\n"
    )


def how_to(label):
    """What to press."""
    return Html(
        f"<p>Listen, and say of each what it is: <kbd>1</kbd> the event, {escape(label)}; <kbd>2</kbd> not the event; "
        "<kbd>3</kbd> unsure. The arrow keys go to the next and the one before, the space bar plays again. A verdict "
        "given twice is taken back. The browser keeps verdicts until you save them as a file.</p>"
    )


def section(kind, group):
    """The cards of a kind; nothing without any."""
    if not group:
        return ""
    title, meaning = TITLES[kind]
    return (
        f"<section><h2>{title}: {len(group)}</h2>{paragraph(f'{meaning[0].upper()}{meaning[1:]}.')}"
        f'<div class="cards">{"".join(card for _, card in group)}</div></section>'
    )


def card(number, clip, y, sr, finding, detector):
    """One finding: picture, player, facts, buttons.

    Parameters
    ----------
    number : int
        Unlike that of any other card of the page.
    clip : minirsed.mine.clips.Clip
    y, sr : (samples,) float64 and int
        Its sound.
    finding : minirsed.mine.findings.Finding
    detector : minirsed.detector.Detector
    """
    y = resample(y, sr, SAMPLE_RATE)
    place = f"{finding.name}, {clock(finding.event.onset_s)}"
    event = finding.event
    heading = f"{number}. p = {probability_text(event.probability, 3)}, {event.offset_s - event.onset_s:.1f} s"
    alarm = finding.alarm and f"piece of {media.span(*finding.alarm[:2])}, joined over gaps"
    piece = f"<dt>alarm</dt><dd>{escape(alarm)}</dd>" if alarm else ""
    buttons = "".join(f'<button type="button" value="{value}">{text}</button>' for value, text in BUTTONS)
    return Html(
        f'<article data-clip="{escape(clip.clip)}" tabindex="-1" aria-label="{escape(heading)}">'
        f"<h4>{escape(heading)}</h4>{picture(f'clip{number}', y, finding, detector)}"
        f'<audio controls preload="metadata" src="{media.audio(y)}" aria-label="Sound of {escape(place)}"></audio>'
        f"<dl><dt>recording</dt><dd>{escape(place)}</dd><dt>clip</dt><dd>{escape(clip.clip)}</dd>{piece}</dl>"
        f'<div class="verdicts" role="group" aria-label="Verdict">{buttons}</div></article>'
    )


def picture(name, y, finding, detector):
    """Spectrogram of a clip, and p_t with the detector's threshold, as SVG; seconds are those of the recording."""
    features = lfbe(y, **detector.features)
    event, start_s, p_t = finding.event, finding.start_s, finding.probabilities
    seconds = frame_to_seconds(finding.first_frame + np.arange(len(p_t)))

    def draw(figure):
        mel, probability = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
        draw_log_mel(mel, features, start_s, start_s + len(y) / SAMPLE_RATE)
        probability.axvspan(event.onset_s, event.offset_s, color=FOUND, alpha=0.35)
        probability.plot(seconds, p_t, color="k", linewidth=1)
        probability.axhline(detector.thres1, color="k", linewidth=0.6, linestyle=":")
        probability.set(xlabel="seconds", ylabel="$p_t$", ylim=(-0.02, 1.04), xlim=(start_s, finding.end_s))

    title = (
        f"Spectrogram and frame probability from {start_s:.1f} to {finding.end_s:.1f} s; the detector means "
        f"{media.span(event.onset_s, event.offset_s)}"
    )
    return media.svg(name, title, draw)


def clock(seconds):
    """`0:12:03`."""
    minutes, seconds = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
