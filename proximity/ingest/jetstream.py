"""The JetStream reader: at least once from a NATS server, acknowledged after the commit.

It reads `$MQTT_msgs`, the stream in which the NATS server itself keeps every QoS 1 message: the PUBACK goes out when
the message is in there, and it stays until our durable consumer has acknowledged it. A stream of our own beside it
would be filled without regard to the PUBACK, and what waits in between would die with the server.

A pull consumer: the server sends what was asked for, and no more is asked for than the inbox has room for. It has no
filter, because one with several costs the server 50 µs a message.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable

import structlog

from proximity.errors import BrokerError
from proximity.ingest.inbound import Inbound, Inbox
from proximity.ingest.lanes import Delivery, Lane, delivery
from proximity.ingest.mqtt import TOPICS, BrokerAddress
from proximity.ingest.nats import Message, NatsConnection
from proximity.ingest.subjects import subject_of, topic_of

log = structlog.get_logger(__name__)

STREAM, RETAINED = "$MQTT_msgs", "$MQTT_rmsgs"
STANDING = ("proximity/v1/+/+/status", "proximity/v1/+/context")  # what is published retained
MAIN, LIVE = "proximity-service", "proximity-service-live"
ACK_WAIT = 30.0  # s; after a restart nobody waits for it, the consumer is set back
MAX_ACK_PENDING = 50_000  # more than inbox, batch and open requests hold together
RECONNECT = 0.5  # s
FLUSH = 0.05  # s between looks for acknowledgements to send
BEHIND = 1.0  # s that a message has been in the stream when there is a backlog
CATCH_UP = 15.0  # s that the backlog may hold up what is live …
FAR_BEHIND = 5.0  # … when it is this old; younger ones count as live for presence anyway
SILENT = 15.0  # s without the heartbeat that an open request brings every 5: the consumer is gone
TELL_EVERY = 60.0  # s


class JetStreamReader:
    """Reads into an inbox from a thread of its own. Reconnects by itself, for ever."""

    def __init__(self, address: Callable[[], BrokerAddress], inbox: Inbox, clock: Callable[[], float]) -> None:
        """`address` is asked before each connection: an embedded broker has another port after each start."""
        self._address, self._inbox, self._clock = address, inbox, clock
        self._connected, self._stopping = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._refused = "did not answer"
        self._topics: dict[bytes, str | None] = {}
        self._acks: deque[bytes] = deque()
        self._main, self._live = Lane(MAIN, self._acks), Lane(LIVE, self._acks)
        self._lanes = {lane.key: lane for lane in (self._main, self._live)}
        self._created = ""  # when the stream was
        self._behind_since: float | None = None  # monotonic
        self._dropped, self._told = 0, 0.0

    @property
    def connected(self) -> bool:
        """Whether the consumer is being read."""
        return self._connected.is_set()

    def start(self, timeout: float = 10.0) -> None:
        """BrokerError when the consumer cannot be read within `timeout` seconds."""
        self._thread = threading.Thread(target=self._run, name="jetstream", daemon=True)
        self._thread.start()
        if not self._connected.wait(timeout):
            self.stop()
            raise BrokerError(f"no JetStream to read: {self._refused}")

    def stop(self) -> None:
        """Leave; the consumer stays, and what comes meanwhile is kept for it."""
        self._stopping.set()
        if self._thread:
            self._thread.join(10)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with NatsConnection(self._address()) as nats:
                    self._open(nats)
                    self._connected.set()
                    self._read(nats)
            except (OSError, BrokerError, ValueError, LookupError) as error:
                self._refused = str(error)
                if self._connected.is_set():
                    log.warning("NATS connection lost; trying again", reason=str(error))
                self._connected.clear()
                self._inbox.behind(math.inf)  # time goes on, and holds what the broker can no longer tell
                self._stopping.wait(RECONNECT)

    # -- opening --------------------------------------------------------------------------------------------------

    def _open(self, nats: NatsConnection) -> None:
        self._send_acks(nats)  # of what was delivered on the connection before
        found = nats.api(f"STREAM.INFO.{STREAM}")
        if "error" in found:
            raise BrokerError(f"the NATS server keeps no MQTT messages ({found['error']['description']}); turn MQTT on")
        if found["created"] != self._created:  # another stream numbers its messages anew
            self._created = found["created"]
            self._acks.clear()
            for lane in self._lanes.values():
                lane.forget()
        info = self._consumer(nats, MAIN)
        waiting = info["num_ack_pending"]
        if waiting:  # delivered to an earlier life or connection of ours: again, from the first one on
            answer = nats.api(f"CONSUMER.RESET.{STREAM}.{MAIN}")
            if "error" in answer:  # a server before 2.14
                log.info("what was not acknowledged comes again late", seconds=ACK_WAIT)
        nats.api(f"CONSUMER.DELETE.{STREAM}.{LIVE}")  # all of it is in the other one, too
        self._main.requests.clear()
        self._live.close()
        self._behind_since = None
        self._inbox.behind(-math.inf if waiting + info["num_pending"] else math.inf)
        for topic in TOPICS:  # QoS 0 is in no stream
            nats.subscribe(subject_of(topic).encode())
        self._retained(nats)

    @staticmethod
    def _consumer(nats: NatsConnection, name: str, first: int | None = None) -> dict[str, int]:
        """Make it, or make it what it should be. `first`: sequence to begin at; None: the stream's first."""
        wanted = {
            "durable_name": name,
            "ack_policy": "explicit",
            "ack_wait": int(ACK_WAIT * 1e9),
            "max_ack_pending": MAX_ACK_PENDING,
            "deliver_policy": "all",
        }
        if first is not None:
            wanted |= {"deliver_policy": "by_start_sequence", "opt_start_seq": first}
        answer = nats.api(f"CONSUMER.CREATE.{STREAM}.{name}", {"stream_name": STREAM, "config": wanted})
        if "error" in answer:
            raise BrokerError(f"the NATS server refused a consumer: {answer['error']['description']}")
        return answer

    def _retained(self, nats: NatsConnection) -> None:
        """The last status of each gateway and what shops told of themselves, as an MQTT subscription would bring it."""
        for topic in STANDING:
            config = {
                "ack_policy": "none",
                "deliver_policy": "last_per_subject",
                "filter_subject": f"$MQTT.rmsgs.{subject_of(topic)}",
                "inactive_threshold": int(60e9),
                "mem_storage": True,
            }
            answer = nats.api(f"CONSUMER.CREATE.{RETAINED}", {"stream_name": RETAINED, "config": config})
            if "error" not in answer and answer["num_pending"]:
                Lane(answer["name"]).ask(nats, RETAINED, answer["num_pending"])

    # -- reading --------------------------------------------------------------------------------------------------

    def _read(self, nats: NatsConnection) -> None:
        heard = time.monotonic()
        while not self._stopping.is_set():
            self._ask(nats)
            messages = nats.read(FLUSH)
            if messages:
                heard = time.monotonic()
                self._sort(nats, messages)
            elif self._main.requests and time.monotonic() - heard > SILENT:
                raise TimeoutError("the consumer is silent")
            self._send_acks(nats)
        self._send_acks(nats)

    def _ask(self, nats: NatsConnection) -> None:
        room, size = self._inbox.room()
        for lane in (self._live, self._main) if self._live.open else (self._main,):
            room -= lane.asked
            lane.ask_for(nats, STREAM, room, size)

    def _send_acks(self, nats: NatsConnection) -> None:
        acks = [self._acks.popleft() for _ in range(len(self._acks))]
        if acks:
            nats.send(b"".join([b"PUB %s 0\r\n\r\n" % ack for ack in acks]))

    def _sort(self, nats: NatsConnection, messages: list[Message]) -> None:
        """One read's worth: deliveries into the inbox, words about requests to their lanes."""
        now, wall = self._clock(), time.time()
        live: list[Inbound] = []
        old: list[Inbound] = []
        last: Delivery | None = None
        try:
            for message in messages:
                if message.subject.startswith(nats.inbox):
                    self._status(message)
                    continue
                topic = self._topic(message.subject)
                if not message.reply.startswith(b"$JS.ACK."):
                    self._unreliable(message, topic, now, live)
                    continue
                one = delivery(message.reply)
                lane = self._lanes.get(one.consumer)
                if lane is None:
                    if topic is not None:
                        live.append(Inbound(topic, message.payload, now, retained=True))
                    continue
                last = one if lane is self._main else last
                done = self._admit(nats, lane, one, message.reply, topic)
                if done is not None and topic is not None:
                    lag = wall - one.stored
                    received = now - lag if lag > BEHIND else now
                    queue = old if lane is self._main and self._live.open else live
                    queue.append(Inbound(topic, message.payload, received, done))
        finally:  # what a lane has taken is in work from then on, and would not be taken again
            self._inbox.put_many(live)
            self._inbox.put_many(old, old=True)
        if last is not None:
            self._judge(nats, last, now, wall)

    def _admit(
        self, nats: NatsConnection, lane: Lane, one: Delivery, reply: bytes, topic: str | None
    ) -> Callable[[object], None] | None:
        """What to call when the message is committed; None: it is in work already, or nobody's business."""
        lane.delivered(one.sequence)
        if lane is self._main:
            had = self._live.had(one.sequence)  # the live lane took it before
            if had:
                self._live.also(one.sequence, reply)
            if self._live.open and one.sequence >= self._live.last >= self._live.first:
                self._live.close()  # caught up with it
                nats.api(f"CONSUMER.DELETE.{STREAM}.{LIVE}")
                log.info("the backlog is worked off")
            if had:
                return None
        elif not lane.open:
            return None  # the main lane brings it
        if topic is None:
            self._acks.append(reply)
            return None
        return lane.take(one.sequence, reply)

    def _judge(self, nats: NatsConnection, last: Delivery, now: float, wall: float) -> None:
        """How far behind the main lane is, and whether what is live may no longer wait for it."""
        lag = wall - last.stored
        if self._live.open or lag < BEHIND or not last.pending:
            self._inbox.behind(math.inf)
        else:
            self._inbox.behind(now - lag)
        if lag < FAR_BEHIND or not last.pending:
            self._behind_since = None
        elif self._behind_since is None:
            self._behind_since = time.monotonic()
        elif not self._live.open and time.monotonic() - self._behind_since > CATCH_UP:
            found = nats.api(f"STREAM.INFO.{STREAM}")
            first = found["state"]["last_seq"] + 1
            self._consumer(nats, LIVE, first)
            self._live.begin(first)
            log.warning("far behind; live messages go first", seconds=round(lag), messages=last.pending)

    def _status(self, message: Message) -> None:
        """A word of the server about a request."""
        number, word = message.subject.rsplit(b".", 1)[1], message.header
        if word.startswith(b"NATS/1.0 100") or not number.isdigit():  # a heartbeat, or an answer that came too late
            return
        self._live.ended(int(number))
        if self._main.ended(int(number)) and (word.startswith(b"NATS/1.0 503") or b"Consumer Deleted" in word):
            raise ConnectionError("the consumer is gone")

    def _unreliable(self, message: Message, topic: str | None, now: float, live: list[Inbound]) -> None:
        """A plain message: QoS 1 comes by the stream too, all else only now and without any promise."""
        if topic is None or (b"Nmqtt-Pub:" in message.header and b"Nmqtt-Pub:0" not in message.header):
            return
        if self._inbox.room()[0] > len(live):
            live.append(Inbound(topic, message.payload, now))
            return
        self._dropped += 1
        if time.monotonic() - self._told > TELL_EVERY:
            self._told = time.monotonic()
            log.warning("no room for messages of QoS 0; publish with QoS 1", dropped=self._dropped)

    def _topic(self, subject: bytes) -> str | None:
        try:
            return self._topics[subject]
        except KeyError:
            if len(self._topics) > MAX_ACK_PENDING:
                self._topics.clear()
            topic = self._topics[subject] = topic_of(subject)
            return topic
