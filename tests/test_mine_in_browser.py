"""The page of `minirsed.mine` in a real browser, chromium without a display: `python -m pytest -m slow -k browser`.

A page around it presses keys and buttons and writes down what comes of it; the page's own policy stays in force.
"""

import json
import re

import numpy as np
import pytest

from minirsed.mine import page as mine_page
from minirsed.mine.clips import Clip
from minirsed.mine.findings import Finding
from minirsed.recordings.files import Event
from tests.conftest import tone_detector, tones
from tests.test_report_in_browser import CHROMIUM, SCHEMES, browse, console_of, contrast, luminance

pytestmark = [
    pytest.mark.slow,  # ten seconds, and a browser
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]
PROBE = """<pre id="probe"></pre><script>
const frame = document.createElement("iframe");
frame.style.cssText = "width: WIDTHpx; height: 800px; border: 0";
frame.srcdoc = PAGE;
frame.onload = async () => {
  const page = frame.contentDocument, view = frame.contentWindow, sounds = [...page.querySelectorAll("audio")];
  await Promise.all(sounds.map(a => a.readyState ? 0 : new Promise(done => a.onloadedmetadata = a.onerror = done)));
  const steps = [], saved = [], names = [], played = [];
  for (const sound of sounds) sound.play = () => { played.push(sounds.indexOf(sound)); return Promise.resolve(); };
  view.URL.createObjectURL = blob => { saved.push(blob); return "blob:it"; };
  view.HTMLAnchorElement.prototype.click = function () { names.push(this.download + " of " + this.href); };
  const cards = [...page.querySelectorAll("article")];
  const note = what => steps.push({
    what, current: cards.findIndex(c => c.hasAttribute("aria-current")),
    verdicts: cards.map(c => c.dataset.verdict || ""),
    pressed: cards.map(c => [...c.querySelectorAll("button[aria-pressed=true]")].map(b => b.value).join()),
    progress: page.getElementById("progress").textContent, disabled: page.getElementById("save").disabled,
    focus: cards.indexOf(page.activeElement),
  });
  const press = key => {
    (page.activeElement || page.body).dispatchEvent(new view.KeyboardEvent("keydown", {key, bubbles: true}));
    note(key);
  };
  note("begin");
  ["1", "2", "ArrowLeft", "ArrowUp", "ArrowUp", "3", "ArrowDown", "ArrowRight", "ArrowRight", "x"].forEach(press);
  cards[1].querySelector("button[value=event]").click();
  note("click");
  page.getElementById("save").click();
  cards[1].querySelector("button[value=event]").click();
  note("again");
  press("ArrowRight");
  press(" ");
  const texts = await Promise.all(saved.map(blob => blob.text()));
  const colour = (e, name) => view.getComputedStyle(e)[name];
  const outside = e => e.getBoundingClientRect().right > view.innerWidth + 1 && !e.closest("code");
  document.getElementById("probe").textContent = JSON.stringify({
    steps, texts, names, played, durations: sounds.map(a => a.duration), scrollWidth: page.documentElement.scrollWidth,
    outside: [...page.querySelectorAll("body *")].filter(outside).map(e => e.tagName),
    text: colour(page.body, "color"), page: colour(page.body, "backgroundColor"),
    button: [colour(page.querySelector(".verdicts button"), "color"),
             colour(page.querySelector(".verdicts button"), "backgroundColor")],
    pressed: [colour(page.querySelector("button[aria-pressed=true]"), "color"),
              colour(page.querySelector("button[aria-pressed=true]"), "backgroundColor")],
    heights: [...page.querySelectorAll("button")].map(b => b.getBoundingClientRect().height),
  });
};
document.body.append(frame);
</script>"""


@pytest.fixture(scope="module")
def text():
    """Three findings; class and recording have names that would break out of a page."""
    cards, detector = {"alarm": [], "near": []}, tone_detector()
    for number, kind in enumerate(("alarm", "alarm", "near"), 1):
        y = tones(1.5, [(0.5, 1.0)], seed=number)
        event, p_t = Event(10.5, 11.0, 0.9 / number), np.linspace(0, 1, 60, dtype=np.float32)
        found = Finding(kind, None, '"><img src=x onerror=alert(1)>.wav', event, 10.0, 11.5, 430, p_t)
        clip = Clip(f"clip-{number}.wav", "<b>", kind, 0.5, 0.5, 1.0, "a.wav", 10.0)
        cards[kind].append((clip.clip, mine_page.card(number, clip, y, 44100, found, detector)))
    return mine_page.page("</script><b>", cards, "python </script>", "one recording")


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_page_in_a_browser(text, scheme, width, tmp_path):
    seen, console = probed(text, scheme, width, tmp_path)
    assert not console, console
    assert seen["scrollWidth"] <= width and not seen["outside"]
    assert all(duration == pytest.approx(1.5, abs=0.1) for duration in seen["durations"])
    assert (luminance(seen["page"]) < 0.1) == (scheme == "dark")
    for front, back in ((seen["text"], seen["page"]), seen["button"], seen["pressed"]):
        assert contrast(front, back) >= 4.5, (front, back)  # WCAG 2, AA
    assert min(seen["heights"]) >= 44  # CSS pixels, for fingers

    steps = {step.pop("what") + str(number): step for number, step in enumerate(seen["steps"])}
    found = [(step["current"], step["verdicts"]) for step in steps.values()]
    assert found == [
        (0, ["", "", ""]),  # begin
        (1, ["event", "", ""]),  # 1, and on to the next
        (2, ["event", "not", ""]),  # 2
        (1, ["event", "not", ""]),  # left
        (0, ["event", "not", ""]),  # up
        (0, ["event", "not", ""]),  # up: there is none before
        (1, ["unsure", "not", ""]),  # 3: another verdict
        (2, ["unsure", "not", ""]),  # down
        (2, ["unsure", "not", ""]),  # right: there is none behind
        (2, ["unsure", "not", ""]),  # right
        (2, ["unsure", "not", ""]),  # x
        (1, ["unsure", "event", ""]),  # a click on a button of the second
        (1, ["unsure", "", ""]),  # the same once more takes it back
        (2, ["unsure", "", ""]),  # right
        (2, ["unsure", "", ""]),  # blank: plays
    ]
    assert all(step["pressed"] == step["verdicts"] for step in steps.values())
    assert [step["progress"] for step in steps.values()][::11] == ["0 of 3 judged", "2 of 3 judged"]
    assert [step["disabled"] for step in steps.values()] == [True] + [False] * 14
    assert steps["22"]["focus"] == 2
    assert seen["texts"] == ["clip,verdict\nclip-1.wav,unsure\nclip-2.wav,event\n"]
    assert seen["names"] == ["verdicts.csv of blob:it"]
    assert seen["played"] == [1, 2, 1, 0, 0, 1, 2, 2, 2, 2, 2]


def test_verdicts_survive_that_the_page_is_closed(text, tmp_path):
    """A script of ours judges; the next time the page is opened, by itself, they are there."""
    press = "document.dispatchEvent(new KeyboardEvent('keydown', {key: '2', bubbles: true}));"
    script = re.search("<script>(.*)</script>", text, re.S)[1]
    target = "event.target.closest"
    judging = text.replace(script, f"{script}{press.replace('document.', 'document.body.')}")
    judging = judging.replace(mine_page.policy(script), "default-src 'unsafe-inline' data:")
    assert target in script
    for content, expected in ((judging, "1 of 3 judged"), (text, "1 of 3 judged")):
        (tmp_path / "page.html").write_text(content, encoding="utf-8")
        dom, _ = browse(tmp_path / "page.html", tmp_path)
        assert expected in dom
    assert re.search(r'data-clip="clip-1.wav"[^>]*data-verdict="not"', dom)


def test_the_policy_runs_our_script_and_no_other(text, tmp_path):
    intruder = '<script>document.title = "ran"</script><img src="https://example.org/x.png" alt="x"></body>'
    (tmp_path / "page.html").write_text(text.replace("</body>", intruder), encoding="utf-8")
    dom, log = browse(tmp_path / "page.html", tmp_path)
    assert "0 of 3 judged" in dom and "<title>ran" not in dom
    assert log.count("Content Security Policy") >= 2
    assert "onerror" not in re.sub(r'aria-label="[^"]*"|<title>[^<]*</title>|<dd>[^<]*</dd>', "", dom)


def probed(text, scheme, width, folder):
    """What PROBE finds in the page, and the lines of its console."""
    content = json.dumps(text).replace("</", "<\\/")
    probe = PROBE.replace("WIDTH", str(width)).replace("PAGE", content)
    (folder / "probe.html").write_text(f'<!DOCTYPE html><meta charset="utf-8"><body>{probe}', encoding="utf-8")
    dom, log = browse(folder / "probe.html", folder, f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}")
    found = re.search(r'<pre id="probe">(.+?)</pre>', dom, re.S)
    assert found, log
    return json.loads(found[1].replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&")), console_of(log)
