"""The torture in small, for CI: ten kills with a seed that is printed, and some garbage through a real broker. `make
torture` and `make torture-garbage` are the large ones."""

import json
import os
from pathlib import Path

import pytest

from tests.torture.garbage import flood
from tests.torture.run import torture

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("torture")]
KILLS = int(os.environ.get("PROXIMITY_TORTURE_KILLS", "10"))
SEED = int(os.environ.get("PROXIMITY_TORTURE_SEED", "20251126"))


@pytest.mark.timeout(1800)
def test_killed_at_random_moments_it_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    verdict = torture(tmp_path, KILLS, SEED, print)
    print(json.dumps(verdict.as_json()))  # noqa: T201 - pytest shows it when the test fails
    assert verdict.violations == ()
    assert sum(verdict.kills.values()) == KILLS
    for what in ("gateway rows", "phone positions", "transitions", "offers received", "coupons", "withheld by budgets"):
        assert verdict.figures[what] > 0, what


@pytest.mark.timeout(900)
def test_good_messages_among_garbage_are_all_taken(tmp_path: Path) -> None:
    found = flood(tmp_path, 5_000, SEED)
    assert found.taken == found.good
    assert 0 < found.refused < found.garbage
