"""The page that listens: small, closed to the network, deaf to what names might do, and equal to Python in a browser.

What needs a browser is slow: `python -m pytest -m slow tests/test_export_page.py`, if chromium is installed.
"""

import ast
import base64
import dataclasses
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_tools.audio import resample
from data_tools.event_lists import read_event_list
from minirsed.detect.formats import FORMATS
from minirsed.detector import Detector
from minirsed.export import __main__ as export
from minirsed.export.page import POLICY, packed, page_text, script_json, twin
from minirsed.export.parts import parts_of
from minirsed.listening.operating import AS_FOUND, Operating
from minirsed.model import ModelConfig, init_params
from minirsed.outside.members import join
from minirsed.recordings.streaming import DELAY
from tests.chromium import CHROMIUM, Browser
from tests.test_export import random_detector
from tests.test_export_c import KINDS, NASTY, SHAPED, detector_of, expected, sound
from tests.test_report_in_browser import contrast, luminance

ROOT = Path(__file__).parents[1]
SCRIPTS = ["detector", "twin", "worker", "worklet", None]  # ids, in the order of the page
OWN = {  # what Python has as one expression, or in NumPy
    *("tanh", "power_spectrum", "projected", "add_logits", "unpacked", "concatenate", "Windows"),
}


def page_of(detector, **about):
    return page_text(detector, parts_of(detector), networks="detector of something", **about)


@pytest.fixture(scope="module")
def text():
    return page_of(detector_of("multires-relative"), card="# The card")


class Elements(HTMLParser):
    """Elements of a page: [(name, attributes, text directly in it)]."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append([tag, dict(attrs), ""])

    def handle_endtag(self, tag):
        self.found.append(["/", {}, ""])  # what follows is not directly in it

    def handle_data(self, data):
        if self.found:
            self.found[-1][2] += data


def test_the_page_of_the_quick_preset_is_small():
    config = ModelConfig("multires", 3, 32, 48, inputs="relative", rule="strongest", n_mels=64, lead=9)
    members = [init_params(config, np.random.default_rng(k)) for k in range(4)]
    joined = dataclasses.replace(config, n_units=128)
    detector = Detector(joined, join(members, config), "babycry", np.zeros(48), np.ones(48))
    assert len(page_of(detector).encode()) <= 1_000_000


def test_it_fetches_nothing(text):
    assert f'content="{POLICY}"' in text and POLICY.startswith("default-src 'none'") and "connect-src" not in POLICY
    addresses = re.findall(r"\w+://[^\s\"'`]*", text)
    assert addresses == ["http://localhost:8000."]  # advice
    assert not re.search(r"\bfetch\(|XMLHttpRequest|WebSocket|\bimport\b|EventSource|sendBeacon", text)


def test_every_element_that_the_scripts_ask_for_exists(text):
    elements = Elements(text).found
    ids = [about["id"] for _, about, _ in elements if "id" in about]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'\$\("([\w-]+)"\)', text)) <= set(ids)
    assert {about["for"] for _, about, _ in elements if "for" in about} <= set(ids)
    assert "@@" not in text


def test_names_cannot_break_out():
    """Of the class and of the card, in text and in data; nor do they fill a place of the template."""
    label = NASTY + "<img src=x onerror=alert(1)>@@VERSION@@<!--<script>"
    detector = dataclasses.replace(detector_of("uni"), label=label)
    elements = Elements(page_of(detector, card=label)).found
    assert [about.get("id") for tag, about, _ in elements if tag == "script"] == SCRIPTS
    assert not [tag for tag, _, _ in elements if tag == "img"]
    data = next(content for tag, about, content in elements if about.get("id") == "detector")
    assert json.loads(data)["label"] == label and "<" not in data
    shown = {tag: content for tag, _, content in elements}
    assert shown["pre"] == label and shown["em"] == label
    assert script_json("</script><!--\u2028") == '"\\u003c/script\\u003e\\u003c!--\\u2028"'


def test_weights_keep_24_bits():
    values = np.concatenate([np.random.default_rng(0).normal(0, 0.1, 1000), [0, -3, 3, 1e-9]]).astype(np.float32)
    data = packed(values)
    raw = np.frombuffer(base64.b64decode(data["numbers"]), np.uint8).reshape(-1, 3)
    back = (np.pad(raw, ((0, 0), (1, 0))).copy().view("<i4")[:, 0] >> 8) * data["step"]
    np.testing.assert_allclose(back, values, rtol=0, atol=3 * 2**-24)
    assert len(data["numbers"]) == 4 * len(values) and packed(np.zeros(3))["step"] == 1


def test_the_twin_has_the_names_of_python():
    """A reader of the one finds the same in the other."""
    defined = set()
    for path in [*(ROOT / "minirsed").rglob("*.py"), *(ROOT / "data_tools").rglob("*.py")]:
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        defined |= {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    program = twin(parts_of(detector_of("uni")))
    names = set(re.findall(r"^(?:function|class) (\w+)", program, re.M))
    assert len(names) > 25 and names - OWN <= defined and OWN <= names
    constants = re.findall(r"\b([A-Z_]{3,}) = ([\d.e-]+)", program)
    assert len(constants) == 16 and dict(constants)["DELAY"] == str(DELAY)


def test_lists_have_the_columns_of_the_command(text):
    header = re.search(r'CSV_HEADER = ("[^"]+");', text)[1]
    assert json.loads(header) == FORMATS["csv"].header


FIGURES = {"n_clips": 1200, "subset": "eval", "n_tp": 9, "n_ref": 10, "by_clip": {"n_false_alarms": 3, "n_quiet": 600}}


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("run").mkdir()
    random_detector("multires", 2, n_inputs=64).save("run/best.npz")
    export.main(["run", "page.html"])
    assert re.match(
        r"page.html: 0.\d\d MB, detector of babycry, multires, 2 × 5 units\nopen it", capsys.readouterr().out
    )
    assert "has not been measured" in Path("page.html").read_text(encoding="utf-8")
    Path("run/figures_eval.json").write_text(json.dumps(FIGURES))
    Path("run/card.md").write_text("# A <b>card</b>")
    export.main(["run", "page.html"])
    sentence = (
        "On 1,200 eval mixtures it found 9 of 10 events in time, and took 3 of 600 clips without any for one. False "
        "alarms an hour have not been measured."
    )
    text = Path("page.html").read_text(encoding="utf-8")
    assert sentence in text and sentence in capsys.readouterr().out
    assert "<pre># A &lt;b&gt;card&lt;/b&gt;</pre>" in text


@pytest.mark.parametrize("damage", ["{", "[]", "{}", '{"by_clip": 3}', json.dumps(FIGURES | {"by_clip": {}})])
def test_damaged_figures_are_named(damage, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("run").mkdir()
    random_detector("uni", 1, n_inputs=64).save("run/best.npz")
    Path("run/figures_eval.json").write_text(damage)
    with pytest.raises(SystemExit):
        export.main(["run", "page.html"])
    error = capsys.readouterr().err.strip()
    assert "run/figures_eval.json: damaged, or of another version" in error and len(error.splitlines()) == 1
    assert not Path("page.html").exists()


# ---- in a browser

in_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
HEAR = """(() => {
  const pcm = new Int16Array(Uint8Array.from(atob("PCM"), (c) => c.charCodeAt(0)).buffer);
  const y = Float32Array.from(pcm, (v) => v / 32768);
  const stream = new Detector(ABOUT).stream(44100, LIVE), joiner = new Joiner(ABOUT.operating), p_t = [], events = [];
  const take = (found) => {
    p_t.push(...found.frame_probabilities);
    const candidates = found.events.filter((event) => event.probability > ABOUT.thres0);
    events.push(...joiner.push(candidates, found.none_before_s));
  };
  for (let n = 0; n < y.length; n += 70000) take(stream.push(y.slice(n, n + 70000)));
  take(stream.finish());
  return {p_t, events};
})()"""


def open_page(browser, detector, folder, **about):
    (folder / "page.html").write_text(page_of(detector, **about), encoding="utf-8")
    browser.open((folder / "page.html").as_uri())


def drop(browser, path):
    """As by hand: a file falls on the page; wait until it has been heard."""
    content = base64.b64encode(path.read_bytes()).decode()
    browser.run(
        f"{{ const bytes = Uint8Array.from(atob('{content}'), (c) => c.charCodeAt(0)), data = new DataTransfer();"
        f"data.items.add(new File([bytes], {json.dumps(path.name)}));"
        "dispatchEvent(new DragEvent('drop', {dataTransfer: data, cancelable: true})); }"
    )
    browser.wait("sound.finished || !$('trouble').hidden")


def same_events(found, wanted):
    found = [(event["onset_s"], event["offset_s"], event["probability"]) for event in found]
    assert len(found) == len(wanted)
    if found:
        np.testing.assert_allclose(np.array(found), np.array(wanted), atol=1e-4)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.mark.slow
@in_a_browser
@pytest.mark.parametrize(("kind", "operating"), [*((kind, AS_FOUND) for kind in KINDS), *SHAPED.items()])
def test_the_twin_computes_what_python_does(kind, operating, browser, tmp_path):
    detector, n_events = dataclasses.replace(detector_of(kind), operating=operating), 0
    open_page(browser, detector, tmp_path)
    for seconds in (62.3, 30.25, 3.1, 0.03):
        pcm, y = sound(seconds, np.random.default_rng(int(seconds)))
        content = base64.b64encode(pcm.tobytes()).decode()
        for live in (False, True) if detector.config.arch != "uni" else (True,):
            found = browser.run(HEAR.replace("LIVE", str(live).lower()).replace("PCM", content))
            p_t, events = expected(detector, y, live)
            assert len(found["p_t"]) == len(p_t)
            np.testing.assert_allclose(found["p_t"], p_t, atol=1e-4)
            same_events(found["events"], events)
            n_events += len(events)
            assert seconds < 60 or np.ptp(p_t) > 0.3
    assert n_events > 2 and not browser.console


@pytest.mark.slow
@in_a_browser
def test_a_dropped_file(browser, tmp_path):
    """Worker, picture, list, slider and both downloads; then a file that is no sound."""
    detector = dataclasses.replace(detector_of("multires-relative"), operating=Operating(0.2, 1.0))
    y = sound(63, np.random.default_rng(1))[1]
    path = tmp_path / "a\tsound & <b>.wav"
    soundfile.write(path, y, 44100, subtype="FLOAT")  # of 16 bits a browser makes other floats, by 1 part in 32768
    open_page(browser, detector, tmp_path)
    drop(browser, path)
    p_t, events = expected(detector, y, 0)
    shown = browser.run("Array.from(sound.history.p_t.subarray(0, sound.history.n_settled))")
    np.testing.assert_allclose(shown, p_t, atol=1e-4)
    same_events(browser.run("wanted()"), events)
    assert browser.run("[...$('events').rows].length") == len(events) > 2
    plain = expected(dataclasses.replace(detector, operating=AS_FOUND), y, 0)[1]
    assert len(plain) > len(events) and browser.run("$('counted').textContent").startswith(f"{len(events)} events")
    for beyond_s, n_settled in ((0.9, len(events) - 1), (1.1, len(events))):  # live, the last one waits for the gap
        browser.run(f"sound.none_before_s = {events[-1].offset_s + beyond_s}")
        assert browser.run("wanted().length") == n_settled
    assert browser.run("$('status').textContent") == "Heard 0:01:03 of a\tsound & <b>.wav."
    (tmp_path / "events.csv").write_text(browser.run("csv_text()"), encoding="utf-8")
    (read,) = read_event_list(tmp_path / "events.csv").values()
    np.testing.assert_allclose([event[:2] for event in read], [event[:2] for event in events], atol=6e-4)
    assert {event[2] for event in read} == {"babycry"}
    label = browser.run("audacity_text()").splitlines()[0].split("\t")
    assert [float(label[0]), float(label[1])] == pytest.approx(events[0][:2], abs=1e-5)
    assert label[2] == f"babycry {events[0].probability:.2f}"

    lowest = min(event.probability for event in events)
    browser.run(f"$('threshold').value = {np.ceil(100 * lowest) / 100}; $('threshold').oninput()")
    assert browser.run("$('events').rows.length") < len(events)
    browser.run("sound.events.forEach((event) => { event.probability *= 0.5; })")
    browser.run("$('threshold').value = 0.99; $('threshold').oninput()")
    assert browser.run("$('events').rows.length") == 0 and browser.run("$('csv').disabled")
    browser.run("$('threshold').value = 0; $('threshold').oninput()")
    n_candidates = len(expected(dataclasses.replace(detector, thres0=0.0), y, 0)[1])
    assert browser.run("$('events').rows.length") == n_candidates
    browser.run("[...$('events').querySelectorAll('button')].pop().click()")  # the first one
    colours = "new Set(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height / 2).data).size"
    browser.wait("is_drawn && !sound.follow")
    assert browser.run(colours) > 50

    browser.run("look(1800)")
    middle = browser.run("draw(); sound.view - sound.n_visible / 2")
    browser.look(500)  # a telephone that is turned shows what it showed
    browser.wait("is_drawn && sound.n_visible === visible_frames()")
    assert abs(browser.run("sound.view - sound.n_visible / 2") - middle) <= 1

    path.write_text("no sound")
    drop(browser, path)
    assert "is no sound that this browser can read" in browser.run("$('trouble').textContent")
    assert not browser.console


@pytest.mark.slow
@in_a_browser
@pytest.mark.parametrize("kind", ["uni-relative", "multires-relative"])
def test_the_microphone(kind, tmp_path):
    """Chromium plays a file to it; the page is a file itself. What it hears is what Python hears, a little later."""
    detector = detector_of(kind)
    pcm, y = sound(12, np.random.default_rng(3))
    soundfile.write(tmp_path / "said.wav", pcm, 44100, subtype="PCM_16")
    fake = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    fake += [f"--use-file-for-fake-audio-capture={tmp_path / 'said.wav'}%noloop"]
    with Browser(tmp_path, *fake, "--autoplay-policy=no-user-gesture-required") as browser:
        open_page(browser, detector, tmp_path)
        browser.run("$('listen').click()")
        browser.wait("sound.running && sound.heard_s > 11")
        assert browser.run("$('status').textContent") == "Listening to the microphone."
        assert browser.run("$('listen').disabled && !$('stop').disabled")
        browser.run("$('stop').click()")
        browser.wait("sound.finished")
        heard = np.array(browser.run("Array.from(sound.history.p_t.subarray(0, sound.history.n_settled))"))
        assert browser.run("sound.history.n_frames") == len(heard) > 300
        assert not browser.console and browser.run("$('trouble').hidden")
    p_t = expected(detector, y, 1)[0]
    alike = max(np.corrcoef(heard[shift : shift + 300], p_t[start : start + 300])[0, 1]
                for shift in range(0, len(heard) - 300, 1) for start in (0, 10, 20, 40))  # fmt: skip
    assert alike > 0.8


@pytest.mark.slow
@in_a_browser
def test_a_microphone_that_is_refused_is_told_in_plain_words(browser, tmp_path):
    open_page(browser, detector_of("uni"), tmp_path)
    browser.run("navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('x', 'NotAllowedError'))")
    browser.run("$('listen').click()")
    browser.wait("!$('trouble').hidden")
    assert "was not allowed" in browser.run("$('trouble').textContent")
    browser.run("Object.defineProperty(window, 'isSecureContext', {value: false}); $('listen').click()")
    browser.wait("$('trouble').textContent.includes('http://localhost:8000')")
    assert not browser.console


@pytest.mark.slow
@in_a_browser
@pytest.mark.parametrize("sr", [48000, 16000, 22050, 96000, 44100, 44101])
def test_resampling(sr, browser, tmp_path):
    """As soxr does it, below the highest tenth of the band; in pieces as in one."""
    open_page(browser, detector_of("uni"), tmp_path)
    rng, t = np.random.default_rng(0), np.arange(sr) / sr
    tones = rng.uniform(50, 0.44 * min(sr, 44100), 8)
    y = sum(np.sin(2 * np.pi * hz * t + rng.uniform(0, 6)) for hz in tones) / 10
    content = base64.b64encode(y.astype("<f4").tobytes()).decode()
    code = """(() => {
      const y = new Float32Array(Uint8Array.from(atob("PCM"), (c) => c.charCodeAt(0)).buffer);
      const r = new StreamResampler(SR), out = [];
      for (let n = 0; n < y.length; n += 777) out.push(...r.push(y.slice(n, n + 777)));
      return [...out, ...r.push(new Float32Array(0), true)];
    })()"""
    found = np.array(browser.run(code.replace("SR", str(sr)).replace("PCM", content)))
    wanted = resample(y, sr, 44100)
    assert len(found) == len(wanted)
    inside = slice(2000, -2000)  # a sudden end has no band
    assert np.abs(found - wanted)[inside].max() < 1e-3


@pytest.mark.slow
@in_a_browser
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_can_be_read(width, scheme, browser, tmp_path):
    detector = dataclasses.replace(detector_of("uni"), label="a_rather_long_name_" * 4)
    browser.look(width, 900, scheme)
    open_page(browser, detector, tmp_path, card="A card\n" + "with_a_long_word_" * 20)
    soundfile.write(tmp_path / "said.wav", sound(20, np.random.default_rng(1))[0], 44100)
    drop(browser, tmp_path / "said.wav")
    assert browser.run("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    colours = browser.run("""[["body", "color"], ["body", "backgroundColor"], ["figcaption", "color"],
      ["figure", "backgroundColor"], [".hint", "color"], [".primary", "color"], [".primary", "backgroundColor"],
      ["b.event", "color"], ["b.probability", "color"]].map(
        ([e, name]) => getComputedStyle(document.querySelector(e))[name])""")
    text, page, soft, surface, hint, on_button, button, event, probability = colours
    assert (luminance(page) < 0.1) == (scheme == "dark")
    pairs = [(text, page), (soft, surface), (hint, page), (on_button, button), (event, surface), (probability, surface)]
    assert all(contrast(*pair) >= 4.5 for pair in pairs)  # WCAG 2, AA
    assert browser.run("[...document.querySelectorAll('button')].every((b) => b.getBoundingClientRect().height >= 24)")
    assert not browser.console


@pytest.mark.slow
@in_a_browser
def test_by_keyboard_and_by_ear(browser, tmp_path):
    """Tab reaches everything in the order of the page, and everything has a name."""
    open_page(browser, detector_of("uni"), tmp_path)
    soundfile.write(tmp_path / "said.wav", sound(20, np.random.default_rng(1))[0], 44100)
    drop(browser, tmp_path / "said.wav")
    reached = []
    for _ in range(30):
        for kind in ("keyDown", "keyUp"):
            key = {"key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9}
            browser.send("Input.dispatchKeyEvent", type=kind, **key)
        reached.append(browser.run("document.activeElement.id || document.activeElement.tagName"))
    wanted = ["listen", "file", "player", "threshold", "scroll", "BUTTON", "csv", "audacity", "SUMMARY"]
    places = [reached.index(name) for name in wanted]
    assert places == sorted(places)
    nodes = browser.send("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "slider", "image", "img", "region", "textbox", "status", "alert"}
    named = [(n["role"]["value"], n.get("name", {}).get("value")) for n in nodes if not n["ignored"]]
    assert {"button", "slider"} <= {role for role, _ in named}
    assert all(name for role, name in named if role in roles - {"status", "alert"})
    assert any(
        role in ("image", "img") and name.startswith("Spectrogram and probability of 0:00:20") for role, name in named
    )


@pytest.mark.slow
@in_a_browser
def test_the_policy_refuses_the_network(browser, tmp_path):
    open_page(browser, detector_of("uni"), tmp_path)
    assert browser.run("fetch('http://127.0.0.1:9/').then(() => 'came', () => 'refused')") == "refused"
    assert any("Content Security Policy" in line for line in browser.console)
    browser.console.clear()
