"""The folder with everything a service keeps: one service at a time."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from proximity.errors import ProximityError


@contextlib.contextmanager
def data_folder(path: Path) -> Iterator[Path]:
    """Make the folder, for its owner only, and hold it. ProximityError when it cannot be used or another holds it.

    The lock ends with the process, however that ends.
    """
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ProximityError(
            f"the data folder {path} cannot be used: {error.strerror}; choose another with --data"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise ProximityError(
            f"another Proximity uses the data folder {path}; stop it, or choose another folder with --data"
        ) from error
    try:
        yield path
    finally:
        os.close(descriptor)
