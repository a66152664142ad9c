"""The two pictures of the front page, from a run: `python -m tutorials.front_page runs/babycry`.

    images/detections.png   two development clips: the faintest hit, and a false alarm (or, without any, a miss, or
                            without that a clip in which there is nothing)
    images/report.png       RUN/report_eval.html in a browser (chromium), an excerpt of it in two columns

The run is that of the README's first command, and `python -m minirsed.report runs/babycry --subset eval` has written
its page. Look at both pictures before you commit them.
"""

import io
import math
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from data_tools.console import Parser, command
from data_tools.errors import InputError
from data_tools.event_lists import read_event_list
from data_tools.files import atomic_write
from data_tools.mixing import render
from data_tools.recipes import draw_recipes
from data_tools.soundbank import SoundBank
from minirsed.analysis import plots
from minirsed.detector import Detector
from minirsed.features import SAMPLE_RATE, frame_to_seconds, lfbe

IMAGES = Path(__file__).resolve().parent / "images"
N_DEV, HELD_OUT_SEED = 200, 1  # the development mixtures of the quick preset
PAGE_SIZE = 1400, 1190  # CSS pixels
REPORT_WIDTH = 860  # pixels
COLOURS = 80
# The page's own style, but with two columns, and without what does not fit: tables by scene, epochs, settings.
EXCERPT = """<style>
body, main { max-width: none !important; } body { margin: 0 16px !important; }
main { display: grid; grid-template: auto 1fr / 12fr 13fr; gap: 0 24px; }
section { margin: 0 !important; min-width: 0; } section:nth-of-type(1), section:nth-of-type(2) { grid-column: 1; }
section:nth-of-type(4) { grid-column: 2; grid-row: 1 / 3; }
section:nth-of-type(3), section:nth-of-type(n + 5), footer { display: none; }
</style></head>"""


def two_clips(run):
    """Two mixtures of the run's development set and what its detector makes of them, as PNG."""
    detector, bank = Detector.load(run), SoundBank.builtin()
    recipes = draw_recipes(bank, detector.label, "dev", N_DEV, HELD_OUT_SEED)
    found = read_event_list(run / "events_dev.csv")
    if missing := [recipe.name for recipe in recipes if recipe.name not in found]:
        raise InputError(f"{run / 'events_dev.csv'}: has no {missing[0]}; the run must be one of the quick preset")

    def is_hit(recipe):
        events = found[recipe.name]
        return recipe.has_event and bool(events) and abs(events[0][0] - recipe.onset_s) <= 0.5

    def length_s(recipe):
        return sum(offset_s - onset_s for onset_s, offset_s, *_ in found[recipe.name])

    hits = [recipe for recipe in recipes if is_hit(recipe)]
    alarms = [recipe for recipe in recipes if not recipe.has_event and found[recipe.name]]
    misses = [recipe for recipe in recipes if recipe.has_event and not is_hit(recipe)]
    quiet = [recipe for recipe in recipes if not recipe.has_event]
    if not hits or not alarms + misses + quiet:
        raise InputError(f"{run}: has no hit to show, or nothing else")
    shown = min(hits, key=lambda recipe: recipe.ebr_db), max(alarms or misses or quiet, key=length_s)

    figure = plots.new_figure(figsize=(9, 4.6), layout="constrained")
    axes = figure.subplots(4, 1, sharex=True, height_ratios=[2, 1, 2, 1])
    for recipe, mel, probability in zip(shown, axes[::2], axes[1::2], strict=True):
        y = render(recipe, bank)
        detection = detector.detect(y, SAMPLE_RATE)
        draw(mel, probability, lfbe(y), recipe, detection)
        ratio = f"{recipe.label} at {recipe.ebr_db:+.0f} dB" if recipe.has_event else "no event"
        without = "false alarm" if found[recipe.name] else "correct rejection"
        kind = "hit" if is_hit(recipe) else "missed or misplaced" if recipe.has_event else without
        title = f"{recipe.scene.replace('_', ' ')}, {ratio}: p = {detection.probability:.3f}, {kind}"
        mel.set_title(title, fontsize="medium")
    axes[-1].set_xlabel("seconds")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return compressed(Image.open(buffer))


def draw(mel, probability, features, recipe, detection):
    """One clip on two axes, in the colours of all other pictures."""
    seconds = frame_to_seconds(np.arange(len(features)))
    plots.draw_log_mel(mel, features, seconds[0], seconds[-1])
    probability.plot(seconds, detection.frame_probabilities, color="k", linewidth=1)
    probability.set(ylabel="$p_t$", ylim=(-0.02, 1.02), xlim=(seconds[0], seconds[-1]))
    if recipe.has_event:
        probability.axvspan(recipe.onset_s, recipe.offset_s, color=plots.TRUTH, alpha=0.35, label="true event")
        for edge in (recipe.onset_s, recipe.offset_s):
            mel.axvline(edge, color="w", linewidth=0.8, linestyle="--")
    if detection.onset_s is not None:
        span = detection.onset_s, detection.offset_s
        probability.plot(span, (0.5, 0.5), color=plots.FOUND, linewidth=5, solid_capstyle="butt", label="detected")
    if probability.get_legend_handles_labels()[0]:
        probability.legend(loc="best", fontsize="small")


def compressed(image):
    """A picture as PNG with a palette; by median cut, Pillow's default, the orange of events turns into magma's red."""
    buffer = io.BytesIO()
    colours = image.convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE, kmeans=3, dither=Image.Dither.NONE)
    colours.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def report(run):
    """An excerpt of the run's report page as PNG."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        raise InputError("chromium is not installed; the picture of the report page needs it")
    page = run / "report_eval.html"
    if not page.exists():
        raise InputError(f"{page}: no such file; python -m minirsed.report {run} --subset eval")
    with TemporaryDirectory() as folder:
        excerpt, shot = Path(folder, "page.html"), Path(folder, "page.png")
        excerpt.write_text(page.read_text(encoding="utf-8").replace("</head>", EXCERPT, 1), encoding="utf-8")
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        command += [f"--user-data-dir={folder}/profile", "--blink-settings=preferredColorScheme=1"]  # light
        command += [f"--window-size={PAGE_SIZE[0]},{PAGE_SIZE[1]}", f"--screenshot={shot}", excerpt.as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        image = Image.open(shot).convert("RGB")
    height = math.ceil(PAGE_SIZE[1] * REPORT_WIDTH / PAGE_SIZE[0])
    return compressed(image.resize((REPORT_WIDTH, height), Image.Resampling.LANCZOS))


@command
def main(argv=None):
    """Run the command."""
    parser = Parser("tutorials.front_page", "RUN", description=__doc__.splitlines()[0])
    parser.add_argument("run", metavar="RUN", type=Path, help="run folder of python -m minirsed.train babycry")
    run = parser.parse_args(argv).run
    for name, png in (("detections", two_clips(run)), ("report", report(run))):
        with atomic_write(IMAGES / f"{name}.png") as file:
            file.write(png)
        print(f"{IMAGES / name}.png: {len(png) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
