"""The normal distribution from a table, held against SciPy's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import ndtr

from proximity.presence.fixes import ENTER_P, probability
from proximity.presence.normal import FAR, below

ERROR = 2.9e-8  # what the docstring promises
ROUNDING = 1e-15

numbers = st.floats(allow_nan=False)
near = st.floats(-FAR, FAR)


@pytest.mark.parametrize(
    ("z", "chance"),
    [
        (0.0, 0.5),
        (1.0, 0.8413447460685429),  # Abramowitz and Stegun, table 26.1
        (-1.0, 0.15865525393145705),
        (1.959963984540054, 0.975),
        (-3.0, 0.0013498980316300946),
        (0.25 / 1024, 0.5 + 0.25 / 1024 * 0.3989422804),  # between two places of the table
        (6.0, 1.0),
        (FAR, 1.0),
        (-FAR, 0.0),
        (1e300, 1.0),
        (-1e300, 0.0),
        (np.inf, 1.0),
        (-np.inf, 0.0),
    ],
)
def test_known_values(z: float, chance: float) -> None:
    assert below(np.array([z]))[0] == pytest.approx(chance, abs=ERROR)


def test_it_is_even_in_the_middle_and_sure_at_the_ends() -> None:
    assert below(np.array([0.0, FAR, -FAR, np.inf, -np.inf])).tolist() == [0.5, 1.0, 0.0, 1.0, 0.0]


def test_its_worst_is_where_the_formula_says() -> None:
    z = np.linspace(-9.0, 9.0, 1_000_003)
    error = np.abs(below(z) - ndtr(z))
    assert 2.8e-8 < error.max() < ERROR
    assert abs(abs(z[error.argmax()]) - 1.0) < 0.05


def test_nan_stays_nan_among_others_and_without_a_warning() -> None:
    told = below(np.array([np.nan, 0.0, np.nan, np.inf]))
    assert np.isnan(told).tolist() == [True, False, True, False]
    assert told[[1, 3]].tolist() == [0.5, 1.0]


@pytest.mark.parametrize("shape", [(0,), (1,), (7,), (3, 4), (2, 0), ()])
def test_the_shape_stays_and_what_was_given_is_not_touched(shape: tuple[int, ...]) -> None:
    z = np.full(shape, 1.5)
    assert below(z).shape == shape
    assert (z == 1.5).all()


def test_single_precision_is_taken_as_it_is() -> None:
    z = np.linspace(-4.0, 4.0, 999, dtype=np.float32)
    assert np.abs(below(z.astype(np.float64)) - below(z)).max() == 0.0


@given(arrays(np.float64, st.integers(0, 50), elements=numbers))
def test_it_is_as_scipy_says(z: np.ndarray) -> None:
    told = below(z)
    assert told.shape == z.shape
    assert ((told >= 0.0) & (told <= 1.0)).all()
    assert np.abs(told - ndtr(z)).max(initial=0.0) < ERROR


@given(st.one_of(near, numbers), st.one_of(near, numbers))
def test_it_never_falls(one: float, other: float) -> None:
    first, second = below(np.array(sorted([one, other])))
    assert first <= second


@given(near, st.floats(0.0, 1e-6))
def test_it_never_falls_in_the_small_either(z: float, step: float) -> None:
    first, second = below(np.array([z, z + step]))
    assert first <= second


@given(numbers)
def test_both_sides_are_alike(z: float) -> None:
    here, there = below(np.array([z, -z]))
    assert here + there == pytest.approx(1.0, abs=ROUNDING)


def test_which_side_of_an_edge_is_as_sharp_as_the_sign() -> None:
    edge = probability(np.array([-1e-9, 0.0, 1e-9]), np.full(3, 10.0))
    assert edge.tolist() == sorted(edge.tolist())
    assert edge[1] == 0.5
    assert edge[2] < ENTER_P
