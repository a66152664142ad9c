"""`data_tools.download.unpack`: nothing of a hostile or damaged zip file gets out, or gets through."""

import os
import shutil
import stat
import struct
import zipfile
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_tools.download.unpack import unpack
from data_tools.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore:Duplicate name")


def make_zip(path, members, compression=zipfile.ZIP_DEFLATED):
    """`members`: (name or ZipInfo, content) pairs."""
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members:
            file.writestr(name, content)
    return path


def member(name, mode=0, **fields):
    info = zipfile.ZipInfo("x")
    info.filename = name  # the constructor would tidy it up
    info.external_attr = mode << 16
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def files_in(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(archive, tmp_path, match, **settings):
    """Refused with one line that names the archive, and nothing was written anywhere."""
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=match) as caught:
        unpack(archive, tmp_path / "out", **settings)
    assert str(archive) in str(caught.value) and "\n" not in str(caught.value)
    assert [path for path in sorted(tmp_path.rglob("*")) if path != tmp_path / "out"] == before


def test_files_come_out_below_the_folder(tmp_path):
    members = [("a.txt", b"A" * 9), ("sub/", b""), ("sub/b.bin", os.urandom(3_000_000)), ("sub/c", b"")]
    archive, calls = make_zip(tmp_path / "x.zip", members), []
    n_bytes = unpack(archive, tmp_path / "new" / "out", progress=lambda *call: calls.append(call))
    assert n_bytes == 3_000_009
    assert files_in(tmp_path / "new/out") == {name: content for name, content in members if name != "sub/"}
    assert calls == [(9, n_bytes), (n_bytes, n_bytes), (n_bytes, n_bytes)]


def test_first_level_is_left_out(tmp_path):
    """Only a folder that starts with the given name: neither other folders nor a file of that name."""
    names = ["set.doc/data/a", "set/b", "other/c", "set.txt"]
    archive = make_zip(tmp_path / "x.zip", [(name, b"1") for name in names])
    unpack(archive, tmp_path / "out", first_level="set")
    assert sorted(files_in(tmp_path / "out")) == ["b", "data/a", "other/c", "set.txt"]


def test_again_over_what_a_killed_run_left(tmp_path):
    """A file cut short is replaced; a link in its place is removed, not followed."""
    archive = make_zip(tmp_path / "x.zip", [("a", b"whole"), ("b", b"whole")])
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a").write_bytes(b"wh")
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "out/b").symlink_to(tmp_path / "precious")
    unpack(archive, tmp_path / "out")
    assert files_in(tmp_path / "out") == {"a": b"whole", "b": b"whole"}
    assert (tmp_path / "precious").read_bytes() == b"precious"


ESCAPES = (
    "../evil",
    "a/../../evil",
    "/tmp/evil",
    "..",
    "a\\..\\..\\evil",
    "C:/evil",
    "C:evil",
    "a\nb",
    "evil\0.txt",
    "a/..",
)


@pytest.mark.parametrize("name", ESCAPES)
def test_paths_that_escape(tmp_path, name):
    archive = make_zip(tmp_path / "x.zip", [("good", b"1"), (member(name), b"evil")])
    refused(archive, tmp_path, "member .* would lie outside the folder or has no portable name")


@given(names=st.lists(st.text("ab./", max_size=6) | st.text("a./\\:\0", max_size=6), max_size=3))
def test_no_name_gets_out(tmp_path_factory, names):
    """Whatever the names: an InputError, or every file is below the folder and all of them are there."""
    root = tmp_path_factory.mktemp("names")
    archive = make_zip(root / "x.zip", [(member(name), b"1") for name in names])
    try:
        unpack(archive, root / "deep" / "out")
    except InputError:
        pass
    else:
        n_files = sum(not name.endswith("/") for name in names)
        assert len(files_in(root / "deep" / "out")) == n_files
    outside = {path for path in root.rglob("*") if not path.is_relative_to(root / "deep" / "out")}
    assert outside <= {root / "x.zip", root / "deep"}
    shutil.rmtree(root)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK])
def test_links_and_special_files(tmp_path, kind):
    """A link to / and then a file "through" it is the classic escape."""
    members = [("good", b"1"), (member("link", kind | 0o777), b"/"), ("link/tmp/evil", b"evil")]
    refused(make_zip(tmp_path / "x.zip", members), tmp_path, "member 'link' is a link or a special file")


def test_permissions_of_the_archive_are_not_taken_over(tmp_path):
    archive = make_zip(tmp_path / "x.zip", [(member("a", stat.S_IFREG | 0o6777), b"#!/bin/sh")])
    unpack(archive, tmp_path / "out")
    assert stat.S_IMODE((tmp_path / "out/a").stat().st_mode) & 0o6111 == 0


@pytest.mark.parametrize(
    "names, message",
    [
        (["a/b", "a/b"], "member 'a/b' comes twice"),
        (["a/b", "a//b"], "member 'a//b' comes twice"),
        (["set/b", "b"], "member 'b' comes twice"),
        (["Data/b", "data/B"], "member 'data/B' comes twice"),  # one file where case does not count
        (["a", "a/b"], "member 'a/b' lies in a folder that is also a file"),
    ],
)
def test_names_in_each_others_way(tmp_path, names, message):
    archive = make_zip(tmp_path / "x.zip", [(member(name), b"1") for name in names])
    refused(archive, tmp_path, message, first_level="set")


def test_bomb(tmp_path):
    """10 MB of zeros pack about 1000 : 1; the limit is 20."""
    archive = make_zip(tmp_path / "x.zip", [("zeros", bytes(10_000_000))])
    assert archive.stat().st_size < 20_000
    refused(archive, tmp_path, r"bytes would become 10,000,000: a zip bomb\?")
    assert unpack(archive, tmp_path / "out", max_ratio=2000) == 10_000_000


def test_bomb_of_overlapping_members(tmp_path):
    """200 directory entries, all for the same 10 kB: 2 MB declared from an archive of some 20 kB is 100 : 1."""
    archive = make_zip(tmp_path / "x.zip", [("0", os.urandom(10_000))])
    data = archive.read_bytes()
    directory = data.index(b"PK\1\2")
    end = data.index(b"PK\5\6")
    entries = b"".join(data[directory:end][:46] + b"%03d" % i for i in range(200))
    entries = entries.replace(struct.pack("<HHH", 1, 0, 0), struct.pack("<HHH", 3, 0, 0))  # name length 1 → 3
    tail = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 200, 200, len(entries), directory, 0)
    archive.write_bytes(data[:directory] + entries + tail)
    assert len(zipfile.ZipFile(archive).namelist()) == 200
    refused(archive, tmp_path, r"bytes would become 2,000,000: a zip bomb\?")


@pytest.mark.parametrize("declared", [10, 999_999, 1_000_001])
def test_size_that_lies(tmp_path, declared):
    """Content of 1 MB, declared otherwise: never more than declared is written, and the file does not pass."""
    archive = make_zip(tmp_path / "x.zip", [("a", os.urandom(1_000_000))])
    data = archive.read_bytes()
    directory = data.index(b"PK\1\2", 1_000_000)
    size = struct.pack("<I", declared)
    archive.write_bytes(data[: directory + 24] + size + data[directory + 28 :])
    with pytest.raises(InputError, match=r"x\.zip: not a zip file, or damaged"):
        unpack(archive, tmp_path / "out")
    assert (tmp_path / "out/a").stat().st_size <= declared


def test_encrypted_and_unusual_packing(tmp_path):
    archive = make_zip(tmp_path / "lzma.zip", [("a", b"1")], zipfile.ZIP_LZMA)
    refused(archive, tmp_path, "member 'a' is encrypted or packed in an unusual way")
    archive = make_zip(tmp_path / "x.zip", [("a", b"1")])
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1
    archive.write_bytes(data)
    refused(archive, tmp_path, "member 'a' is encrypted")


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "byte", "stream", "patch", "beyond"])
def test_damaged_archive(tmp_path, damage):
    """Among them: no DEFLATE stream, a feature `zipfile` does not know, content said to go on beyond the file."""
    stored = zipfile.ZIP_STORED if damage in ("byte", "beyond") else zipfile.ZIP_DEFLATED
    archive = make_zip(tmp_path / "x.zip", [("a", os.urandom(10_000))], stored)
    data = bytearray(archive.read_bytes())
    entry = data.rindex(b"PK\1\2")
    if damage == "byte":
        data[5000] ^= 1
    if damage == "stream":
        data[31:40] = b"\xff" * 9
    if damage == "patch":
        data[entry + 8] |= 0x20
    if damage == "beyond":
        data[entry + 20 : entry + 28] = struct.pack("<II", 20_000, 20_000)
    archive.write_bytes(
        {"empty": b"", "text": b"<html>Too many requests</html>", "cut": data[:-5000]}.get(damage, data)
    )
    with pytest.raises(InputError, match=r"x\.zip: not a zip file, or damaged"):
        unpack(archive, tmp_path / "out")


def test_disk_space_is_checked_before_anything_is_written(tmp_path, monkeypatch):
    archive = make_zip(tmp_path / "x.zip", [("a", os.urandom(30_000)), ("b", b"1")])
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=30_000))
    refused(archive, tmp_path, r"unpacks to 0\.00 GB, 0\.00 GB free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=30_001))
    assert unpack(archive, tmp_path / "out") == 30_001
