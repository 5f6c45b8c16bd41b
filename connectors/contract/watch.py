"""Sees what code does while it runs: the clock, chance, files, sockets and threads it touches, and what it compares.

It looks on by the interpreter's profiling hook, so that no import and no other name hides a call. What C code calls
in C code is not seen.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from types import FrameType
from typing import Any

_CLOCKS = {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time", "sleep"}
# Modules of which any call is too much, and those of which some functions are.
_MODULES = {"random", "secrets", "socket", "subprocess", "tempfile", "threading", "urllib.request", "http.client"}
_C_MODULES = {"_io", "io", "_socket", "_ssl", "uuid_utils", "_uuid", "_random", "_thread", "_posixsubprocess"}
_HARMLESS = {"RLock", "allocate_lock", "get_ident", "acquire", "release", "StringIO", "BytesIO", "text_encoding"}
_POSIX = {"urandom", "getrandom", "open", "read", "write", "stat", "listdir", "scandir", "system", "fork"}
_UUIDS = {"uuid1", "uuid4", "uuid6", "uuid7", "uuid8", "getnode"}
_COMPARISONS = {"compare_digest", "_compare_digest"}


class Watch:
    """What was seen: `touched` of the outside world, whether texts were `compared` in constant time."""

    def __init__(self, body: bytes | None = None) -> None:
        self.touched: list[str] = []
        self.compared = False
        self.parsed = False
        self._body = body

    def see(self, frame: FrameType, event: str, arg: Any) -> None:
        """Look at one call."""
        if event == "c_call":
            self._see_c(arg)
        elif event == "call":
            self._see_python(frame)

    def _see_c(self, function: Callable[..., Any]) -> None:
        name, module = getattr(function, "__name__", ""), getattr(function, "__module__", None) or ""
        owner = getattr(function, "__self__", None)
        if name in _COMPARISONS or (name == "verify" and type(owner).__module__.startswith("cryptography")):
            self.compared = True
        clock = module == "time" and name in _CLOCKS
        today = isinstance(owner, type) and issubclass(owner, date) and name in {"now", "utcnow", "today"}
        chance = type(owner).__module__ == "random" or (module in _C_MODULES and name not in _HARMLESS)
        if clock or today or chance or (module in {"posix", "nt"} and name in _POSIX):
            self.touched.append(f"{module or getattr(owner, '__name__', type(owner).__name__)}.{name}")

    def _see_python(self, frame: FrameType) -> None:
        module, name = frame.f_globals.get("__name__", ""), frame.f_code.co_name
        if module in _MODULES or (module == "uuid" and name in _UUIDS):
            self.touched.append(f"{module}.{name}")
        if self._body is not None and (module, name) in {
            ("json.decoder", "decode"),
            ("connectors.payload", "from_bytes"),
        }:
            read = frame.f_locals.get("s", frame.f_locals.get("body"))
            body = self._body.decode("utf-8", "replace") if isinstance(read, str) else self._body
            self.parsed = self.parsed or read == body


@contextmanager
def watched(body: bytes | None = None) -> Iterator[Watch]:
    """Watch this thread until the block ends. `body` is the one whose parsing is noticed."""
    watch, before = Watch(body), sys.getprofile()
    sys.setprofile(watch.see)
    try:
        yield watch
    finally:
        sys.setprofile(before)
