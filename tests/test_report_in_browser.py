"""The report page in a real browser, chromium without a display: `python -m pytest -m slow -k browser`.

Light and dark, at the widths of a phone and a desk. A page around it holds a script that waits for its sounds and
writes down what it measured; the page itself has none, and its policy would refuse it.
"""

import json
import re
import shutil
import subprocess

import pytest

from minirsed.report import page as report_page
from tests.test_evaluate_command import results_by_hand
from tests.test_report import page_of

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,  # ten seconds, and a browser
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]
SCHEMES = {"dark": 0, "light": 1}  # of blink's preferredColorScheme
PROBE = """<pre id="probe"></pre><script>
const frame = document.createElement("iframe");
frame.style.cssText = "width: WIDTHpx; height: 800px; border: 0";
frame.srcdoc = PAGE;
frame.onload = async () => {
  const page = frame.contentDocument, view = frame.contentWindow, sounds = [...page.querySelectorAll("audio")];
  await Promise.all(sounds.map(a => a.readyState ? 0 : new Promise(done => a.onloadedmetadata = a.onerror = done)));
  const outside = e => e.getBoundingClientRect().right > view.innerWidth + 1 && !e.closest(".scroll, code");
  const colour = (e, name) => view.getComputedStyle(e)[name];
  document.getElementById("probe").textContent = JSON.stringify({
    width: view.innerWidth,
    scrollWidth: page.documentElement.scrollWidth,
    outside: [...page.querySelectorAll("body *")].filter(outside).map(e => e.tagName),
    durations: sounds.map(a => a.duration),
    text: colour(page.body, "color"),
    page: colour(page.body, "backgroundColor"),
    soft: colour(page.querySelector("figcaption"), "color"),
    surface: colour(page.querySelector("figure"), "backgroundColor"),
    axis: colour(page.querySelector("figure svg text"), "fill"),
    axisHeight: page.querySelector("article svg text").getBoundingClientRect().height,
    pictures: [...page.querySelectorAll("svg[role=img]")].map(e => e.getBoundingClientRect().width),
    images: page.querySelectorAll("svg image").length,
  });
};
document.body.append(frame);
</script>"""


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return page_of(results_by_hand(tmp_path_factory.mktemp("run")))


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_page_in_a_browser(text, scheme, width, tmp_path):
    seen, console = measured(text, scheme, width, tmp_path)
    assert not console, console
    assert seen["width"] == width and seen["scrollWidth"] <= width and not seen["outside"]
    assert len(seen["durations"]) == seen["images"] == 6
    assert all(duration == pytest.approx(0.1, abs=0.06) for duration in seen["durations"])
    assert all(width * 0.2 < picture <= width for picture in seen["pictures"])
    assert seen["axisHeight"] >= 8  # CSS pixels
    assert seen["axis"] == seen["text"]  # pictures follow the page
    assert (luminance(seen["page"]) < 0.1) == (scheme == "dark")
    for front, back in (("text", "page"), ("soft", "surface"), ("soft", "page")):
        assert contrast(seen[front], seen[back]) >= 4.5, (front, back)  # WCAG 2, AA


def test_the_policy_of_the_page_refuses_scripts_and_strangers(text, tmp_path):
    """What would happen if something did slip in: nothing runs, nothing is fetched."""
    intruder = '<script>document.title = "ran"</script><img src="https://example.org/x.png" alt="x"></body>'
    (tmp_path / "page.html").write_text(text.replace("</body>", intruder), encoding="utf-8")
    dom, log = browse(tmp_path / "page.html", tmp_path)
    assert "<title>ping: report on a detector</title>" in dom and "<title>ran" not in dom
    assert log.count("Content Security Policy") >= 2
    assert report_page.POLICY.startswith("default-src 'none'")


def measured(text, scheme, width, folder):
    """What PROBE finds in the page, and the lines of its console."""
    content = json.dumps(text.replace(report_page.POLICY, "")).replace("</", "<\\/")
    probe = PROBE.replace("WIDTH", str(width)).replace("PAGE", content)
    (folder / "probe.html").write_text(f'<!DOCTYPE html><meta charset="utf-8"><body>{probe}', encoding="utf-8")
    dom, log = browse(folder / "probe.html", folder, f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}")
    found = re.search(r'<pre id="probe">(.+?)</pre>', dom, re.S)
    assert found, log
    return json.loads(found[1].replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&")), console_of(log)


def browse(path, folder, *options):
    """DOM of a page after its scripts, and the browser's log."""
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    command += ["--disable-component-update", "--disable-sync", f"--user-data-dir={folder / 'profile'}"]
    command += ["--window-size=1400,900", "--enable-logging=stderr", "--virtual-time-budget=20000", *options]
    done = subprocess.run(
        [*command, "--dump-dom", path.as_uri()], capture_output=True, text=True, encoding="utf-8", timeout=120
    )
    return done.stdout, done.stderr


def console_of(log):
    return re.findall(r"CONSOLE.*", log)


def luminance(colour):
    """Relative luminance of `rgb(r, g, b)`, 0 to 1 (WCAG 2)."""
    channels = [int(number) / 255 for number in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
