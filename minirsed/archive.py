"""Named arrays and a description in one file: what checkpoints and detectors are kept in.

An .npz (zip of .npy) written without pickles, aside and then renamed; every member carries a CRC-32, so a
truncated or damaged file is told from a whole one.
"""

import io
import json
import zipfile
import zlib

import numpy as np

from data_tools.errors import InputError
from data_tools.files import atomic_write

HEADER = "header.json"
DAMAGE = (ValueError, KeyError, EOFError, AttributeError, zipfile.BadZipFile, zlib.error, NotImplementedError)


def write_arrays(path, file_format, description, arrays):
    """Write one file, atomically; the same content gives the same bytes.

    Parameters
    ----------
    path : str or Path
    file_format : str
        Name and version of what is written; `read_arrays` refuses any other.
    description : dict
        JSON-able values.
    arrays : dict of ndarray

    Raises
    ------
    OSError
        Folder missing or not writable, disk full; an older file at `path` stays as it was.
    """
    header = json.dumps({"format": file_format, **description}, sort_keys=True)
    buffer = io.BytesIO()  # a zip is written by seeking back and forth; the file then gets one sequential write
    np.savez(buffer, **{HEADER: np.frombuffer(header.encode(), np.uint8)}, **arrays)
    with atomic_write(path) as file:
        file.write(buffer.getbuffer())


def read_arrays(path, file_format):
    """Read what `write_arrays` wrote.

    Returns
    -------
    description : dict
    arrays : dict of ndarray

    Raises
    ------
    InputError
        Missing, truncated, damaged, holding pickles, or of another format.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        description = json.loads(arrays.pop(HEADER).tobytes())
        found = description.pop("format")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except DAMAGE as error:
        raise InputError(f"{path}: no file of minirsed's, or damaged: {error}") from error
    if found != file_format:
        raise InputError(f"{path}: its format is {found!r}, this version reads {file_format!r}")
    return description, arrays
