"""What happens now, for pages that watch: any thread publishes, any coroutine listens.

A listener that cannot keep up loses the oldest events, never the service's time.
"""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, NamedTuple


class Event(NamedTuple):
    """`kind` is transition, decision, offer, withdrawn, whereabouts or health; `data` is plain data for JSON."""

    kind: str
    data: dict[str, Any]


class Subscription:
    """An endless asynchronous iterator of events. Close it when the listener goes."""

    def __init__(self, feed: "Feed", kinds: frozenset[str] | None, size: int) -> None:
        self._feed = feed
        self._kinds = kinds
        self._events: deque[Event] = deque(maxlen=size)
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()

    def offer(self, event: Event) -> None:
        """Called by the feed, on any thread."""
        if self._kinds is None or event.kind in self._kinds:
            self._events.append(event)
            try:
                self._loop.call_soon_threadsafe(self._ready.set)
            except RuntimeError:  # the loop is closed: the listener is gone without a word
                self.close()

    async def next(self, wait: float | None = None) -> Event | None:
        """The next event, or None when `wait` seconds pass without one."""
        while not self._events:
            self._ready.clear()
            try:
                await asyncio.wait_for(self._ready.wait(), wait)
            except TimeoutError:
                return None
        return self._events.popleft()

    async def __aiter__(self) -> AsyncIterator[Event]:
        while True:
            event = await self.next()
            if event is not None:
                yield event

    def close(self) -> None:
        """Stop listening."""
        self._feed._drop(self)


class Feed:
    """One per service."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: tuple[Subscription, ...] = ()

    @property
    def watched(self) -> bool:
        """Whether anybody listens."""
        return bool(self._listeners)

    def publish(self, kind: str, data: dict[str, Any]) -> None:
        """Tell every listener; never blocks."""
        event = Event(kind, data)
        for listener in self._listeners:
            listener.offer(event)

    def subscribe(self, kinds: frozenset[str] | None = None, size: int = 1000) -> Subscription:
        """Listen from now on, within a running event loop. `kinds` None: all of them."""
        subscription = Subscription(self, kinds, size)
        with self._lock:
            self._listeners = (*self._listeners, subscription)
        return subscription

    def _drop(self, subscription: Subscription) -> None:
        with self._lock:
            self._listeners = tuple(one for one in self._listeners if one is not subscription)
