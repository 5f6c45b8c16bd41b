"""Rings the doorbell after commits, beside the requests: however slow Redis is, no webhook waits for it."""

from __future__ import annotations

import threading

from config.settings import Settings
from workers.doorbell import Bell, Doorbell


class Ringer:
    """One thread that rings. Rings that come while it is ringing are one."""

    def __init__(self, settings: Settings) -> None:
        """The thread starts with the first ring, so that it is born after any fork."""
        self._doorbell = Doorbell(settings)
        self._wanted = threading.Event()
        self._bells: set[Bell] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def ring(self, bell: Bell = "normalize") -> None:
        """Have a bell rung soon. Never blocks."""
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="ringer", daemon=True)
                    self._thread.start()
        self._bells.add(bell)
        self._wanted.set()

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            # When nobody is on duty there is no worker to send for either: it finds the rows when it comes.
            while self._bells:
                self._doorbell.ring(self._bells.pop())
