"""The folder of a feature store: its key, its files, its lock. `dataset` fills and reads it.

    ROOT/babycry-train-3f0c2a91d7e4/    named after what it holds and a fingerprint of all that determines its bytes
        features.npy    (N, T, 64) float32 or float16; row i is recipe i
        recipes.json    the N recipes, defaults left out
        index.json      fingerprint, settings, versions; `done`: true once every row is on disk, and then `stats`
        chunks.done     while preparing: one byte for each chunk, 1 once its rows are on disk
        lock            held by the process that prepares the store; the system frees it when that process ends

Nothing here can be half true after a kill. The unit of work is a chunk of clips: a worker writes the rows, syncs
them to disk, and only then sets the chunk's byte and syncs that; a single byte cannot be torn. A chunk without its
byte is computed again, to the same bytes. `index.json` is the last file to appear and its `done` the last thing to
change, both by an atomic rename.
"""

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import json
import math
import mmap
import os
import re
import shutil
from pathlib import Path

import numpy as np

from data_tools.errors import InputError
from data_tools.files import atomic_write, sync
from data_tools.inventory import classes_of
from data_tools.recipes import Recipe
from data_tools.several import joined
from minirsed.features import N_MELS, POWER_FLOOR, lfbe

# Part of the fingerprint. Raise it whenever the layout above changes, or anything between a recipe and its row, which
# `tests/test_dataset.py` notices. The sounds are not meant: their bank has a fingerprint of its own.
STORE_VERSION = 4
CHUNK_CLIPS = 16  # about a second of work between two syncs; enough chunks for all cores in a store of 300 clips
LIBRARIES = ("numba", "numpy", "scipy", "soundfile", "soxr")


def store_settings(bank, recipes, dtype, n_mels=N_MELS, floor=POWER_FLOOR):
    """All that determines the bytes of `features.npy`, for `index.json`; `fingerprint` (64 hex digits) sums it up.

    Raises
    ------
    InputError
        A mixture that came rendered is missing.
    """
    settings = {
        "bank": bank.fingerprint(),
        "dtype": dtype,
        "lfbe": lfbe.__kwdefaults__ | {"n_mels": n_mels, "floor": floor},
        "store_version": STORE_VERSION,
        "chunk_clips": CHUNK_CLIPS,
        "versions": {name: importlib.metadata.version(name) for name in LIBRARIES},
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for recipe in recipes:
        digest.update(json.dumps(_row(recipe)).encode())
        if recipe.rendered is not None:  # a sound of its own, not of the bank
            digest.update(_file_state(recipe.rendered).encode())
    return {"fingerprint": digest.hexdigest()} | settings


def code_digest():
    """Hash of the code of both packages: results of another process are like our own only if this is equal."""
    digest = hashlib.sha256()
    for package in ("data_tools", "minirsed"):
        folder = Path(importlib.util.find_spec(package).origin).parent
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def _file_state(path):
    try:
        state = os.stat(path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    return f"{state.st_size} {state.st_mtime_ns}"


def store_name(recipes, fingerprint):
    """<label>-<subset>-<fingerprint>, label and subset as far as the recipes tell: they are for people."""
    labels = sorted(classes_of(recipes))
    subset = re.search(r"(dev|eval|train)(train|test)?", recipes[0].name)
    words = [joined(labels) if labels else "background", *([subset[0]] if subset else []), fingerprint[:12]]
    return plain_name("-".join(words))


def plain_name(text):
    """Text without what a file name may not have."""
    return re.sub(r"[^\w.+-]", "_", text).lstrip(".")


def chunk_rows(recipes):
    """Rows of every chunk, `CHUNK_CLIPS` of them but for the last; they depend on the recipes alone.

    Neighbours share backgrounds, which a bank remembers: some take longer to make than to mix.
    """
    order = sorted(range(len(recipes)), key=lambda i: (recipes[i].background, recipes[i].background_start_s, i))
    return [order[first : first + CHUNK_CLIPS] for first in range(0, len(order), CHUNK_CLIPS)]


def is_done(store, fingerprint):
    """Whether the store is complete.

    Raises
    ------
    InputError
        Its `index.json` is damaged or has another fingerprint.
    """
    index = read_index(store)
    if index is not None and index["fingerprint"] != fingerprint:
        raise _damaged(store / "index.json", "belongs to another store")
    return index is not None and index["done"]


def read_index(store):
    """The checked content of `index.json`; None if there is none. InputError: damaged."""
    path = store / "index.json"
    kinds = {"fingerprint": str, "shape": list, "dtype": str, "done": bool}
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        is_index = all(isinstance(index[name], kind) for name, kind in kinds.items())
        if is_index and index["done"]:
            is_index = np.array(index["stats"], np.float64).shape == (2, index["shape"][-1])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        is_index = False
    if not is_index:
        raise _damaged(path, "not the index of a feature store")
    return index


def write_index(store, index):
    """Replace `index.json` at one stroke."""
    _write_json(store / "index.json", index)


def read_recipes(store, n):
    """The `n` recipes of the store's rows. InputError: file missing or damaged."""
    path = store / "recipes.json"
    try:
        recipes = [Recipe(**row) for row in json.loads(path.read_text(encoding="utf-8"))]
    except (ValueError, TypeError, FileNotFoundError) as error:
        raise _damaged(path, "missing or damaged") from error
    if len(recipes) != n:
        raise _damaged(path, f"{len(recipes)} recipes for {n} rows")
    return recipes


def open_features(store, index):
    """`features.npy` as a read-only memory map (N, T, 64). InputError: missing, cut short, not as `index` says."""
    path = store / "features.npy"
    try:
        features = np.load(path, mmap_mode="r")
    except (ValueError, OSError, EOFError) as error:
        raise _damaged(path, "missing or damaged") from error
    if features.shape != tuple(index["shape"]) or features.dtype != index["dtype"]:
        raise _damaged(path, f"{features.dtype} {features.shape}, not as index.json says")
    return features


def give_back(features):
    """Have the system take back the memory of whatever was read from a memory map; nothing of another array.

    It keeps the pages in its own cache of files (POSIX; Windows takes them away by itself).
    """
    if hasattr(features.base, "madvise"):
        features.base.madvise(mmap.MADV_DONTNEED)


def read_marks(store, n_chunks):
    """Which chunks are done: (n_chunks,) bool. InputError: file of another length."""
    path = store / "chunks.done"
    marks = np.fromfile(path, np.uint8) == 1
    if len(marks) != n_chunks:
        raise _damaged(path, f"{len(marks)} marks for {n_chunks} chunks")
    return marks


def create_files(store, recipes, index):
    """All files of a new store, rows and marks still zero; the index last, for it vouches for the others."""
    (store / "index.json").unlink(missing_ok=True)
    with atomic_write(store / "features.npy") as file:
        shape, dtype = tuple(index["shape"]), np.dtype(index["dtype"])
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + math.prod(shape) * dtype.itemsize)  # sparse: takes up space as rows arrive
    with atomic_write(store / "chunks.done") as file:
        file.write(bytes(math.ceil(len(recipes) / CHUNK_CLIPS)))
    _write_json(store / "recipes.json", [_row(recipe) for recipe in recipes])
    write_index(store, index)


@contextlib.contextmanager
def chunk_writer(store, chunk):
    """Context: a function `write(row, features)`; on a clean exit the rows are synced, then the chunk is marked.

    Plain writes, for on a full disk they raise OSError, where a writable memory map crashes. The marks are opened
    before the features and created after them: a worker that outlives its killed parent cannot mark rows that it
    wrote to a store that has been deleted and started again since.
    """
    with open(store / "chunks.done", "r+b") as marks, open(store / "features.npy", "r+b") as file:
        np.lib.format.read_magic(file)
        (_, *clip_shape), _, dtype = np.lib.format.read_array_header_1_0(file)
        first_row = file.tell()

        def write(row, features):
            if features.shape != tuple(clip_shape):
                first = tuple(clip_shape)
                raise ValueError(f"recipes[{row}]: features are {features.shape}, those of recipes[0] {first}")
            row_bytes = features.astype(dtype).tobytes()
            file.seek(first_row + row * len(row_bytes))
            file.write(row_bytes)

        yield write
        sync(file)
        marks.seek(chunk)
        marks.write(b"\1")
        sync(marks)


def stores_in(folder):
    """Folders of stores in a root, finished or not, and what a removal left when it was killed; nothing else of it."""
    is_store = re.compile(r"[\w.+-]+-[0-9a-f]{12}|\.[\w.+-]+-[0-9a-f]{12}\.removed").fullmatch
    folders = (path for path in Path(folder).iterdir() if path.is_dir() and not path.is_symlink())
    return sorted(path for path in folders if is_store(path.name))


def remove(store):
    """Remove the folder of a store, if it is there, and what an earlier removal left when it was killed.

    It is renamed first, so that nobody takes half a store for a whole one. Who has it open keeps its rows (POSIX).
    """
    gone = store if store.name.endswith(".removed") else store.with_name(f".{store.name}.removed")
    if gone.exists():
        shutil.rmtree(gone)
    if store.exists():
        store.rename(gone)
        shutil.rmtree(gone)


def _damaged(path, reason):
    return InputError(f"{path}: {reason}; delete the folder {path.parent} to prepare it anew")


def _write_json(path, value):
    with atomic_write(path, "w") as file:
        json.dump(value, file, indent=1)


def _row(recipe):
    """A recipe as a dict for JSON: what equals the default is left out, and with it the only infinite value."""
    fields = Recipe.__dataclass_fields__
    return {name: value for name, value in vars(recipe).items() if value != fields[name].default}
