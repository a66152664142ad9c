"""Who made the sounds of a folder, and under which licence, as far as the folder says.

    my_sounds/
      manifest.csv                               optional: file, and any of the columns below
      LICENSE.txt, ATTRIBUTION.md, CREDITS …     optional: texts, of which only the names are taken

    file (or filename, path)                     relative to the folder, with /
    licence (license)
    author (attribution, creator, artist, recordist)
    source (source_repository, origin, url)

Other columns are left alone, the case of headings does not matter, and files that are not in the list have no licence
that is known. The list is for people: what cannot be read of it is said, and stops nothing.
"""

import csv
import unicodedata
from pathlib import Path, PurePosixPath

from data_tools.errors import InputError
from data_tools.files import require_file

MANIFEST = "manifest.csv"
COLUMNS = {
    "file": ("file", "filename", "path"),
    "licence": ("licence", "license"),
    "author": ("author", "attribution", "creator", "artist", "recordist"),
    "source": ("source", "source_repository", "origin", "url"),
}
TEXTS = ("licence", "license", "attribution", "copying", "credits")  # beginnings of names, in any case
SHOWN = 3  # authors and sources of a licence that are named
UNKNOWN = ""  # the licence of a file without one


def rights_of(root, names):
    """What a folder says of some of its files.

    Parameters
    ----------
    root : str or Path
        Sound folder.
    names : iterable of str
        Files, relative to it, with `/`.

    Returns
    -------
    dict
        JSON-able. "licences": a dict for each, most files first, with licence (`UNKNOWN` where none is given), n_files,
        authors and sources (the first `SHOWN` by number of files), n_authors, n_sources; empty without a list.
        "texts": names of files to read. "problem": why the list cannot be read, or None.
    """
    root, names = Path(root), sorted(set(names))
    try:
        found, problem = read_manifest(root / MANIFEST), None
    except (InputError, OSError) as error:
        found, problem = None, str(error)
    licences = {}
    for name in names if found is not None else ():
        row = found.get(name, {})
        own = licences.setdefault(row.get("licence", UNKNOWN), {"n_files": 0, "author": {}, "source": {}})
        own["n_files"] += 1
        for column in ("author", "source"):
            if value := row.get(column, ""):
                own[column][value] = own[column].get(value, 0) + 1
    texts = [path.name for path in root.iterdir() if path.name.lower().startswith(TEXTS) and path.is_file()]
    return {
        "licences": [
            {"licence": licence, "n_files": own["n_files"]}
            | {f"{column}s": sorted(own[column], key=lambda v: (-own[column][v], v))[:SHOWN] for column in ROLES}
            | {f"n_{column}s": len(own[column]) for column in ROLES}
            for licence, own in sorted(licences.items(), key=lambda item: (-item[1]["n_files"], item[0]))
        ],
        "texts": sorted(texts),
        "problem": problem,
    }


ROLES = ("author", "source")


def read_manifest(path):
    """A list of files as {name: {"licence": …, "author": …, "source": …}}, absent columns left out.

    Returns
    -------
    dict or None
        None if there is no such list.

    Raises
    ------
    InputError
        Malformed, or without a column of files.
    """
    if not path.exists():
        return None
    require_file(path)
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            file.seek(0)
            reader = csv.DictReader(file, strict=True, delimiter=next((mark for mark in "\t;" if mark in header), ","))
            headings = {(heading or "").strip().lower(): heading for heading in reader.fieldnames or ()}
            columns = {
                name: next((headings[heading] for heading in known if heading in headings), None)
                for name, known in COLUMNS.items()
            }
            if columns["file"] is None:
                raise InputError(f"{path}, line 1: no column {COLUMNS['file'][0]!r}")
            return {_name(row.pop("file")): row for row in (_row(line, columns) for line in reader) if row["file"]}
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: malformed list ({error})") from error


def _row(line, columns):
    """The columns that are known of a line, without blanks around them."""
    return {name: (line[heading] or "").strip() for name, heading in columns.items() if heading is not None}


def _name(text):
    return unicodedata.normalize("NFC", PurePosixPath(text).as_posix())
