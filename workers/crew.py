"""Threads that wait for providers, so that the worker process itself never does."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)


class Crew:
    """Up to `size` threads of this process that do the same job, each until it has nothing left to do.

    They end with the process, wherever they are: an event that was in hand is due again when its lease ends.
    """

    def __init__(self, size: int, job: Callable[[], object]) -> None:
        """The first thread is born with the first call, after any fork."""
        self._places = threading.Semaphore(size)
        self._job = job

    def call(self) -> bool:
        """Have one more thread begin; False when all are busy."""
        if not self._places.acquire(blocking=False):
            return False
        threading.Thread(target=self._work, name="crew", daemon=True).start()
        return True

    def _work(self) -> None:
        try:
            self._job()
        except Exception as error:
            # The rows decide: what was in hand is due again, and somebody will be called again.
            log.warning("a crew member gave up", error=type(error).__name__, exc_info=True)
        finally:
            self._places.release()
