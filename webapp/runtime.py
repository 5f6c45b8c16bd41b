"""The async runtime of this process: eventlet, gevent or plain threads, chosen once by ASYNC_MODE.

`prepare` must run before anything else is imported, because eventlet and gevent replace parts of the standard
library. No other module imports either of them; what differs between the three is a function here. A process
that never calls `prepare` (a test, a command, the ingress) runs on threads.
"""

from __future__ import annotations

import ctypes
import heapq
import itertools
import logging
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal, TypeVar, cast

AsyncMode = Literal["eventlet", "gevent", "threading"]
MODES: tuple[AsyncMode, ...] = ("eventlet", "gevent", "threading")

_Result = TypeVar("_Result")
_mode: AsyncMode = "threading"

# psycopg waits in C by default, which stops every greenlet of the process, silently. These waits are built on
# parts of the standard library that the runtime replaces. gevent first tries the kernel's select, which refuses
# descriptors above 1023, so there it is poll; eventlet has no poll, and its select has no such limit.
_WAITS = {"eventlet": "wait_select", "gevent": "wait_poll"}


# Libraries import these where they happen to be installed, and this process uses neither: Valkey's client beside
# Redis's (python-socketio), and colours for tracebacks that go to a log (structlog).
_SPARED = ("valkey", "rich")
# python-engineio's client, which no server uses, imports these. The transport to providers does when it is needed.
_CLIENT_ONLY = ("requests", "websocket")


def spare_memory() -> None:
    """Leave out what others would import for nothing, a dozen megabytes. Right after `prepare`."""
    for name in (*_SPARED, *_CLIENT_ONLY):
        # None makes the import fail as if it were not installed.
        sys.modules.setdefault(name, cast("Any", None))
    import socketio  # noqa: F401, PLC0415 - Now, while they are away.

    for name in _CLIENT_ONLY:
        if sys.modules[name] is None:
            del sys.modules[name]


def prepare(mode: str) -> AsyncMode:
    """Make `mode` the runtime of this process. Raises ValueError for an unknown one."""
    global _mode  # noqa: PLW0603 - one process has one runtime, decided before any object exists to hold it.
    if mode not in MODES:
        raise ValueError(f"ASYNC_MODE: must be one of {', '.join(MODES)}")
    if mode in _WAITS:
        if "psycopg" in sys.modules:
            raise RuntimeError("psycopg was imported before the runtime was prepared")
        os.environ["PSYCOPG_WAIT_FUNC"] = _WAITS[mode]
    if mode == "eventlet":
        # Each native thread of the pool is only for `offload`; the default of 20 costs memory for nothing.
        os.environ.setdefault("EVENTLET_THREADPOOL_SIZE", "4")
        # Its own resolver costs 20 MB. This process looks up two names (PostgreSQL's and Redis's), when it
        # connects; give addresses or sockets where a name server may be slow.
        os.environ.setdefault("EVENTLET_NO_GREENDNS", "yes")
        with warnings.catch_warnings():
            # Known and planned for (ADR on the async runtime): the choice is one setting.
            warnings.simplefilter("ignore")
            import eventlet  # noqa: PLC0415

            eventlet.monkey_patch()
    elif mode == "gevent":
        from gevent import monkey  # noqa: PLC0415

        monkey.patch_all()
    _mode = mode
    if mode in _WAITS:
        check()
    return _mode


def tame_allocator() -> None:
    """Have glibc give big blocks back when they are freed; elsewhere do nothing.

    By default it learns to keep blocks of the size that a password hash takes (19 MiB), once for every thread.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    m_mmap_threshold, m_arena_max = -3, -8
    mallopt(m_mmap_threshold, 256 * 1024)
    mallopt(m_arena_max, 2)


def check() -> None:
    """Prove that psycopg waits in a way that lets other greenlets run. Raises RuntimeError."""
    import psycopg.waiting  # noqa: PLC0415

    wanted = _WAITS.get(_mode)
    if wanted is not None and psycopg.waiting.wait is not getattr(psycopg.waiting, wanted):
        raise RuntimeError(f"psycopg does not wait with {wanted}: every query would stop the whole process")


def mode() -> AsyncMode:
    """The runtime of this process."""
    return _mode


def offload(function: Callable[..., _Result], *arguments: object) -> _Result:
    """Run work that computes for long (a password hash) without stopping the other greenlets.

    It runs in a native thread and must not touch anything that waits on the network.
    """
    if _mode == "eventlet":
        from eventlet import tpool  # noqa: PLC0415

        return cast("_Result", tpool.execute(function, *arguments))
    if _mode == "gevent":
        import gevent  # noqa: PLC0415

        return cast("_Result", gevent.get_hub().threadpool.apply(function, arguments))
    return function(*arguments)


def spawn(function: Callable[..., object], *arguments: object, name: str = "") -> None:
    """Start a background task of this process; it ends with the process."""
    # With a patched standard library a thread is a greenlet.
    threading.Thread(target=function, args=arguments, name=name or None, daemon=True).start()


def later(seconds: float, function: Callable[[], object]) -> None:
    """Call something once, after a while, without keeping a stack or a thread for the wait."""
    if _mode == "eventlet":
        import eventlet  # noqa: PLC0415

        eventlet.spawn_after(seconds, function)
    elif _mode == "gevent":
        import gevent  # noqa: PLC0415

        gevent.spawn_later(seconds, function)
    else:
        _timer_thread().add(seconds, function)


class _Timers:
    """One thread that calls what is due: a threading.Timer would be a thread for each."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._order = itertools.count()
        self._running = False

    def add(self, seconds: float, function: Callable[[], object]) -> None:
        with self._changed:
            heapq.heappush(self._due, (time.monotonic() + seconds, next(self._order), function))
            if not self._running:
                self._running = True
                spawn(self._run, name="timers")
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._due or self._due[0][0] > time.monotonic():
                    self._changed.wait(self._due[0][0] - time.monotonic() if self._due else None)
                function = heapq.heappop(self._due)[2]
            try:
                function()
            except Exception:
                logging.getLogger(__name__).exception("a timer failed")


@lru_cache(maxsize=1)
def _timer_thread() -> _Timers:
    return _Timers()


def serve(application: Any, host: str, port: int, *, ready: Callable[[], None]) -> Callable[[], None]:
    """Listen and serve in the background; returns what stops taking new connections.

    Each runtime has its own server: eventlet's and gevent's own, and for threads Werkzeug's with HTTP/1.1 and a
    time limit on silent connections. gunicorn's gthread would share one small pool between requests and
    WebSockets that last for hours; Werkzeug gives each connection its own thread. That server expects a proxy
    in front that absorbs slow clients.
    """
    if _mode == "eventlet":
        return _serve_eventlet(application, host, port, ready)
    if _mode == "gevent":
        return _serve_gevent(application, host, port, ready)
    return _serve_threads(application, host, port, ready)


# Seconds of silence after which a kept-alive connection is closed; Socket.IO pings every 25.
_IDLE_SECONDS = 65
_BACKLOG = 1024
_MAX_CONNECTIONS = 50_000


def _serve_eventlet(application: Any, host: str, port: int, ready: Callable[[], None]) -> Callable[[], None]:
    import eventlet  # noqa: PLC0415
    import eventlet.wsgi  # noqa: PLC0415

    class Protocol(eventlet.wsgi.HttpProtocol):  # type: ignore[misc]  # The library has no types.
        # A WebSocket keeps its connection's buffers for hours; the defaults are 8 and 16 KB.
        rbufsize = wbufsize = 2048

    family = eventlet.green.socket.getaddrinfo(host, port)[0]
    listener = eventlet.listen(family[4], family[0], backlog=_BACKLOG)

    def run() -> None:
        try:
            eventlet.wsgi.server(
                listener,
                application,
                log_output=False,
                debug=False,
                protocol=Protocol,
                max_size=_MAX_CONNECTIONS,
                socket_timeout=_IDLE_SECONDS,
            )
        except OSError:
            # The listener was closed under it: that is how it is told to stop.
            return

    eventlet.spawn(run)
    ready()
    return cast("Callable[[], None]", listener.close)


def _serve_gevent(application: Any, host: str, port: int, ready: Callable[[], None]) -> Callable[[], None]:
    from gevent import pywsgi  # noqa: PLC0415
    from geventwebsocket.handler import WebSocketHandler  # noqa: PLC0415

    server = pywsgi.WSGIServer(
        (host, port), application, handler_class=WebSocketHandler, log=None, error_log=None, backlog=_BACKLOG
    )
    server.start()
    ready()
    return cast("Callable[[], None]", server.close)


def _serve_threads(application: Any, host: str, port: int, ready: Callable[[], None]) -> Callable[[], None]:
    from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler  # noqa: PLC0415

    class Handler(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = _IDLE_SECONDS

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Say nothing: one line per problem, not per request."""

        def log_error(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so.
            """A client that went silent is no problem of ours."""

    class Server(ThreadedWSGIServer):
        request_queue_size = _BACKLOG
        daemon_threads = True
        block_on_close = False

    server = Server(host, port, application, Handler)
    spawn(server.serve_forever, name="http")
    ready()
    return server.socket.close
