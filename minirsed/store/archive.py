"""Named arrays and a description in one file: what checkpoints and detectors are kept in.

An .npz (zip of .npy) written without pickles, aside and then renamed; every member carries a CRC-32, so a
truncated or damaged file is recognised.
"""

import io
import json
import math
import struct
import tokenize
import zipfile
import zlib

import numpy as np

from data_tools.errors import InputError
from data_tools.files import atomic_write, require_file

HEADER = "header.json"
DAMAGE = (
    *(ValueError, LookupError, EOFError, OSError, RuntimeError, zipfile.BadZipFile, zlib.error, struct.error),
    *(AttributeError, OverflowError, TypeError, SyntaxError, tokenize.TokenError, MemoryError),
)  # what zipfile, numpy.lib.format and json raise at bytes that nobody wrote; a fuzzer found most of them


def write_arrays(path, file_format, description, arrays, previous=None):
    """Write one file, atomically; the same content gives the same bytes.

    Parameters
    ----------
    path : str or Path
    file_format : str
        Name and version of what is written; `read_arrays` refuses any other.
    description : dict
        JSON-able values.
    arrays : dict of ndarray
    previous : str or Path, optional
        Name that an older file at `path` takes.

    Raises
    ------
    OSError
        Folder missing or not writable, disk full; an older file at `path` stays as it was.
    """
    header = json.dumps({"format": file_format, **description}, sort_keys=True)
    buffer = io.BytesIO()  # a zip is written by seeking back and forth; the file then gets one sequential write
    np.savez(buffer, **{HEADER: np.frombuffer(header.encode(), np.uint8)}, **arrays)
    with atomic_write(path, previous=previous) as file:
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
        Missing, no ordinary file, truncated, damaged, holding pickles, or of another format.
    OSError
        The file may not be read.
    """
    require_file(path)
    with open(path, "rb") as file:
        content = file.read()
    try:
        arrays = _unpack(content)
        description = json.loads(arrays.pop(HEADER).tobytes())
        found = description.pop("format")
    except DAMAGE as error:
        raise InputError(f"{path}: no file of minirsed's, or damaged: {_reason(error)}") from error
    if found != file_format:
        raise InputError(f"{path}: its format is {found!r}, this version reads {file_format!r}")
    return description, arrays


def _unpack(content):
    """Arrays by name from the bytes of an .npz; takes no more memory than its members' sizes, which are checked."""
    arrays = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for member in archive.infolist():
            if member.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{member.filename} is compressed")
            arrays[member.filename.removesuffix(".npy")] = _array(archive.read(member), member.filename)
    return arrays


def _array(data, name):
    """One .npy of plain numbers; `np.load` would first allocate whatever its header claims."""
    file = io.BytesIO(data)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError(f"{name} is of an unknown version of .npy")
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
    first = file.tell()
    if dtype.kind not in "biuf" or math.prod(shape) * dtype.itemsize != len(data) - first:
        raise ValueError(f"{name} holds {len(data) - first} bytes, not {dtype} {shape}")
    values = np.frombuffer(data, dtype, offset=first)
    return (values.reshape(shape[::-1]).T if is_fortran else values.reshape(shape)).copy("K")


def _reason(error):
    return str(error) or type(error).__name__
