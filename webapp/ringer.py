"""Rings the doorbell after commits, beside the requests: however slow Redis is, no webhook waits for it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import structlog

from config.settings import Settings
from workers.doorbell import Doorbell

if TYPE_CHECKING:
    from celery import Celery

log = structlog.get_logger(__name__)


class Ringer:
    """One thread that rings. Rings that come while it is ringing are one."""

    def __init__(self, settings: Settings) -> None:
        """The thread starts with the first ring, so that it is born after any fork."""
        self._doorbell = Doorbell(settings)
        self._settings = settings
        self._celery: Celery | None = None
        self._wanted = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def ring(self) -> None:
        """Have the bell rung soon. Never blocks."""
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="ringer", daemon=True)
                    self._thread.start()
        self._wanted.set()

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            if not self._doorbell.ring("normalize") and self._doorbell.summon("normalize"):
                self._send_for_worker()

    def _send_for_worker(self) -> None:
        # Imported when somebody is first sent for: Celery is five megabytes, and lingering workers need no message.
        from kombu.exceptions import OperationalError  # noqa: PLC0415

        from workers.app import make_celery  # noqa: PLC0415

        self._celery = self._celery or make_celery(self._settings)
        try:
            self._celery.send_task("ledgerwire.normalize", retry=False, expires=60)
        except OperationalError as error:
            # Beat's sweep finds what waits.
            log.warning("no worker sent for", error=type(error).__name__)
