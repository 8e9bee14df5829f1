"""What a broker delivers twice, and what a phone says twice within a quarter of a second, counts once."""

import numpy as np
import pytest

from proximity.model import Fix
from proximity.presence.engine import Engine
from proximity.presence.fixes import latest
from tests.presence_shop import PHONE, T0, circle, fix, kinds, run, shop

BOB = "owntracks:bob/phone"


def there(*seconds: float, device: str = PHONE, east: float = 0.0) -> list[Fix]:
    return [fix(second, east, device=device) for second in seconds]


STREAMS = [
    # first all of it once                                              then as it comes
    ("the same again", there(1, 11, 21), there(1, 1, 11, 11, 21, 21, 21)),
    ("two phones", [*there(1, 11), *there(1, 11, device=BOB)], [*there(1, 1, 11), *there(1, 1, 11, 11, device=BOB)]),
    ("all at once", there(1, 11, 21), [*there(1, 11, 21), *there(1, 11, 21)]),
]


@pytest.mark.parametrize(("once", "often"), [(a, b) for _, a, b in STREAMS], ids=[name for name, _, _ in STREAMS])
def test_a_fix_that_comes_twice_counts_once(once: list[Fix], often: list[Fix]) -> None:
    park = shop(circle("park", 40))
    left = [*there(40, 50, 60, 70, east=900.0), *there(40, 50, 60, 70, east=900.0, device=BOB)]
    wanted = run(Engine([park], now=T0 - 1), 3000, once, left)
    found = run(Engine([park], now=T0 - 1), 3000, often, left)
    assert found.transitions == wanted.transitions
    assert kinds(found.transitions).count(("enter", "park")) == len({one.device for one in once})


def test_of_the_fixes_of_one_tick_each_device_has_one_latest() -> None:
    device = np.array([0, 0, 1, 1, 2, 3, 3, 3], dtype=np.int32)
    at = np.array([1.0, 1.1, 2.0, 2.0, 3.0, 4.2, 4.0, 4.1])
    place = np.arange(8.0) * (device != 1)  # device 1 says the same twice
    last, earlier, again = latest(device, at, place, place, np.full(8, 5.0))
    assert device[last].tolist() == [0, 1, 2, 3]
    assert at[last].tolist() == [1.1, 2.0, 3.0, 4.2]
    assert sorted(at[earlier].tolist()) == [1.0, 4.0, 4.1]
    assert again == 1
