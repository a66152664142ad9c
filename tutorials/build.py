"""Command: execute the tutorials and write them as web pages, with their pictures and sounds.

    tutorials/NN_name.md → an executed notebook → tutorials/html/NN_name.html

The pages need no network: formulas become MathML, which browsers draw themselves, pictures and sounds lie within.
A picture that the Markdown itself shows (`![…](images/NN_what.png)`, for code hosts, which execute nothing) is the
output of the cell marked `image="NN_what"`; `--images` makes those anew.
"""

import argparse
import io
import os
import re
import sys
import time
from base64 import b64decode
from pathlib import Path

import numpy as np

from data_tools.errors import InputError, exit_on_input_error
from data_tools.files import atomic_write

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent
TIMEOUT_S = 600  # of one cell; a whole notebook takes less than two minutes
COLOURS = 64  # of a picture in git: a fraction of the bytes, and no difference to the eye
SAME_PICTURE = 4.0  # grey levels, of 255: other fonts and libraries stay below, another curve does not
STYLE = """<style>
body { max-width: 64rem; margin: 0 auto; }
math { font-size: 1.08em; }
math[display="block"] { margin: 0.8em 0; }
mtd { padding: 0.25em 0.3em; }
mtable.aligned mtd:nth-child(odd) { text-align: right; }
mtable.aligned mtd:nth-child(even) { text-align: left; }
</style>"""


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
        extra_arguments=["--IPKernelApp.log_level=40"],  # errors; it warns of unencrypted ports on this very machine
        resources={"metadata": {"path": str(FOLDER)}},
    )
    client.execute(env={**os.environ, "PYTHONPATH": path})
    return notebook


def pictures(notebook):
    """PNG bytes by name: of each cell with metadata `image`, the last picture of its output, in few colours."""
    from PIL import Image

    found = {}
    for cell in notebook.cells:
        if "image" in cell.metadata:
            png = [o.data["image/png"] for o in cell.outputs if "image/png" in o.get("data", {})][-1]
            picture = Image.open(io.BytesIO(b64decode(png))).convert("RGB").quantize(COLOURS)
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


def to_html(notebook, folder):
    """The page of an executed notebook, to be written into `folder`."""
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
            return MarkdownWithMath(renderer=Renderer(escape=False, anchor_link_text="")).render(source)

        def default_filters(self):
            yield from super().default_filters()
            yield ("markdown2html", self.markdown2html)

    exporter = Exporter(exclude_input_prompt=True, exclude_output_prompt=True, anchor_link_text="")
    title = re.search(r"^# (.*)", notebook.cells[0].source, re.M)[1]
    page, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": title}})
    page = re.sub(r"<script\b[^>]*>.*?</script>", "", page, flags=re.S)  # fetched libraries, of which nothing is used
    return page.replace("</head>", f"{STYLE}\n</head>", 1)


def mathml(tex, display):
    """A formula as MathML; `aligned` columns keep their alignment by `STYLE`."""
    from latex2mathml.converter import convert

    aligned = r"\begin{aligned}" in tex
    text = convert(tex.replace("{aligned}", "{align*}"), display=display)
    return text.replace("<mtable", '<mtable class="aligned"', 1) if aligned else text


def link_from(url, folder):
    """A link of a notebook as the page in `folder` needs it: to pages of notebooks, to other files where they are."""
    if re.match(r"[a-z]+:|#", url):
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


def _parser():
    parser = argparse.ArgumentParser(prog="python -m tutorials.build", description=__doc__.splitlines()[0])
    parser.add_argument("tutorial", nargs="*", help="number or name, e.g. 03 (default: all)")
    parser.add_argument("--out", type=Path, default=FOLDER / "html", help="folder for the pages (default: %(default)s)")
    parser.add_argument("--images", action="store_true", help="also make tutorials/images anew, where they differ")
    return parser


@exit_on_input_error
def main(argv=None):
    """Execute and write; the status of the process."""
    args = _parser().parse_args(argv)
    try:
        import jupytext  # noqa: F401
        import latex2mathml  # noqa: F401
        import nbconvert  # noqa: F401
        from nbclient.exceptions import CellExecutionError
    except ImportError as missing:
        raise InputError(f'{missing.name} is missing: python -m pip install -e ".[tutorials]"') from None
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
            file.write(to_html(notebook, page.parent).encode())
        changed = write_pictures(pictures(notebook)) if args.images else []
        print(f"{time.perf_counter() - start:.0f} s, {page}", *(f"new images/{name}" for name in changed), sep=", ")


if __name__ == "__main__":
    main()
