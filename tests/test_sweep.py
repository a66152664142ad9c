"""`python -m minirsed.sweep`: the plans of the paper, stops and restarts, tables worked by hand."""

import contextlib
import csv
import dataclasses
import json
import os
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from data_tools.errors import InputError
from data_tools.inventory import recordings_of
from data_tools.soundbank import open_bank
from minirsed.analysis import plots
from minirsed.analysis.plots import sweep_curves
from minirsed.analysis.uncertainty import bootstrap_intervals, compare, resample
from minirsed.run.folder import read_settings
from minirsed.run.promise import keep_promise
from minirsed.run.session import Machine
from minirsed.run.settings import TrainSettings
from minirsed.store.mixtures import recipes_of
from minirsed.sweep import __main__ as sweep_command
from minirsed.sweep import cost as sweep_cost
from minirsed.sweep.jobs import Jobs, command_line, read_result, require_same_sounds
from minirsed.sweep.plan import SUBSETS, Cell, plan, scaled, system_name
from minirsed.sweep.results import COLUMNS, markdown, write_results
from minirsed.sweep.scores import average, differences, gap, rows_of
from minirsed.train.__main__ import parse_arguments as parse_train_arguments
from tests.benchmarks import tables
from tests.sweeping import LONG, assert_same_sweep, epochs, run, start, wait_until

# ---- plans


def test_table_1_of_the_paper():
    """Sec. 4.1: 5,000 mixtures, 15 epochs, three layers of 256 units, Adam at 1e-4, minibatches of 10."""
    cells = plan({}, "table1")
    assert len(cells) == 9
    assert {(c.settings.label, c.settings.arch) for c in cells} == {
        (event, arch) for event in ("babycry", "glassbreak", "gunshot") for arch in ("uni", "bi", "multires")
    }
    for cell in cells:
        s = cell.settings
        assert (s.clips, s.epochs, s.layers, s.units, s.batch_size, s.alpha) == (5000, 15, 3, 256, 10, 1.0)
        assert (s.learning_rate, s.max_grad_norm, s.equaliser_db, s.mask_bands) == (1e-4, 0, 0, 0)
        assert (s.head, s.n_mels, s.dev_clips, s.seed) == ("attention", 64, 500, 0)


def test_figure_3_of_the_paper():
    """Table 1's settings at five values of α."""
    cells = plan({}, "figure3")
    assert len(cells) == len({cell.name for cell in cells}) == 45
    assert {cell.settings.alpha for cell in cells} == {0.1, 0.5, 1.0, 5.0, 10.0}
    at_one = {cell for cell in cells if cell.settings.alpha == 1.0}
    assert at_one == set(plan({}, "table1"))  # a sweep of one goes on with the runs of the other


def test_table_2_of_the_paper():
    """Sec. 4.2: 15,000 mixtures, 10 epochs, four layers, α = 1; beside it the challenge's systems on the same mixtures.

    And a fifth row, the paper's head on the layers of the first place.
    """
    cells = plan({}, "table2")
    ours = [cell.settings for cell in cells if cell.settings.arch == "multires"]
    baseline = [cell.settings for cell in cells if cell.settings.arch == "mlp"]
    assert len(ours) == len(baseline) == 3
    names = ["mlp", "multires", "crnn", "crnn1d", "crnn1d, attention"]
    assert [system_name(cell.settings) for cell in cells] == names * 3
    assert len({cell.name for cell in cells}) == len({cell.settings for cell in cells}) == 15
    sizes = {system_name(c.settings): (c.settings.layers, c.settings.units, c.settings.learning_rate) for c in cells}
    assert sizes["crnn1d"] == sizes["crnn1d, attention"] == (2, 128, 1e-3) and sizes["crnn"] == (2, 32, 1e-3)
    assert {cell.settings.clips for cell in cells} == {15000}
    chosen = plan({"arch": ["crnn1d"]}, "table2")  # whoever names an architecture gets it with its own head
    assert {(c.settings.arch, c.settings.head) for c in chosen} == {("crnn1d", "frames")}
    both = plan({"head": ["attention"]}, "table2")
    assert {c.settings.arch for c in both} == {"mlp", "multires", "crnn", "crnn1d"} and len(both) == 12
    for s in ours:
        assert (s.clips, s.epochs, s.layers, s.units, s.alpha, s.learning_rate) == (15000, 10, 4, 256, 1.0, 1e-4)
    for s in baseline:
        assert (s.clips, s.layers, s.units, s.n_mels, s.head, s.learning_rate) == (15000, 2, 50, 40, "frames", 1e-3)


def test_scale():
    """S of the clips, √S of the units in steps of 8, ∜S of the epochs; Adam's step S^-1.25, at most 2e-3."""
    for scale, expected in (
        (0.1, (500, 80, 8, 200, 1e-4 * 10**1.25)),
        (0.01, (50, 24, 5, 200, 2e-3)),
        (0.5, (2500, 184, 13, 250, 1e-4 * 2**1.25)),
    ):
        s = plan({"label": ["gunshot"], "arch": ["bi"]}, "table1", scale)[0].settings
        assert (s.clips, s.units, s.epochs, s.dev_clips, s.learning_rate) == pytest.approx(expected)
        assert (s.max_grad_norm, s.layers, s.batch_size, s.alpha) == (1.0, 3, 10, 1.0)
    assert plan({}, "table2", 1.0) == plan({}, "table2")
    assert plan({}, "table1", 0.1, units=12)[0].settings.units == 12  # what is given is not shrunk
    assert plan({"clips": [40]}, "table1", 0.1)[0].settings.clips == 40
    for scale in (0.0, -1.0, 1.5, float("nan")):
        with pytest.raises(InputError, match="--scale is .*: expected more than 0 and at most 1"):
            scaled({}, scale)


def test_grid_without_what_makes_no_difference():
    """Frames alone have no α, the mlp one size: each is trained once, whatever else the grid holds."""
    axes = {"label": ["babycry"], "arch": ["uni", "mlp"], "alpha": [0.1, 1.0, 10.0], "layers": [1, 2], "seed": [0, 1]}
    cells = plan(axes | {"head": ["attention", "frames"]}, units=16)
    assert len(cells) == len({cell.name for cell in cells}) == len({cell.settings for cell in cells})
    count = {}
    for cell in cells:
        key = cell.settings.arch, cell.settings.head
        count[key] = count.get(key, 0) + 1
        assert cell.settings.units == (50 if cell.settings.arch == "mlp" else 16)
    assert count == {
        ("uni", "attention"): 12,
        ("uni", "frames"): 4,
        ("mlp", "attention"): 6,
        ("mlp", "frames"): 2,
    }
    by_default = plan(axes)  # the head of each kind
    assert {(c.settings.arch, c.settings.head) for c in by_default} == {("uni", "attention"), ("mlp", "frames")}
    with pytest.raises(InputError, match="--seeds 1 1 names a value twice"):
        plan({"seed": [1, 1]})
    with pytest.raises(InputError, match="--alpha is -1.0"):
        plan({"alpha": [-1.0]})
    with pytest.raises(InputError, match="two trainings would be called babycry-.*-alpha0.123457-.*differ more"):
        plan({"alpha": [0.1234567, 0.1234568]})


@pytest.mark.parametrize("preset", ["quick", "table1", "table2"])
def test_command_line_of_a_cell_gives_its_settings(preset):
    """What a run folder says of its origin can be typed, and leads to the same settings."""
    from minirsed.run.settings import from_arguments

    redraw = preset != "quick"  # which draws every clip anew
    for cell in plan({}, preset, 0.3 if preset == "table1" else 1.0, redraw=redraw, ebr_db=(-12.5, 3)):
        arguments = parse_train_arguments(command_line(cell.settings))
        assert from_arguments(arguments, arguments.preset) == cell.settings
    several = dataclasses.replace(cell.settings, labels=("babycry", "gunshot"), generator="minirsed")
    arguments = parse_train_arguments(command_line(several))
    assert from_arguments(arguments, arguments.preset) == several


# ---- tables


def cell_of(label, arch, seed=0, **settings):
    return Cell(f"{label}-{arch}-{seed}", TrainSettings(label, arch=arch, seed=seed, **settings))


def result_of(n_hits, n_false=0, n=4, seconds=60.0, recordings=None):
    """Counts of `n` mixtures with an event and `n` without: so many hits, so many false alarms."""
    counts = [[1, int(i < n_hits), int(i < n_hits), 0] for i in range(n)]
    counts += [[0, int(i < n_false), 0, 0] for i in range(n)]
    scores = {"counts": np.array(counts), "mixtures": [], "best_epoch": 1, "error_rate": 0.0, "recordings": recordings}
    return {"dev": scores, "seconds": seconds}


def test_mean_spread_and_average_by_hand():
    """ER of three seeds 1/4, 2/4, 3/4: mean 0.5, deviation 0.25; the other event 0, 0, 0.75: 0.25 and 0.433.

    The average over events by seed: 1/8, 2/8, 6/8, mean 0.375, deviation 0.3307. F1 of the first event: hits 3, 2, 1 of
    4 events with as many found: 6/7, 4/6, 2/5, mean 0.641.
    """
    results = [(cell_of("babycry", "uni", seed), result_of(n_hits)) for seed, n_hits in enumerate((3, 2, 1))]
    results += [(cell_of("gunshot", "uni", seed), result_of(4, n)) for seed, n in enumerate((0, 0, 3))]
    rows = rows_of(results)
    assert [row.seeds for row in rows] == [(0, 1, 2), (0, 1, 2)]
    first, second = (row.scores["dev", "error_rate"] for row in rows)
    assert (first.mean, first.sd) == pytest.approx((0.5, 0.25))
    assert (second.mean, second.sd) == pytest.approx((0.25, 0.75 / 3**0.5))
    assert first.low < first.mean < first.high and 0 <= second.low < second.mean < second.high
    summed = sum(result["dev"]["counts"] for _, result in results[:3])
    assert summed[:, 2].tolist() == [3, 2, 1, 0] + [0] * 4  # the seeds' hits of each mixture
    interval = bootstrap_intervals(summed, np.random.default_rng(0)).error_rate
    assert (first.low, first.high) == interval != rows_of(results[1:2])[0].scores["dev", "error_rate"][2:4]
    assert rows[0].scores["dev", "f1"].mean == pytest.approx((6 / 7 + 4 / 6 + 2 / 5) / 3)
    lines = markdown(rows).splitlines()
    assert lines[0] == "Development mixtures, error rate (lower is better):"
    assert lines[2] == "|  | babycry | gunshot | average |"
    assert lines[4].startswith("| uni | 0.50 ± 0.25 (0.") and " | 0.38 ± 0.33 (0." in lines[4]
    assert "Evaluation" not in markdown(rows)
    assert lines[-3] == "mean ± standard deviation over seeds (95 % interval over mixtures)"
    size = "600 clips, 12 epochs, 3 × 64 units, step size 0.002, 200 development clips, builtin sounds"
    assert lines[-1] == f"- uni: {size}; seeds 0 1 2"


def test_intervals_are_over_recordings_where_all_cells_know_them():
    """Two cries of four mixtures each: one found in all of its mixtures, one in none.

    Other recordings could all be like the first or like the second; other mixtures of these two could not.
    """
    cry, shot = (
        [(f"{name} {i // 4}" if i < 8 else None, f"place {i % 3}") for i in range(16)] for name in ("cry", "shot")
    )
    known = [(cell_of("babycry", arch), result_of(hits, n=8, recordings=cry)) for arch, hits in (("uni", 4), ("bi", 8))]
    uni, bi = rows_of(known)
    found, summed = uni.scores["dev", "error_rate"], known[0][1]["dev"]["counts"]
    options = {"recordings": cry, "n_resamples": 10_000}
    assert (found.low, found.high) == bootstrap_intervals(summed, np.random.default_rng(0), **options).error_rate
    assert (found.mean, found.low, found.high) == (0.5, 0.0, 1.0)
    apart = gap([uni], [bi], "dev")
    assert apart[2:4] == compare(summed, known[1][1]["dev"]["counts"], np.random.default_rng(0), **options).interval
    assert "(95 % interval over recordings)" in markdown([uni, bi])
    with pytest.raises(ValueError, match="have other events"):
        gap([uni], rows_of([(cell_of("babycry", "bi"), result_of(3))]), "dev")

    # the average draws the recordings of each event by themselves
    other = [(cell_of("gunshot", arch), result_of(n, n=8, recordings=shot)) for arch, n in (("uni", 4), ("bi", 8))]
    rows = rows_of([*known, *other])
    both = average([rows[0], rows[2]])
    assert both["dev", "error_rate"].mean == 0.5 and np.isnan(both["dev", "f1"].low)
    rng, rates = np.random.default_rng(0), []
    for (_, result), recordings in ((known[0], cry), (other[0], shot)):
        n_ref, n_sys, n_tp, _ = resample(result["dev"]["counts"], recordings, rng, 10_000).T
        rates.append(np.divide(n_ref + n_sys - 2 * n_tp, n_ref, out=np.full(10_000, np.nan), where=n_ref > 0))
    means = np.mean(rates, axis=0)
    assert both["dev", "error_rate"][2:4] == pytest.approx(np.nanquantile(means, [0.025, 0.975]))
    _, gaps = differences(rows, "dev")
    assert next(iter(gaps.values()))[-1].mean == 0.5

    one = [(None if event is None else "one cry", place) for event, place in cry]
    alone = rows_of([(cell_of("babycry", "uni"), result_of(4, n=8, recordings=one))])
    assert np.isnan(alone[0].scores["dev", "error_rate"].low) and np.isnan(average(alone)["dev", "error_rate"].low)
    earlier = known[1][0], result_of(8, n=8)
    del earlier[1]["dev"]["recordings"]  # of a version that did not write them down
    rows = rows_of([known[0], earlier])
    assert [row.recordings for row in rows] == [{"dev": None}] * 2 and "interval over mixtures" in markdown(rows)
    assert rows[0].scores["dev", "error_rate"].low > 0
    evaluated = known[0][0], known[0][1] | {"eval": known[0][1]["dev"]}  # no table mixes the two kinds
    assert rows_of([evaluated, earlier])[0].recordings == {"dev": None, "eval": None}


@pytest.mark.parametrize("subset", ["dev", "eval"])
def test_cells_of_other_mixtures_are_not_put_together(subset):
    """As many events, but one mixture or one recording is another, or the built-in sounds are of another version."""
    recordings = [(f"cry {i}" if i < 4 else None, f"place {i}") for i in range(8)]
    mixtures = [f"{i}.wav" for i in range(8)]
    scored = result_of(3, recordings=recordings)["dev"] | {"mixtures": mixtures}
    result = {"dev": scored, subset: scored, "seconds": 1.0, "sounds": "one"}
    one, other = cell_of("babycry", "uni"), cell_of("babycry", "uni", 1)
    assert len(rows_of([(one, result), (other, result)])) == 1
    for change in (
        {subset: scored | {"mixtures": [*mixtures[:-1], "other.wav"]}},
        {subset: scored | {"recordings": [("cry 9", "place 0"), *recordings[1:]]}},
        {"sounds": "two"},
    ):
        where = "dev" if "sounds" in change else subset
        with pytest.raises(InputError, match=f"uni-0 and .*uni-1 were scored on different {where} mixtures"):
            rows_of([(one, result), (other, result | change)])
        assert rows_of([(one, result), (cell_of("gunshot", "uni"), result | change)])  # another class has its own
    earlier = {name: value for name, value in result.items() if name != "sounds"}  # of a version that did not say
    assert rows_of([(one, result), (other, earlier)])


def test_both_decisions_have_tables():
    """At one half, and at thresholds that were chosen on development mixtures: rows, figures and gaps of their own."""
    results = []
    for arch, hits in (("multires", (3, 3, 2)), ("crnn1d", (1, 4, 4))):
        dev, at_half, tuned = (result_of(n)["dev"] for n in hits)
        result = {"dev": dev, "eval": at_half, "dev_tuned": dev, "eval_tuned": tuned | {"thresholds": [0.8, 0.5]}}
        head = "frames" if arch == "crnn1d" else "attention"
        results.append((cell_of("babycry", arch, head=head), result | {"seconds": 1.0}))
    rows = rows_of(results)
    table = markdown(rows)
    titles = [line for line in table.splitlines() if line.endswith("error rate (lower is better):")]
    assert titles == [
        "Development mixtures, error rate (lower is better):",
        "Evaluation mixtures, error rate (lower is better):",
        "Development mixtures, thresholds of each training chosen on them, error rate (lower is better):",
        "Evaluation mixtures, thresholds of each training chosen on development ones, error rate (lower is better):",
    ]
    at_half, tuned = (table[table.index(title) :].split("\n\n")[1] for title in titles[1::2])
    assert "| multires | 0.25 " in at_half and "| crnn1d | 0.00 " in at_half
    assert "| multires | 0.50 " in tuned and "| crnn1d | 0.00 " in tuned
    names = ("multires", "babycry, eval")  # as the script that compares a text with a sweep finds them
    assert tables.expected(rows, *names).startswith("0.25 ")
    assert tables.expected(rows, *names, tuned=True).startswith("0.50 ")
    assert tables.expected(rows, *names, "crnn1d", tuned=True).startswith("+0.50 ")
    gaps = table[table.index("development ones, error rate minus that of crnn1d") :]
    assert "| multires | +0.50 " in gaps.split("\n\n")[1]


def test_differences_are_paired_by_mixture_and_by_seed():
    """Of 4, bi misses 0 and 1, uni 2 and 3: +0.5 with both seeds, so no deviation although each system has one.

    Mixture by mixture the sums over seeds differ by 0, 1, 2, 1, as hits are the first of them. The other event: uni
    ahead by 1/4 and by 3/4, false alarms of bi; on average uni is behind by 1/8 and ahead by 1/8.
    """
    hits = {"bi": (4, 3), "uni": (2, 1)}
    results = [
        (cell_of("babycry", arch, seed), result_of(hits[arch][seed])) for arch in ("uni", "bi") for seed in (0, 1)
    ]
    lowest, found = differences(rows_of(results), "dev")
    assert lowest[0] == "bi" and [name[0] for name in found] == ["uni"]
    gap, average = next(iter(found.values()))
    assert gap == average and (gap.mean, gap.sd, gap.by_seed) == (0.5, 0.0, (0.5, 0.5))
    counts = [sum(result["dev"]["counts"] for _, result in results[start : start + 2]) for start in (0, 2)]
    assert (counts[1] - counts[0])[:, 2].tolist() == [0, 1, 2, 1] + [0] * 4
    assert (gap.low, gap.high) == compare(*counts, np.random.default_rng(0)).interval
    table = markdown(rows_of(results))
    assert (
        "Development mixtures, error rate minus that of bi, the lowest:" in table
        and "| uni | +0.50 ± 0.00 (+0." in table
    )

    results += [(cell_of("gunshot", "uni", seed), result_of(4)) for seed in (0, 1)]
    results += [(cell_of("gunshot", "bi", seed), result_of(4, n_false)) for seed, n_false in enumerate((1, 3))]
    lowest, found = differences(rows_of(results), "dev")
    assert lowest[0] == "uni"  # a tie, ER 0.375 of both: the first of the table
    first, second, average = next(iter(found.values()))
    assert (first.by_seed, second.by_seed, average.by_seed) == ((-0.5, -0.5), (0.25, 0.75), (-0.125, 0.125))
    assert average.mean == 0 and average.low < 0 < average.high
    assert "the lowest on average" in markdown(rows_of(results)) and "| −0.50 ± 0.00 (−" in markdown(rows_of(results))

    third = [(cell_of(label, "multires", seed), result_of(4)) for label in ("babycry", "gunshot") for seed in (0, 1)]
    _, found = differences(rows_of([*results[1:], *third]), "dev")  # the first row lacks a seed, the others do not
    assert {system.name for system in found} == {"bi"}
    lacks_one = rows_of(results[:-2])
    assert differences(lacks_one, "dev") == (None, {}) == differences(lacks_one, "eval")
    assert "minus" not in markdown(lacks_one)
    fewer_seeds = rows_of([*results[:2], results[2]])
    assert differences(fewer_seeds, "dev") == (None, {})


def test_differences_from_a_system_of_a_name():
    """`--than`: the one system of that name, whatever else it has; of several, that at the same α, or none."""
    hits = {("bi", 0.1): 1, ("bi", 1.0): 3, ("uni", 0.1): 2, ("uni", 1.0): 4, ("uni", 5.0): 0}
    results = [(cell_of("babycry", arch, alpha=alpha), result_of(n)) for (arch, alpha), n in hits.items()]
    _, found = differences(rows_of(results), "dev", "bi")
    assert {of[:2]: gap.mean for of, (gap, _) in found.items()} == {("uni", 0.1): -0.25, ("uni", 1.0): -0.25}
    assert "error rate minus that of bi:\n" in markdown(rows_of(results), "bi")
    lowest, found = differences(rows_of(results), "dev")
    assert (lowest.name, lowest.alpha) == ("uni", 1.0) and len(found) == 4  # from the lowest of all

    frames = cell_of("babycry", "mlp", head="frames"), result_of(0)  # no α, other layers
    one = [frames, (cell_of("babycry", "multires"), result_of(3)), (cell_of("babycry", "bi"), result_of(4))]
    _, found = differences(rows_of(one), "dev", "multires")
    assert {of.name: gap.mean for of, (gap, _) in found.items()} == {"mlp": 0.75, "bi": -0.25}
    assert "minus" not in markdown(rows_of(one[:1]), "mlp")


def test_table_names_what_differs():
    """α, clips and layers appear where systems of one name differ in them; one seed has no deviation."""
    results = [
        (cell_of("babycry", "uni", alpha=0.1), result_of(3)),
        (cell_of("babycry", "uni", alpha=10.0), result_of(4)),
        (cell_of("babycry", "bi", layers=2), result_of(0)),
        (cell_of("babycry", "mlp", head="frames"), result_of(0, 4)),
        (cell_of("babycry", "bi", layers=4, head="frames"), result_of(2, 2)),
        (cell_of("babycry", "mlp"), result_of(1)),
    ]
    lines = markdown(rows_of(results)).splitlines()
    assert [line.split(" | ")[0] for line in lines[4:10]] == [
        "| uni, α = 0.1", "| uni, α = 10", "| bi", "| mlp", "| bi, frames alone", "| mlp, attention",
    ]  # fmt: skip
    assert lines[2] == "|  | babycry |" and lines[5] == "| uni, α = 10 | 0.00 (0.00 … 0.00) |"
    assert lines[6] == "| bi | 1.00 (1.00 … 1.00) |" and "| mlp | 2.00 (" in lines[7]
    assert "| bi | - |" in lines  # F1 where nothing was found at all
    assert [line.split(" × 64")[0] for line in lines[-3:]] == [
        "- uni, α = 0.1; uni, α = 10; mlp; mlp, attention: 600 clips, 12 epochs, 3",
        "- bi: 600 clips, 12 epochs, 2",
        "- bi, frames alone: 600 clips, 12 epochs, 4",
    ]
    quiet = cell_of("babycry", "uni", ebr_db=(-12.0, 3.5))
    assert markdown(rows_of([(quiet, result_of(3))])).endswith(" builtin sounds at an EBR of -12 3.5 dB; seed 0\n")
    more = markdown(rows_of([*results, (cell_of("babycry", "mlp", alpha=10.0), result_of(1))]))
    assert "\n| mlp, attention, α = 1 |" in more and "\n| mlp, attention, α = 10 |" in more and "\n| mlp |" in more


def test_missing_cells_leave_gaps(tmp_path):
    """A sweep half done has a table too; an average needs all events."""
    results = [(cell_of("babycry", "uni"), result_of(3)), (cell_of("gunshot", "bi"), result_of(2))]
    assert "missing" not in write_results(results, tmp_path, n_planned=2)[0]
    table, names = write_results(results, tmp_path, n_planned=6)
    assert table.endswith("\n4 of 6 trainings are missing\n")
    assert "| uni | 0.25 (" in table and "| bi | - | 0.50 (" in table and table.count("| - |") >= 3
    assert names == ["table.md", "table.csv", "figure.png"] and (tmp_path / "table.md").read_text() == table
    with open(tmp_path / "table.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS and [row["event"] for row in rows] == ["babycry", "gunshot"]
    assert float(rows[1]["dev_error_rate_mean"]) == 0.5 and rows[1]["dev_error_rate_sd"] == ""
    assert rows[0]["minutes"] == "1.0" and rows[0]["eval_f1_mean"] == ""


def test_figure_has_a_panel_for_each_event_and_a_line_for_each_architecture(tmp_path, monkeypatch):
    """Over α on a logarithmic axis as in Fig. 3, what has no α across it; bars are the deviation over seeds."""
    from matplotlib.figure import Figure

    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **options: drawn.append(figure))
    results = [
        (cell_of(label, arch, seed, alpha=alpha), result_of(hits))
        for label in ("babycry", "gunshot")
        for arch in ("uni", "bi")
        for alpha in (0.1, 1.0, 10.0)
        for seed, hits in ((0, 1), (1, 3))
    ]
    results += [(cell_of("babycry", "mlp", head="frames"), result_of(0))]
    write_results(results, tmp_path)
    panels = drawn[0].axes
    assert [axes.get_title() for axes in panels] == ["babycry", "gunshot"]
    for axes in panels:
        assert axes.get_xscale() == "log" and [c.get_label() for c in axes.containers] == ["uni", "bi"]
        assert [text.get_text() for text in axes.get_xticklabels()] == ["0.1", "1", "10"]
        (bar,) = axes.containers[0].lines[2]
        low, high = bar.get_segments()[0][:, 1]
        assert (low, high) == pytest.approx((0.5 - 0.125**0.5, 0.5 + 0.125**0.5))
    assert "mlp" in panels[0].get_legend_handles_labels()[1]
    write_results([(cell_of("babycry", arch), result_of(2)) for arch in ("uni", "bi")], tmp_path)
    (axes,) = drawn[1].axes  # one α: systems side by side
    assert [text.get_text() for text in axes.get_xticklabels()] == ["uni", "bi"]


def test_learning_curves_are_means_over_seeds(tmp_path, monkeypatch):
    """A line for each system through the mean of its seeds' development ER; a cell without metrics.csv has none."""
    drawn = {}
    monkeypatch.setattr(plots, "save_figure", lambda figure, path, dpi: drawn.update({path.name: figure}))
    results = [(cell_of("babycry", "uni", seed), result_of(2)) for seed in (0, 1)]
    results += [(cell_of("babycry", "bi"), result_of(3)), (cell_of("gunshot", "bi"), result_of(3))]
    for (cell, _), errors in zip(results, (("1.5", "0.5"), ("0.5", ""), ("0.25", "0.75")), strict=False):
        (tmp_path / cell.name).mkdir()
        lines = ["epoch,dev_error_rate", *(f"{epoch},{error}" for epoch, error in enumerate(errors, 1))]
        (tmp_path / cell.name / "metrics.csv").write_text("\n".join(lines) + "\n")
    assert write_results(results, tmp_path)[1][-1] == "curves.png"
    (axes,) = drawn["curves.png"].axes
    assert axes.get_title() == "babycry" and [line.get_lw() < 1 for line in axes.lines] == [True, True, False, False]
    assert axes.lines[2].get_ydata()[0] == 1.0 and np.isnan(axes.lines[2].get_ydata()[1])  # an ER was undefined
    assert axes.lines[3].get_ydata().tolist() == [0.25, 0.75] and axes.lines[3].get_xdata().tolist() == [1, 2]
    assert [text.get_text() for text in drawn["curves.png"].legends[0].get_texts()] == ["uni", "bi"]


def test_no_two_of_nine_systems_look_alike(tmp_path, monkeypatch):
    """As many lines as the learning curves of three architectures at three α have."""
    from matplotlib.figure import Figure

    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **options: drawn.append(figure))
    sweep_curves({"babycry": {f"system {i}": np.ones((1, 2)) for i in range(9)}}, tmp_path / "curves.png", "")
    assert len({(line.get_color(), line.get_marker(), line.get_linestyle()) for line in drawn[0].axes[0].lines}) == 9


# ---- cost


def test_cost_is_that_of_what_is_left(tmp_path, monkeypatch):
    """8 clips in batches of 5 are 2 updates, 6 are detected: 3 epochs of 2 · 0.5 + 6 · 0.1 s, one of them done."""
    monkeypatch.setattr(sweep_cost, "time_model", lambda settings, executor: (0.5, 0.1))
    monkeypatch.setattr(sweep_cost, "time_mixtures", lambda bank, recipes: 0.25)
    size = {"clips": 8, "dev_clips": 6, "epochs": 3, "batch_size": 5}
    cells = [cell_of("babycry", "uni", 0, **size), cell_of("babycry", "bi", 0, **size)]
    jobs = Jobs(tmp_path, tmp_path / "features", n_jobs=2)
    jobs.folder(cells[0]).mkdir()
    (jobs.folder(cells[0]) / "metrics.csv").write_text("epoch\n1\n")
    cost = sweep_cost.estimate(cells, jobs, open_bank("builtin"))
    assert cost.training_s == pytest.approx((2 + 3) * 1.6 / 2)
    assert cost.n_mixtures == 14 and cost.preparing_s == pytest.approx(14 * 0.25 / 2)  # shared by both
    more = [*cells, cell_of("babycry", "mlp", 0, n_mels=40, **size), cell_of("babycry", "uni", 1, **size)]
    assert sweep_cost.estimate(more, jobs, open_bank("builtin")).n_mixtures == 14 + 14 + 8
    with_eval = dataclasses.replace(jobs, evaluate=True)
    assert sweep_cost.estimate(cells, with_eval, open_bank("builtin")).n_mixtures == 20


@pytest.mark.parametrize(("load", "is_said"), [(3.0, True), (0.6, True), (0.4, False)])
def test_a_cost_that_was_measured_on_a_busy_machine_says_so(tmp_path, monkeypatch, load, is_said):
    monkeypatch.setattr(sweep_cost, "time_model", lambda settings, executor: (0.5, 0.1))
    monkeypatch.setattr(sweep_cost, "time_mixtures", lambda bank, recipes: 0.25)
    monkeypatch.setattr(sweep_cost, "available_cores", lambda: 2)
    monkeypatch.setattr("os.getloadavg", lambda: (load, 9.0, 9.0))
    jobs = Jobs(tmp_path, tmp_path / "features", n_jobs=2)
    cells = [cell_of("babycry", "uni", 0, clips=8, dev_clips=6)]
    said = sweep_command.cost_lines(sweep_cost.estimate(cells, jobs, open_bank("builtin")), jobs)
    line = f"\nmeasured on a busy machine, load {load} on 2 cores in the minute before: alone on it, it may take less"
    assert said.endswith(line) if is_said else "busy" not in said


def test_measurement_is_of_the_size_asked_for(monkeypatch):
    """Updates of whole batches, and detecting in groups of clips, by the model of the settings."""
    from minirsed.kernels.threads import worker_threads
    from minirsed.model import ModelConfig

    update, detect, seen = sweep_cost.batch_loss_and_grads, sweep_cost.forward, set()

    def noted_update(executor, params, config, x, *others):
        seen.add(("update", config, x.shape))
        return update(executor, params, config, x, *others)

    def noted_detect(params, config, x, **options):
        seen.add(("detect", config, x.shape, options["with_cache"]))
        return detect(params, config, x, **options)

    monkeypatch.setattr(sweep_cost, "batch_loss_and_grads", noted_update)
    monkeypatch.setattr(sweep_cost, "forward", noted_detect)
    with worker_threads(1) as executor:
        settings = TrainSettings(arch="mlp", head="frames", layers=1, units=4, n_mels=40, batch_size=8)
        update_s, detect_s = sweep_cost.time_model(settings, executor)
    config = ModelConfig("mlp", 1, 4, 40, "frames", n_mels=40)
    detected = {("detect", config, (n, 1303, 40), False) for n in (5, 3)}
    assert seen == {("update", config, (8, 1303, 40))} | detected
    assert 0 < detect_s < update_s


# ---- the command


GRID = ["--class", "pong", "--arch", "uni", "--seeds", "0", "1", "--epochs", "2", "--preset", "plain"]


@pytest.fixture(scope="module")
def finished(sweep_place):
    status, output, errors = run(*GRID, "--out", "whole", "--evaluate", "--jobs", 2, cwd=sweep_place)
    assert status == 0, errors
    return sweep_place / "whole", output


def test_sweep_leaves_a_run_folder_for_each_cell_and_a_table(finished):
    """Cost first, then a line for each; dev and eval scores, the figures in the table those of the cells."""
    out, output = finished
    assert output.index("training: about") < output.index("1/2") < output.index("Evaluation mixtures, error rate")
    assert "2 trainings: seeds 0 1\n" in output
    folders = sorted(path for path in out.iterdir() if path.is_dir())
    assert len(folders) == 2
    for folder in folders:
        assert {"config.json", "best.npz", "metrics.csv", "curves.png", "log.txt"} <= {p.name for p in folder.iterdir()}
        figures = json.loads((folder / "figures_eval.json").read_text())
        counts = read_result(folder)["eval"]["counts"].sum(axis=0)
        assert [figures["n_ref"], figures["n_sys"], figures["n_tp"], 0] == counts.tolist()
        assert "minirsed.train" in json.loads((folder / "config.json").read_text())["command"]
        result = read_result(folder)
        n_ref, n_sys, n_tp, _ = np.array([result[name]["counts"].sum(axis=0) for name in ("dev", "dev_tuned")]).T
        errors = n_ref + n_sys - 2 * n_tp
        assert n_ref[0] == n_ref[1] and errors[1] <= errors[0]  # one half was among those to choose from
        assert result["dev_tuned"]["thresholds"] == result["eval_tuned"]["thresholds"]
        assert all(0 < threshold < 1 for threshold in result["eval_tuned"]["thresholds"])
        settings = read_settings(folder)
        for subset in SUBSETS:
            scored, bank = result[subset], open_bank(settings.data)
            recipes = recipes_of(bank, settings, subset.removesuffix("_tuned"))
            assert scored["mixtures"] == [recipe.name for recipe in recipes]
            assert scored["recordings"] == recordings_of(bank, recipes)
            assert scored["counts"][:, 0].tolist() == [int(event is not None) for event, _ in scored["recordings"]]
        assert result["eval_tuned"]["counts"][:, 0].tolist() == result["eval"]["counts"][:, 0].tolist()
    with open(out / "table.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 1 and {row["seeds"] for row in rows} == {"0 1"}
    for row in rows:
        own = [folder for folder in folders if folder.name.startswith(f"{row['event']}-{row['arch']}-")]
        rates = [read_result(folder)["dev"]["error_rate"] for folder in own]
        assert len(rates) == 2 and float(row["dev_error_rate_mean"]) == pytest.approx(np.mean(rates))
    assert (out / "table.md").read_text() in output


def test_finished_cells_are_left_alone_and_new_ones_added(finished, sweep_place):
    out, _ = finished
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/*")}
    lost = next(out.glob("pong-uni-*-seed1"))
    (lost / "result.json").unlink()
    status, output, errors = run(*GRID, "--out", "whole", "--evaluate", "--jobs", 1, cwd=sweep_place)
    assert status == 0, errors
    assert "1 of 2 are finished" in output and output.count("/2  ") == 1 and f"2/2  {lost.name}" in output
    changed = {path for path, when in before.items() if path.stat().st_mtime_ns != when}
    assert {path.parent for path in changed} == {lost} and lost / "best.npz" not in changed
    other = [*GRID[:4], "--seeds", "1", "2", *GRID[7:], "--out", "whole", "--evaluate", "--dry-run"]
    status, output, errors = run(*other, cwd=sweep_place)
    assert status == 0 and "1 of 2 are finished" in output and "preparing 8 mixtures" in output
    assert not list(out.glob("*seed2"))
    status, output, errors = run(*GRID, "--than", "bi", cwd=sweep_place)
    assert status and not output and errors.endswith("--than bi: no system of this sweep, which has uni\n")


def test_what_changed_after_a_training_ends_a_sweep(sweep_place, tmp_path):
    """Sounds that other mixtures are drawn from, before anything is trained; thresholds chosen for a promise."""
    shutil.copytree(sweep_place / "sounds", tmp_path / "sounds")
    command = [*GRID[:4], *GRID[7:], "--epochs", "1", "--out", "one"]
    status, _, errors = run(*command, cwd=tmp_path)
    assert status == 0, errors
    extra = tmp_path / "sounds" / "events" / "pong" / "more.wav"
    shutil.copy(extra.with_name("2.wav"), extra)
    split = (tmp_path / "sounds" / "split.csv").read_text()
    (tmp_path / "sounds" / "split.csv").write_text(f"{split}\nevents/pong/more.wav,dev")
    status, output, errors = run(*command, "--seeds", "0", "1", cwd=tmp_path)
    assert status == 2 and "the sounds have changed since it was scored; choose another --out" in errors
    assert len(errors.strip().splitlines()) == 1 and "measuring" not in output
    assert len(list(tmp_path.glob("one/*/"))) == 1

    extra.unlink()
    (tmp_path / "sounds" / "split.csv").write_text(split)
    (folder,) = tmp_path.glob("one/pong-*")
    keep_promise(folder, 5000.0, machine=Machine(tmp_path / "features"))
    (folder / "result.json").unlink()
    status, output, _ = run(*command, cwd=tmp_path)
    assert status and "its thresholds were chosen after its training; move it away" in output


def test_a_sweep_of_an_earlier_version_of_the_built_in_sounds_does_not_go_on(tmp_path):
    """Their mixtures may have the same names; a result that does not say which version it had is believed."""
    bank, jobs, cell = open_bank("builtin"), Jobs(tmp_path, tmp_path), cell_of("babycry", "uni", dev_clips=2)
    result = result_of(1, n=1)
    scored = result["dev"] | {"counts": [[1, 1, 1, 0], [0, 0, 0, 0]]}
    scored["mixtures"] = [recipe.name for recipe in recipes_of(bank, cell.settings, "dev")]
    jobs.folder(cell).mkdir()
    for said, is_same in (({"sounds": bank.fingerprint()}, True), ({}, True), ({"sounds": "earlier"}, False)):
        (jobs.folder(cell) / "result.json").write_text(json.dumps({"dev": scored, "seconds": 1.0} | said))
        with contextlib.nullcontext() if is_same else pytest.raises(InputError, match="the sounds have changed"):
            require_same_sounds([cell], jobs, bank)


def test_a_finished_sweep_is_compared_with_another_system(undisturbed_sweep, sweep_place, tmp_path):
    copy = shutil.copytree(undisturbed_sweep, tmp_path / "copy")
    for name in ("uni", "mlp"):
        status, output, errors = run(*LONG, "--than", name, "--out", copy, cwd=sweep_place)
        assert status == 0, errors
        assert "2 of 2 are finished" in output
        for table in (output, (copy / "table.md").read_text()):
            assert re.findall("error rate minus that of (.*):", table) == [name]


def test_a_cell_is_what_the_training_command_makes(finished, sweep_place):
    """The same bytes, whatever the number of jobs and threads."""
    from minirsed.train import __main__ as train

    out, _ = finished
    folder = next(out.glob("pong-uni-*-seed1"))
    words = json.loads((folder / "config.json").read_text())["command"]
    words = words[words.index("minirsed.train") + 1 :]
    words[words.index("--out") + 1] = str(sweep_place / "alone")
    words += ["--threads", "3"]
    train.main(words)
    assert (sweep_place / "alone" / "best.npz").read_bytes() == (folder / "best.npz").read_bytes()


def test_systems_with_other_features_can_be_compared(undisturbed_sweep, sweep_place, capsys):
    """The paper's model against the baseline on the same mixtures, though one sees 64 bands and the other 40."""
    from minirsed.evaluate import __main__ as evaluate

    ours, baseline = (str(next(undisturbed_sweep.glob(f"ping-{arch}-*"))) for arch in ("uni", "mlp"))
    places = ["--features", str(sweep_place / "features"), "--no-tune", "--json"]
    evaluate.main([ours, "--compare", baseline, *places])
    figures = json.loads(capsys.readouterr().out)
    evaluate.main([baseline, *places])
    alone = json.loads(capsys.readouterr().out)
    assert figures["other"]["error_rate"] == alone["error_rate"] and figures["other"]["n_sys"] == alone["n_sys"]
    assert figures["other"]["error_rate_difference"] == figures["error_rate"] - alone["error_rate"]


def jobs_of(process):
    """Process ids of a sweep's jobs."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def is_running(pid):
    """Whether a process is there; one that ended and that nobody has waited for yet is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_killed_sweep_takes_its_jobs_along_and_goes_on(undisturbed_sweep, sweep_place):
    """SIGKILL to the sweep alone: nothing works on; the same command ends as if nothing had happened."""
    process, out = start(*LONG, "--out", "killed", cwd=sweep_place), sweep_place / "killed"
    wait_until(lambda: epochs(out, "ping-uni-*") >= 3)
    jobs = jobs_of(process)
    assert jobs
    process.kill()
    process.communicate()
    wait_until(lambda: not any(map(is_running, jobs)), 20)
    assert not list(out.glob("ping-uni-*/result.json"))
    status, output, errors = run(*LONG, "--out", "killed", cwd=sweep_place)
    assert status == 0, errors
    assert "resuming after epoch" in next(out.glob("ping-uni-*/log.txt")).read_text()
    assert_same_sweep(undisturbed_sweep, out)


@pytest.mark.slow
def test_killed_job_is_named_and_the_others_go_on(undisturbed_sweep, sweep_place):
    """As the kernel does when memory is short. Exit status 2; the same command does what lacks. 10 s."""
    process, out = start(*LONG, "--out", "short", cwd=sweep_place), sweep_place / "short"
    wait_until(lambda: epochs(out, "ping-uni-*") >= 1 and len(jobs_of(process)) == 2)
    os.kill(jobs_of(process)[1], signal.SIGKILL)
    output, errors = process.communicate(timeout=200)
    assert process.returncode == 2 and "killed by signal 9, perhaps for lack of memory" in output
    assert errors.strip() == "minirsed.sweep: error: 1 of 2 trainings failed, see above; the same command tries again"
    assert len(list(out.glob("*/result.json"))) == 1 and (out / "table.md").exists()
    status, _, errors = run(*LONG, "--out", "short", cwd=sweep_place)
    assert status == 0, errors
    assert_same_sweep(undisturbed_sweep, out)


def test_interrupted_sweep_says_how_to_continue(sweep_place):
    """Ctrl-C goes to all processes of a terminal, but one line is enough."""
    process = start(*LONG, "--out", "interrupted", "--epochs", 500, cwd=sweep_place)
    wait_until(lambda: epochs(sweep_place / "interrupted", "ping-uni-*") >= 1)
    jobs = jobs_of(process)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (
        process.returncode == 130
        and errors.strip() == "minirsed.sweep: stopped; the same command continues where it was"
    )
    assert jobs and not any(map(is_running, jobs))


def test_wrong_requests_end_in_one_line(finished, sweep_place):
    for arguments, words in (
        (["--class", "ping", "ding"], ["no class 'ding'; it has ping"]),
        (["--preset", "table1", "--scale", "0"], ["--scale is 0.0"]),
        (["--jobs", "0"], ["--jobs is 0"]),
        (["--alpha", "1", "1"], ["names a value twice"]),
        (
            [*GRID, "--epochs", "3", "--out", "whole"],
            ["holds a run with --epochs 2, not 3"],
        ),
        (["--class", "ping", "--out", "sounds/split.csv"], ["split.csv"]),
    ):
        status, output, errors = run(*arguments, cwd=sweep_place)
        assert status == 2 and len(errors.strip().splitlines()) == 1, (arguments, errors)
        assert all(word in errors for word in words), errors
        assert "measuring" not in output or "--out" in arguments, "said before the request was looked at"
    folder = next(finished[0].glob("pong-uni-*-seed0"))
    whole = (folder / "result.json").read_text()
    (folder / "result.json").write_text(whole[: len(whole) // 2])
    status, _, errors = run(*GRID, "--out", "whole", "--evaluate", cwd=sweep_place)
    (folder / "result.json").write_text(whole)
    assert status == 2 and "result.json: missing or damaged" in errors and len(errors.strip().splitlines()) == 1


def test_two_sweeps_in_one_folder_do_not_mix(sweep_place, monkeypatch):
    from data_tools.files import exclusive

    (sweep_place / "taken").mkdir()
    monkeypatch.chdir(sweep_place)
    with exclusive(sweep_place / "taken" / "lock", "filling"):
        status, _, errors = run("--class", "ping", "--epochs", "1", "--out", "taken", cwd=sweep_place)
    assert status == 2 and "another process is filling it" in errors
