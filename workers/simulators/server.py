"""The HTTP server of the simulated providers: one for all of them, each below its own name or alone at the root."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Protocol, Self
from urllib.parse import urlsplit

from workers.simulators.api import Answer


class Answering(Protocol):
    """A simulated API: `api.Provider`, or a `till.Till`."""

    @property
    def slug(self) -> str:
        """The connector's name."""

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        """What one request is answered; `target` is below the API base."""


class Server:
    """Answers for providers at `/<slug>` from `start` to `stop`; for `alone` at `/`. It may be started once."""

    def __init__(
        self, *providers: Answering, alone: Answering | None = None, port: int = 0, host: str = "127.0.0.1"
    ) -> None:
        self.alone = alone
        self.providers = {provider.slug: provider for provider in providers}
        self._server = _Server((host, port), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def address(self, slug: str) -> str:
        """The API base of a provider."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}" + ("" if self.alone else f"/{slug}")

    def start(self) -> Self:
        """Answer from now on."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Answer no more and give the port back."""
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        """What the provider that the address names answers."""
        if self.alone is not None:
            return self.alone.answer(method, target, headers, body)
        slug = urlsplit(target).path.split("/", 2)[1]
        provider = self.providers.get(slug)
        if provider is None:
            return Answer.error(404, "no such provider is simulated here")
        return provider.answer(method, target[len(slug) + 1 :] or "/", headers, body)


class _Server(ThreadingHTTPServer):
    # Runs of many deliveries open many connections at once.
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A caller that hung up is no news."""


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # A connection kept alive must not hold a thread for ever.
        timeout = 30
        # An answer in two packets waits 40 ms for the first to be acknowledged.
        wbufsize = -1
        disable_nagle_algorithm = True

        def _respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = server.answer(self.command, self.path, headers, body)
            self.send_response(answer.status)
            for name, text in {**answer.headers, "Content-Type": answer.content_type}.items():
                self.send_header(name, text)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _respond  # noqa: N815  # The base class's names.

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # The base class's name.
            """Say nothing: the caller's terminal is not ours."""

    return Handler
