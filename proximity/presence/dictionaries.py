"""Names of a batch as numbers of ours, looked up once for as long as batches come with the same dictionary.

A pipeline's batches share one dictionary, that of everybody who is registered; what differs is the columns. So a name
is looked up when it appears for the first time, and from then on its number is taken from an array.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

UNKNOWN = -1


class Translation:
    """From the places of one dictionary to numbers. A dictionary is known by its identity: names are added at its end,
    and never changed."""

    def __init__(self, number: Callable[[list[str]], NDArray[np.integer[Any]]]) -> None:
        """`number`: the number of each of some names; UNKNOWN for those that have none yet, which are asked again."""
        self._number = number
        self._names: Sequence[str] | None = None
        self._known: NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def of(self, names: Sequence[str], column: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """The number of each of `names[column]`."""
        if names is not self._names:
            self._names, self._known = names, np.full(len(names), UNKNOWN, dtype=np.int64)
        elif len(names) > len(self._known):
            more = max(len(names) - len(self._known), len(names) // 8)  # one by one would copy it for each name
            self._known = np.concatenate([self._known, np.full(more, UNKNOWN, dtype=np.int64)])
        found = self._known.take(column)
        missing = np.flatnonzero(found < 0)
        if len(missing):
            new = np.unique(column[missing])
            self._known[new] = self._number([names[i] for i in new.tolist()])
            found[missing] = self._known[column[missing]]
        return found

    def forget(self, numbers: NDArray[np.integer[Any]] | None = None) -> None:
        """These numbers may mean other names from now on; None: all of them."""
        if numbers is None:
            self._names = None
        elif len(numbers):
            self._known[np.isin(self._known, numbers)] = UNKNOWN
