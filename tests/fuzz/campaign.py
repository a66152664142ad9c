"""Coverage-guided fuzzing of every reader of what a user may hand in, with atheris (libFuzzer).

    python -m pip install atheris && PYTHONPATH=. python tests/fuzz/campaign.py [--minutes 60] [--only NAME …]

The time is shared evenly by the targets of `targets.py`, one process after another. A target goes on after a finding;
each kind of finding (exception and line) is kept once, with the input that caused it, under --out. The last lines are
the figures: inputs tried, code edges reached, findings. Exit status 1 if there is one.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

PACKAGES = ["data_tools", "yaml", "csv", "json", "zipfile", "numpy.lib.format", "numpy.lib._format_impl"]
MODULES = [f"minirsed.{name}" for name in ("archive", "detector", "settings", "run.checkpoint", "run.folder")]


def main():
    """Start a process for each target, and add up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0, help="of all targets together (default: 60)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="targets (default: all)")
    parser.add_argument("--out", type=Path, default=Path("fuzz"), help="gets corpora and findings (default: ./fuzz)")
    parser.add_argument("--target", help=argparse.SUPPRESS)  # in the process of one target
    options, libfuzzer = parser.parse_known_args()
    if options.target:
        return fuzz(options.target, options.out, libfuzzer)

    from tests.fuzz.targets import Targets

    names = options.only or Targets.names
    seconds = round(60 * options.minutes / len(names))
    total, found = 0, []
    for name in names:
        n_inputs, n_edges, findings, status = run(name, seconds, options.out.absolute())
        total, found = total + n_inputs, found + findings
        print(
            f"{name:11} {n_inputs:10,} inputs  {n_edges:6} edges  {len(findings)} findings  status {status}", flush=True
        )
        print(*findings, sep="\n", end="\n" if findings else "")
        found += [] if status == 0 else [f"{name}: ended with status {status}, see {options.out / name}.txt"]
    print(f"{'all':11} {total:10,} inputs in {options.minutes:g} minutes, {len(found)} findings")
    sys.exit(bool(found))


def run(name, seconds, out):
    """One target in a process of its own: inputs, edges, findings, exit status (a hang or a crash in C is not 0)."""
    corpus = out / name
    corpus.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, __file__, "--target", name, "--out", str(out), str(corpus)]
    limits = [
        f"-max_total_time={seconds}",
        "-timeout=60",
        "-rss_limit_mb=2048",
        "-max_len=65536",
        "-print_final_stats=1",
    ]
    with open(out / f"{name}.txt", "w") as log:
        command += [*limits, "-print_final_stats=1", f"-artifact_prefix={out}/{name}-"]
        status = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT).returncode
    text = (out / f"{name}.txt").read_text(errors="replace")
    n_inputs = int((re.findall(r"number_of_executed_units: (\d+)", text) or [0])[-1])
    n_edges = int((re.findall(r"cov: (\d+)", text) or [0])[-1])
    findings = [path.read_text().splitlines()[0] for path in sorted(out.glob(f"{name}-finding-*.txt"))]
    return n_inputs, n_edges, findings, status


def fuzz(name, out, arguments):
    """In a process of its own: feed libFuzzer's inputs to a target until the time is over."""
    import atheris

    with atheris.instrument_imports(include=PACKAGES + MODULES):
        from tests.fuzz.targets import Targets

    seen = set()
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        targets = Targets(folder)
        for number, seed in enumerate(targets.seeds[name]):
            (out / name / f"seed-{number}").write_bytes(seed)

        def one_input(data):
            try:
                targets(name, data)
            except Exception as error:
                last = traceback.extract_tb(error.__traceback__)[-1]
                kind = (type(error).__name__, last.filename, last.lineno)
                if kind not in seen:
                    seen.add(kind)
                    keep(out, f"{name}-finding-{len(seen)}", data, error, kind)

        atheris.Setup([sys.argv[0], *arguments], one_input)
        atheris.Fuzz()


def keep(out, name, data, error, kind):
    """Write down a finding: what it was, where, and the input."""
    (out / f"{name}.bin").write_bytes(data)
    text = f"{name}: {kind[0]} at {Path(kind[1]).name}:{kind[2]}: {error}\n"
    (out / f"{name}.txt").write_text(text + "".join(traceback.format_exception(error)) + json.dumps(repr(data[:2000])))


if __name__ == "__main__":
    main()
