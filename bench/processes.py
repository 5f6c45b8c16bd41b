"""Real processes of an installation under measurement."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import requests

from bench.world import World


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def process(parts: World, arguments: Sequence[str], **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run Python with these arguments in the installation's environment, for as long as the block lasts."""
    started = subprocess.Popen(
        [sys.executable, *arguments], env={**os.environ, **parts.environment, **variables}, start_new_session=True
    )
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(15)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def wait_until_ready(started: subprocess.Popen[bytes], port: int) -> None:
    """Poll the readiness check. Raises RuntimeError when the process ends first."""
    while True:
        if started.poll() is not None:
            raise RuntimeError("the server did not start")
        try:
            if requests.get(f"http://127.0.0.1:{port}/api/health/ready", timeout=2).ok:
                return
        except requests.RequestException:
            pass
        time.sleep(0.1)
