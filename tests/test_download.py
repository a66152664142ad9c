"""Downloading against a server on this machine that cuts, errs, lies and redirects; kills at any point.

Needs requests (`python -m pip install -e ".[tut]"`), which the test extra brings.
"""

import functools
import hashlib
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from data_tools.banks.tut2017 import is_tut2017
from data_tools.download import __main__ as download
from data_tools.download import install, packages, transfer
from data_tools.download.packages import Collection, Package
from data_tools.download.transfer import TransferError, fetch, open_session
from data_tools.errors import InputError
from data_tools.soundbank import open_bank

pytest.importorskip("requests")
ROOT = Path(__file__).parents[1]
GOLDEN = Path(__file__).parent / "golden-mixtures" / "render" / "data"
LISTS = Path(__file__).parent / "golden-mixtures" / "recipes" / "cv_setup"


class Handler(BaseHTTPRequestHandler):
    """Serves `server.files` with ranges; each request takes the next of `server.faults`, if any."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        name = self.path.rsplit("/", 1)[-1]
        self.server.log.append((name, self.headers.get("Range")))
        fault, value = self.server.faults.pop(0) if self.server.faults else ("none", None)
        if fault == "status":
            return self.answer(value, b"")
        if fault == "busy":
            return self.answer(value, b"", {"Retry-After": "0"})
        if fault == "redirect":
            return self.answer(302, b"", {"Location": value + self.path})
        if name not in self.server.files:
            return self.answer(404, b"<html>not found</html>")
        body = self.server.files[name]
        if fault == "body":
            body = value
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        headers, status, first = {}, 200, 0
        if asked and fault not in ("no ranges", "cut, no ranges"):
            first, status = int(asked[1]), 206
            if first >= len(body):
                return self.answer(416, b"")
            shown = first + (value if fault == "other range" else 0)
            headers["Content-Range"] = f"bytes {shown}-{len(body) - 1}/{len(body)}"
        if fault == "no length":
            headers["Connection"] = "close"
        n_sent = len(body) if fault not in ("cut", "cut, no ranges", "no length") else first + value
        self.answer(status, body[first:], headers, body[first:n_sent], fault != "no length")
        return None

    def answer(self, status, body, headers=(), sent=None, has_length=True):
        self.send_response(status)
        for item in dict(headers).items():
            self.send_header(*item)
        if has_length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if sent is None else sent)
        self.close_connection = sent is not None and (len(sent) < len(body) or not has_length)

    def log_message(self, *arguments):
        """Quiet; `server.log` has it all."""


@pytest.fixture
def server(monkeypatch):
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.files, server.faults, server.log = {}, [], []
        server.handle_error = lambda *_: None  # clients that hang up, and killed ones
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


CONTENT = np.random.default_rng(0).bytes(300_000)
MD5 = hashlib.md5(CONTENT).hexdigest()
WRONG_BYTE = CONTENT[:1000] + bytes([CONTENT[1000] ^ 1]) + CONTENT[1001:]


@pytest.fixture
def get(server, tmp_path):
    """Fetch `CONTENT` as x.zip from the server, which takes the faults given."""
    server.files["x.zip"] = CONTENT

    def get(*faults, n_bytes=300_000, url=server.url):
        server.faults[:] = faults
        with open_session(server.url, pause_s=0) as session:
            fetch(session, f"{url}/x.zip", tmp_path / "x.zip", n_bytes, MD5, pause_s=0)

    return get


def asked(server):
    """The Range headers of the requests so far."""
    return [asked_range for _, asked_range in server.log]


# ---- one file


def test_plain_fetch_and_again(get, server, tmp_path):
    get()
    assert (tmp_path / "x.zip").read_bytes() == CONTENT and os.listdir(tmp_path) == ["x.zip"]
    get()
    assert asked(server) == [None]  # the second call asked nothing


def test_progress_counts_bytes(server, tmp_path):
    server.files["x.zip"], server.faults[:], calls = CONTENT, [("cut", 100_000)], []
    with open_session(server.url, pause_s=0) as session:
        report = functools.partial(fetch, progress=lambda *call: calls.append(call), pause_s=0)
        report(session, f"{server.url}/x.zip", tmp_path / "x.zip", len(CONTENT), MD5)
    done = [n_done for n_done, _ in calls]
    assert done[0] == 0 and done[-1] == 300_000 and done == sorted(done)
    assert {n_total for _, n_total in calls} == {300_000}


def test_cut_connections_are_resumed(get, server, tmp_path):
    """Three cuts: each request asks for what lacks, at most one read of 64 kB is fetched twice."""
    get(("cut", 70_000), ("cut", 140_000), ("cut", 66_000))
    assert (tmp_path / "x.zip").read_bytes() == CONTENT
    starts = [int(asked_range[6:-1]) for asked_range in asked(server)[1:]]
    assert asked(server)[0] is None and len(starts) == 3
    for start, n_sent in zip(starts, (70_000, 210_000, 270_000), strict=True):
        assert n_sent - 3 * 65_536 <= start <= n_sent
    assert starts == sorted(starts) and starts[0] > 0


def test_end_without_length_is_resumed(get, server, tmp_path):
    """No Content-Length, closed early: to HTTP that is a whole body; only the known size tells."""
    get(("no length", 200_000))
    assert (tmp_path / "x.zip").read_bytes() == CONTENT and asked(server) == [None, "bytes=200000-"]


def test_server_that_ignores_ranges(get, server, tmp_path):
    get(("cut", 200_000), ("no ranges", None))
    assert (tmp_path / "x.zip").read_bytes() == CONTENT
    assert len(server.log) == 2 and server.log[1][1]


def test_server_that_ignores_ranges_and_always_cuts(get, server, tmp_path):
    """Never further than 200,000: given up after 1 + 7 transfers instead of going on for ever; the part is kept."""
    with pytest.raises(TransferError, match=r"x\.zip: broke off 7 times \(.*\); [\d,]+ of 300,000 bytes are kept"):
        get(*[("cut, no ranges", 200_000)] * 100)
    assert len(server.log) == 8
    assert 0 < (tmp_path / "x.zip.part").stat().st_size <= 200_000
    server.log.clear()
    with pytest.raises(TransferError, match="broke off 7 times"):  # now further, now less far, but never further
        get(*[("cut, no ranges", 200_000), ("cut, no ranges", 100_000)] * 50)
    assert len(server.log) == 7
    get()
    assert (tmp_path / "x.zip").read_bytes() == CONTENT


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_error_then_success(get, server, tmp_path, status):
    get(("status", status), ("busy", status))
    assert (tmp_path / "x.zip").read_bytes() == CONTENT and len(server.log) == 3


def test_error_while_resuming(get, server, tmp_path):
    get(("cut", 200_000), ("status", 500))
    assert (tmp_path / "x.zip").read_bytes() == CONTENT
    assert len(server.log) == 3 and server.log[1] == server.log[2]


def test_errors_without_end(get, server, tmp_path):
    with pytest.raises(TransferError, match=r"x\.zip: too many 500 error responses"):
        get(*[("status", 500)] * 100)
    assert len(server.log) == 1 + transfer.RETRIES and not os.listdir(tmp_path)


@pytest.mark.parametrize("status", [403, 404, 410])
def test_refusal_is_final(get, server, tmp_path, status):
    with pytest.raises(TransferError, match=rf"x\.zip: HTTP status {status} "):
        get(("status", status))
    assert len(server.log) == 1 and not os.listdir(tmp_path)


def test_no_server(get, server, tmp_path):
    with pytest.raises(TransferError, match=r"http://127\.0\.0\.1:1/x\.zip: .*refused") as caught:
        get(url="http://127.0.0.1:1")
    assert "\n" not in str(caught.value)


def test_wrong_byte_once(get, server, tmp_path):
    get(("body", WRONG_BYTE))
    assert (tmp_path / "x.zip").read_bytes() == CONTENT and asked(server) == [None, None]


def test_wrong_byte_for_ever(get, server, tmp_path):
    with pytest.raises(TransferError, match=rf"x\.zip: .*its MD5 sum is not {MD5}; tried twice"):
        get(*[("body", WRONG_BYTE)] * 9)
    assert len(server.log) == 2 and not os.listdir(tmp_path)


@pytest.mark.parametrize(
    "body, message",
    [(CONTENT[:-1], "299999 bytes instead of 300000"), (CONTENT + b"1", "300001 bytes instead of 300000")],
)
def test_wrong_size(get, server, tmp_path, body, message):
    """Known from the header: twice a request, no transfer."""
    with pytest.raises(TransferError, match=f"{message}; tried twice"):
        get(*[("body", body)] * 9)
    assert len(server.log) == 2 and not os.listdir(tmp_path)


def test_body_without_end(get, server, tmp_path):
    server.files["x.zip"] = CONTENT * 4
    with pytest.raises(TransferError, match="more than 300000 bytes; tried twice"):
        get(*[("no length", 4 * len(CONTENT))] * 9)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("fault", [("other range", 1), ("body", CONTENT + b"1"), ("body", CONTENT[:100])])
def test_other_range_than_asked(get, server, tmp_path, fault):
    """A shifted range, another total, no such byte (416): the part is dropped, the file fetched from its start."""
    (tmp_path / "x.zip.part").write_bytes(CONTENT[:1000])
    get(fault)
    assert (tmp_path / "x.zip").read_bytes() == CONTENT and asked(server) == ["bytes=1000-", None]


@pytest.mark.parametrize("part", [b"other" * 200, CONTENT + b"1", CONTENT[:-1] + b"?", b""])
def test_part_of_another_file(get, server, tmp_path, part):
    """Foreign beginning, too long, whole but wrong, empty: the sum decides, the second try starts at 0."""
    (tmp_path / "x.zip.part").write_bytes(part)
    get()
    assert (tmp_path / "x.zip").read_bytes() == CONTENT and asked(server)[-1] is None
    assert os.listdir(tmp_path) == ["x.zip"]


def test_whole_part_needs_no_request(get, server, tmp_path):
    """Killed between the last byte and the new name."""
    (tmp_path / "x.zip.part").write_bytes(CONTENT)
    get()
    assert (tmp_path / "x.zip").read_bytes() == CONTENT and not server.log


@pytest.mark.parametrize("content", [WRONG_BYTE, CONTENT[:-1], b""])
def test_damaged_file_is_fetched_anew(get, server, tmp_path, content):
    (tmp_path / "x.zip").write_bytes(content)
    get()
    assert (tmp_path / "x.zip").read_bytes() == CONTENT and asked(server) == [None]


def test_unknown_size(get, server, tmp_path):
    """The sum alone decides; a part is no use; a cut is still seen by the server's own length."""
    (tmp_path / "x.zip.part").write_bytes(CONTENT[:1000])
    get(("cut", 10), ("body", WRONG_BYTE), n_bytes=None)
    assert (tmp_path / "x.zip").read_bytes() == CONTENT and asked(server) == [None] * 3


def test_unknown_size_has_a_limit(get, server, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "MAX_BYTES", 299_999)
    with pytest.raises(TransferError, match="more than 299999 bytes"):
        get(n_bytes=None)


def test_full_disk_is_no_network_fault(get, server, tmp_path, monkeypatch):
    """OSError of the write at once, not retries."""
    monkeypatch.setattr(transfer, "open", lambda path, mode: open("/dev/full", "wb", buffering=0), raising=False)
    with pytest.raises(OSError, match="No space left"):
        get()
    assert len(server.log) == 1


# ---- nothing but https


def certificate(folder):
    """A certificate of its own for 127.0.0.1: (path of certificate, path of key)."""
    if not shutil.which("openssl"):
        pytest.skip("needs openssl to make a certificate")
    paths = folder / "certificate.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1"
    command = [*command.split(), "-addext", "subjectAltName=IP:127.0.0.1", "-out", paths[0], "-keyout", paths[1]]
    subprocess.run(command, check=True, capture_output=True)
    return paths


@pytest.fixture
def tls(server, tmp_path_factory):
    """`server` behind TLS, with a certificate that nobody has signed."""
    server.certificate, key = certificate(tmp_path_factory.mktemp("tls"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.url = server.url.replace("http:", "https:")
    server.n_connections, get_request = 0, server.get_request

    def counted():
        server.n_connections += 1
        return get_request()

    server.get_request = counted
    return server


@pytest.mark.parametrize("variable", [None, "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "PYTHONHTTPSVERIFY"])
def test_untrusted_certificate_is_refused(tls, tmp_path, monkeypatch, variable):
    """An empty CURL_CA_BUNDLE switched verification off in requests before 2.28."""
    if variable:
        monkeypatch.setenv(variable, "0" if variable == "PYTHONHTTPSVERIFY" else "")
    tls.files["x.zip"] = CONTENT
    with open_session(tls.url, pause_s=0) as session, pytest.raises(TransferError, match="certificate verify failed"):
        fetch(session, f"{tls.url}/x.zip", tmp_path / "x.zip", len(CONTENT), MD5)
    assert not tls.log and not os.listdir(tmp_path)
    assert tls.n_connections == 1  # and no patience with it


def test_https_never_turns_into_http(tls, tmp_path, monkeypatch):
    """With the certificate trusted, https works and redirects to https are followed, those to http are not."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tls.certificate))
    tls.files["x.zip"] = CONTENT
    with open_session(tls.url, pause_s=0) as session:
        get = functools.partial(fetch, session, f"{tls.url}/x.zip", tmp_path / "x.zip", len(CONTENT), MD5)
        tls.faults[:] = [("redirect", tls.url.replace("https", "http"))]
        with pytest.raises(TransferError, match=r"x\.zip: refused a redirection to another protocol .*http://127"):
            get()
        assert len(tls.log) == 1 and not os.listdir(tmp_path)
        tls.faults[:] = [("redirect", tls.url)]
        get()
    assert (tmp_path / "x.zip").read_bytes() == CONTENT and len(tls.log) == 3


def test_command_knows_https_only():
    assert packages.BASE_URL.startswith("https://")
    assert install.install.__kwdefaults__["base_url"] == packages.BASE_URL
    with open_session(packages.BASE_URL) as session:
        assert list(session.adapters) == ["https://"] and session.verify is True


# ---- whole collections


def make_collections(server, folder):
    """Two small collections in the layout of the data, their sounds and lists those of the golden mixtures."""
    folder.mkdir()
    events, backgrounds = GOLDEN / "source_data/events", GOLDEN / "source_data/bgs"
    parts = {"doc.zip": {}, "bgs.1.zip": {"bgs": backgrounds, "cv_setup": LISTS}, "events.zip": {"events": events}}
    listed = [Package("NOTES.txt", None, hashlib.md5(b"notes").hexdigest())]
    server.files["NOTES.txt"] = b"notes"
    name = packages.DEVELOPMENT.folder
    for part, sources in parts.items():
        with zipfile.ZipFile(folder / part, "w") as file:
            file.writestr(f"{name}/{part}.README", f"{part} ")
            for place, source in sources.items():
                for path in filter(Path.is_file, sorted(source.rglob("*"))):
                    file.write(path, f"{name}/data/source_data/{place}/{path.relative_to(source)}")
        content = (folder / part).read_bytes()
        listed.append(Package(f"{name}.{part}", len(content), hashlib.md5(content).hexdigest()))
        server.files[f"{name}.{part}"] = content
    development = replace(packages.DEVELOPMENT, packages=tuple(listed))
    name = packages.EVALUATION.folder
    with zipfile.ZipFile(folder / "mix.zip", "w") as file:
        for path in (GOLDEN / "mixture_data/devtest/render/meta").iterdir():
            file.write(path, f"data/mixture_data/evaltest/f00/meta/{path.name.replace('devtest', 'evaltest')}")
    content = (folder / "mix.zip").read_bytes()
    server.files["mix.zip"] = content
    mixtures = Package("mix.zip", len(content), hashlib.md5(content).hexdigest())
    return development, replace(packages.EVALUATION, packages=(mixtures,))


@pytest.fixture
def collections(server, tmp_path):
    return make_collections(server, tmp_path / "made")


@pytest.fixture
def bring(server, collections, tmp_path):
    return functools.partial(install.install, collections, tmp_path / "tut", base_url=server.url, pause_s=0)


def tree(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def undisturbed(server, collections, tmp_path):
    """Content of the collections' folder after an undisturbed installation."""
    install.install(collections, tmp_path / "undisturbed", base_url=server.url)
    server.log.clear()
    return tree(tmp_path / "undisturbed")


def test_installed_collections_are_what_the_reader_reads(bring, server, tmp_path):
    folders = bring()
    root = tmp_path / "tut"
    assert folders == [root / packages.DEVELOPMENT.folder, root / packages.EVALUATION.folder]
    assert sorted(os.listdir(root)) == [".lock", *(folder.name for folder in folders)]  # neither zips nor parts
    for path in (GOLDEN / "source_data").rglob("*"):
        if path.is_file():
            copy = folders[0] / "data/source_data" / path.relative_to(GOLDEN / "source_data")
            assert copy.read_bytes() == path.read_bytes()
    assert (folders[0] / "NOTES.txt").read_bytes() == b"notes"
    bank = open_bank(root)
    assert bank.backgrounds("train") and bank.events("gunshot", "dev")
    golden_sound = open_bank(GOLDEN.parent).event_audio("babycry/1001.wav")
    np.testing.assert_array_equal(bank.event_audio("babycry/1001.wav"), golden_sound)
    assert len(bank.ready_mixtures("babycry", "eval")) == 7
    assert {name for name, _ in server.log} == set(server.files)


def test_second_run_does_nothing_and_needs_no_network(bring, server, tmp_path, monkeypatch):
    bring()
    before, n_requests = tree(tmp_path / "tut"), len(server.log)
    monkeypatch.setattr(install, "open_session", lambda *_, **__: pytest.fail("nothing is to be fetched"))
    bring()
    assert tree(tmp_path / "tut") == before and len(server.log) == n_requests


def test_one_subset_then_the_other(server, collections, tmp_path):
    development, evaluation = collections
    install.install([evaluation], tmp_path, base_url=server.url)
    assert [name for name, _ in server.log] == ["mix.zip"] and not (tmp_path / development.folder).exists()
    install.install([development, evaluation], tmp_path, base_url=server.url)
    assert len(server.log) == 5 and (tmp_path / development.folder).is_dir()


def test_kept_zips_serve_again(bring, server, collections, tmp_path, undisturbed):
    bring(keep_zips=True)
    zips = {path.name: path.read_bytes() for path in (tmp_path / "tut").glob("*.zip")}
    assert zips == {name: content for name, content in server.files.items() if name.endswith(".zip")}
    for collection in collections:
        shutil.rmtree(tmp_path / "tut" / collection.folder)
    server.log.clear()
    bring()
    assert server.log == [("NOTES.txt", None)] and tree(tmp_path / "tut") == undisturbed


def test_damaged_zip_is_never_unpacked(bring, server, collections, tmp_path):
    """A wrong byte inside a sound, everything else right: only the sum sees it in time."""
    package = collections[0].packages[2]
    server.files[package.name] = server.files[package.name].replace(b"RIFF", b"RIFX", 1)
    with pytest.raises(TransferError, match=rf"{package.name}: not the expected file"):
        bring()
    assert not is_tut2017(tmp_path / "tut") and not (tmp_path / "tut" / collections[0].folder).exists()


def test_packages_without_the_content(server, tmp_path, collections):
    short = replace(collections[0], packages=collections[0].packages[:2])
    with pytest.raises(InputError, match="do not contain data/source_data/bgs/audio"):
        install.install([short], tmp_path, base_url=server.url)
    assert not (tmp_path / short.folder).exists()


def test_hostile_package(server, tmp_path):
    """Right size and sum, but a path that climbs out."""
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as file:
        file.writestr("../../evil", b"evil")
    content = server.files["evil.zip"] = (tmp_path / "evil.zip").read_bytes()
    package = Package("evil.zip", len(content), hashlib.md5(content).hexdigest())
    collection = Collection("development", "set", 1, (package,), ())
    with pytest.raises(InputError, match=r"evil\.zip: member '\.\./\.\./evil' would lie outside"):
        install.install([collection], tmp_path / "a" / "b", base_url=server.url)
    assert not list(tmp_path.rglob("evil"))


def test_folder_of_the_users_is_left_alone(bring, server, tmp_path):
    folder = tmp_path / "tut" / packages.EVALUATION.folder
    folder.mkdir(parents=True)
    with pytest.raises(InputError, match=r"evaluation: exists, but was not downloaded by this program"):
        bring()
    assert not server.log and os.listdir(tmp_path / "tut") == [folder.name]


def test_disk_space_is_checked_before_the_first_request(server, tmp_path, monkeypatch):
    """Zips of 100 and 40 kB, 1.5 × as much unpacked.

    Kept: 2.5 · 140 = 350 kB. Deleted: after the first 150 kB are in use, the second takes 100 more: the peak is
    250 kB, that of the first. With 30 kB of the first here already, 30 kB less in either case.
    """
    sizes = {"a.zip": 100_000, "b.zip": 40_000}
    collection = Collection("development", "set", 1, tuple(Package(n, size, MD5) for n, size in sizes.items()), ())
    for keep_zips, here, needed in ((True, 0, 350), (False, 0, 250), (True, 30, 320), (False, 30, 220)):
        (tmp_path / "a.zip.part").write_bytes(bytes(here * 1000))
        plan = install.plan(collection, tmp_path)
        assert install.disk_needed([plan], keep_zips=keep_zips) == needed * 1000
        monkeypatch.setattr(shutil, "disk_usage", lambda path, free=needed * 1000 - 1: SimpleNamespace(free=free))
        with pytest.raises(InputError, match=r"about 0\.0 GB needed for .*, 0\.0 GB free"):
            install.install([collection], tmp_path, base_url=server.url, keep_zips=keep_zips)
        assert not server.log
        monkeypatch.setattr(shutil, "disk_usage", lambda path, free=needed * 1000: SimpleNamespace(free=free))
        with pytest.raises(TransferError, match="404"):  # enough: it asks
            install.install([collection], tmp_path, base_url=server.url, keep_zips=keep_zips)
        server.log.clear()


def test_second_process_is_told(bring, tmp_path):
    from data_tools.files import exclusive

    (tmp_path / "tut").mkdir()
    with exclusive(tmp_path / "tut" / ".lock", "downloading to"):
        with pytest.raises(InputError, match="tut: another process is downloading to it"):
            bring()
    bring()


# ---- killed

KILLED = """
import os, signal, sys
sys.path[:0] = [{root!r}]
from data_tools.download import install
from data_tools.download.packages import Collection, Package

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def progress(what, n_done, n_total):
    if what == {what!r} and n_done >= {n_done}:
        die()

if {what!r} == "marker":
    install.atomic_write = die
if {what!r} == "marked":
    unlink = install.Path.unlink
    install.Path.unlink = lambda path, **options: die() if path.suffix == ".zip" else unlink(path, **options)
if {what!r} == "rename":
    install.os.rename = die
install.install({collections!r}, {folder!r}, base_url={url!r}, progress=progress)
"""
EVENTS = f"{packages.DEVELOPMENT.folder}.events.zip"


@pytest.mark.parametrize(
    "what, n_done",
    [(EVENTS, 1), (EVENTS, 200_000), (f"unpacking {EVENTS}", 1), ("marker", 0), ("marked", 0), ("rename", 0)],
)
def test_killed_installation_resumes(bring, server, collections, tmp_path, undisturbed, what, n_done):
    """SIGKILL in a transfer, in unpacking, before and after a package is noted, before the last rename."""
    folder = tmp_path / "tut"
    names = {"root": str(ROOT), "what": what, "n_done": n_done, "collections": collections}
    code = KILLED.format(**names, folder=str(folder), url=server.url)
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    assert not is_tut2017(folder)  # nothing looks whole
    assert not any((folder / collection.folder).exists() for collection in collections)
    n_before = sum(path.stat().st_size for path in folder.glob("*.part"))
    server.log.clear()
    bring()
    assert tree(folder) == undisturbed
    if n_done == 200_000:
        assert n_before >= 100_000 and server.log[0] == (EVENTS, f"bytes={n_before}-")
    if what == "rename":
        assert [name for name, _ in server.log] == ["mix.zip"]


# ---- the command


@pytest.fixture
def command(server, collections, tmp_path, monkeypatch, capsys):
    """Run the command on the small collections; its output."""
    monkeypatch.setattr(download, "COLLECTIONS", {collection.subset: collection for collection in collections})
    monkeypatch.setattr(install, "install", functools.partial(install.install, base_url=server.url, pause_s=0))

    def run(*arguments):
        download.main([str(tmp_path / "tut"), *arguments])
        return capsys.readouterr().out

    return run


def test_command_installs_and_says_so(command, server, tmp_path):
    output = command()
    assert packages.LICENCE in output and output.index("academic research only") < output.index("complete")
    assert output.count(": complete\n") == 2 and is_tut2017(tmp_path / "tut")
    n_requests = len(server.log)
    again = command()
    assert again.count("\n") == 2 and again.count(": complete\n") == 2 and len(server.log) == n_requests


def test_command_takes_one_subset(command, server):
    assert command("--subset", "evaluation", "--keep-zips").count(": complete") == 1
    assert [name for name, _ in server.log] == ["mix.zip"]


def test_dry_run_writes_and_asks_nothing(tmp_path, capsys, monkeypatch):
    """The real table; sums of the sizes as in the record's description."""
    monkeypatch.setattr(install, "install", lambda *_, **__: pytest.fail("a dry run"))
    download.main([str(tmp_path / "tut"), "--dry-run"])
    output = capsys.readouterr().out
    for collection in packages.COLLECTIONS.values():
        for package in collection.packages:
            assert re.search(rf"{package.md5} +0%  {package.name}$", output, re.MULTILINE)
    assert "8,321,738,790  in 11 files" in output and "4,595,882,013  in 8 files" in output
    assert output.count("not recorded") == 2 and "academic research only" in output
    assert "12.92 GB to fetch; disk space: about 20.0 GB needed" in output
    assert not (tmp_path / "tut").exists()


def test_dry_run_shows_what_is_there(tmp_path, capsys):
    package = packages.EVALUATION.packages[2]
    (tmp_path / f"{package.name}.part").write_bytes(bytes(5000))
    download.main([str(tmp_path), "--dry-run", "--subset", "evaluation"])
    assert f"{package.md5}    43%  {package.name}" in capsys.readouterr().out  # 5000 / 11701


def test_table_of_packages():
    """Their sizes are summed up in the dry run above."""
    rows = [(p.n_bytes, p.md5) for c in packages.COLLECTIONS.values() for p in c.packages]
    assert len(rows) == len(set(rows)) == 19 and all(re.fullmatch("[0-9a-f]{32}", md5) for _, md5 in rows)


def test_missing_library_is_one_line(tmp_path):
    """As in an installation without the extra; -h and --dry-run work there."""
    hide = (
        "import sys; sys.modules['requests'] = None; from data_tools.download.__main__ import main; main(sys.argv[1:])"
    )
    run = functools.partial(subprocess.run, cwd=ROOT, capture_output=True, text=True)
    result = run([sys.executable, "-c", hide, str(tmp_path)])
    assert result.returncode == 2 and result.stderr.endswith('requests: python -m pip install -e ".[tut]"\n')
    assert "Traceback" not in result.stderr and result.stderr.count("\n") == 1
    assert run([sys.executable, "-c", hide, str(tmp_path), "--dry-run"]).returncode == 0
    assert not os.listdir(tmp_path)
