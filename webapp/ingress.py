"""The `ingress` process: webhooks and health checks only, on plain threads. `python -m webapp.ingress`.

Granian serves it (ADR 0005). It listens on HOST and INGRESS_PORT, so that a proxy can send webhooks here.
"""

from __future__ import annotations

import sys

from flask import Flask
from granian.constants import Interfaces
from granian.server import Server

from config import log as logging_setup
from config.settings import InvalidSettings, load
from webapp.app import create_app

# Requests that may wait for a commit at once; each holds a thread.
THREADS = 64


def application() -> Flask:
    """The application, made in the process that serves it."""
    settings = load()
    logging_setup.configure(settings, "ingress")
    return create_app(settings, role="ingress")


def main(target: str = "webapp.ingress:application") -> None:
    """Serve `target`, an application factory, until told to stop."""
    try:
        settings = load()
    except InvalidSettings as error:
        sys.exit(f"ledgerwire ingress: {error}")
    Server(
        target,
        factory=True,
        interface=Interfaces.WSGI,
        address=settings.host,
        port=settings.ingress_port,
        workers=1,
        blocking_threads=THREADS,
        backlog=1024,
        log_enabled=False,
        workers_kill_timeout=5,
        respawn_failed_workers=True,
    ).serve()


if __name__ == "__main__":
    main()
