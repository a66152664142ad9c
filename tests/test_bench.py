"""The bench: what a row's work is, what is printed, what is refused; sizes are tiny, speed is not tested."""

import json
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import pytest

from minirsed.bench import __main__ as bench
from minirsed.bench import peers
from minirsed.bench import rows as bench_rows

TINY = ["--runs", "1", "--threads", "1", "--batch", "2", "--frames", "5", "--units", "4"]


def test_bench_gflop_by_hand():
    """uni, 2 layers, B = 2, T = 3, H = 4, D = 5: 2·2·3·(5+4)·12 + 2·2·3·(4+4)·12 = 1296 + 1152 = 2448 operations.

    A training step is three times that, less the gradient of the features, 2·2·3·5·12 = 720: 6624.
    """
    size = bench_rows.Size(batch=2, frames=3, units=4, inputs=5)
    assert bench_rows.model_gflop("uni", 2, size) == pytest.approx(2448e-9)
    assert bench_rows.step_row("uni", 2, size).gflop == pytest.approx(6624e-9)


def test_bench_gflop_of_multires_halves_the_frames():
    """B = 1, T = 3, H = 1, D = 1: both directions, 3 frames of (1+1)·3, then 2 frames of (2+1)·3: 2·2·(18+18) = 144."""
    assert bench_rows.model_gflop("multires", 2, bench_rows.Size(1, 3, 1, 1)) == pytest.approx(144e-9)


def test_bench_gflop_at_the_papers_size():
    """Work of a step: 79, 220, 105 and 116 GFLOP (uni, bi, multires of 3 and of 4 layers), to 3 %."""
    size = bench_rows.Size()
    for (arch, n_layers), expected in {
        ("uni", 3): 79,
        ("bi", 3): 220,
        ("multires", 3): 105,
        ("multires", 4): 116,
    }.items():
        assert bench_rows.step_row(arch, n_layers, size).gflop == pytest.approx(expected, rel=0.03)


def test_bench_gflop_of_the_winners_by_hand():
    """B = 1, T = 1, H = 1, D = 64, two layers. Products, of which each is two operations:

    crnn1d: 33 places · 32 = 1056; LSTM 2 · (1 + 1) · 4 = 16; dense 1. crnn, 4 maps: 64 · 9 · 4 = 2304, then
    (8 + 4) · 9 · 4 · 4 = 1728; GRU 2 · (8 + 1) · 3 + 2 · (1 + 1) · 3 = 66; dense 1. A step: three times that, less the
    first.
    """
    size = bench_rows.Size(batch=1, frames=1, units=1, inputs=64)
    for arch, first, rest in (("crnn1d", 1056, 17), ("crnn", 2304, 1795)):
        assert bench_rows.model_gflop(arch, 2, size) == pytest.approx(2e-9 * (first + rest))
        assert bench_rows.step_row(arch, 2, size).gflop == pytest.approx(2e-9 * (2 * first + 3 * rest))
    names = [row.name for row in bench_rows.rows(bench_rows.Size(batch=2, frames=5, units=4))]
    for arch, own in (("crnn1d", "2 × 128"), ("crnn", "2 × 32")):  # of the size that was published, whatever --units
        assert f"training step, {arch}, {own}, 2 clips of 5 frames" in names
        assert f"inference, {arch}, {own}, 2 clips" in names


@pytest.mark.parametrize("growth", [False, True])
def test_bench_every_row_runs(growth):
    size = bench_rows.Size(batch=2, frames=5, units=4)
    rows = (bench_rows.growth_rows if growth else bench_rows.rows)(size)
    assert len({row.name for row in rows}) == len(rows)
    with ThreadPoolExecutor(1) as executor:
        for row in rows:
            row.prepare(executor)()


def test_bench_table(capsys):
    bench.main([*TINY, "--only", "training step, uni", "scoring"])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert lines[0] == "|  | threads | ms | GFLOP/s | of sgemm |"
    assert re.fullmatch(r"\| training step, uni, 3 × 4, 2 clips of 5 frames \| 1 \| [\d.]+ \| \d+ \| \d+% \|", lines[2])
    assert re.fullmatch(r"\| scoring 500 files \| 1 \| [\d.]+ \|  \|  \|", lines[3])
    assert len(lines) == 4


def test_bench_json_share_is_rate_over_peak(capsys):
    bench.main([*TINY, "--json", "--only", "inference, bi, 3 × 4, 1 clip"])
    report = json.loads(capsys.readouterr().out)
    (row,) = report["rows"]
    assert row["gflop_per_s"] == pytest.approx(row["gflop"] / row["seconds"])
    assert row["share_of_sgemm"] == pytest.approx(row["gflop_per_s"] / row["sgemm_gflop_per_s"])
    assert report["machine"]["threads"] == 1


def test_bench_runs_alternate_and_the_fastest_setting_is_compared(monkeypatch, capsys):
    """A peer with two settings: the fast one is timed in turn with ours, and the ratio is of medians."""
    calls = []

    def slow():
        calls.append("slow")
        sum(range(300_000))

    monkeypatch.setattr(bench, "SHORT_S", 0)
    row = bench_rows.Row("ours", "step", lambda executor: lambda: calls.append("ours"))
    arguments = bench.parse_arguments(["--runs", "3", "--threads", "1"])
    result = bench.measure(
        row, {"peer": lambda row, n_threads: {"a": slow, "b": lambda: calls.append("fast")}}, arguments
    )
    assert calls == ["ours", "slow", "slow", "fast", "fast", *(["ours", "fast"] * 3)]
    assert result["peer"]["setting"] == "b"
    assert result["peer"]["ratio"] == pytest.approx(result["peer"]["seconds"] / result["seconds"])


@pytest.mark.parametrize("missing", ["sed_eval", "pkg_resources"])
def test_bench_peer_that_cannot_be_imported_is_left_out(missing, monkeypatch, capsys):
    """Itself, or something that it needs: one line with the reason, and the rest is timed."""

    def import_module(name):
        raise ModuleNotFoundError(f"No module named {missing!r}")

    monkeypatch.setattr(peers.importlib, "import_module", import_module)
    bench.main([*TINY, "--only", "scoring", "--against", "sed_eval"])
    captured = capsys.readouterr()
    assert f"sed_eval is left out: No module named '{missing}'" in captured.err and captured.err.count("\n") == 1
    assert "scoring 500 files" in captured.out and "ratio" not in captured.out


def test_bench_does_not_import_peers_unasked(capsys):
    before = {name for name in bench.PEERS if name in sys.modules}
    bench.main([*TINY, "--only", "scoring"])
    assert {name for name in bench.PEERS if isinstance(sys.modules.get(name), ModuleType)} == before


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--runs", "0"], "--runs is 0"), (["--only", "nothing"], "no row has that in its name")],
)
def test_bench_refuses(options, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        bench.main(options)
    assert stopped.value.code == 2 and message in capsys.readouterr().err
