"""A token bucket of one process, for paths that may not ask Redis."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class TokenBucket:
    """Allows `rate_per_second` on average and `burst` at once."""

    def __init__(
        self, rate_per_second: float, burst: float | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`burst` is one second's worth unless given."""
        self._rate = rate_per_second
        self._burst = rate_per_second if burst is None else burst
        self._level = self._burst
        self._clock = clock
        self._updated = clock()
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Take one token; False when there is none."""
        with self._lock:
            now = self._clock()
            self._level = min(self._burst, self._level + (now - self._updated) * self._rate)
            self._updated = now
            if self._level < 1:
                return False
            self._level -= 1
            return True
