"""The API over HTTP: uvicorn in a thread of its own, or in the main one."""

import contextlib
import errno
import socket
import threading
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI

from proximity.api.events import Closing
from proximity.errors import ProximityError

GRACE = 5  # s for requests under way at the stop; streams end at once, and a commit takes milliseconds


class ApiServerError(ProximityError):
    """The address cannot be listened on."""


class _Uvicorn(uvicorn.Server):
    """Tells the streams to end before it waits for connections, and leaves signals to who owns the process."""

    def __init__(self, config: uvicorn.Config, closing: Closing, own_signals: bool) -> None:
        super().__init__(config)
        self._closing = closing
        self._own_signals = own_signals
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._closing.set = True
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if self._own_signals:
            with super().capture_signals():
                yield
        else:
            yield


class ApiServer:
    """One listening address. The port is bound when this is made, so a taken one is an error before anything runs."""

    def __init__(self, app: FastAPI, host: str = "127.0.0.1", port: int = 8000) -> None:
        """Port 0 picks a free one. ApiServerError when the address cannot be had."""
        self._app = app
        self._socket = _bind(host, port)
        self.host = host
        self.port: int = self._socket.getsockname()[1]
        self._server: _Uvicorn | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where to find it with a browser on this machine."""
        shown = "127.0.0.1" if self.host in {"0.0.0.0", "::", ""} else self.host  # noqa: S104 - compared, not bound
        return f"http://{f'[{shown}]' if ':' in shown else shown}:{self.port}"

    def run(self) -> None:
        """Serve in this thread until SIGINT or SIGTERM."""
        self._make(own_signals=True).run([self._socket])

    def start(self) -> None:
        """Serve in a thread; returns when requests are answered."""
        server = self._make(own_signals=False)
        self._thread = threading.Thread(target=server.run, args=([self._socket],), name="api", daemon=True)
        self._thread.start()
        if not server.ready.wait(30):
            raise ApiServerError("the API did not start within 30 s; the log says why")

    def stop(self) -> None:
        """End streams and requests, then the thread. Doing it twice is fine."""
        if self._server is not None:
            self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(GRACE + 5)
        self._socket.close()

    def _make(self, own_signals: bool) -> _Uvicorn:
        config = uvicorn.Config(
            self._app,
            access_log=False,  # paths hold shoppers' tokens
            log_config=None,
            log_level="warning",
            server_header=False,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=GRACE,
            h11_max_incomplete_event_size=64 * 1024,
        )
        self._server = _Uvicorn(config, self._app.state.closing, own_signals)
        return self._server


def check_address(host: str, port: int) -> None:
    """ApiServerError when the address cannot be listened on now."""
    _bind(host, port).close()


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP, because asyncio turns Nagle's delay off only for sockets that say so: 40 ms an answer.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise ApiServerError(_explain(error, host, port)) from error
    except OverflowError as error:
        listener.close()
        raise ApiServerError(f"port {port} does not exist: use 1 to 65535, or 0 for a free one") from error
    return listener


def _explain(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is taken: stop what listens there, or choose another with --http-port"
    if error.errno == errno.EACCES:
        return f"port {port} needs rights this user does not have: choose one above 1023 with --http-port"
    return f"cannot listen on {host}:{port}: {error.strerror or error}"
