"""The disk queue: order, numbering, bounds, and what a kill or a loss of power leaves."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import segment, spool
from gateway.spool import Entry, Spool, SpoolError


def waiting(queue: Spool) -> list[tuple[str, int, bytes]]:
    found, entry = [], None
    while (entry := queue.next(entry)) is not None:
        found.append((entry.boot, entry.seq, entry.body))
    return found


def fill(queue: Spool, count: int, size: int = 100) -> list[tuple[str, int, bytes]]:
    bodies = [f"{queue.boot} {n} ".encode().ljust(size, b".") for n in range(count)]
    return [(queue.boot, queue.append(body), body) for body in bodies]


def test_it_tells_what_it_holds(tmp_path: Path) -> None:
    first = Spool(tmp_path, max_bytes=2000, segment_bytes=500)
    assert first.held() == {first.boot: 1}
    fill(first, 30)
    oldest = waiting(first)[0][1]
    assert oldest > 1
    assert first.held() == {first.boot: oldest}
    first.acked(first.boot, 29)
    assert first.held() == {first.boot: 30}
    first.close()
    second = Spool(tmp_path)
    left = waiting(second)[0][1]
    fill(second, 2)
    assert second.held() == {first.boot: left, second.boot: 1}
    second.acked(first.boot, 30)
    second.acked(second.boot, 2)
    assert second.held() == {second.boot: 3}
    second.close()


@pytest.mark.parametrize("on_disk", [True, False])
def test_messages_come_out_in_order_until_they_are_covered(tmp_path: Path, on_disk: bool) -> None:
    queue = Spool(tmp_path if on_disk else None, segment_bytes=500)
    sent = fill(queue, 20)
    assert [seq for _, seq, _ in sent] == list(range(1, 21))
    assert waiting(queue) == sent
    assert queue.acked(queue.boot, 7) == 7
    assert waiting(queue) == sent[7:]
    assert queue.pending == 13
    assert queue.acked(queue.boot, 5) == 0  # an old word changes nothing
    assert queue.acked("another", 9) == 0
    assert queue.acked(queue.boot, 1000) == 13  # more than was sent covers what was sent
    more = fill(queue, 3)
    assert waiting(queue) == more
    assert queue.dropped == 0
    queue.close()


def test_reading_goes_on_where_it_stopped() -> None:
    queue = Spool(None, segment_bytes=300)
    sent = fill(queue, 3)
    last: Entry | None = None
    for _ in range(3):
        last = queue.next(last)
    assert queue.next(last) is None
    sent += fill(queue, 5)
    queue.acked(queue.boot, 6)
    found = queue.next(last)
    assert found is not None
    assert found.seq == 7
    assert queue.next() == found


def test_a_restart_sends_what_was_not_covered_first_and_under_its_own_numbers(tmp_path: Path) -> None:
    first = Spool(tmp_path, segment_bytes=500)
    old = fill(first, 12)
    first.acked(first.boot, 4)
    first.close()
    second = Spool(tmp_path, segment_bytes=500)
    assert second.boot != first.boot
    new = fill(second, 3)
    found = waiting(second)
    assert found[-3:] == new
    assert found[:-3] == old[-len(found) + 3 :]  # an end of the old ones, with all that was not covered
    assert len(found) - 3 >= 8
    second.acked(first.boot, 12)
    assert waiting(second) == new
    second.acked(second.boot, 3)
    assert second.pending == 0
    second.close()
    third = Spool(tmp_path)
    assert all(boot == second.boot for boot, _, _ in waiting(third))
    third.close()


def test_a_full_spool_gives_up_the_oldest_and_counts_it(tmp_path: Path) -> None:
    queue = Spool(tmp_path, max_bytes=3000, segment_bytes=500)
    sent = fill(queue, 100)
    found = waiting(queue)
    assert found == sent[-len(found) :]
    assert queue.dropped == 100 - len(found)
    assert queue.bytes <= 3000
    assert sum(file.stat().st_size for file in tmp_path.glob("*.seg")) <= 3000
    queue.close()


def test_a_directory_belongs_to_one_gateway(tmp_path: Path) -> None:
    queue = Spool(tmp_path)
    with pytest.raises(SpoolError, match="another gateway uses this spool"):
        Spool(tmp_path)
    queue.close()
    Spool(tmp_path).close()


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolError, match="choose a spool directory"):
        Spool(tmp_path / "file" / "spool")


def test_a_disk_that_refuses_leaves_messages_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Spool(tmp_path, segment_bytes=500)
    sent = fill(queue, 7)
    whole = segment.Segment._write

    def refuse(self: segment.Segment, offset: int, content: bytes) -> None:
        if self.path is None:
            return whole(self, offset, content)
        whole(self, offset, content[:5])  # a part gets through, as on a full disk
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(segment.Segment, "_write", refuse)
        sent += fill(queue, 9)
        assert queue.failing == os.strerror(errno.ENOSPC)
    sent += fill(queue, 9)
    assert queue.failing is None
    assert waiting(queue) == sent
    assert queue.dropped == 0
    queue.close()


def test_memory_is_bounded_while_the_disk_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "MEMORY_BYTES", 3000)
    queue = Spool(None, segment_bytes=500)
    fill(queue, 200)
    assert queue.bytes <= 3000 + 600
    assert queue.dropped == 200 - queue.pending


def test_power_lost_at_any_byte(tmp_path: Path) -> None:
    queue = Spool(tmp_path / "whole")
    sent = fill(queue, 6, size=20)
    queue.close()
    content = next((tmp_path / "whole").glob("*.seg")).read_bytes()
    whole = 0
    for cut in range(len(content) + 1):
        directory = tmp_path / f"cut{cut}"
        directory.mkdir()
        (directory / "0000000001.seg").write_bytes(content[:cut])
        again = Spool(directory)
        found = waiting(again)
        assert found == sent[: len(found)]
        assert len(found) >= whole  # more bytes never hold fewer messages
        whole = len(found)
        more = fill(again, 2, size=20)
        assert waiting(again) == found + more
        again.close()
    assert whole == 6


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 255), st.booleans())
def test_damage_anywhere_is_never_taken_for_a_message(
    tmp_path_factory: pytest.TempPathFactory, place: int, byte: int, zeros: bool
) -> None:
    directory = tmp_path_factory.mktemp("damage")
    queue = Spool(directory)
    sent = fill(queue, 6, size=20)
    queue.close()
    file = next(directory.glob("*.seg"))
    content = bytearray(file.read_bytes())
    place %= len(content)
    if zeros:  # a file system that had the length but not yet the data
        content[place:] = bytes(len(content) - place)
    else:
        content[place] = byte
    file.write_bytes(content)
    again = Spool(directory)
    found = waiting(again)
    assert found == sent[: len(found)]
    again.close()


def test_a_card_that_loses_a_block_while_running(tmp_path: Path) -> None:
    queue = Spool(tmp_path, segment_bytes=500)
    sent = fill(queue, 12)
    first = min(tmp_path.glob("*.seg"))
    first.write_bytes(first.read_bytes()[:250])
    found = waiting(queue)
    lost = len(sent) - len(found)
    assert [m for m in sent if m in found] == found
    assert queue.dropped == lost > 0
    queue.acked(queue.boot, 12)
    assert queue.pending == 0
    queue.close()


WRITER = """
import sys
from pathlib import Path
from gateway.spool import Spool
queue = Spool(Path(sys.argv[1]), segment_bytes=2000)
while True:
    seq = queue.append(b"message %d" % (queue._last + 1))
    print(queue.boot, seq, flush=True)
"""


def test_a_kill_loses_nothing_that_was_spooled(tmp_path: Path) -> None:
    sent: set[tuple[str, int]] = set()
    for round_ in range(3):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, tmp_path], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        for _ in range(200 + 17 * round_):
            boot, seq = writer.stdout.readline().split()
            sent.add((boot, int(seq)))
        writer.send_signal(signal.SIGKILL)
        rest, _ = writer.communicate()
        sent |= {(boot, int(seq)) for boot, seq in (line.split() for line in rest.splitlines() if line.count(" ") == 1)}
    queue = Spool(tmp_path)
    found = waiting(queue)
    assert sent <= {(boot, seq) for boot, seq, _ in found}
    assert all(body == b"message %d" % seq for _, seq, body in found)
    assert [boot for boot, _, _ in found] == sorted((boot for boot, _, _ in found), key=[b for b, _, _ in found].index)
    queue.close()
