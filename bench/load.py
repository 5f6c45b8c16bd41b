"""A small HTTP/1.1 load generator: many kept-alive connections, one request in flight on each."""

from __future__ import annotations

import selectors
import socket
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(slots=True)
class Result:
    """What came back: answers by status, and the seconds that all of them took."""

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return sum(self.statuses.values()) / self.seconds


def request(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """The bytes of a request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: bench.example", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


class _Client:
    __slots__ = ("answer", "sock")

    def __init__(self, host: str, port: int) -> None:
        self.sock = socket.create_connection((host, port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.answer = b""


def _complete(answer: bytes) -> int:
    """The status of an answer that is there in full, 0 while it is not."""
    head, separator, body = answer.partition(b"\r\n\r\n")
    if not separator:
        return 0
    marker = head.lower().find(b"content-length:")
    length = int(head[marker + 15 :].split(b"\r\n", 1)[0])
    return int(head[9:12]) if len(body) >= length else 0


def run(host: str, port: int, requests: Iterator[bytes], *, connections: int, seconds: float) -> Result:
    """Send for `seconds`, or until `requests` end; returns what came back."""
    selector = selectors.DefaultSelector()
    result = Result()
    open_clients = 0
    started = time.perf_counter()
    ends = started + seconds
    for _ in range(connections):
        client = _Client(host, port)
        message = next(requests, None)
        if message is None:
            break
        client.sock.sendall(message)
        selector.register(client.sock, selectors.EVENT_READ, client)
        open_clients += 1
    while open_clients:
        for key, _ in selector.select(5):
            client = key.data
            received = client.sock.recv(65536)
            if not received:
                raise ConnectionError("the server closed a connection")
            client.answer += received
            status = _complete(client.answer)
            if not status:
                continue
            result.statuses[status] += 1
            client.answer = b""
            message = next(requests, None) if time.perf_counter() < ends else None
            if message is None:
                selector.unregister(client.sock)
                client.sock.close()
                open_clients -= 1
            else:
                client.sock.sendall(message)
    result.seconds = time.perf_counter() - started
    return result
