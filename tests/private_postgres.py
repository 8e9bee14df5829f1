"""A PostgreSQL server for a test run: the one PROXIMITY_TEST_POSTGRES names, or a private one on a Unix socket."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_USERS = ("postgres", "nobody")  # whom a server may run as when the tests run as root, which it refuses


@contextmanager
def server() -> Iterator[str]:
    """The address of a database in which schemas may be made. Skips, saying why, when there can be none."""
    given = os.environ.get("PROXIMITY_TEST_POSTGRES")
    if given:
        yield given
        return
    programs = _programs()
    if programs is None:
        pytest.skip("no PostgreSQL: set PROXIMITY_TEST_POSTGRES to a database's address, or apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="proximity-postgres-"))
    prefix = _unprivileged(folder)
    data, log = folder / "data", folder / "log"
    try:
        _run([*prefix, str(programs / "initdb"), "-D", str(data), "-A", "trust", "-U", "proximity", "--no-sync"])
        options = f"-k {folder} -c listen_addresses= -c fsync=off"
        control = [*prefix, str(programs / "pg_ctl"), "-D", str(data)]
        _run([*control, "-w", "-l", str(log), "-o", options, "start"])
        try:
            yield f"postgresql://proximity@/postgres?host={folder}"
        finally:
            _run([*control, "-m", "immediate", "-w", "stop"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path | None:
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    newest_first = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: path.parts[4], reverse=True
    )
    return newest_first[0].parent if newest_first else None


def _unprivileged(folder: Path) -> list[str]:
    """How to start a program as somebody else than root, and the folder given to that somebody."""
    if os.geteuid() != 0:
        return []
    known = {user.pw_name for user in pwd.getpwall()}
    user = next((name for name in _USERS if name in known), None)
    if user is None or shutil.which("runuser") is None:
        pytest.skip("PostgreSQL does not run as root, and there is no other user to run it as")
    shutil.chown(folder, user)
    return ["runuser", "-u", user, "--"]


def _run(command: list[str]) -> None:
    # The server inherits what it is given, so its output goes to no pipe that somebody waits for.
    done = subprocess.run(
        command, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=60, check=False
    )
    assert done.returncode == 0, f"{command} failed with {done.returncode}"
