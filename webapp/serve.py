"""The `web` process: pages, API, webhooks and Socket.IO. `python -m webapp.serve`."""

from __future__ import annotations

import os

from webapp import runtime

# Before everything else is imported, because eventlet and gevent replace parts of the standard library.
runtime.tame_allocator()
runtime.prepare(os.environ.get("ASYNC_MODE", "").strip().lower() or "eventlet")
runtime.spare_memory()

import signal  # noqa: E402
import socket  # noqa: E402
import sys  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable, Iterable  # noqa: E402
from typing import Any  # noqa: E402

import structlog  # noqa: E402

from config import log as logging_setup  # noqa: E402
from config.settings import InvalidSettings, load  # noqa: E402
from webapp.app import create_app  # noqa: E402
from webapp.services import EXTENSION, Services  # noqa: E402
from webapp.sockets import Gateway  # noqa: E402

log = structlog.get_logger(__name__)

# What is being answered when the signal comes may finish within this.
DRAIN_SECONDS = 1.5
_COMMIT_SECONDS = 1.0


class InFlight:
    """Counts the requests that are being answered; Socket.IO's own are never waited for."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self._application = application
        self._lock = threading.Lock()
        self.count = 0

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request."""
        if environ.get("PATH_INFO", "").startswith("/socket.io"):
            return self._application(environ, start_response)
        with self._lock:
            self.count += 1
        try:
            return self._application(environ, start_response)
        finally:
            with self._lock:
                self.count -= 1


def _wait_for_signal() -> None:
    """Sleep until SIGTERM or SIGINT, in any of the runtimes.

    A handler in Python would run only when the event loop next comes round. The interpreter's own C handler
    writes a byte to this socket at once.
    """
    receiving, sending = socket.socketpair()
    sending.setblocking(False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(sending.fileno(), warn_on_full_buffer=False)
    while True:
        received = receiving.recv(64)
        if any(number in received for number in (signal.SIGTERM, signal.SIGINT)):
            return


def _shut_down(parts: Services, gateway: Gateway, counted: InFlight, stop_listening: Callable[[], None]) -> None:
    stop_listening()
    deadline = time.monotonic() + DRAIN_SECONDS
    while counted.count and time.monotonic() < deadline:
        time.sleep(0.02)
    if parts.committer is not None:
        parts.committer.close(_COMMIT_SECONDS)
    gateway.stop()


def main() -> None:
    """Serve until told to stop."""
    try:
        settings = load()
    except InvalidSettings as error:
        sys.exit(f"ledgerwire web: {error}")
    logging_setup.configure(settings, "web")
    app = create_app(settings)
    parts: Services = app.extensions[EXTENSION]
    gateway: Gateway = app.extensions["ledgerwire.gateway"]
    gateway.start()
    counted = InFlight(app.wsgi_app)
    app.wsgi_app = counted  # type: ignore[method-assign]
    try:
        stop_listening = runtime.serve(
            app,
            settings.host,
            settings.port,
            ready=lambda: log.info("web listens", host=settings.host, port=settings.port, runtime=runtime.mode()),
        )
    except OSError as error:
        sys.exit(f"ledgerwire web: cannot listen on {settings.host}:{settings.port}: {error.strerror or error}")
    _wait_for_signal()
    _shut_down(parts, gateway, counted, stop_listening)
    # Open sockets last for hours, and clients come back to whoever listens then. Nothing is left to write.
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
