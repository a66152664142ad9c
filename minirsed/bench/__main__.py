"""Time every stage on this machine: `python -m minirsed.bench [--against torch onnxruntime librosa sed_eval]`.

The rows are those of `minirsed.bench.rows`. Runs alternate with those of the peers, so that a slow moment of the
machine hits all of them, and with the machine's own matrix product (sgemm of 2048³ by NumPy's BLAS, as many threads),
of which the share is given.
"""

import json
import os
import platform
import statistics
import time

from data_tools.console import Parser, Several, add_threads, available_cores, command, require_positive
from data_tools.errors import InputError

PEERS = ("torch", "onnxruntime", "librosa", "sed_eval")
SGEMM_SIZE = 2048
ONE_THREAD = ("lfbe", "mixing", "head", "stream", "clip", "scoring")  # rows that use one thread
BLAS_PAUSE_S = 0.2  # after sgemm on several threads: they wait in a loop for more, and would slow whatever follows
SHORT_S = 0.02  # what takes less is run over and over, so long, each time


def parse_arguments(argv=None):
    """Command line → namespace."""
    parser = Parser(
        "minirsed.bench",
        description="Time features, mixing, layers, training steps, inference and scoring on this machine; prints a "
        "Markdown table of medians. The first run compiles the kernels (seconds).",
    )
    rows, model, machine = (parser.add_argument_group(name) for name in ("rows", "model", "machine"))
    rows.add_argument(
        "--against",
        action=Several,
        default=[],
        choices=PEERS,
        help="time these as well, in turn; they come with the extra bench (default: none)",
    )
    rows.add_argument(
        "--only",
        metavar="TEXT",
        action=Several,
        default=[],
        help="rows whose name contains one of these texts (default: all rows)",
    )
    rows.add_argument("--growth", action="store_true", help="instead: training steps with T, B, H and L doubled")
    rows.add_argument(
        "--runs", metavar="N", type=int, default=5, help="timed runs of each row (default: %(default)s runs)"
    )
    rows.add_argument("--json", action="store_true", help="print JSON instead of a table; all times in seconds")
    for name, default, what, unit in (
        ("--batch", 10, "batch size", "clips"),
        ("--frames", 1303, "length of a clip", "frames"),
        ("--units", 256, "units of a layer, in each direction", "units"),
    ):
        model.add_argument(
            name, metavar="N", type=int, default=default, help=f"{what} in the model's rows (default: {default} {unit})"
        )
    add_threads(machine, "threads of the rows that use several")
    return parser.parse_args(argv)


@command
def main(argv=None):
    """Run the command."""
    arguments = parse_arguments(argv)
    require_positive(arguments, "runs", "threads", "batch", "frames", "units")
    from minirsed.bench.rows import Size, growth_rows, rows
    from minirsed.kernels.threads import keep_freed_memory
    from minirsed.model import ModelConfig
    from minirsed.run.size import network_bytes, require_memory

    step = network_bytes(ModelConfig("bi", 1, arguments.units), arguments.batch, arguments.frames)
    require_memory(
        {
            f"--units {arguments.units}": step,
            f"--batch {arguments.batch} --frames {arguments.frames}": 4 * 64 * arguments.batch * arguments.frames,
        }
    )
    keep_freed_memory()

    found = (growth_rows if arguments.growth else rows)(Size(arguments.batch, arguments.frames, arguments.units))
    chosen = [row for row in found if not arguments.only or any(text in row.name for text in arguments.only)]
    if not chosen:
        raise InputError(f"--only {' '.join(arguments.only)}: no row has that in its name")
    peers, versions = found_peers(arguments.against)
    machine = about_machine(arguments, versions)
    if not arguments.json:
        print(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in machine.items()), end="\n\n")
        print(heading(peers), flush=True)
    results = []
    for row in chosen:
        results.append(measure(row, peers, arguments))
        if not arguments.json:
            print(table_line(results[-1], peers), flush=True)
    peak = peak_memory_gb()
    if arguments.json:
        print(json.dumps({"machine": machine, "rows": results, "peak_memory_gb": peak}, indent=1))
    elif peak:
        print(f"\nload {os.getloadavg()[0]:.1f} at the end, peak memory {peak:.2f} GB, all of the above together")


def found_peers(names):
    """Peers by name, and their versions; a line on stderr for one that cannot be used."""
    import sys

    from minirsed.bench.peers import peer

    found, versions = {}, {}
    for name in names:
        try:
            found[name], versions[name] = peer(name)
        except ImportError as error:
            print(f'{name} is left out: {error}; python -m pip install -e ".[bench]" brings all peers', file=sys.stderr)
    return found, versions


def about_machine(arguments, versions):
    """What the figures depend on; `versions` are those of the peers."""
    from importlib.metadata import version

    load = {"load": round(os.getloadavg()[0], 1)} if hasattr(os, "getloadavg") else {}
    return {
        "machine": platform.machine(), "cores": available_cores(), "threads": arguments.threads, **load,
        "runs": arguments.runs, "python": platform.python_version(), "numpy": version("numpy"),
        "numba": version("numba"), **versions,
    }  # fmt: skip


def measure(row, peers, arguments):
    """Medians of alternating runs of a row, its peers and sgemm."""
    from minirsed.bench.peers import PAUSE_S
    from minirsed.kernels.threads import keep_freed_memory, worker_threads

    keep_freed_memory()  # as the commands do
    n_threads = 1 if row.key in ONE_THREAD else arguments.threads
    with worker_threads(n_threads) as executor:
        ours = row.prepare(executor)
        timed(ours, 1)  # compiled, caches filled
        rivals = {name: fastest(peer(row, n_threads), PAUSE_S.get(name, 0)) for name, peer in peers.items()}
        rivals = {name: rival for name, rival in rivals.items() if rival}
        own_s, sgemm_s, rival_s = [], [], {name: [] for name in rivals}
        for _ in range(arguments.runs):
            own_s.append(timed(ours, 1))
            if row.gflop:
                sgemm_s.append(timed(sgemm(), n_threads))
                time.sleep(BLAS_PAUSE_S if n_threads > 1 else 0)
            for name, (_, run) in rivals.items():
                rival_s[name].append(timed(run))
                time.sleep(PAUSE_S.get(name, 0))
    result = {"row": row.name, "threads": n_threads, "seconds": statistics.median(own_s), "all_seconds": own_s}
    if row.gflop:
        rate, peak = row.gflop / result["seconds"], 2e-9 * SGEMM_SIZE**3 / statistics.median(sgemm_s)
        result |= {"gflop": row.gflop, "gflop_per_s": rate, "sgemm_gflop_per_s": peak, "share_of_sgemm": rate / peak}
    for name, (setting, _) in rivals.items():
        median = statistics.median(rival_s[name])
        result[name] = {"setting": setting, "seconds": median, "all_seconds": rival_s[name]}
        result[name]["ratio"] = median / result["seconds"]
    return result


def timed(run, blas_threads=None):
    """Seconds of a run, the mean of many if it is short, with a limit on the threads of BLAS where ours is meant."""
    from contextlib import nullcontext

    from threadpoolctl import threadpool_limits

    with threadpool_limits(blas_threads, "blas") if blas_threads else nullcontext():
        n_runs, start = 0, time.perf_counter()
        while not n_runs or time.perf_counter() - start < SHORT_S:
            run()
            n_runs += 1
        return (time.perf_counter() - start) / n_runs


def fastest(settings, pause_s):
    """(name, run) of the fastest of a peer's settings, by the second run of each; None if it has none."""
    seconds = {}
    for name, run in settings.items():
        timed(run)
        seconds[name] = timed(run)
        time.sleep(pause_s)
    return (best := min(seconds, key=seconds.get), settings[best]) if seconds else None


def sgemm():
    """A product of two square float32 matrices, large enough for BLAS to be at its best."""
    import numpy as np

    a = np.ones((SGEMM_SIZE, SGEMM_SIZE), np.float32)
    out = np.empty_like(a)
    return lambda: np.matmul(a, a, out=out)


def heading(peers):
    """First two lines of the table."""
    names = ["", "threads", "ms", "GFLOP/s", "of sgemm", *(part for name in peers for part in (f"{name} ms", "ratio"))]
    return "| " + " | ".join(names) + " |\n|---|" + "--:|" * (len(names) - 1)


def table_line(result, peers):
    """A row of the table."""
    cells = [result["row"], str(result["threads"]), f"{milliseconds(result['seconds'])}"]
    cells += [f"{result['gflop_per_s']:.0f}", f"{result['share_of_sgemm']:.0%}"] if "gflop" in result else ["", ""]
    for name in peers:
        found = result.get(name)
        cells += [milliseconds(found["seconds"]), f"{found['ratio']:.2f}×"] if found else ["", ""]
    return "| " + " | ".join(cells) + " |"


def milliseconds(seconds):
    """In three digits or more."""
    return f"{seconds * 1e3:.{2 if seconds >= 1e-3 else 4}f}"


def peak_memory_gb():
    """Largest resident memory of this process so far, GB; None where the system does not say."""
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if platform.system() == "Darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


if __name__ == "__main__":
    main()
