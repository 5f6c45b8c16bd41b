"""Memory: web when idle, and what each further connected socket costs.

A socket is a Socket.IO client over WebSocket, signed in, in its rooms. Resident set size of the web process.
"""

from __future__ import annotations

import time

import psutil
import requests
import websocket

from bench.processes import free_port, process, wait_until_ready
from bench.world import EMAIL, PASSWORD, world

SOCKETS = 500
SETTLE_SECONDS = 3.0


def connect(port: int, token: str) -> websocket.WebSocket:
    """A signed-in Socket.IO client that reads nothing more, as small as it can be."""
    client = websocket.create_connection(f"ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket", timeout=10)
    client.recv()
    client.send('40{"token":"' + token + '"}')
    # The `connected` event may come before the acknowledgement of the namespace; a refusal is neither.
    for answer in (client.recv(), client.recv()):
        if not answer.startswith(("40", "42")):
            raise RuntimeError(f"the socket was refused: {answer}")
    return client


def run() -> dict[str, float]:
    """Print and return the figures."""
    port = free_port()
    with world() as parts, process(parts, ["-m", "webapp.serve"], PORT=str(port)) as web:
        wait_until_ready(web, port)
        answer = requests.post(
            f"http://127.0.0.1:{port}/api/auth/login", json={"email": EMAIL, "password": PASSWORD}, timeout=10
        )
        token = answer.json()["access_token"]
        measured = psutil.Process(web.pid)
        time.sleep(SETTLE_SECONDS)
        idle = measured.memory_info().rss
        warm = [connect(port, token) for _ in range(50)]
        time.sleep(SETTLE_SECONDS)
        before = measured.memory_info().rss
        clients = [connect(port, token) for _ in range(SOCKETS)]
        time.sleep(SETTLE_SECONDS)
        after = measured.memory_info().rss
        for client in (*warm, *clients):
            client.close()
    each = (after - before) / SOCKETS
    print(f"Memory  web, idle                  {idle / 1e6:9.1f} MB  (target at most 130)")
    print(f"        each further socket        {each / 1e3:9.1f} KB  (target at most 60)")
    return {"idle_mb": idle / 1e6, "socket_kb": each / 1e3}


if __name__ == "__main__":
    run()
