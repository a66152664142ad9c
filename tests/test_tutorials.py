"""The tutorials: what a notebook must have, that exercises judge rightly, and that all of it runs.

`-m slow` executes every notebook (under 15 minutes together, on two cores) and compares the pictures that lie in git
with those that the notebooks draw; the default run executes the `QUICK` ones.
"""

import ast
import html
import importlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minirsed.analysis.uncertainty import compare
from tutorials import build, gradients, verdicts
from tutorials.animation import animation
from tutorials.checks import NotFilledIn, WrongAnswer, check, exercises

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
NOTEBOOKS = build.notebooks()
QUICK = ("03", "04")  # two of the quickest
ANYWHERE = ("01", "03", "04", "08")  # need nothing but NumPy, SciPy and Matplotlib
HEADINGS = ("What you will do", "What you will learn", "What you need")

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def number_of(path):
    return path.name[:2]


def sources(path, kind):
    return [cell.source for cell in build.read(path).cells if cell.cell_type == kind]


def prose(path):
    """The Markdown of a notebook without formulas, code and the targets of links."""
    text = "\n\n".join(sources(path, "markdown"))
    return re.sub(r"```.*?```|\$\$.*?\$\$|\$[^$]*\$|`[^`]*`|\]\([^)]*\)", " ", text, flags=re.S)


def skeletons(path):
    """{exercise: its function in the notebook, as the reader finds it}."""
    code = sources(path, "code")
    found = {}
    for name, function in re.findall(r'^check\("(\d\d\.\w+)", (\w+)\)$', "\n".join(code), re.M):
        definition = next(source for source in code if f"def {function}(" in source)
        namespace = {"np": np}
        exec(compile(re.sub(r"^check\(.*", "", definition, flags=re.M), path.name, "exec"), namespace)
        found[name] = namespace[function]
    return found


def solution(path, function):
    return getattr(importlib.import_module(f"tutorials.solutions.{path.stem}"), function.__name__)


EXERCISES = [(path, name, function) for path in NOTEBOOKS for name, function in skeletons(path).items()]
each_exercise = pytest.mark.parametrize(("path", "name", "function"), EXERCISES, ids=[name for _, name, _ in EXERCISES])


def test_notebooks_are_numbered_without_a_gap():
    assert [number_of(path) for path in NOTEBOOKS] == [f"{i:02}" for i in range(len(NOTEBOOKS))]
    assert set(QUICK) <= {number_of(path) for path in NOTEBOOKS}


@each_notebook
def test_it_opens_with_what_you_will_do_learn_and_need(path):
    first = sources(path, "markdown")[0]
    assert first.startswith(f"# {int(number_of(path))}. ")
    assert re.findall(r"^\*\*(.*)\*\*\n\n- ", first, re.M) == list(HEADINGS)


@each_notebook
def test_saved_from_jupyter_it_is_the_same_text(path, tmp_path):
    from jupytext.cli import jupytext

    copy = tmp_path / path.name
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copy(path, copy)
    jupytext(["--to", "ipynb", "--quiet", str(copy)])
    copy.unlink()
    jupytext(["--to", "md", "--quiet", str(copy.with_suffix(".ipynb"))])
    assert copy.read_text(encoding="utf-8") == path.read_text(encoding="utf-8")


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
def test_no_output_is_in_git():
    """Markdown holds none; so there must be no notebook of another kind, and no page."""
    patterns = ["*.ipynb", "tutorials/html", "tutorials/*.html"]
    listed = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True)
    assert listed.stdout == ""


@each_notebook
def test_no_measured_number_stands_in_its_prose(path):
    """A decimal, percentage or multiple in the text stands in its code as well: an input, which the reader sees set.

    What comes *out* of the code is printed by it, so it cannot go stale.
    """
    code = "\n".join(sources(path, "code"))
    numbers = re.findall(r"(?<![\w.])(\d+\.\d+|\d+(?:\.\d+)?(?= ?%|-fold|× | times))", prose(path))
    stray = [n for n in numbers if not re.search(rf"(?<![\d.]){re.escape(n)}(?![\d])", code)]
    assert not stray


@each_notebook
def test_its_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#\s]+)", "\n".join(sources(path, "markdown"))):
        if not re.match(r"https?:", target):
            assert (path.parent / target).exists(), target
    following = NOTEBOOKS[int(number_of(path)) + 1 :]
    assert not following or f"]({following[0].name})" in sources(path, "markdown")[-1]  # it ends by naming the next


@each_notebook
def test_its_formulas_become_mathml(path):
    """A command that the converter does not know would be printed as text, backslash and all."""
    text = re.sub(r"```.*?```|`[^`]*`", " ", "\n\n".join(sources(path, "markdown")), flags=re.S)
    formulas = re.findall(r"\$\$(.+?)\$\$|\$([^$]+)\$", text, re.S)
    assert formulas
    for block, inline in formulas:
        made = build.mathml(block or inline, "block" if block else "inline")
        assert "\\" not in re.sub(r"&#x0*5C;", "\\\\", made), block or inline


@pytest.mark.parametrize(
    ("tex", "shown"),
    [
        (r"y \ln p", '<mi>y</mi><mspace width="0.17em" /><mi>ln</mi><mspace width="0.17em" /><mi>p</mi>'),
        (r"(1) \ln(p)", '<mo stretchy="false">)</mo><mspace width="0.17em" /><mi>ln</mi><mo stretchy="false">(</mo>'),
        (r"20 \log_{10} x", '</msub><mspace width="0.17em" /><mi>x</mi>'),
        (r"h'", '<mi>h</mi><mo form="postfix" lspace="0" rspace="0">′</mo>'),
        (r"|W|", '<mi>W</mi><mo stretchy="false" lspace="0" rspace="0">|</mo>'),
        (r"\sigma(-1)", '(</mo><mo form="prefix">−</mo>'),
        (r"(a) - 1", ")</mo><mo>−</mo>"),
        (r"\overline{z r}", '<mrow class="overline"><mrow><mi>z</mi><mi>r</mi></mrow></mrow>'),
        (r"\begin{aligned} a &= b \end{aligned}", 'class="aligned"'),
    ],
)
def test_a_formula_is_spaced_as_tex_does_it(tex, shown):
    r"""`\ln z` came out as "lnz", a prime tiny, a minus sign far from its number, and a bar as a dash."""
    assert shown in build.mathml(tex)


def formulas(text):
    """LaTeX of all formulas, in order, spaces made equal; code is left out."""
    text = re.sub(r"```.*?```|`[^`]*`|<pre>.*?</pre>|<code>.*?</code>", " ", text, flags=re.S)
    return [" ".join((a or b).split()) for a, b in re.findall(r"\$\$(.+?)\$\$|\$([^$]+)\$", text, re.S)]


def as_a_code_host_shows_it(text):
    """Markdown → HTML by CommonMark with tables, which is what code hosts do *before* anything looks for formulas."""
    from markdown_it import MarkdownIt

    return html.unescape(MarkdownIt("commonmark").enable("table").render(text))


def eaten(text):
    r"""Formulas that Markdown changes, (meant, shown); a line break `\\` at the end of a line is known to work."""
    shown = formulas(as_a_code_host_shows_it(text))
    meant = formulas(re.sub(r"\\\\$", r"\\", text, flags=re.M))
    assert len(shown) == len(meant)
    return [pair for pair in zip(meant, shown, strict=True) if pair[0] != pair[1]]


@each_notebook
def test_a_code_host_leaves_its_formulas_as_they_are(path):
    r"""Markdown takes `\,` `\;` `\{` for escapes and pairs of `_` for emphasis; and GitHub refuses `\operatorname`."""
    for text in sources(path, "markdown"):
        assert not eaten(text)
        assert "\\operatorname" not in text


@pytest.mark.parametrize("bad", [r"$a\,b$", r"$\{0, 1\}$", r"$\mathrm{a}_m + n_\mathrm{b}$", r"$$a \;=\; b$$"])
def test_an_eaten_formula_is_seen(bad):
    assert eaten(f"Text with {bad} in it.") and not eaten(r"Text with $a_{t,m} \cdot b$, and $$x_1 = x_2$$")


VERDICTS = re.compile(
    rf"{verdicts.LOWER}|{verdicts.HIGHER}|{verdicts.OPEN}|{verdicts.FEWER}|{verdicts.MORE}|"
    r"nothing is decided|significant|is (the )?(better|worse|best) "
    r"(than|of)|(beats|outperforms|wins)\b|do(es)? not differ\b|told apart"
)


def hard_coded_verdicts(code):
    """Verdicts in a cell's texts that are printed whatever comes out: under no `if`, in no table of choices."""
    found = []

    def visit(node, is_chosen):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and not is_chosen:
            found.extend(match.group() for match in VERDICTS.finditer(node.value))
        chooses = isinstance(node, ast.IfExp | ast.If | ast.Dict | ast.Subscript)
        for child in ast.iter_child_nodes(node):
            visit(child, is_chosen or chooses)

    visit(ast.parse(code), False)
    return found


@each_notebook
def test_no_verdict_is_hard_coded(path):
    """What a cell prints about two detectors comes from an interval, by `tutorials.verdicts` or by an `if`."""
    assert not [verdict for code in sources(path, "code") for verdict in hard_coded_verdicts(code)]


def test_a_hard_coded_verdict_is_seen():
    assert hard_coded_verdicts('Markdown(f"{a:.2f} is better than {b:.2f}")')
    assert hard_coded_verdicts('print("with so few clips nothing is decided")')
    assert not hard_coded_verdicts('print("nothing is decided" if low < 0 < high else "it wins")')


@pytest.mark.parametrize("seed", range(20))
def test_a_verdict_says_what_the_interval_says(seed):
    """Whatever the counts: it names a winner exactly if the interval leaves out zero, and the other one if swapped."""
    rng = np.random.default_rng(seed)
    has_event = np.arange(80) % 2
    right = [has_event & (rng.random(80) < share) for share in (0.7, rng.uniform(0.4, 1.0))]
    a, b = (np.stack([has_event, has_event, hit, 0 * hit], axis=1) for hit in right)
    found, swapped = (compare(*pair, np.random.default_rng(0)) for pair in ((a, b), (b, a)))
    low, high = found.interval
    says = verdicts.verdict(found, "A", "B")
    assert (verdicts.OPEN in says) == (low <= 0 <= high)
    assert (verdicts.LOWER in says) == (high < 0) == (verdicts.HIGHER in verdicts.verdict(swapped, "A", "B"))
    assert all(round(end, 2) in map(float, re.findall(r"[+-]?\d\.\d\d", says.replace("−", "-"))) for end in (low, high))
    assert verdicts.OPEN in verdicts.verdict(compare(a, a, rng), "A", "A")


@pytest.mark.parametrize("true_ratio", [0.3, 1.0, 2.0])
def test_the_interval_of_a_ratio_of_rates_keeps_its_promise(true_ratio):
    """95 % at least, whatever the ratio; and the sentence says what the interval says."""
    rng = np.random.default_rng(0)
    pairs = rng.poisson([8 * true_ratio, 8], (500, 2))
    held = 0
    for n, n_other in pairs.tolist():
        low, high = verdicts.rate_interval(n, n_other)
        held += low <= true_ratio <= high
        says = verdicts.rate_verdict(n, n_other, "A", "B")
        assert (verdicts.FEWER in says, verdicts.MORE in says) == (high < 1, low > 1)
        assert (verdicts.OPEN in says) == (low <= 1 <= high)
        swapped = verdicts.rate_interval(n_other, n)
        assert np.allclose([1 / high if high < np.inf else 0, 1 / low if low else np.inf], swapped)
    assert held / 500 > 0.93
    assert verdicts.rate_interval(0, 0) == (0, np.inf)


@each_notebook
def test_each_picture_says_what_it_shows(path):
    """To whoever does not see it: `alt="…"` of the cell, or, where the picture is in git too, the text of that link."""
    for cell in build.read(path).cells:
        if cell.cell_type == "code" and re.search(r"^plt\.show\(\)|\bImage\(root|^draw_flow\(", cell.source, re.M):
            said = "image" in cell.metadata or len(cell.metadata.get("alt", "")) > 20
            assert said, cell.source


@each_notebook
def test_readme_promises_it(path):
    assert re.search(rf"\[[^\]]+\]\(tutorials/{path.name}\)[^\n]*\w", README)


def test_readme_lists_them_in_order():
    assert re.findall(r"\(tutorials/(\d\d_\w+\.md)\)", README) == [path.name for path in NOTEBOOKS]


@each_notebook
def test_each_check_belongs_to_an_exercise(path):
    assert skeletons(path).keys() == exercises(number_of(path)).keys()
    assert 1 <= len(skeletons(path)) <= 6


@each_exercise
def test_an_unfilled_exercise_is_not_done(path, name, function):
    verdict = check(name, function)
    assert not verdict and "not filled in yet" in repr(verdict)
    with pytest.raises(NotFilledIn, match=re.escape(name)):
        check(name, function, strict=True)


@each_exercise
def test_the_solution_is_right(path, name, function):
    verdict = check(name, solution(path, function), strict=True)
    assert verdict and repr(verdict) == f"{name}: right."


@each_exercise
def test_a_wrong_answer_fails_with_its_hint(path, name, function):
    """`tests/wrong_answers/nbNN.py` holds mistakes that people make, each with words of the hint that it must get."""
    wrong = importlib.import_module(f"tests.wrong_answers.nb{number_of(path)}").WRONG[name]
    assert wrong
    for answer, words in wrong:
        with pytest.raises(WrongAnswer, match=rf"^{re.escape(name)} is not right yet\. .*{re.escape(words)}"):
            check(name, answer)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda *_, **__: None, "returns None"),
        (lambda *_, **__: "three", "returns str"),
        (lambda *_, **__: np.zeros((2, 1, 7)), "returns shape (2, 1, 7)"),
    ],
)
@each_exercise
def test_an_answer_of_the_wrong_kind_is_told_so(path, name, function, answer, words):
    with pytest.raises(WrongAnswer, match=re.escape(words)):
        check(name, answer)


def test_an_unknown_exercise_is_named():
    with pytest.raises(KeyError, match="this notebook has 03"):
        check("03.nothing", None)


def test_a_mistake_in_an_answer_keeps_its_traceback():
    def answer(*_):
        return 1 / 0

    with pytest.raises(ZeroDivisionError):
        check(EXERCISES[0][1], answer)


def executed(path, folder):
    """Build a notebook; its page must hold nothing that is fetched, and its pictures must be those in git."""
    notebook = build.execute(build.read(path))
    page = build.to_html(notebook, folder)
    assert not re.search(r'<(script|img|link|audio|source)\b[^>]*(src|href)="(?!data:)', page)
    assert "url(data:font/woff2" in page and 'href="index.html"' in page
    assert not re.search(r'alt="(a picture|No description[^"]*)"', page)
    made = build.pictures(notebook)
    shown = re.findall(r"\(images/(.+?)\.png\)", path.read_text(encoding="utf-8"))
    assert shown == list(made)
    for name, png in made.items():
        kept = (path.parent / "images" / f"{name}.png").read_bytes()
        assert len(kept) < (300_000 if b"acTL" in kept else 60_000), name  # a chunk that only moving pictures have
        assert build.difference(kept, png) <= build.SAME_PICTURE, f"python -m tutorials.build {path.stem} --images"


@pytest.mark.parametrize("path", [p for p in NOTEBOOKS if number_of(p) in QUICK], ids=lambda path: path.stem)
def test_quick_notebooks_run(path, tmp_path):
    executed(path, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("path", [p for p in NOTEBOOKS if number_of(p) not in QUICK], ids=lambda path: path.stem)
def test_all_other_notebooks_run(path, tmp_path):
    executed(path, tmp_path)


# A browser's Python (Pyodide) has no Numba at all, and loads the others only for whoever asks.
WITHOUT_EXTRAS = """
import json, sys
extras = {"numba", "llvmlite", "soundfile", "soxr", "joblib", "tqdm", "threadpoolctl", "yaml", "requests"}
class Refused:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in extras:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Refused)
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
for source in json.load(sys.stdin):
    shell.run_cell(source).raise_error()
print("\\nran to its end, and imported", sorted(extras & {name.partition(".")[0] for name in sys.modules}))
"""


def runs_without_extras(path):
    """Execute a notebook in a Python that refuses to import Numba and all compiled extras."""
    environment = {**os.environ, "MPLBACKEND": "agg", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", WITHOUT_EXTRAS]
    given = json.dumps(sources(path, "code"))
    ran = subprocess.run(command, input=given, cwd=path.parent, env=environment, capture_output=True, text=True)
    assert ran.stdout.endswith("ran to its end, and imported []\n"), ran.stdout[-2000:] + ran.stderr[-2000:]
    assert ran.stderr.count("Numba is not installed") <= 1


def notebook_numbered(number):
    return next(path for path in NOTEBOOKS if number_of(path) == number)


def test_a_notebook_runs_without_numba_and_the_compiled_extras():
    runs_without_extras(notebook_numbered("03"))


@pytest.mark.slow
@pytest.mark.parametrize("number", [number for number in ANYWHERE if number != "03"])
def test_other_notebooks_run_without_numba_and_the_compiled_extras(number):
    runs_without_extras(notebook_numbered(number))


def test_pictures_in_git_are_those_of_notebooks():
    shown = {name for path in NOTEBOOKS for name in re.findall(r"\(images/(.+?\.png)\)", path.read_text())}
    readme = set(re.findall(r"\(tutorials/images/(.+?\.png)\)", README))
    assert {path.name for path in (ROOT / "tutorials/images").iterdir()} == shown | readme


def test_another_curve_is_another_picture():
    """The rule that holds pictures against drift sees a changed curve, and does not see a changed font."""
    from matplotlib.figure import Figure

    def picture(phase, size):
        figure = Figure(figsize=(6, 3))
        axes = figure.subplots()
        axes.plot(np.sin(np.linspace(0, 6, 200) + phase))
        axes.set_title("a sine", fontsize=size)
        axes.tick_params(labelsize=size)
        file = io.BytesIO()
        figure.savefig(file, format="png")
        return file.getvalue()

    assert build.difference(picture(0, 10), picture(0, 10.5)) <= build.SAME_PICTURE
    assert build.difference(picture(0, 10), picture(1, 10)) > build.SAME_PICTURE


def test_a_film_keeps_moving_through_the_build():
    """Its frames, and their order, are what was drawn; a film is not cut down to its first picture."""
    from base64 import b64encode

    import nbformat
    from PIL import Image

    drawn = np.full((5, 40, 60, 4), 255, np.uint8)
    for i, picture in enumerate(drawn):
        picture[:, 10 * i : 10 * i + 10] = (200, 80, 10, 255)
    film = animation(list(drawn), seconds_each=0.5, last=2.0)
    output = nbformat.v4.new_output("display_data", {"image/png": b64encode(film).decode()})
    cell = nbformat.v4.new_code_cell("draw()", metadata={"image": "film"}, outputs=[output])
    (kept,) = build.pictures(nbformat.v4.new_notebook(cells=[cell])).values()
    moving = Image.open(io.BytesIO(kept))
    assert moving.n_frames == 5
    for i in range(5):
        moving.seek(i)
        assert np.abs(np.asarray(moving.convert("RGB"), int) - drawn[i, :, :, :3]).mean() < 3
    assert build.difference(kept, kept) == 0


def run_build(monkeypatch, tmp_path, *arguments, path=None):
    """The command on notebooks that are not executed; on one notebook that is, where `path` is given."""
    if path:
        monkeypatch.setattr(build, "notebooks", lambda: [path])
    else:
        monkeypatch.setattr(build, "execute", lambda notebook: notebook)
    build.main([*arguments, "--out", str(tmp_path / "pages")])


def test_build_command_writes_the_pages_asked_for(tmp_path, monkeypatch, capsys):
    run_build(monkeypatch, tmp_path, "3", "tutorials/04")
    pages = sorted((tmp_path / "pages").iterdir())
    assert [page.stem[:2] for page in pages] == ["03", "04", "gr", "in"]
    assert re.findall(r'href="(\d\d)_\w+\.html"', pages[3].read_text(encoding="utf-8")) == [
        number_of(path) for path in NOTEBOOKS
    ]
    page = pages[1].read_text(encoding="utf-8")
    assert "<math" in page and 'href="03_gru_forward.html"' in page and "<title>4. Back-prop" in page
    solution = re.search(r'href="([^"]*solutions/04[^"]*)"', page)[1]
    assert (tmp_path / "pages" / solution).resolve() == ROOT / "tutorials/solutions/04_backpropagation_through_time.py"
    assert capsys.readouterr().out.count(" s, ") == 2


@pytest.mark.parametrize(
    ("origin", "repository"),
    [
        ("https://github.com/somebody/minirsed.git\n", "gh/somebody/minirsed"),
        ("git@github.com:somebody/minirsed.git\n", "gh/somebody/minirsed"),
        ("https://user:secret@gitlab.com/group/part/minirsed\n", "gl/group%2Fpart%2Fminirsed"),
    ],
)
def test_a_page_of_a_public_clone_links_to_the_notebook_that_runs(origin, repository, monkeypatch):
    monkeypatch.setattr(build, "origin", lambda: origin)
    address = f"https://mybinder.org/v2/{repository}/HEAD?urlpath=lab%2Ftree%2Ftutorials%2F03_gru_forward.md"
    assert f'<a href="{address}">' in build.navigation("03_gru_forward")
    for kept in ("/home/me/minirsed\n", "https://example.org/github.com/x\n", ""):
        monkeypatch.setattr(build, "origin", lambda kept=kept: kept)
        assert "binder" not in build.navigation("03_gru_forward").lower()


def test_what_binder_installs_exists():
    """Its two files name an extra of ours, and a command that the extra brings."""
    (line,) = (ROOT / ".binder/requirements.txt").read_text(encoding="utf-8").splitlines()
    extra = re.fullmatch(r"-e \.\[(\w+)\]", line)[1]
    assert re.search(rf"^{extra} = .*jupyterlab", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.M)
    assert os.access(ROOT / ".binder/postBuild", os.X_OK) and shutil.which("jupytext-config")


@pytest.mark.parametrize("part", gradients.PARTS, ids=lambda part: part.name)
def test_gradients_of_the_page_agree_with_finite_differences(part):
    assert part.check() < 1e-6
    assert (ROOT / "tutorials" / f"{part.notebook}.md").exists()
    for forward, back, _ in part.rows:
        for formula in (forward, *back):
            assert "\\" not in re.sub(r"&#x0*5C;", "\\\\", build.mathml(formula))


def test_page_of_gradients_names_lines_and_errors():
    page = gradients.page(build.mathml, build.STYLE).replace("<wbr>", "")
    places = re.findall(r"<code>([\w/]+\.py):(\d+)</code>", page)
    assert len(places) >= len(gradients.PARTS)
    for path, line in places:
        assert (ROOT / path).read_text(encoding="utf-8").splitlines()[int(line) - 1].startswith("def ")
    assert len(re.findall(r"<td rowspan=\"\d\">\de-\d\d</td>", page)) == len(gradients.PARTS)


def test_build_command_refuses_an_unknown_tutorial(tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit, match="2"):
        run_build(monkeypatch, tmp_path, "99")
    assert "no tutorial '99'; there are 00_hear_it_first, " in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_build_command_tells_of_a_cell_that_fails(tmp_path, monkeypatch):
    broken = tmp_path / "01_broken.md"
    broken.write_text("# 1. Broken\n\n```python\n1 / 0\n```\n", encoding="utf-8")
    with pytest.raises(SystemExit, match=r"(?s)1 / 0.*ZeroDivisionError.*01_broken.md: a cell failed"):
        run_build(monkeypatch, tmp_path, path=broken)
    assert not (tmp_path / "pages").exists()


def test_pictures_are_written_where_they_differ(tmp_path):
    from PIL import Image

    def png(grey, fleck):
        image = Image.new("L", (64, 32), grey)
        image.putpixel((3, 3), fleck)
        file = io.BytesIO()
        image.save(file, "PNG")
        return file.getvalue()

    first = {"a": png(200, 200), "b": png(100, 100)}
    assert build.write_pictures(first, tmp_path) == ["a.png", "b.png"]
    assert build.write_pictures({"a": png(200, 190), "b": png(180, 180)}, tmp_path) == ["b.png"]
    assert (tmp_path / "a.png").read_bytes() == first["a"]
