"""Pages of the tutorials in a real browser, dark and light, on a phone and a desk.

`python -m pytest -m slow -k browser`. Nothing is executed: a small notebook has what the real ones have, long lines of
code and of output, a wide table, a picture and a formula.
"""

import json
import re

import pytest

from tests.test_report_in_browser import CHROMIUM, SCHEMES, browse, contrast, luminance
from tutorials import build, gradients

nb = pytest.importorskip("nbformat.v4")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PROBE = """<pre id="probe"></pre><script>
const frame = document.createElement("iframe");
frame.style.cssText = "width: WIDTHpx; height: 800px; border: 0";
frame.srcdoc = PAGE;
frame.onload = () => {
  const page = frame.contentDocument, view = frame.contentWindow;
  const colour = (e, name) => view.getComputedStyle(e)[name];
  const back = e => { while (e && /, 0\\)$|transparent/.test(colour(e, "backgroundColor"))) e = e.parentElement;
                      return e ? colour(e, "backgroundColor") : colour(page.documentElement, "colorScheme"); };
  const scrolls = e => { while (e && !/auto|scroll/.test(colour(e, "overflowX"))) e = e.parentElement; return !!e; };
  const words = page.createTreeWalker(page.body, 4), pairs = new Set(), cut = [];
  while (words.nextNode()) {
    const e = words.currentNode.parentElement, right = e.getBoundingClientRect().right;
    if (!words.currentNode.data.trim() || !e.getClientRects().length || /SCRIPT|STYLE/.test(e.tagName)) continue;
    pairs.add(colour(e, "color") + " on " + back(e));
    if (right > view.innerWidth + 1 && !scrolls(e)) cut.push(words.currentNode.data);
  }
  document.getElementById("probe").textContent = JSON.stringify({
    scrollWidth: page.documentElement.scrollWidth, pairs: [...pairs], cut: cut,
  });
};
document.body.append(frame);
</script>"""


def notebook_page(folder):
    picture = nb.new_output("display_data", {"image/png": PIXEL, "text/plain": "x"})
    text = nb.new_output("stream", name="stdout", text="a long line of output " * 20)
    code = "x = some_function_of_a_long_name(first_argument=1, second_argument=2)  # and a comment that is no shorter"
    words = "# 2. Title\n\n[A link](01_sound_to_lfbe.md), `code`, $x^2$.\n\n$$" + "x + " * 60 + "y$$\n\n"
    table = "|" + " column |" * 12 + "\n|" + "--|" * 12 + "\n" + ("|" + " 123456 |" * 12 + "\n") * 3
    cells = [
        nb.new_markdown_cell(words + table),
        nb.new_code_cell(
            f"import os\n\ndef f(a):\n    '''Text.'''\n    return a + 1.5  # why\n\n{code}", outputs=[text]
        ),
        nb.new_code_cell("picture()", outputs=[picture]),
    ]
    return build.to_html(nb.new_notebook(cells=cells), folder, "02_mixtures_and_ebr")


PAGES = {
    "notebook": notebook_page,
    "contents": build.contents,
    "gradients": lambda folder: gradients.page(build.mathml, build.STYLE),
}


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_in_a_browser(name, scheme, width, tmp_path):
    """No text is cut off, the page does not scroll sideways, and every text can be read on what is behind it."""
    page = json.dumps(PAGES[name](tmp_path)).replace("</", "<\\/")
    probe = PROBE.replace("WIDTH", str(width)).replace("PAGE", page)
    (tmp_path / "probe.html").write_text(f'<!DOCTYPE html><meta charset="utf-8"><body>{probe}', encoding="utf-8")
    dom, log = browse(tmp_path / "probe.html", tmp_path, f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}")
    found = re.search(r'<pre id="probe">(.+?)</pre>', dom, re.S)
    assert found, log
    seen = json.loads(found[1].replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&"))
    assert seen["scrollWidth"] <= width and not seen["cut"]
    default = {"dark": "rgb(18, 18, 18)", "light": "rgb(255, 255, 255)"}[scheme]  # of the browser itself
    pairs = [tuple(pair.replace("light dark", default).split(" on ")) for pair in seen["pairs"]]
    assert len(pairs) > 1
    for text, behind in pairs:
        assert (luminance(behind) < 0.2) == (scheme == "dark") and contrast(text, behind) >= 3, (text, behind)
