"""Somebody is always at the bell: a thread of each worker process that takes events as they come.

Starting a Celery task for an event costs more than the event itself, so the way of an event does not lead
through Celery. Celery's tasks are the second way: beat looks for what is due and was not rung for.
"""

from __future__ import annotations

import threading
import time

import redis
import structlog
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from workers import normalize
from workers.context import Context

log = structlog.get_logger(__name__)

_WAIT_SECONDS = 1.0
_RENEW_SECONDS = 1.0


class Watch:
    """Works off events whenever the bell rings, and once a second in case nobody could ring."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Begin. Only after the fork: threads do not survive one."""
        self._thread.start()

    def stop(self, timeout_seconds: float = 3.0) -> None:
        """Finish the batch in hand and end."""
        self._ending.set()
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        renewed = 0.0
        while not self._ending.is_set():
            if time.monotonic() - renewed > _RENEW_SECONDS:
                self._context.doorbell.on_duty("normalize")
                renewed = time.monotonic()
            try:
                busy = normalize.work_off(self._context, batches=4) > 0
            except SQLAlchemyError as error:
                # What was in hand was given back, or is due again when its lease ends.
                cause = error.orig if isinstance(error, DBAPIError) else error
                log.warning("events wait for the database", error=type(cause).__name__)
                busy = False
                self._ending.wait(_WAIT_SECONDS)
            except Exception:
                log.exception("a batch was given up")
                busy = False
                self._ending.wait(_WAIT_SECONDS)
            if not busy:
                self._linger()

    def _linger(self) -> None:
        try:
            self._context.doorbell.wait("normalize", _WAIT_SECONDS)
        except redis.RedisError:
            self._ending.wait(_WAIT_SECONDS)
