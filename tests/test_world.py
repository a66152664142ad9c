"""Sound, streams, folders and machines as they are in the world: kind → example → what comes of it.

Each row is an example of a kind of fault. A sound is read whole, or refused in one line that names it; nothing is
passed over without a word. `test_audio_matrix.py` has what is plainly no sound, and sounds as events and backgrounds.
"""

import errno
import io
import os
import stat
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from data_tools import synthesize
from data_tools.audio import SAMPLE_RATE, audio_header, read_audio
from data_tools.download.unpack import unpack
from data_tools.errors import InputError
from data_tools.files import exclusive
from data_tools.live_sound import PcmFormat, pcm_blocks, read_wav_header
from data_tools.sound_blocks import file_blocks
from data_tools.sound_ends import mpeg_frame
from data_tools.soundbank import SoundBank
from minirsed.analysis.plots import curves
from minirsed.detect import __main__ as detect
from minirsed.run.metrics import METRICS
from tests.conftest import tone_detector
from tests.test_train_command import own_sounds

ROOT = Path(__file__).parents[1]
SR = 44100
LOUD = 0.2  # rms of the noise
SECONDS = 6.0


def noise(seconds=SECONDS, sr=SR, seed=0):
    """(samples,) of rms 0.2 after a first third of a faint tone, so that a varying bit rate varies."""
    n = round(seconds * sr)
    y = LOUD * np.random.default_rng(seed).standard_normal(n).clip(-4, 4)
    y[: n // 3] = 0.01 * np.sin(2 * np.pi * 440 * np.arange(n // 3) / sr)
    return y


def encoded(y=None, sr=SR, **options):
    """Bytes of a sound file; `format` is one of libsndfile's."""
    file = io.BytesIO()
    soundfile.write(file, noise(sr=sr) if y is None else y, sr, **options)
    return file.getvalue()


def stereo(left, right=None, third=None):
    """(samples, channels) of several signals, 16-bit steps, so that files of all kinds hold the same."""
    return np.column_stack([channel for channel in (left, right, third) if channel is not None])


def mp3(y=None, sr=SR, **options):
    return encoded(y, sr, format="MP3", bitrate_mode="VARIABLE", **options)


def without_first_frame(content):
    """An MP3 file without the frame that holds its length."""
    return content[mpeg_frame(content).n_bytes :]


ID3 = b"ID3\4\0\0" + bytes([0, 0, 0x10, 0]) + bytes(2048)


def with_size(content, chunk, code, size):
    """A file whose chunk says another size of itself."""
    at = content.index(chunk) + len(chunk)
    return content[:at] + struct.pack(code, size) + content[at + struct.calcsize(code) :]


def flac_of_no_length(content):
    content = bytearray(content)
    content[21] &= 0xF0
    content[22:26] = bytes(4)  # 36 bits of STREAMINFO
    return bytes(content)


def flac_of_length(content, n_frames):
    content = bytearray(flac_of_no_length(content))
    content[22:26] = struct.pack(">I", n_frames)
    return bytes(content)


def ogg(seed, sr=SR, **options):
    return encoded(noise(seed=seed, sr=sr), sr, format="OGG", **options)


WAV16, AIFF16, CAF16, AU16 = (encoded(format=form, subtype="PCM_16") for form in ("WAV", "AIFF", "CAF", "AU"))
N_BYTES = round(SECONDS * SR) * 2
UNIT = noise()
BOX = struct.pack(">I", 32) + b"ftyp%b" + bytes(2000)
UNPADDED = b"note" + struct.pack("<I", 5001) + 5001 * b"n"
METADATA = b"iXML" + struct.pack("<I", 600_000) + 150_000 * b"text"
BEHIND = "follow behind the end of the sound at"
SOUNDS = {
    # kind: (example, seconds that are read or part of the message)
    "channels: one": (lambda: encoded(UNIT, format="WAV"), SECONDS),
    "channels: two alike": (lambda: encoded(stereo(UNIT, UNIT), format="WAV"), SECONDS),
    "channels: wired the wrong way round": (lambda: encoded(stereo(UNIT, -UNIT), format="WAV"), SECONDS),
    "channels: … and not quite as loud": (lambda: encoded(stereo(-0.7 * UNIT, UNIT), format="WAV"), SECONDS),
    "channels: … in MP3": (lambda: mp3(stereo(UNIT, -UNIT)), SECONDS),
    "channels: … in Ogg": (lambda: encoded(stereo(UNIT, -UNIT), format="OGG"), SECONDS),
    "channels: … in FLAC at 16 kHz": (
        lambda: encoded(stereo(noise(sr=16000), -noise(sr=16000)), 16000, format="FLAC"), SECONDS
    ),
    "channels: three, two of which cancel": (lambda: encoded(stereo(UNIT, -UNIT, 0 * UNIT), format="WAV"), SECONDS),
    "MP3: varying rate with a header": (mp3, SECONDS),
    "MP3: varying rate without a header": (lambda: without_first_frame(mp3()), SECONDS),
    "MP3: … stereo": (lambda: without_first_frame(mp3(stereo(UNIT, UNIT))), SECONDS),
    "MP3: … at 22.05 kHz": (lambda: without_first_frame(mp3(noise(sr=22050), 22050)), SECONDS),
    "MP3: … at 11.025 kHz": (lambda: without_first_frame(mp3(noise(sr=11025), 11025)), SECONDS),
    "MP3: … at 48 kHz, behind a tag": (lambda: ID3 + without_first_frame(mp3(noise(sr=48000), 48000)), SECONDS),
    "MP3: constant rate without a header": (
        lambda: without_first_frame(encoded(format="MP3", bitrate_mode="CONSTANT")), SECONDS
    ),
    "MP3: a tag in front": (lambda: ID3 + mp3(), SECONDS),
    "MP3: a tag behind": (lambda: mp3() + b"TAG" + bytes(range(125)), SECONDS),
    "MP3: two joined": (lambda: mp3() + mp3(noise(seed=1)), 2 * SECONDS),
    "MP3: two joined, tags between": (lambda: ID3 + mp3() + ID3 + mp3(noise(seed=1)), 2 * SECONDS),
    "MP3: two joined, without headers": (lambda: 2 * without_first_frame(mp3()), 2 * SECONDS),
    "MP3: two of different rates joined": (lambda: mp3() + mp3(noise(sr=22050), 22050), BEHIND),
    "MP3: cut short": (lambda: mp3()[:40_000], None),
    "MP3: noise in the middle": (lambda: (m := mp3())[:20_000] + bytes(range(7, 250)) * 4 + m[20_000:], SECONDS),
    "WAV: a rate of 1 Hz": (lambda: encoded(sr=1, y=UNIT, format="WAV"), "has a sample rate of 1 Hz"),
    "WAV: two joined": (lambda: WAV16 + WAV16, "not a readable"),
    "WAV: size of the sound too small": (lambda: with_size(WAV16, b"data", "<I", N_BYTES // 2), BEHIND),
    "WAV: size of the sound ffffffff": (lambda: with_size(WAV16, b"data", "<I", 0xFFFFFFFF), SECONDS),
    "WAV: size of the sound too large": (lambda: with_size(WAV16, b"data", "<I", 3 * N_BYTES), SECONDS),
    "WAV: size of the sound 0": (lambda: with_size(WAV16, b"data", "<I", 0), BEHIND),
    "WAV: a large chunk behind the sound": (lambda: WAV16 + METADATA, SECONDS),
    "WAV: room set aside behind the sound": (lambda: WAV16 + bytes(100_000), SECONDS),
    "WAV: chunks of odd length without padding": (lambda: WAV16 + 2 * UNPADDED, SECONDS),
    "WAV: 8 bits, of odd length": (lambda: encoded(UNIT[:-1], format="WAV", subtype="PCM_U8") + METADATA, SECONDS),
    "WAV: big-endian, RIFX": (lambda: encoded(format="WAV", subtype="PCM_16", endian="BIG"), SECONDS),
    "WAV: extensible": (lambda: encoded(format="WAVEX"), SECONDS),
    "RF64": (lambda: encoded(format="RF64"), SECONDS),
    "RF64: two joined": (lambda: 2 * encoded(format="RF64"), BEHIND),
    "W64": (lambda: encoded(format="W64"), SECONDS),
    "W64: two joined": (lambda: 2 * encoded(format="W64"), BEHIND),
    "AIFF": (lambda: AIFF16, SECONDS),
    "AIFF: two joined": (lambda: 2 * AIFF16, "not a readable"),
    "AIFF: size of the sound too small": (lambda: with_size(AIFF16, b"SSND", ">I", N_BYTES // 2 + 8), BEHIND),
    "AU": (lambda: AU16, SECONDS),
    "AU: size of the sound not known": (lambda: AU16[:8] + b"\xff" * 4 + AU16[12:], SECONDS),
    "AU: two joined": (lambda: 2 * AU16, BEHIND),
    "CAF": (lambda: CAF16, SECONDS),
    "CAF: size of the sound not known": (lambda: with_size(CAF16, b"data", ">q", -1), "malformed"),
    "CAF: two joined": (lambda: 2 * CAF16, BEHIND),
    "FLAC: no length": (lambda: flac_of_no_length(encoded(format="FLAC")), SECONDS),
    "FLAC: no length, stereo": (lambda: flac_of_no_length(encoded(stereo(UNIT, -UNIT), format="FLAC")), SECONDS),
    "FLAC: no length, at 16 kHz": (
        lambda: flac_of_no_length(encoded(noise(sr=16000), 16000, format="FLAC")), SECONDS
    ),
    "FLAC: a length beyond belief": (lambda: flac_of_length(encoded(format="FLAC"), 2**32 - 1), SECONDS),
    "FLAC: a tag in front": (lambda: ID3 + encoded(format="FLAC"), SECONDS),
    "FLAC: a tag in front, two joined": (lambda: ID3 + 2 * encoded(format="FLAC"), BEHIND),
    "FLAC: two joined": (lambda: 2 * encoded(format="FLAC"), BEHIND),
    "Ogg: Vorbis, chained": (lambda: ogg(0) + ogg(1), BEHIND),
    "Ogg: Opus": (lambda: ogg(0, 48000, subtype="OPUS"), SECONDS),
    "M4A": (lambda: BOX % b"M4A ", "it looks like MP4 or M4A"),
    "AAC in ADTS": (lambda: b"\xff\xf1\x50\x80\x2e\x7f\xfc" + bytes(3000), "not a readable sound file"),
    "a page of text": (lambda: b"<!DOCTYPE html>\n<title>404 Not Found</title>\n", "it looks like text"),
    "Ogg: Opus, chained": (lambda: ogg(0, 48000, subtype="OPUS") + ogg(1, 48000, subtype="OPUS"), BEHIND),
}  # fmt: skip


@pytest.mark.parametrize("kind", SOUNDS)
def test_sounds(kind, tmp_path):
    """In one piece, in blocks and from its middle on: all of it, as loud as it is; or one line."""
    make, outcome = SOUNDS[kind]
    path = tmp_path / "a sound"
    path.write_bytes(make())
    readers = (read_audio, lambda path: np.concatenate(list(file_blocks(path, block_s=1.7))), audio_header)
    if isinstance(outcome, str):
        for read in readers:
            with pytest.raises(InputError, match=outcome) as error:
                read(path)
            assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)
        return
    y, in_blocks, (n_frames, sr) = (read(path) for read in readers)
    if outcome is not None:
        assert len(y) / SAMPLE_RATE == pytest.approx(outcome, abs=0.2)
        loud = y[round((outcome - 1.5) * SAMPLE_RATE) : round((outcome - 0.5) * SAMPLE_RATE)]
        assert np.sqrt(np.mean(loud**2)) == pytest.approx(LOUD, rel=0.35)
    else:
        assert 1 < len(y) / SAMPLE_RATE < SECONDS
    assert n_frames / sr == pytest.approx(len(y) / SAMPLE_RATE, abs=0.03)
    np.testing.assert_allclose(in_blocks, y, rtol=0, atol=1e-9)
    whole = read_audio(path, sr=None)
    part = read_audio(path, sr=None, start_s=1.234, duration_s=1.5)
    first = int(1.234 * sr)
    np.testing.assert_allclose(part, whole[first : first + len(part)], rtol=0, atol=1e-6)
    assert len(part) == np.ceil(1.5 * sr) or outcome is None


RAW = (0.3 * UNIT.clip(-1, 1) * 32767).astype("<i2").tobytes()
NOT_WAV = "is not WAV; if it is raw PCM, say so with --raw"
STREAMS = {
    # kind: (what comes through the pipe, options, seconds that are heard or part of the message)
    "WAV": (lambda: WAV16, "", SECONDS),
    "WAV of 24 bits, stereo": (lambda: encoded(stereo(UNIT, UNIT), format="WAV", subtype="PCM_24"), "", SECONDS),
    "WAV, one channel wired the wrong way round": (lambda: encoded(stereo(UNIT, -UNIT), format="WAV"), "", SECONDS),
    "WAV of floats": (lambda: encoded(format="WAV", subtype="FLOAT"), "", SECONDS),
    "WAV of unknown length, as ffmpeg writes it": (
        lambda: with_size(WAV16, b"data", "<I", 0xFFFFFFFF), "", SECONDS
    ),
    "WAV of unknown length, as sox writes it": (lambda: with_size(WAV16, b"data", "<I", 0x7FFFF7C0), "", SECONDS),
    "WAV of unknown length, 0": (lambda: with_size(WAV16, b"data", "<I", 0), "", SECONDS),
    "WAV with metadata behind the sound": (lambda: WAV16 + METADATA, "", SECONDS),
    "WAV with chunks of odd length without padding": (lambda: WAV16 + 2 * UNPADDED + METADATA, "", SECONDS),
    "WAV of odd length": (
        lambda: encoded(UNIT[:-1], format="WAV", subtype="PCM_U8") + METADATA, "", round(SECONDS * SR - 1) / SR
    ),
    "WAV with metadata before the sound": (lambda: WAV16[:12] + METADATA + WAV16[12:], "", SECONDS),
    "WAV with room behind the sound": (lambda: WAV16 + bytes(100_000), "", SECONDS),
    "WAV of another rate than the options say": (lambda: WAV16, "--rate 8000", SECONDS),
    "RF64": (lambda: encoded(format="RF64", subtype="FLOAT"), "", SECONDS),
    "two WAV joined": (lambda: 2 * WAV16, "", "more follows behind the end of its sound at 6.0 s"),
    "WAV that says less than it has": (
        lambda: with_size(WAV16, b"data", "<I", N_BYTES // 2), "", "more follows behind the end of its sound at 3.0 s"
    ),
    "WAV of 1 Hz": (lambda: encoded(sr=1, y=UNIT, format="WAV"), "", "has a sample rate of 1 Hz"),
    "nothing": (bytes, "", "no samples"),
    "raw PCM, unsaid": (lambda: RAW, "", NOT_WAV),
    "raw PCM, said": (lambda: RAW, "--raw", SECONDS),
    "raw PCM, by its rate": (lambda: RAW, "--rate 22050", 2 * SECONDS),
    "raw PCM, by its channels": (lambda: RAW, "--channels 2", SECONDS / 2),
    "raw PCM that begins like MP3": (lambda: b"ID3\4" + RAW, "--raw", SECONDS),
    "raw PCM that begins with a frame of MP3": (lambda: b"\xff\xfb\x90\xc4" + RAW, "--rate 44100", SECONDS),
    "MP3 with a tag": (lambda: ID3 + mp3(), "", "is MP3, not WAV"),
    "MP3 with a tag, called raw by its rate": (lambda: ID3 + mp3(), "--rate 44100", "is MP3, not WAV"),
    "MP3": (mp3, "", "is MP3, not WAV"),
    "MP3 of MPEG 2": (lambda: mp3(noise(sr=22050), 22050), "", "is MP3, not WAV"),
    "AAC in ADTS": (lambda: b"\xff\xf1\x50\x80\x2e\x7f\xfc" + RAW, "", "is AAC, not WAV"),
    "M4A": (lambda: BOX % b"M4A ", "", "is MP4 or M4A, not WAV"),
    "MP4, with a rate": (lambda: BOX % b"isom", "--rate 48000", "is MP4 or M4A, not WAV"),
    "transport stream": (lambda: 10 * (b"\x47\x40\0\x10" + bytes(184)), "", "is an MPEG transport stream, not WAV"),
    "WebM": (lambda: b"\x1a\x45\xdf\xa3" + RAW, "", "is WebM or Matroska, not WAV"),
    "AIFF": (lambda: AIFF16, "", "is AIFF, not WAV"),
    "AU": (lambda: AU16, "", "is AU, not WAV"),
    "CAF": (lambda: CAF16, "", "is CAF, not WAV"),
    "W64": (lambda: encoded(format="W64"), "", "is W64, not WAV"),
    "RIFX": (lambda: encoded(format="WAV", subtype="PCM_16", endian="BIG"), "", "is big-endian WAV, not WAV"),
    "FLAC": (lambda: encoded(format="FLAC"), "", "is FLAC, not WAV"),
    "Ogg": (lambda: ogg(0), "", "is Ogg, not WAV"),
    "AVI": (lambda: b"RIFF\0\0\1\0AVI LIST" + RAW, "", "is AVI, not WAV"),
    "a page of text": (lambda: b"<!DOCTYPE html>\n<title>404 Not Found</title>\n", "", "is text, not WAV"),
    "WAV of A-law": (lambda: encoded(format="WAV", subtype="ALAW"), "", "cannot be read from a pipe"),
}  # fmt: skip


@pytest.mark.parametrize("kind", STREAMS)
def test_streams(kind, tmp_path, capsys, monkeypatch):
    """By `detect RUN -`: all of it is heard, as loud as a file; or one line on standard error and status 2."""
    make, options, outcome = STREAMS[kind]
    content = make()
    run = tmp_path / "detector.npz"
    tone_detector("uni").save(run)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    with pytest.raises(SystemExit) as stop:
        detect.main([str(run), "-", *options.split()])
        raise SystemExit(0)
    printed = capsys.readouterr().err.splitlines()
    if isinstance(outcome, str):
        assert stop.value.code == 2 and outcome in printed[-1] and len(printed) <= 2
        assert printed[-1].startswith("minirsed.detect: error: standard input: ")
        return
    assert stop.value.code == 0 and f"0:00:{int(outcome):02} of sound" in printed[-1]


@pytest.mark.parametrize("kind", [kind for kind, (_, options, outcome) in STREAMS.items() if outcome == SECONDS])
def test_streams_are_what_files_are(kind, tmp_path):
    """The same samples, whether from a pipe or a file."""
    make, options, _ = STREAMS[kind]
    content = make()
    pipe = io.BytesIO(content)
    wav, first = (None, b"") if options == "--raw" else read_wav_header(pipe, "pipe", raw=bool(options))
    found = np.concatenate(list(pcm_blocks(pipe, wav or PcmFormat(), "pipe", first)))
    if wav is None:
        np.testing.assert_array_equal(found, np.frombuffer(content, "<i2") / 32768)
        return
    content = with_size(content, b"data", "<I", N_BYTES) if "unknown" in kind else content
    (tmp_path / "a.wav").write_bytes(content)
    np.testing.assert_allclose(found, read_audio(tmp_path / "a.wav"), rtol=0, atol=1e-9)


def files(*names, links=()):
    """Make sounds of one second in a folder `nights`, and links (name, target)."""

    def make():
        for name in names:
            path = Path("nights") / os.fsdecode(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(noise(1.0), format="WAV"))
        for name, target in links:
            (Path("nights") / name).symlink_to(target)

    return make


FOREIGN = [f"a{suffix}" for suffix in (".m4a", ".aac", ".wma", ".mp4", ".webm", ".mka", ".MOV")]
FOLDERS = {
    # kind: (what is made, names of the recordings that are searched, what is said)
    "sounds to any depth": (files("a.wav", "b/c/d.WAV", "b/e.flac"), ["a.wav", "b/c/d.WAV", "b/e.flac"], ""),
    "a link to a folder inside": (
        lambda: (files("a.wav")(), files("../elsewhere/b.wav", links=[("more", "../elsewhere")])()),
        ["a.wav", "more/b.wav"], "",
    ),
    "a link to a file": (files("a.wav", "../b.wav", links=[("c.wav", "../b.wav")]), ["a.wav", "c.wav"], ""),
    "a link to the folder itself": (files("a.wav", links=[("round", ".")]), ["a.wav"], ""),
    "two links to one file": (files("a.wav", links=[("b.wav", "a.wav")]), ["a.wav"], ""),
    "a link to nothing": (
        files("a.wav", links=[("b.wav", "nowhere")]), ["a.wav"], "over 1 file:\n  nights/b.wav: a link that leads"
    ),
    "a pipe": (lambda: (files("a.wav")(), os.mkfifo("nights/b.wav")), ["a.wav"], "nights/b.wav: not an ordinary file"),
    "sound that cannot be read": (files("a.wav", *FOREIGN), ["a.wav"], "passed over 7 files:"),
    "only sound that cannot be read": (files("b.m4a"), [], "nights: no sound files in it"),
    "hidden files and what macOS leaves": (files("a.wav", "._a.wav", ".b/c.wav"), ["a.wav"], ""),
    "other files": (files("a.wav", "notes.txt", "a.csv"), ["a.wav"], ""),
    "an empty folder": (lambda: Path("nights").mkdir(), [], "nights: no sound files in it"),
    "names that are not UTF-8": (files("a.wav", b"caf\xe9.wav"), ["a.wav", "caf\N{REPLACEMENT CHARACTER}.wav"], ""),
    "names with blanks, quotes, brackets": (files("a 'b' [c]; $d.wav"), ["a 'b' [c]; $d.wav"], ""),
    "a name that a list cannot hold": (files("a.wav", "b\tc.wav"), ["a.wav"], "'b\\tc.wav' cannot be a field"),
    "one bad file": (
        lambda: (files("a.wav")(), Path("nights/b.wav").write_text("no sound at all")),
        ["a.wav"], "nights/b.wav: not a readable sound file",
    ),
    "one file of two joined": (
        lambda: (files("a.wav")(), Path("nights/b.au").write_bytes(2 * AU16)), ["a.wav"], "nights/b.au: 0.529 MB follow"
    ),
}  # fmt: skip


@pytest.mark.skipif(os.name == "nt", reason="of links and names that are any bytes")
@pytest.mark.parametrize("kind", FOLDERS)
def test_folders(kind, tmp_path, capsys, monkeypatch):
    """By `detect RUN nights`: what is done is listed, and what is not is said; no traceback, whatever lies there."""
    make, names, said = FOLDERS[kind]
    monkeypatch.chdir(tmp_path)
    make()
    tone_detector("uni").save("detector.npz")
    with pytest.raises(SystemExit) as stop:
        detect.main(["detector.npz", "nights", "--format", "csv"])
        raise SystemExit(0)
    out, err = capsys.readouterr()
    assert [line.split("\t")[0] for line in out.splitlines()[1:]] == names
    assert said in err and "Traceback" not in err
    assert stop.value.code == (2 if "error:" in err else 0)
    if not said:
        assert err.count("\n") == 1 and stop.value.code == 0


def with_silence(before_s, after_s, seconds=1.0, sr=SR):
    y = LOUD * np.random.default_rng(2).standard_normal(round(seconds * sr)).clip(-4, 4)
    return np.concatenate([np.zeros(round(before_s * sr)), y, np.zeros(round(after_s * sr))])


EVENTS = {
    # kind: (bytes of the event's file, lines of events.csv, onset and offset in it or part of the message)
    "no silence": (lambda: encoded(with_silence(0, 0), format="WAV"), "", (0.0, 1.0)),
    "3 s of silence before": (lambda: encoded(with_silence(3, 0), format="WAV"), "", (3.0, 4.0)),
    "silence at both edges": (lambda: encoded(with_silence(1.5, 2), format="WAV"), "", (1.5, 2.5)),
    "… in MP3": (lambda: mp3(with_silence(1.5, 2)), "", (1.5, 2.5)),
    "… in Ogg at 16 kHz": (lambda: encoded(with_silence(1.5, 2, sr=16000), 16000, format="OGG"), "", (1.5, 2.5)),
    "… longer than a clip": (lambda: encoded(with_silence(20, 20), format="WAV"), "", (20.0, 21.0)),
    "less than 0.1 s of silence": (lambda: encoded(with_silence(0.09, 0.05), format="WAV"), "", (0.0, 1.14)),
    "faint noise before": (lambda: encoded(with_silence(1, 0) + 0.1 * UNIT[: 2 * SR], format="WAV"), "", (0.0, 2.0)),
    "silence that is listed": (lambda: encoded(with_silence(1, 0), format="WAV"), "ping/0.wav,0.5,1.5\n", (0.5, 1.5)),
    "silence alone": (lambda: encoded(np.zeros(SR), format="WAV"), "", (0.0, 1.0)),
    "FLAC of no length": (lambda: flac_of_no_length(encoded(with_silence(0, 0), format="FLAC")), "", (0.0, 1.0)),
    "chained Ogg": (lambda: ogg(0) + ogg(1), "", BEHIND),
}


@pytest.mark.parametrize("kind", EVENTS)
def test_events_of_a_folder(kind, tmp_path):
    """The active part is what the label and the event-to-background ratio are of."""
    make, listed, outcome = EVENTS[kind]
    root = own_sounds(tmp_path / "sounds")
    (root / "events/ping/0.wav").write_bytes(make())
    if listed:
        (root / "events/events.csv").write_text(f"file,onset_s,offset_s\n{listed}")
    if isinstance(outcome, str):
        with pytest.raises(InputError, match=f"ping/0.wav: .*{outcome}"):
            SoundBank.from_folder(root)
        return
    bank = SoundBank.from_folder(root)
    (clip,) = [clip for clip in bank.events("ping", "train") if clip.key == "ping/0.wav"]
    assert (clip.onset_s, clip.offset_s) == pytest.approx(outcome, abs=0.06 if "in" in kind else 0.011)


@pytest.mark.parametrize("seconds", [12.0, 45.0, 62.0])
def test_backgrounds_of_no_length(seconds, tmp_path):
    """As many pieces as there are, with the samples that a file with a length gives."""
    root = own_sounds(tmp_path / "sounds")
    content = encoded(noise(seconds), format="FLAC")
    (root / "backgrounds/0.wav").write_bytes(content)
    known = [piece for piece in SoundBank.from_folder(root).backgrounds("train") if piece.key == "0.wav"]
    (root / "backgrounds/0.wav").write_bytes(flac_of_no_length(content))
    bank = SoundBank.from_folder(root)
    pieces = [piece for piece in bank.backgrounds("train") if piece.key == "0.wav"]
    assert pieces == known and sum(piece.duration_s for piece in pieces) > seconds - 10
    last = bank.background_audio("0.wav", pieces[-1].start_s, pieces[-1].duration_s)
    whole = soundfile.read(io.BytesIO(content))[0]
    np.testing.assert_array_equal(last, whole[round(pieces[-1].start_s * SR) :][: len(last)])


ARRAYS = {
    # kind: (an array, part of the message; None: it is taken)
    "mono": (UNIT, None),
    "one channel": (UNIT[:, None], None),
    "stereo": (stereo(UNIT, UNIT), None),
    "32-bit floats": (UNIT.astype(np.float32), None),
    "big-endian floats": (UNIT.astype(">f8"), None),
    "a list": (UNIT[:3000].tolist(), None),
    "channels first": (stereo(UNIT, UNIT).T, "transposed"),
    "one channel, channels first": (UNIT[None], "transposed"),
    "a batch": (UNIT[:6000].reshape(2, 1, 3000), "expected (samples,) or (samples, channels)"),
    "a number": (0.5, "expected (samples,) or (samples, channels)"),
    "integers": ((UNIT * 1000).astype(np.int16), "scale integers"),
    "16-bit floats": (UNIT.astype(np.float16), "float16"),
    "truth values": (UNIT > 0, "bool"),
    "complex": (UNIT.astype(complex), "complex"),
    "whole numbers as floats": (UNIT * 32768, "full scale is 1"),
    "NaN": (np.where(np.arange(len(UNIT)) == 99999, np.nan, UNIT), "NaN or Inf, first at sample 99999"),
    "infinity": (np.where(np.arange(len(UNIT)) == 5, -np.inf, UNIT), "NaN or Inf, first at sample 5"),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays(kind):
    """Detector and stream take and refuse the same, in the same words; refused sound leaves the stream as it was."""
    y, message = ARRAYS[kind]
    detector = tone_detector("uni")
    stream = detector.stream()
    if message is None:
        stream.push(y)
        stream.finish()
        assert stream.n_samples == len(y) and stream.n_frames == len(detector.detect(y).frame_probabilities)
        return
    for take in (detector.detect, stream.push):
        with pytest.raises(ValueError) as error:
            take(y)
        assert message in str(error.value)
    assert stream.push(UNIT[:100]) == [] and stream.n_samples == 100


def test_a_stream_has_the_channels_of_a_file(tmp_path):
    """Cut anyhow, one channel wired the wrong way round: the frames of the file; no other number of channels."""
    y, stream, rng = stereo(UNIT, -UNIT), tone_detector("uni").stream(), np.random.default_rng(0)
    soundfile.write(tmp_path / "a.wav", y, SR, subtype="DOUBLE")
    expected = tone_detector("uni").detect(read_audio(tmp_path / "a.wav")).frame_probabilities
    of_array = tone_detector("uni").detect(y).frame_probabilities
    np.testing.assert_array_equal(of_array, expected)
    found, n = [], 5000
    while len(y):
        stream.push(y[:n])
        found.append(stream.frame_probabilities)
        y, n = y[n:], int(rng.choice([0, 1, 30, 3000, 20000]))
    with pytest.raises(ValueError, match="y has 3 channels, the stream had 2 before"):
        stream.push(np.zeros((50, 3)))
    with pytest.raises(ValueError, match="transposed"):
        stream.push(np.zeros((2, 50)))
    stream.finish()
    np.testing.assert_allclose(np.concatenate([*found, stream.frame_probabilities]), expected, atol=1e-5)
    assert np.abs(read_audio(tmp_path / "a.wav") - UNIT).max() < 1e-12


def fails(number, where=lambda *arguments: True, right=None):
    """A call of the system that ends with this error where it is asked for something, and else does what is `right`."""

    def call(*arguments, **keywords):
        if where(*arguments):
            raise OSError(number, os.strerror(number))
        return right(*arguments, **keywords)

    return call


def is_folder(descriptor):
    return stat.S_ISDIR(os.fstat(descriptor).st_mode)


def is_file(descriptor):
    return not is_folder(descriptor)


def is_result(temporary, *_, **__):
    return "a.wav.csv" in str(temporary)


DONE = None
FILE_SYSTEMS = {
    # kind: (name of the call that is replaced, its error, of what, part of the message; DONE: everything is written)
    "no modes: EPERM": ("os.chmod", errno.EPERM, None, DONE),
    "no modes: not supported": ("os.chmod", errno.ENOTSUP, None, DONE),
    "folders cannot be synced: EINVAL": ("os.fsync", errno.EINVAL, is_folder, DONE),
    "folders cannot be synced: EBADF": ("os.fsync", errno.EBADF, is_folder, DONE),
    "folders cannot be opened": ("os.open", errno.EACCES, lambda path, flags, *_: flags == os.O_RDONLY, DONE),
    "nothing can be synced: EINVAL": ("os.fsync", errno.EINVAL, None, DONE),
    "nothing can be synced: ENOSYS": ("os.fsync", errno.ENOSYS, None, DONE),
    "no locks: ENOLCK": ("fcntl.flock", errno.ENOLCK, None, DONE),
    "no locks: EINVAL": ("fcntl.flock", errno.EINVAL, None, DONE),
    "full when it is synced": ("os.fsync", errno.ENOSPC, is_file, "found/detected.jsonl: No space left on device"),
    "a stale handle": ("os.fsync", errno.ESTALE, is_file, "found/detected.jsonl: Stale file handle"),
    "over the quota": ("os.fsync", errno.EDQUOT, is_file, "found/detected.jsonl: Disk quota exceeded"),
    "an error of the disk at a folder": ("os.fsync", errno.EIO, is_folder, "found: Input/output error"),
    "read-only": ("tempfile.mkstemp", errno.EROFS, None, "found/detected.jsonl: Read-only file system"),
    "no renaming": ("os.replace", errno.EACCES, is_result, "found/a.wav.csv: Permission denied"),
}


@pytest.mark.skipif(os.name == "nt", reason="of calls that Windows has not")
@pytest.mark.parametrize("kind", FILE_SYSTEMS)
def test_file_systems(kind, tmp_path, capsys, monkeypatch):
    """`detect --out` on it: everything is written, or one line names the file; nothing half written stays there."""
    call, number, where, message = FILE_SYSTEMS[kind]
    monkeypatch.chdir(tmp_path)
    tone_detector("uni").save("detector.npz")
    soundfile.write("a.wav", UNIT, SR)
    module, name = call.split(".")
    module = sys.modules[module]
    right = getattr(module, name)
    with monkeypatch.context() as patch, pytest.raises(SystemExit) as stop:
        patch.setattr(module, name, fails(number, where or (lambda *_, **__: True), right))
        detect.main(["detector.npz", "a.wav", "--out", "found"])
        raise SystemExit(0)
    lines = capsys.readouterr().err.splitlines()
    if message is DONE:
        assert stop.value.code == 0 and len(lines) == 1
        assert {path.name for path in Path("found").iterdir()} >= {"a.wav.csv", "detected.jsonl"}
    else:
        assert stop.value.code == 2 and lines[-1] == f"minirsed.detect: error: --out {message}"
    assert not list(Path("found").glob(".*.tmp"))


def test_what_a_kill_left_is_removed(tmp_path, monkeypatch):
    """By the next run of detect and of synthesize; a file of somebody else stays."""
    monkeypatch.chdir(tmp_path)
    tone_detector("uni").save("detector.npz")
    Path("nights/deep").mkdir(parents=True)
    soundfile.write("nights/deep/a.wav", UNIT, SR)
    left = [Path(name) for name in ("found/.detected.jsonl.x.tmp", "found/deep/.a.wav.csv.y.tmp", "mixed/.m.wav.z.tmp")]
    for path in [*left, Path("found/notes.tmp")]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half")
    detect.main(["detector.npz", "nights", "--out", "found"])
    synthesize.main(["--class", "babycry", "-n", "1", "--jobs", "1", "--out", "mixed"])
    assert not any(path.exists() for path in left) and Path("found/notes.tmp").exists()


def test_a_picture_is_whole_or_the_old_one(tmp_path, monkeypatch):
    """A disk that is full half way through one leaves the picture as it was; the error names it."""
    from matplotlib.figure import Figure

    path = tmp_path / "curves.png"
    path.write_bytes(b"old")

    def half(figure, file, **options):
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", half)
    with pytest.raises(OSError) as error:
        curves([dict.fromkeys(METRICS, 1.0) | {"epoch": 1}], path, "a run", 1)
    assert error.value.filename == str(path) and path.read_bytes() == b"old" and os.listdir(tmp_path) == ["curves.png"]


def test_an_archive_on_a_full_disk(tmp_path, monkeypatch):
    """What could not be unpacked is named."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("b/c.wav", WAV16)
    monkeypatch.setattr(os, "fsync", fails(errno.ENOSPC, is_file, os.fsync))
    with pytest.raises(OSError) as error:
        unpack(tmp_path / "a.zip", tmp_path / "out")
    assert error.value.filename == str(tmp_path / "out/b/c.wav")


def test_no_two_write_mixtures_into_one_folder(tmp_path, capsys):
    with exclusive(tmp_path / ".lock", "writing"), pytest.raises(SystemExit) as stop:
        synthesize.main(["--class", "babycry", "-n", "1", "--jobs", "1", "--out", str(tmp_path)])
    assert stop.value.code == 2 and "another process is writing mixtures into it" in capsys.readouterr().err


NO_CACHE = """
from numba.core import caching
caching.CacheImpl._locator_classes = []
"""
NO_SEMAPHORES = """
import _multiprocessing, errno, os
class SemLock:
    SEM_VALUE_MAX = 1
    def __new__(cls, *arguments, **keywords):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))
_multiprocessing.SemLock = SemLock
"""
DETECT, HELP = ["minirsed.detect", "detector.npz", "süß.wav"], ["minirsed.train", "-h"]
SYNTHESIZE = ["data_tools.synthesize", "--class", "babycry", "-n", "9", "--jobs", "2", "--out", "mixed"]
ONE_PROCESS = "there can be no worker processes here ("
MACHINES = {
    # kind: (words of the command, what is changed of the environment, what is done before, what is said)
    "as usual": (DETECT, {}, "", ""),
    "no HOME": (DETECT, {"HOME": None}, "", ""),
    "a HOME that is not there": (DETECT, {"HOME": "/nowhere/at all"}, "", ""),
    "no TMPDIR": (DETECT, {"TMPDIR": "/nowhere/at all"}, "", ""),
    "read-only installation without a HOME": (DETECT, {"HOME": None}, NO_CACHE, "no folder that can hold compiled"),
    "a cache that cannot be made": (DETECT, {"NUMBA_CACHE_DIR": "/proc/nowhere"}, "", ""),
    "cp1252, as in Windows": (DETECT, {"PYTHONIOENCODING": "cp1252"}, "", ""),
    "ASCII, as in cron": (DETECT, {"PYTHONIOENCODING": "ascii"}, "", ""),
    "locale C": (DETECT, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, "", ""),
    "help in cp1252": (HELP, {"PYTHONIOENCODING": "cp1252"}, "", ""),
    "help in ASCII": (HELP, {"PYTHONIOENCODING": "ascii"}, "", ""),
    "help in cp437": (HELP, {"PYTHONIOENCODING": "cp437"}, "", ""),
    "/dev/shm read-only": (SYNTHESIZE, {}, NO_SEMAPHORES, ONE_PROCESS + "no semaphores: Read-only file system)"),
    "JOBLIB_MULTIPROCESSING=0": (SYNTHESIZE, {"JOBLIB_MULTIPROCESSING": "0"}, "", ONE_PROCESS + "JOBLIB_"),
    "umask 077": (SYNTHESIZE, {}, "import os; os.umask(0o077)\n", ""),
    "umask 002": (SYNTHESIZE, {}, "import os; os.umask(0o002)\n", ""),
}  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="of machines that are none")
@pytest.mark.parametrize("kind", MACHINES)
def test_machines(kind, tmp_path):
    """The command does its work there; what it has to say of the machine is one line, said once."""
    (module, *words), changed, before, said = MACHINES[kind]
    tone_detector("uni").save(tmp_path / "detector.npz")
    soundfile.write(tmp_path / "süß.wav", UNIT, SR)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **changed}
    environment = {name: value for name, value in environment.items() if value is not None}
    run = "import runpy, sys; sys.argv.pop(0); runpy.run_module(sys.argv[0], run_name='__main__')"
    command = [sys.executable, "-c", f"{before}\n{run}", module, *words]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True)
    errors = result.stderr.decode("utf-8", "replace")
    assert result.returncode == 0 and "Traceback" not in errors and errors.count("minirsed: ") == bool(said), errors
    assert said in errors
    if module == "data_tools.synthesize":
        mixtures = sorted((tmp_path / "mixed").glob("*.wav"))
        assert len(mixtures) == 9
        modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "mixed").glob("[!.]*")}
        assert len(modes) == 1 and modes <= {0o600 if "077" in kind else 0o664 if "002" in kind else 0o644}
    else:
        assert len(result.stdout) > 50


LONG = "x" * 250 + ".wav"
WORDS = {
    # words of `detect` in the order in which people type them: (status, part of what is printed)
    "detector.npz --format csv nights": (0, "a.wav\n"),
    "--format csv detector.npz nights": (0, "a.wav\n"),
    "detector.npz nights --format csv": (0, "a.wav\n"),
    "detector.npz --format=csv --all-events nights/": (0, "a.wav\n"),
    "detector.npz --out found --plot nights/": (0, ""),
    "--threads 1 detector.npz --thres0 0.5 nights/a.wav --all-events nights/b/a.wav": (0, "b/a.wav\n"),
    "detector.npz nights --out": (2, "--out"),
    "detector.npz - --rate 44": (2, "--rate is 44: expected Hz, at least 1000"),
    "detector.npz --live nights": (2, "give either recordings or --live"),
    "detector.npz - nights": (2, "-: standard input cannot be mixed with other recordings"),
    "detector.npz nights --formt csv": (2, "--formt"),
    "detector.npz nights long --out found --format json": (2, "too long a name for a result .json"),
}  # fmt: skip


@pytest.mark.parametrize("words", WORDS)
def test_words(words, tmp_path, capsys, monkeypatch):
    """Options before paths and behind them; a name too long for a result ends that recording alone."""
    status, said = WORDS[words]
    monkeypatch.chdir(tmp_path)
    tone_detector("uni").save("detector.npz")
    files("a.wav", "b/a.wav", f"../long/{LONG}")()
    with pytest.raises(SystemExit) as stop:
        detect.main(words.split())
        raise SystemExit(0)
    out, err = capsys.readouterr()
    assert stop.value.code == status and said in out + err and "Traceback" not in err
    if "found" in words:
        kind = ".json" if "json" in words else ".csv"
        assert Path(f"found/b/a.wav{kind}").exists() or Path(f"found/nights/b/a.wav{kind}").exists()


def test_there_are_enough_rows():
    assert len(SOUNDS) >= 40 and len(STREAMS) >= 10 and len(FOLDERS) >= 10 and len(EVENTS) >= 10
    assert len(ARRAYS) >= 10 and len(MACHINES) + len(FILE_SYSTEMS) >= 12
