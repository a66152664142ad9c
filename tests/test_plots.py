"""Pictures: names that matplotlib would take for mathematics. What they show is looked at, not tested."""

from minirsed.analysis import plots
from minirsed.run.metrics import METRICS


def test_a_name_with_dollar_signs_is_a_name(tmp_path):
    """`a$_$c` is bad mathematics, which ended a training after its last epoch with a traceback."""
    row = {name: 1.0 for name in METRICS}
    plots.curves([row, row], tmp_path / "curves.png", r"a$_$c, $\frac$")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    figure = plots.new_figure()
    assert figure.text(0, 0, plots.plain("a$b$")).get_text() == r"a\$b\$"
