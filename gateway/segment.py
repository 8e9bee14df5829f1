"""One file of the spool: records one after the other, each with its length and checksum.

    record  = length (4 bytes), CRC-32 of the body (4 bytes), body
    file    = header record {"boot", "first"}, then message records; the n-th has the sequence number first + n

Whatever a kill or a loss of power leaves, the records before the damage are read and nothing after it is: a length
of zero (a file system may leave zeros), a body that is cut short, or a wrong checksum ends the file.
"""

import io
import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

_RECORD = struct.Struct("<II")
MAX_BODY = 1 << 20  # bytes; more than any message, so a longer length is damage


class _Header(msgspec.Struct):
    boot: str
    first: int


class Record(NamedTuple):
    """A message as it lies in a segment."""

    seq: int
    body: bytes
    end: int  # offset of the next record


class Segment:
    """A run of messages of one boot. `path` None: held in memory."""

    def __init__(self, path: Path | None, file: BinaryIO, boot: str, first: int, start: int) -> None:
        self.path = path
        self.boot = boot
        self.first = first  # sequence number of its first message
        self.last = first - 1  # of its last; first - 1: it holds none
        self.start = start  # offset of its first message
        self.size = start  # bytes that are whole
        self.damaged = False  # bytes were found behind the last whole record
        self._file: BinaryIO | None = file

    @classmethod
    def create(cls, path: Path | None, boot: str, first: int) -> "Segment":
        """A new, empty segment, open for appending. OSError when the disk refuses."""
        header = _record(msgspec.json.encode(_Header(boot, first)))
        file: BinaryIO = io.BytesIO() if path is None else path.open("x+b", buffering=0)
        segment = cls(path, file, boot, first, len(header))
        try:
            segment._write(0, header)
        except OSError:
            segment.remove()
            raise
        return segment

    @classmethod
    def load(cls, path: Path) -> "Segment | None":
        """A segment that an earlier start left behind. None: not even its header is whole."""
        content = path.read_bytes()
        head = _read(content, 0)
        if head is None:
            return None
        try:
            header = msgspec.json.decode(head[0], type=_Header)
        except msgspec.MsgspecError:
            return None
        segment = cls(path, io.BytesIO(), header.boot, header.first, head[1])
        segment._file = None  # opened again when it is read
        at = head[1]
        while (found := _read(content, at)) is not None:
            segment.last += 1
            at = found[1]
        segment.size = at
        segment.damaged = at < len(content)
        return segment

    def append(self, body: bytes) -> int:
        """Write one message and return its sequence number. OSError: nothing was added."""
        record = _record(body)
        self._write(self.size, record)
        self.size += len(record)
        self.last += 1
        return self.last

    def read(self, offset: int, seq: int) -> Record | None:
        """The message `seq` that begins at `offset`; None: behind the end, or the card has lost it since."""
        if offset >= self.size:
            return None
        try:
            file = self._open()
            file.seek(offset)
            head = file.read(_RECORD.size)
            length = _RECORD.unpack(head)[0] if len(head) == _RECORD.size else 0
            found = _read(head + file.read(min(length, MAX_BODY)), 0)
        except OSError:
            return None
        return None if found is None else Record(seq, found[0], offset + found[1])

    def sync(self) -> None:
        """Have the disk hold what was written. OSError when it cannot."""
        if self.path is not None and self._file is not None and not self._file.closed:
            os.fdatasync(self._file.fileno())

    def close(self) -> None:
        """Let the file go; it is opened again when needed. One in memory stays."""
        if self.path is not None and self._file is not None:
            self._file.close()
            self._file = None

    def remove(self) -> None:
        """Forget it, on disk too."""
        if self.path is not None:
            self.close()
            self.path.unlink(missing_ok=True)

    def _open(self) -> BinaryIO:
        if self._file is None:
            assert self.path is not None
            self._file = self.path.open("rb", buffering=0)
        return self._file

    def _write(self, offset: int, content: bytes) -> None:
        file = self._open()
        file.seek(offset)
        written = file.write(content)
        if written != len(content):  # a full disk takes a part: the next write goes over it
            raise OSError(28, "the disk took only a part")


def _record(body: bytes) -> bytes:
    if not 0 < len(body) <= MAX_BODY:
        raise ValueError(f"a message of {len(body)} bytes cannot be spooled")
    return _RECORD.pack(len(body), zlib.crc32(body)) + body


def _read(content: bytes, offset: int) -> tuple[bytes, int] | None:
    """Body and offset of the next record; None when no whole record begins at `offset`."""
    start = offset + _RECORD.size
    if start > len(content):
        return None
    length, checksum = _RECORD.unpack_from(content, offset)
    body = content[start : start + length]
    if not 0 < length <= MAX_BODY or len(body) < length or zlib.crc32(body) != checksum:
        return None
    return body, start + length
