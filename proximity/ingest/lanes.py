"""One pull consumer as its reader sees it: what was asked for, what came, and what is still in work."""

import functools
import itertools
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from proximity.ingest.nats import NatsConnection

PULL = 4_000  # messages of one request
PULL_BYTES = 4 << 20  # of one request; the largest message is a quarter of it
EXPIRES = 30.0  # s a request stays open
HEARTBEAT = 5.0  # s between the server's words while a request stays open

_numbers = itertools.count(1)


class Delivery(NamedTuple):
    """What the reply subject of a delivered message says of it."""

    consumer: bytes
    sequence: int  # in the stream
    stored: float  # seconds since the epoch, by the server's clock
    pending: int  # messages of the consumer that come after it


def delivery(reply: bytes) -> Delivery:
    """From `$JS.ACK.[<domain>.<account>.]<stream>.<consumer>.<times>.<sequence>.<consumer's>.<ns>.<pending>[.…]`."""
    words = reply.split(b".")
    first = 2 if len(words) == 9 else 4
    return Delivery(words[first + 1], int(words[first + 3]), int(words[first + 5]) / 1e9, int(words[first + 6]))


class Lane:
    """Belongs to the reader's thread; only `done` is called from the pipeline's."""

    def __init__(self, name: str, acks: "deque[bytes] | None" = None) -> None:
        self.name, self.key = name, name.encode()
        self.open = False
        self.first = self.last = 0  # sequences, of the last time it was open
        self.requests: dict[int, int] = {}  # number -> messages still to come
        self._acks = deque[bytes]() if acks is None else acks
        self._working: dict[int, bytes] = {}  # sequence -> where to acknowledge it
        self._others: dict[int, bytes] = {}  # the same messages, as another lane delivered them

    @property
    def asked(self) -> int:
        """Messages that may come without asking again."""
        return sum(self.requests.values())

    def begin(self, first: int) -> None:
        """Open it, at this sequence."""
        self.open, self.first, self.last = True, first, first - 1

    def close(self) -> None:
        """Take no more; what is in work goes on."""
        self.open = False
        self.requests.clear()

    def forget(self) -> None:
        """Everything: the sequences mean other messages now."""
        self.close()
        self.first = self.last = 0
        self._working.clear()
        self._others.clear()

    def ask_for(self, nats: NatsConnection, stream: str, room: int, size: int) -> None:
        """Keep requests open, for no more than there is room for."""
        asked = self.asked
        if size > 0 and room > 0 and (asked == 0 or (asked < PULL // 2 and room > PULL // 4)):
            self.ask(nats, stream, min(room, PULL))

    def ask(self, nats: NatsConnection, stream: str, count: int) -> None:
        """One more request."""
        number = next(_numbers)
        self.requests[number] = count
        wanted = {"batch": count, "max_bytes": PULL_BYTES, "expires": int(EXPIRES * 1e9)}
        body = msgspec.json.encode({**wanted, "idle_heartbeat": int(HEARTBEAT * 1e9)})
        call = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{self.name}".encode()
        nats.publish(call, body, b"%s.%d" % (nats.inbox, number))

    def delivered(self, sequence: int) -> None:
        """A message came: the oldest request has one less to come."""
        for number, rest in self.requests.items():
            if rest > 1:
                self.requests[number] = rest - 1
            else:
                del self.requests[number]
            break
        if self.open:
            self.last = max(self.last, sequence)

    def ended(self, number: int) -> bool:
        """The server is through with a request. False when it was none of this lane, or nothing was left of it."""
        return self.requests.pop(number, None) is not None

    def take(self, sequence: int, reply: bytes) -> Callable[[object], None] | None:
        """What to call when the message is committed. None: it is in work, and was only delivered once more."""
        known = sequence in self._working
        self._working[sequence] = reply
        return None if known else functools.partial(self._done, sequence)

    def had(self, sequence: int) -> bool:
        """Whether the message came by this lane."""
        return self.first <= sequence <= self.last

    def also(self, sequence: int, reply: bytes) -> None:
        """Another lane delivered a message of this one: it is acknowledged there, too, when it is committed here."""
        if sequence in self._working:
            self._others[sequence] = reply
        else:
            self._acks.append(reply)

    def _done(self, sequence: int, _error: object) -> None:
        for where in (self._working, self._others):
            reply = where.pop(sequence, None)
            if reply is not None:
                self._acks.append(reply)
