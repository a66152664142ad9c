"""The file of C: it compiles without a warning, computes what Python does, and takes what its heading says.

Needs a compiler. The sanitizers and the other compiler are slow: `python -m pytest -m slow tests/test_export_c.py`.
"""

import dataclasses
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from data_tools.errors import InputError
from minirsed.activations import sigmoid
from minirsed.export import __main__ as export
from minirsed.export.c_file import c_text, comment, number, string
from minirsed.export.parts import networks_of, parts_of, quantised
from minirsed.features import lfbe, run_to_seconds
from minirsed.kernels.threads import worker_threads
from minirsed.listening.inputs import INPUTS, n_bands
from minirsed.listening.operating import AS_FOUND, Operating
from minirsed.outside.members import join
from minirsed.recordings.event_finder import EventFinder, SegmentFinder
from minirsed.recordings.files import GAP_FRAMES, detect_recording, to_event
from minirsed.recordings.windows import WINDOW_FRAMES
from tests.test_export import random_detector

COMPILER = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
STRICT = ["-std=c99", "-O2", "-Wall", "-Wextra", "-pedantic", "-Werror"]
SANITIZED = ["-g", "-O1", "-fsanitize=undefined,address", "-fno-sanitize-recover=all"]
NASTY = 'a "cry", 100 % \\ */ /* ??/ ??) </script>\n#error\r\t\x01 é Schrei 泣'
RELATIVE = {"n_inputs": n_bands(40), "n_mels": 40, "inputs": "relative"}
KINDS = {  # architecture, layers, networks, the rest
    "uni": ("uni", 3, 1, {"n_inputs": 20}),
    "uni-relative": ("uni", 2, 2, RELATIVE | {"rule": "strongest"}),
    "bi": ("bi", 1, 3, {"n_inputs": 20, "rule": "strongest", "lead": 4}),
    "bi-relative": ("bi", 2, 1, RELATIVE),
    "multires": ("multires", 4, 1, {"n_inputs": 20}),
    "multires-relative": ("multires", 3, 2, RELATIVE | {"rule": "strongest", "lead": 9}),
}
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")


def detector_of(kind):
    """A random one, joined of several networks, whose probabilities spread over a sound."""
    arch, n_layers, n_networks, about = KINDS[kind]
    parts = [random_detector(arch, n_layers, **about) for _ in range(n_networks)]
    rng = np.random.default_rng(n_networks)
    for part in parts:
        for value in part.params.values():
            value *= rng.uniform(0.5, 1.0, value.shape).astype(np.float32)
    config = dataclasses.replace(parts[0].config, n_units=5 * n_networks)
    detector = dataclasses.replace(parts[0], config=config, params=join([p.params for p in parts], parts[0].config))
    features = lfbe(sound(20, np.random.default_rng(0))[1], **detector.features)[None]
    inputs = INPUTS[config.inputs].of_lfbe(features)[0][0]
    detector.mean, detector.std = inputs.mean(axis=0), inputs.std(axis=0)
    detector.params["head.w"] *= 3 / detector.logits(features)[0].std()
    detector.thres0, detector.thres1 = 0.3, float(np.quantile(sigmoid(detector.logits(features)[0]), 0.7))
    return detector


def sound(seconds, rng):
    """Noise whose level and colour change, as PCM of 16 bits and as floats."""
    y, t = [], 0.0
    while t < seconds:
        length = rng.uniform(0.2, 3.0)
        noise = rng.standard_normal(int(44100 * length))
        noise = np.convolve(noise, np.ones(rng.integers(1, 9)), "same") * 10 ** rng.uniform(-4, -0.7)
        y.append(noise + 0.1 * (rng.random() < 0.3) * np.sin(np.arange(len(noise)) * rng.uniform(0.01, 0.4)))
        t += length
    pcm = np.clip(np.round(32768 * np.concatenate(y)[: int(44100 * seconds)]), -32768, 32767).astype("<i2")
    return pcm, pcm / 32768


def write(detector, folder, name="detector.c", **options):
    """The file, and what `c_text` says it takes."""
    text, ram, flash = c_text(detector, parts_of(detector), folder / name, **options)
    (folder / name).write_text(text, encoding="ascii")
    return folder / name, ram, flash


def compiled(source, *options, compiler=None, strict=STRICT):
    """The program."""
    program = source.with_suffix("")
    words = [compiler or COMPILER, *strict, *options, "-DMINIRSED_MAIN", str(source), "-lm", "-o", str(program)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and not done.stderr, done.stderr[:2000]
    return program


def heard(program, pcm):
    """p_t and events (onset_s, offset_s, p) of the example program, and what it said."""
    done = subprocess.run([program, "-p"], input=pcm.tobytes(), capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    lines = done.stdout.decode().splitlines()
    p_t = [float(line.split()[-1]) for line in lines if line.startswith("frame ")]
    events = [line.split("\t") for line in lines if not line.startswith("frame ")]
    return np.array(p_t), [(float(on), float(off), float(p)) for on, off, _, p in events], done.stderr.decode()


def expected(detector, y, live):
    """The same of Python: `minirsed.detect --all-events` of a file, or live."""
    if live or detector.config.arch == "uni":
        stream, p_t, events = detector.stream(), [], []
        for piece in np.array_split(y, 37):
            events += stream.push(piece)
            p_t.append(stream.frame_probabilities)
        events += stream.finish()
        return np.concatenate([*p_t, stream.frame_probabilities]), events
    with worker_threads(1) as executor:
        found = detect_recording(detector, np.array_split(y, 5), executor, n_threads=1, all_events=True)
    return found.frame_probabilities, found.events


def same(found, wanted):
    """Probabilities to 1e-4 and the same events."""
    (p_t, events, _), (p_t_wanted, events_wanted) = found, wanted
    assert p_t.shape == p_t_wanted.shape
    np.testing.assert_allclose(p_t, p_t_wanted, atol=1e-4)
    assert len(events) == len(events_wanted)
    if events:
        np.testing.assert_allclose(np.array(events), np.array(events_wanted), atol=6e-4)  # printed to a millisecond
    return p_t, events


SHAPED = {  # shortest event and smallest gap that matter in `sound`
    "multires-relative": Operating(0.3, 1.5),
    "uni": Operating(0.25, 0.0),
    "bi-relative": Operating(0.0, 1.0, memory_s=0.3),
}


@needs_compiler
@pytest.mark.parametrize(("kind", "operating"), [*((kind, AS_FOUND) for kind in KINDS), *SHAPED.items()])
def test_the_program_computes_what_python_does(kind, operating, tmp_path):
    """Sound of one window, of several, of less than a frame; a window every 15 s, or every second."""
    detector, n_events = dataclasses.replace(detector_of(kind), operating=operating), 0
    source, *_ = write(detector, tmp_path)
    for live in (0, 1) if detector.config.arch != "uni" else (0,):
        program = compiled(source, f"-DMINIRSED_LIVE={live}")
        for seconds in (62.3, 30.25, 3.1, 0.03):
            pcm, y = sound(seconds, np.random.default_rng(int(seconds)))
            p_t, events = same(heard(program, pcm), expected(detector, y, live))
            n_events += len(events)
            assert seconds < 60 or np.ptp(p_t) > 0.3  # one half for everything would not pass
    assert n_events > 2


@pytest.mark.slow
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_sanitizers_find_nothing(compiler, kind, int8, tmp_path):
    """Also in pieces of any length, in silence, and in what is no sound."""
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    detector = dataclasses.replace(detector_of(kind), operating=SHAPED.get(kind, AS_FOUND))
    source, *_ = write(detector, tmp_path, int8=int8)
    pcm = sound(47.7, np.random.default_rng(0))[0]
    for live in (0, 1):
        program = compiled(source, f"-DMINIRSED_LIVE={live}", compiler=compiler, strict=[*STRICT, *SANITIZED])
        same(heard(program, pcm), expected(quantised(detector) if int8 else detector, pcm / 32768, live))
        for other in (pcm[:0], pcm[:1], np.zeros(44100 * 31, "<i2"), np.frombuffer(pcm.tobytes()[:30001], np.uint8)):
            heard(program, other)


HARNESS = """
#include "detector.c"
#include <stdio.h>
static long n_frames;
static void event(void *user, const minirsed_event *e)
{
    (void)user;
    printf("%.6f %.6f %.6f %ld\\n", e->onset_s, e->offset_s, (double)e->probability, n_frames);
}
int main(void)
{
    static minirsed d;
    minirsed_listener listener = {event, 0, 0};
    float e;
    minirsed_init(&d);
    while (fread(&e, sizeof e, 1, stdin) == 1) {
        n_frames++;
        mr_find(&d, e, &listener);
    }
    n_frames++;
    minirsed_finish(&d, &listener);
    (void)mr_frame;
    return 0;
}
"""


def bursts(rng, n):
    """Logits with active frames in runs and gaps of all lengths, some longer than 30 s."""
    e = []
    while len(e) < n:
        length = int(np.exp(rng.uniform(0, np.log(rng.choice([5, 60, 3000])))))
        e += (rng.choice([-4, -1, 0.3, 3, 12]) + rng.standard_normal(length)).tolist()
    return np.array(e[:n], np.float32)


def heard_in_python(detector, logits, live):
    """Events of frame logits that come one by one: (onset_s, offset_s, p, frames heard when it was reported)."""
    if detector.config.rule == "strongest":
        how = {"lead": detector.config.lead, "memory_s": detector.operating.memory_s}
        finder = SegmentFinder(detector.thres0, detector.thres1, context=WINDOW_FRAMES, **how)
    else:
        finder = EventFinder(detector.thres0, detector.thres1, context=WINDOW_FRAMES, gap=GAP_FRAMES, live=live)
    joiner, found = detector.operating.joiner(), []
    for n, e in enumerate(logits, 1):
        runs = finder.push([e])
        none_before_s, _ = run_to_seconds(finder.pending, finder.pending + 1)
        found += [(*event, n) for event in joiner.push(map(to_event, runs), none_before_s)]
    return found + [(*event, len(logits) + 1) for event in joiner.push(map(to_event, finder.finish()))]


@needs_compiler
@pytest.mark.parametrize("operating", [AS_FOUND, Operating(2.0, 0.0), Operating(0.4, 4.0), Operating(0.0, 40.0)])
@pytest.mark.parametrize(
    ("kind", "thres0", "memory_s"),
    [("uni", 0, 0.0), ("bi", 0, 0.0), ("bi-relative", 0, 0.2), ("multires-relative", 1 - 2**-26, 0.0)],
)
def test_events_are_those_of_python_and_come_when_they_do(kind, thres0, memory_s, operating, tmp_path):
    """Both rules; that of the paper with a context that ends with the candidate, and with one around it.

    Also with a threshold for a promise, which is 1 in float32; with evidence that fades; and with every shortest event
    and smallest gap.
    """
    own = dataclasses.replace(operating, memory_s=memory_s)
    detector = dataclasses.replace(detector_of(kind), operating=own)
    if thres0:
        detector.thres0, detector.thres1 = thres0, 0.73
    write(detector, tmp_path)
    (tmp_path / "harness.c").write_text(HARNESS)
    subprocess.run([COMPILER, "-O1", "harness.c", "-lm", "-o", "harness"], cwd=tmp_path, check=True, timeout=300)
    rng, n_found, n_others = np.random.default_rng(0), 0, 0
    for n in (20000, *[20000] * (thres0 > 0), 900, 1):  # fewer are that certain
        logits = bursts(rng, n)
        wanted = heard_in_python(detector, logits, live=kind == "uni")
        done = subprocess.run([tmp_path / "harness"], input=logits.tobytes(), capture_output=True, check=True)
        found = [[float(word) for word in line.split()] for line in done.stdout.decode().splitlines()]
        assert len(found) == len(wanted)
        np.testing.assert_allclose(np.array(found), np.array(wanted), atol=2e-6)
        n_found += len(found)
        plain = dataclasses.replace(detector, operating=own.of_segments())
        n_others += len(heard_in_python(plain, logits, live=kind == "uni"))
    assert n_others > 4
    assert (n_found == n_others) == (operating == AS_FOUND) and (n_found > 4 or operating.min_event_s > 1)


@needs_compiler
def test_weights_of_one_byte(tmp_path):
    """What the file computes with is `quantised`, which is what the command measures; a quarter of the flash."""
    detector = detector_of("multires-relative")
    pcm, y = sound(31, np.random.default_rng(0))
    source, _, flash = write(detector, tmp_path, int8=True)
    same(heard(compiled(source), pcm), expected(quantised(detector), y, 0))
    assert np.abs(expected(quantised(detector), y, 0)[0] - expected(detector, y, 0)[0]).max() > 1e-3
    assert flash < write(detector, tmp_path)[2] - 2 * sum(layer["W"].size for layer in parts_of(detector).layers)


@needs_compiler
@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_it_takes_what_its_heading_says(kind, int8, tmp_path):
    """The program prints sizeof; the compiler knows of no other variable, and of no more stack."""
    detector = dataclasses.replace(detector_of(kind), operating=SHAPED.get(kind, AS_FOUND))
    source, ram, flash = write(detector, tmp_path, int8=int8)
    heading = source.read_text().split("*/")[0]
    assert f"RAM    {ram} bytes" in heading and f"Flash  {flash} bytes" in heading
    assert f"RAM {ram} bytes, flash {flash} bytes" in heard(compiled(source), np.zeros(9, "<i2"))[2]
    (tmp_path / "other.c").write_text(source.read_text().replace(f"MINIRSED_RAM {ram}", f"MINIRSED_RAM {ram + 8}"))
    refused = subprocess.run([COMPILER, "-c", "other.c"], cwd=tmp_path, capture_output=True, text=True)
    assert refused.returncode and "minirsed_ram_is_as_stated" in refused.stderr
    if shutil.which("gcc") and shutil.which("size"):
        subprocess.run(["gcc", "-std=c99", "-O2", "-fstack-usage", "-c", source.name], cwd=tmp_path, check=True)
        listed = subprocess.run(["size", "-A", "detector.o"], cwd=tmp_path, capture_output=True, text=True, check=True)
        sections = {words[0]: int(words[1]) for words in map(str.split, listed.stdout.splitlines()[2:]) if words[2:]}
        assert sections.get(".data", 0) == sections.get(".bss", 0) == 0
        constants = sum(size for name, size in sections.items() if name.startswith(".rodata"))
        assert flash <= constants + 64 and constants <= flash + 400  # some alignment, and numbers of the code
        usage = [line.split("\t")[1] for line in (tmp_path / "detector.su").read_text().splitlines()]
        assert sum(map(int, usage)) <= int(re.search(r"Stack  at most (\d+) bytes", heading)[1])


@needs_compiler
def test_a_name_is_a_name(tmp_path):
    """Quotes, backslashes, ends of comments, trigraphs, new lines: all of it is printed, none of it is code."""
    detector = dataclasses.replace(detector_of("uni"), label=NASTY)
    name = 'a "b" ??\' \\ */ #.c'
    text, *_ = c_text(detector, parts_of(detector), Path(name), notes=f"{NASTY}\n*/ #error\n??/\n\\\n/* …")
    source = tmp_path / "detector.c"
    source.write_text(text, encoding="ascii")
    assert "#error" not in re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    for trigraphs in ([], ["-trigraphs"]):
        program = compiled(source, *trigraphs)
        assert heard(program, np.zeros(9, "<i2"))[2].startswith(f"{NASTY}: RAM ")


def test_words_of_c():
    assert string('a"\\?%\n\x7fé') == "a\\042\\134\\077\\045\\012\\177\\303\\251"
    assert comment("**/*// ??/ ???/ \\ \n é × →") == "** / * // ? ?/ ? ? ?/ /   e x ->"
    assert [number(x) for x in (1, 0.5, -1e-5, 1 / 3)] == ["1.0f", "0.5f", "-9.99999975e-06f", "0.333333343f"]


@needs_compiler
def test_the_header_is_for_one_file_of_a_program(tmp_path):
    """Two detectors in one program: each private to the file that includes it."""
    for name in ("uni", "multires"):
        write(dataclasses.replace(detector_of(name), label=name), tmp_path, f"{name}.h")
        code = f'#define MINIRSED_API static\n#define MINIRSED_IMPLEMENTATION\n#include "{name}.h"\n'
        code += f"const char *label_of_{name}(void)\n{{\n    static minirsed d;\n    minirsed_init(&d);\n"
        code += "    minirsed_push(&d, 0, 0, 0);\n    minirsed_finish(&d, &(minirsed_listener){0, 0, 0});\n"
        (tmp_path / f"{name}.c").write_text(code + "    return MINIRSED_LABEL;\n}\n")
    main = '#include <stdio.h>\n#include "uni.h"\nconst char *label_of_uni(void), *label_of_multires(void);\n'
    main += 'int main(void)\n{\n    minirsed_listener none = {0, 0, 0};\n    printf("%s %s %d", label_of_uni(), '
    (tmp_path / "main.c").write_text(main + "label_of_multires(), none.user == 0);\n    return 0;\n}\n")
    words = [COMPILER, *STRICT, "main.c", "uni.c", "multires.c", "-lm", "-o", "both"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert subprocess.run(["./both"], cwd=tmp_path, capture_output=True, text=True).stdout == "uni multires 1"
    as_program = ["-x", "c", "-DMINIRSED_MAIN", "uni.h", "-lm", "-o", "program"]
    subprocess.run([COMPILER, *STRICT, *as_program], cwd=tmp_path, check=True)


@needs_compiler
def test_samples_that_are_none_count_as_silence(tmp_path):
    """A glitch of a driver is over when it is over."""
    source, *_ = write(detector_of("uni"), tmp_path)
    code = f"""
#define MINIRSED_API static
#include "{source.name}"
#include <stdio.h>
static float last;
static void frame(void *user, int64_t t, float p_t) {{ (void)user; (void)t; last = p_t; }}
int main(void)
{{
    static minirsed d, fine;
    minirsed_listener listener = {{0, frame, 0}};
    const float zero = 0.0f, bad[] = {{NAN, INFINITY, -INFINITY, 1e30f, 0.1f}}, good[] = {{0, 0, 0, 0, 0.1f}};
    float p;
    int i;
    minirsed_init(&d);
    minirsed_init(&fine);
    for (i = 0; i < 20000; i++) {{
        minirsed_push(&d, i == 5000 ? bad : &zero, i == 5000 ? 5 : 1, &listener);
        p = last;
        minirsed_push(&fine, i == 5000 ? good : &zero, i == 5000 ? 5 : 1, &listener);
    }}
    printf("%d", p == last && p > 0.0f && p < 1.0f);
    return 0;
}}
"""
    (tmp_path / "glitch.c").write_text(code)
    subprocess.run([COMPILER, "-std=c99", "glitch.c", "-lm", "-o", "glitch"], cwd=tmp_path, check=True)
    assert subprocess.run(["./glitch"], cwd=tmp_path, capture_output=True, text=True).stdout == "1"


def test_networks_are_taken_apart():
    """Of a joined detector only the blocks; one that is not joined stays whole."""
    joined = detector_of("multires-relative")
    networks, config = networks_of(joined)
    assert len(networks) == 2 and config.n_units == 5
    whole = random_detector("bi", 2, n_inputs=20)
    assert networks_of(whole) == ([whole.params], whole.config)


@pytest.mark.parametrize(("arch", "head"), [("uni", "frames"), ("crnn1d", "attention"), ("crnn", "frames")])
def test_networks_other_than_the_papers_are_refused(arch, head):
    """In one line, which says what can hold them; for the page as well, which is made of the same parts."""
    detector = random_detector(arch, 1, n_inputs=40, head=head)
    with pytest.raises(InputError, match=f"^runs/x: .*--arch {arch} --head {head}, can be written as .onnx$"):
        parts_of(detector, "runs/x")


def test_pcen_is_refused():
    detector = random_detector("uni", 1, **RELATIVE | {"inputs": "pcen"})
    with pytest.raises(
        InputError, match="^runs/x: has --inputs pcen, which a C file and a page do not compute; export"
    ):
        parts_of(detector, "runs/x")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A working folder with runs/tiny, trained on a few clips."""
    from minirsed.run.session import train
    from minirsed.run.settings import TrainSettings

    monkeypatch.chdir(tmp_path)
    train(TrainSettings(label="gunshot", clips=4, dev_clips=6, epochs=1, layers=1, units=4), "runs/tiny", say=str)
    return Path("runs/tiny")


def test_the_command(run, capsys, monkeypatch):
    monkeypatch.setattr("minirsed.card.files.card", lambda folder: "# A card\n\nof */ this detector")
    export.main([str(run), "detector.c"])
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("detector.c: detector of gunshot, ") and "1 × 4 units" in said[0]
    assert re.match(r"RAM +[\d,]+ bytes; flash [\d,]+ bytes of constants, and the code", said[1])
    text = Path("detector.c").read_text(encoding="ascii")
    assert " * # A card\n *\n * of * / this detector\n */" in text and " * class            gunshot" in text
    export.main([str(run), "small.h", "--int8"])
    said = capsys.readouterr().out
    loss = r"int8 +error rate [\d.]+ instead of [\d.]+ on 6 dev mixtures; p_t differs by [\d.e-]+ on average, "
    assert re.search(loss, said) and re.search(loss, Path("small.h").read_text())
    assert Path("small.h").stat().st_size < Path("detector.c").stat().st_size
    if COMPILER:
        words = re.search(r"try it +(cc .*)", said)[1].split()
        subprocess.run([COMPILER, *words[1:]], check=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["runs/x", "detector"], "FILE detector: expected a name that ends in .onnx, .c, .h"),
        (["runs/x", "detector.cpp"], "FILE detector.cpp: expected a name that ends in .onnx, .c, .h"),
        (["runs/x", "m.onnx", "--int8"], "--int8: is for a file of C"),
        (["runs/x/best.npz", "m.c", "--int8"], "runs/x/best.npz: is a file; --int8 needs the run folder"),
        (["runs/x", "m.c", "--int8"], "runs/x: no run folder of minirsed's (it has no config.json)"),
    ],
)
def test_bad_input_is_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("runs/x").mkdir(parents=True)
    random_detector("uni", 1).save("runs/x/best.npz")
    with pytest.raises(SystemExit) as stopped:
        export.main(arguments)
    error = capsys.readouterr().err.strip()
    assert stopped.value.code == 2 and message in error and len(error.splitlines()) == 1
    assert not [*Path().glob("*.c"), *Path().glob("*.onnx")]
