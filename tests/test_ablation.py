"""`tests/benchmarks/ablation.py`: what it may reuse."""

import pytest

from data_tools.errors import InputError
from tests.benchmarks import ablation


def test_results_of_other_settings_are_not_reused(tmp_path):
    """More clips, or other folds because of fewer seeds; but what is not asked for may be anything."""

    def arguments(*more):
        return ablation.parse_arguments(["sounds", "--class", "babycry", "--out", str(tmp_path), *more])

    row = ablation.BASE
    settings = ablation.settings_of(arguments(), row, "babycry", 0)
    found = {(row, "babycry", 0): {"settings": ablation.described(settings)}}
    ablation.require_own(arguments(), found)
    ablation.require_own(arguments("--rows", ablation.ALL, "--clips", "1600"), found)
    for more in (["--clips", "1600"], ["--seeds", "0", "1"], ["--dev-clips", "10"]):
        with pytest.raises(InputError, match="has clips of spectra, always new, babycry, 0 of other settings"):
            ablation.require_own(arguments(*more), found)
    with pytest.raises(InputError, match="of other settings"):  # a result of an earlier version does not say
        ablation.require_own(arguments(), {(row, "babycry", 0): {}})
