"""The small run of the torture, for CI: ten kills with a seed that is printed. `make torture` is the large one."""

import os
from pathlib import Path

import pytest

from tests.torture.run import torture

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("torture")]
KILLS = int(os.environ.get("PROXIMITY_TORTURE_KILLS", "10"))
SEED = int(os.environ.get("PROXIMITY_TORTURE_SEED", "20251126"))


@pytest.mark.timeout(1800)
def test_killed_at_random_moments_it_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    print(f"seed {SEED}, {KILLS} kills")  # noqa: T201 - pytest shows it when the test fails
    figures = torture(tmp_path, KILLS, SEED)
    assert figures["gateway rows"] > 0
    assert figures["phone positions"] > 0
    assert figures["transitions"] > 0
