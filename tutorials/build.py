"""Command: execute the tutorials and write them as web pages, with their pictures and sounds.

    tutorials/NN_name.md → an executed notebook → tutorials/html/NN_name.html, and index.html, the contents

The pages need no network: formulas become MathML, which browsers draw themselves with a font that lies within, and so
do pictures and sounds. Code that only draws is folded away.
A picture that the Markdown itself shows (`![…](images/NN_what.png)`, for code hosts, which execute nothing) is the
output of the cell marked `image="NN_what"`; `--images` redraws those that differ.
"""

import asyncio
import html
import io
import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from base64 import b64decode, b64encode
from pathlib import Path
from urllib.parse import quote

import numpy as np

from data_tools.console import Parser, command
from data_tools.errors import InputError, require_extra
from data_tools.files import atomic_write
from tutorials import gradients, playground

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent
TIMEOUT_S = 600  # of one cell; a whole notebook takes less than two minutes
COLOURS = 64  # of a picture in git: a fraction of the bytes, and no difference to the eye
SAME_PICTURE = 4.0  # grey levels, of 255: other fonts and libraries stay below, another curve does not
MATHML = "{http://www.w3.org/1998/Math/MathML}"  # the name space of its tags
FUNCTIONS = {"ln", "log", "exp", "cos", "sin", "tanh"}  # names that TeX sets apart from their neighbours
LONG_DRAWING = 10  # lines of a cell that draws; longer ones are folded
MATH_FONT = FOLDER / "fonts" / "math.woff2"  # made by fonttools, see OFL.txt beside it
STYLE = """<style>
@font-face { font-family: "tutorial math"; src: url(data:font/woff2;base64,FONT) format("woff2"); }
:root { color-scheme: light dark; }
body { max-width: 64rem; margin: 0 auto; padding: 0 1rem; }
nav.pages a { color: #1a4b8c; }
pre, .jp-InputArea-editor, .jp-OutputArea-output { overflow-x: auto; max-width: 100%; }
math[display="block"] { overflow: auto hidden; max-width: 100%; }
img { max-width: 100%; height: auto; background: #fff; }
@media (max-width: 40rem) {
  body.jp-Notebook { padding: 0 0.5rem; } .jp-Cell { padding: 0; }
  .jp-InputPrompt, .jp-OutputPrompt, .jp-InputCollapser, .jp-OutputCollapser { display: none; }
  .highlight pre, .jp-RenderedText pre { font-size: 0.75rem; }
  .jp-RenderedHTMLCommon table { display: block; }
}
@media (prefers-color-scheme: dark) {
  nav.pages a, .jp-RenderedHTMLCommon a, body > p a, h2 a, th a { color: #7ab8f0; }
  body .jp-RenderedHTMLCommon tbody tr:nth-child(odd) { background: #1b1b1b; }
  details.drawing summary { color: #aaa !important; }
}
math { font-family: "tutorial math", math; font-size: 1.08em; }
nav.pages { display: flex; justify-content: space-between; gap: 1rem; padding: 0.8rem 0; font-family: sans-serif; }
nav.pages > :first-child, nav.pages > :last-child { flex: 1; } nav.pages > :last-child { text-align: right; }
details.drawing { margin: 0.3rem 0; } details.drawing summary { color: #666; font: 0.8rem sans-serif; cursor: pointer; }
math[display="block"] { margin: 0.8em 0; }
span.unbroken { white-space: nowrap; }
.jp-OutputArea-output.jp-RenderedMarkdown { padding-left: 0.35rem; }
mtd { padding: 0.25em 0.3em; }
mrow.overline { border-top: 0.06em solid; padding-top: 0.12em; }
mtable.aligned mtd:nth-child(odd) { text-align: right; }
mtable.aligned mtd:nth-child(even) { text-align: left; }
</style>""".replace("FONT", b64encode(MATH_FONT.read_bytes()).decode())


def notebooks():
    """Paths of all notebooks, in order."""
    return sorted(FOLDER.glob("[0-9][0-9]_*.md"))


def read(path):
    """The notebook that a Markdown file describes, without outputs."""
    import jupytext

    return jupytext.read(path)


def execute(notebook):
    """Run all cells in a fresh kernel, from the folder of the tutorials, and keep what they show.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        A cell failed; the message holds its code and traceback.
    """
    from nbclient import NotebookClient

    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    client = NotebookClient(
        notebook,
        timeout=TIMEOUT_S,
        kernel_name="python3",
        shutdown_kernel="immediate",  # a kernel that is busy when it is told to end prints a traceback
        extra_arguments=["--IPKernelApp.log_level=40"],  # errors; it warns of unencrypted ports on this very machine
        resources={"metadata": {"path": str(FOLDER)}},
    )
    asyncio.run(_run(client, {**os.environ, "PYTHONPATH": path}))
    return notebook


async def _run(client, environment):
    """Run a notebook so that Ctrl-C raises KeyboardInterrupt, as it does everywhere else.

    nbclient has a handler of its own, which ends the kernel and then fails in one of several ways. It is there from
    the start of `async_execute` on, so the kernel, which takes a second, is started before, and the first cell
    removes it.
    """

    def leave_ctrl_c_alone(**_):
        asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)

    # Called for tasks that fail when Ctrl-C has stopped the loop; all other errors come out of async_execute.
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    client.on_cell_start = leave_ctrl_c_alone
    client.create_kernel_manager()
    await client.async_start_new_kernel(env=environment)
    await client.async_start_new_kernel_client()
    await client.async_execute()


def pictures(notebook):
    """PNG bytes by name: of each cell with metadata `image`, the last picture of its output, in few colours."""
    from PIL import Image

    found = {}
    for cell in notebook.cells:
        if "image" in cell.metadata:
            png = [o.data["image/png"] for o in cell.outputs if "image/png" in o.get("data", {})][-1]
            picture = Image.open(io.BytesIO(b64decode(png)))
            if getattr(picture, "is_animated", False):
                found[cell.metadata["image"]] = b64decode(png)
                continue
            picture = picture.convert("RGB").quantize(COLOURS)
            file = io.BytesIO()
            picture.save(file, "PNG", optimize=True)
            found[cell.metadata["image"]] = file.getvalue()
    return found


def difference(png, other):
    """How far two pictures are apart: the root mean square difference of grey, 0 to 255, of fields of 16 × 16 pixels.

    Fields, so that letters of another font do not count; infinite where the sizes differ by more than 2 %.
    """
    from PIL import Image

    first, second = (Image.open(io.BytesIO(data)).convert("L") for data in (png, other))
    if any(abs(a - b) > 0.02 * a for a, b in zip(first.size, second.size, strict=True)):
        return np.inf
    fields = max(1, first.width // 16), max(1, first.height // 16)
    grey = [np.asarray(image.resize(fields, Image.Resampling.BOX), np.float64) for image in (first, second)]
    return float(np.sqrt(np.mean((grey[0] - grey[1]) ** 2)))


def title_of(notebook):
    """The heading of a notebook, "3. A gated recurrent unit, forward"."""
    return re.search(r"^# (.*)", notebook.cells[0].source, re.M)[1]


def alt_texts(notebook):
    """What each picture shows, in order: a cell's `alt="…"`, or the text of the Markdown picture below an `image`."""
    texts = []
    for cell, following in zip(notebook.cells, [*notebook.cells[1:], None], strict=True):
        text = cell.metadata.get("alt", "a picture")
        if "image" in cell.metadata:
            text = re.match(r"!\[([^\]]*)\]", following.source)[1]
        outputs = cell.get("outputs", [])
        texts += [text] * sum(any(kind.startswith("image/") for kind in o.get("data", {})) for o in outputs)
    return texts


def fold_drawings(notebook):
    """Tag the cells whose code does little but draw."""
    for cell in notebook.cells:
        draws = re.search(r"plt\.show\(\)|playground\.hand_over\(", cell.source)
        if cell.cell_type == "code" and draws and len(cell.source.splitlines()) > LONG_DRAWING:
            cell.metadata["tags"] = [*cell.metadata.get("tags", []), "fold"]


def origin():
    """Address that this clone came from, empty where there is none."""
    try:
        return subprocess.run(["git", "-C", ROOT, "remote", "get-url", "origin"], capture_output=True, text=True).stdout
    except OSError:  # no git
        return ""


def binder_address(origin, name):
    """Where mybinder.org opens the notebook `name` of a clone of a public host, without an installation; else None.

    What is installed there, and that a click on Markdown opens a notebook, is in the folder .binder.
    """
    host = re.match(r"(?:https://|ssh://)?(?:[^@/]+@)?git(hub|lab)\.com[:/](.+?)(?:\.git)?/?\s*$", origin)
    if not host:
        return None
    repository = f"gh/{host[2]}" if host[1] == "hub" else f"gl/{quote(host[2], safe='')}"
    return f"https://mybinder.org/v2/{repository}/HEAD?urlpath={quote(f'lab/tree/tutorials/{name}.md', safe='')}"


def navigation(name):
    """Links to the page before, the contents, the notebook itself where a service runs it, and the page after."""
    paths = notebooks()
    here = [path.stem for path in paths].index(name) if name in {path.stem for path in paths} else None
    places = ("← {}", here - 1 if here else None), ("{} →", here + 1 if here is not None else None)
    before, after = (
        f'<a href="{paths[i].stem}.html">{text.format(html.escape(title_of(read(paths[i]))))}</a>'
        if i is not None and i < len(paths)
        else "<span></span>"
        for text, i in places
    )
    address = binder_address(origin(), name)
    run = f'<a href="{html.escape(address)}">run it on Binder</a>' if address and name else ""
    return f'<nav class="pages">{before}<a href="index.html">contents</a>{run}{after}</nav>'


def contents(folder):
    """The page in `folder` that lists all notebooks, with what one does in each."""
    entries = []
    for path in notebooks():
        notebook = read(path)
        does = re.search(r"\*\*What you will do\*\*\n\n(.*?)\n\n", notebook.cells[0].source, re.S)[1]
        items = "".join(f"<li>{html.escape(' '.join(item.split()))}</li>" for item in does[2:].split("\n- "))
        items = re.sub(r"`([^`]*)`", r"<code>\1</code>", re.sub(r"\*([^*]*)\*", r"<em>\1</em>", items))
        items = re.sub(r"\$([^$]+)\$", lambda formula: mathml(html.unescape(formula[1]), "inline"), items)
        entries.append(f'<h2><a href="{path.stem}.html">{html.escape(title_of(notebook))}</a></h2><ul>{items}</ul>')
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Tutorials</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"{STYLE}<style>body {{ font-family: sans-serif; line-height: 1.5; }}</style></head><body>\n"
        "<h1>Detection of rare sound events, from scratch</h1>\n"
        f"<p>{len(entries)} notebooks, to be read in this order. Each has one idea, derives it, shows that the package "
        "computes the same, and ends with exercises; that takes between twenty minutes and an hour.</p>\n"
        '<p><a href="gradients.html">All gradients on one page</a> · <a href="playground.html">Playground</a> · '
        f'<a href="{link_from("detector.py", folder)}">The whole paper in 200 lines of Python</a></p>\n'
        + "\n".join(entries)
        + "\n</body></html>\n"
    )


def to_html(notebook, folder, name=""):
    """The page of an executed notebook, to be written into `folder`; `name` is that of its file, for its links."""
    from jinja2 import pass_context
    from nbconvert import HTMLExporter
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    class Renderer(IPythonRenderer):
        """Formulas as MathML; links as they are seen from `folder`."""

        def inline_math(self, body):
            return mathml(body, "inline")

        def block_math(self, body):
            return mathml(body, "block")

        def link(self, text, url, title=None):
            return super().link(text, link_from(url, folder), title)

    class Exporter(HTMLExporter):
        @pass_context
        def markdown2html(self, context, source):
            source = re.sub(r"!\[[^\]]*\]\(images/[^)]*\)\n?", "", source)  # the cell above shows that picture itself
            page = MarkdownWithMath(renderer=Renderer(escape=False, anchor_link_text="")).render(source)
            return re.sub(
                r'(<math\b[^>]*display="inline"(?:(?!</math>).)*</math>[.,;:)?]+)', unbroken, page, flags=re.S
            )

        def default_filters(self):
            yield from super().default_filters()
            yield ("markdown2html", self.markdown2html)

    exporter = Exporter(exclude_input_prompt=True, exclude_output_prompt=True, anchor_link_text="")
    fold_drawings(notebook)
    page, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": title_of(notebook)}})
    page = re.sub(r"<script\b[^>]*>.*?</script>", "", page, flags=re.S)  # fetched libraries, of which nothing is used
    page = re.sub(
        r'(celltag_fold(?:(?!celltag_fold).)*?)(<div class="jp-Cell-inputWrapper".*?)'
        r'(<div class="jp-Cell-outputWrapper")',
        r'\1<details class="drawing"><summary>code of the picture</summary>\2</details>\3',
        page,
        flags=re.S,
    )
    texts = iter(alt_texts(notebook))
    page = re.sub(r'alt="No description has been provided[^"]*"', lambda _: f'alt="{html.escape(next(texts))}"', page)
    links = navigation(name)
    page = re.sub(r"(<body\b[^>]*>)", rf"\1\n{links}", page, count=1).replace("</body>", f"{links}\n</body>", 1)
    in_the_dark = f"<style>@media (prefers-color-scheme: dark) {{ {dark_theme(exporter)} }}</style>"
    return page.replace("</head>", f"{in_the_dark}{STYLE}\n</head>", 1)


def unbroken(match):
    """A formula and the punctuation after it, which must not begin a line."""
    return f'<span class="unbroken">{match[1]}</span>'


def dark_theme(exporter):
    """The colours that nbconvert has for dark pages, as CSS."""
    environment = exporter.environment
    return environment.loader.get_source(environment, "static/theme-dark.css")[0]


def mathml(tex, display="inline"):
    """A formula as MathML; `aligned` columns and bars get their looks by `STYLE`.

    The converter leaves out what TeX adds: space around ln and its like, none after a sign or inside of |…|, and a
    prime of full size. Its bars do not stretch.
    """
    from latex2mathml.converter import convert

    aligned = r"\begin{aligned}" in tex
    ET.register_namespace("", MATHML[1:-1])
    root = ET.fromstring(convert(tex.replace("{aligned}", "{align*}"), display=display))
    for element in list(root.iter()):
        tag = element.tag.removeprefix(MATHML)
        if tag == "mtable" and aligned:
            element.set("class", "aligned")
        elif tag == "mo" and element.text == "|":
            element.attrib |= {"lspace": "0", "rspace": "0"}
        elif tag == "msup" and element[1].text == "′":
            element.tag, element[1].tag = f"{MATHML}mrow", f"{MATHML}mo"
            element[1].attrib |= {"form": "postfix", "lspace": "0", "rspace": "0"}
        elif tag == "mover" and element[1].text == "―":
            element.tag = f"{MATHML}mrow"
            element.set("class", "overline")
            element.remove(element[1])
        elif tag in ("mrow", "math", "mtd"):
            _space_functions(element)
            for before, sign in zip(element, list(element)[1:], strict=False):
                if sign.text in ("−", "+") and before.tag == f"{MATHML}mo" and before.text not in tuple(")]|⌋⌉′"):
                    sign.set("form", "prefix")
    return ET.tostring(root, encoding="unicode")


def _space_functions(row):
    """Put a thin space on each side of ln, tanh and so on where its neighbour is no operator or parenthesis."""
    for name in [each for each in row if next(each.iter(f"{MATHML}mi"), each).text in FUNCTIONS]:
        if name.tag.removeprefix(MATHML) not in ("mi", "msup", "msub"):
            continue
        place = list(row).index(name)
        after, before = row[place + 1 : place + 2], row[place - 1 : place] if place else []
        for where, neighbours in ((place + 1, after), (place, before)):
            closes = where == place and neighbours and neighbours[0].text == ")"
            if closes or neighbours and neighbours[0].tag not in (f"{MATHML}mo", f"{MATHML}mspace"):
                row.insert(where, ET.Element(f"{MATHML}mspace", width="0.17em"))


def link_from(url, folder):
    """A link of a notebook as the page in `folder` needs it: to pages of notebooks, to other files where they are."""
    if re.match(r"[a-z]+:|#", url) or url.endswith(".html"):  # elsewhere, or another page of this build
        return url
    if re.fullmatch(r"\d\d_\w+\.md(#.*)?", url):
        return url.replace(".md", ".html")
    return Path(os.path.relpath(FOLDER / url, folder)).as_posix()


def write_pictures(made, folder=FOLDER / "images"):
    """Write pictures that are new or differ from the file; names of those written."""
    changed = []
    for name, png in made.items():
        path = folder / f"{name}.png"
        if not path.exists() or difference(path.read_bytes(), png) > SAME_PICTURE:
            with atomic_write(path) as file:
                file.write(png)
            changed.append(path.name)
    return changed


def _chosen(names):
    """Paths of the notebooks whose names begin as given; all of them where nothing is given."""
    everything = notebooks()
    chosen = []
    for name in names:
        found = [path for path in everything if path.name.startswith(Path(name).name.zfill(2))]
        if not found:
            raise InputError(f"no tutorial {name!r}; there are {', '.join(path.stem for path in everything)}")
        chosen += found
    return sorted(set(chosen)) or everything


def parse_arguments(argv=None):
    """Command line → namespace."""
    parser = Parser("tutorials.build", "[TUTORIAL …]", description="Execute the tutorials and write them as web pages.")
    parser.add_argument(
        "tutorial",
        metavar="TUTORIAL",
        nargs="*",
        help="number or name of a notebook, e.g. 03; all of them if none is given",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        default=FOLDER / "html",
        help="folder for the pages (default: tutorials/html)",
    )
    parser.add_argument("--images", action="store_true", help="also redraw the files in tutorials/images that differ")
    return parser.parse_args(argv)


@command
def main(argv=None):
    """Execute and write; the status of the process."""
    args = parse_arguments(argv)
    require_extra("tutorials", "tutorials.build", "jupytext", "latex2mathml", "nbconvert", "nbclient")
    from nbclient.exceptions import CellExecutionError

    for path in _chosen(args.tutorial):
        print(f"{path.stem} … ", end="", flush=True)
        start = time.perf_counter()
        try:
            notebook = execute(read(path))
        except CellExecutionError as error:
            print("failed")
            sys.exit(f"{error}\n{path}: a cell failed; its code and traceback are above")
        args.out.mkdir(parents=True, exist_ok=True)
        page = args.out.resolve() / f"{path.stem}.html"
        with atomic_write(page) as file:
            file.write(to_html(notebook, page.parent, path.stem).encode())
        changed = write_pictures(pictures(notebook)) if args.images else []
        runs = playground.handed_over(notebook)
        others = {"index": contents(page.parent), "gradients": gradients.page(mathml, STYLE)}
        for name, text in (others | ({"playground": playground.page(runs)} if runs else {})).items():
            with atomic_write(page.parent / f"{name}.html") as file:
                file.write(text.encode())
        print(f"{time.perf_counter() - start:.0f} s, {page}", *(f"new images/{name}" for name in changed), sep=", ")


if __name__ == "__main__":
    main()
