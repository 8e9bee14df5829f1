"""Server-sent events: what happens, while a page watches.

An operator hears everything; everybody else hears counts; a shopper hears of nobody else. Of positions, which come
as a whole each time, a page gets the newest at most four times a second.
"""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from proximity.api.counts import Count
from proximity.feed import Event, Feed

GATHER = 0.25  # s between two messages of positions to one page
NEWEST = frozenset({"whereabouts"})  # kinds of which only the newest event matters
TICK = 1.0  # s between two looks at the counts
PING = 15.0  # s of quiet after which a comment keeps proxies from closing the stream

Reader = Callable[[], Any]


class Closing:
    """Says that the server stops, so that streams end and do not hold it up."""

    def __init__(self) -> None:
        self.set = False


def message(kind: str, data: Any) -> bytes:
    """One event as bytes. JSON in ASCII holds no line break, so one `data:` line is enough."""
    return f"event: {kind}\ndata: {json.dumps(finite(data))}\n\n".encode()


def finite(value: Any) -> Any:
    """Plain data without NaN and infinity, which JSON does not have."""
    if isinstance(value, float):
        return value if value - value == 0.0 else None
    if isinstance(value, dict):
        return {str(key): finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [finite(one) for one in value]
    return value


def counts_data(counts: dict[str, Count]) -> dict[str, Any]:
    """The data of a `presence` event: site id to total and zones."""
    return {"sites": {site: {"total": one.total, "zones": one.zones} for site, one in sorted(counts.items())}}


class EventStream(Response):
    """The answer to a page that watches. It ends when the page goes, when `alive` says no, or with the server."""

    media_type = "text/event-stream"

    def __init__(
        self,
        feed: Feed,
        closing: Closing,
        *,
        kinds: frozenset[str],
        wanted: Callable[[Event], Event | None],
        counts: Callable[[], dict[str, Count]] | None = None,
        alive: Callable[[], bool] | None = None,
    ) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers({"cache-control": "no-store", "x-accel-buffering": "no"})
        self._feed = feed
        self._closing = closing
        self._kinds = kinds
        self._wanted = wanted
        self._counts = counts
        self._alive = alive

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's face
        """Send until somebody ends it."""
        subscription = self._feed.subscribe(self._kinds)
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await self._pump(subscription.next, send, gone)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            subscription.close()
            gone.cancel()

    async def _pump(self, following: Callable[[float], Any], send: Send, gone: "asyncio.Future[None]") -> None:
        newest: dict[str, Event] = {}
        shown: dict[str, Count] | None = None
        gathered = ticked = pinged = float("-inf")
        await send({"type": "http.response.body", "body": b"retry: 2000\n\n", "more_body": True})
        while not (self._closing.set or gone.done()):
            event = await following(GATHER)
            out = b""
            now = time.monotonic()
            if event is not None and (kept := self._wanted(event)) is not None:
                if kept.kind in NEWEST:
                    newest[kept.kind] = kept
                else:
                    out += message(kept.kind, kept.data)
            if newest and now - gathered >= GATHER:
                out += b"".join(message(one.kind, one.data) for one in newest.values())
                newest, gathered = {}, now
            if now - ticked >= TICK:
                ticked = now
                if self._counts is not None and (latest := await asyncio.to_thread(self._counts)) != shown:
                    shown = latest
                    out += message("presence", counts_data(latest))
            if now - pinged >= PING:
                pinged = now
                if self._alive is not None and not await asyncio.to_thread(self._alive):
                    await send({"type": "http.response.body", "body": message("bye", {}), "more_body": True})
                    return
                out = out or b": still here\n\n"
            if out:
                await send({"type": "http.response.body", "body": out, "more_body": True})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
