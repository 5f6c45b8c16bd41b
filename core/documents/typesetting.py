"""Having documents set: a bounded number at once, each in a short-lived process with a limit on its time."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from core.errors import Transient

_PROGRAM = Path(__file__).with_name("typesetter.py")
# Two cores: a third would only make the others slower.
_AT_ONCE = threading.BoundedSemaphore(2)
_WAIT_SECONDS = 20
_SECONDS = 20
_SECONDS_EACH = 2
# Documents set by one process; more are set by several, one after the other.
BATCH = 50


class TypesettingFailed(Transient):
    """A document could not be set now: too many are being set, or it took too long."""

    code = "typesetting_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """What the template shows, and the day the file says it is of (so that the same paper is the same bytes)."""

    data: dict[str, Any]
    day: date


def typeset(papers: Sequence[Paper]) -> list[bytes]:
    """The PDF of each paper. Raises TypesettingFailed.

    About 0.1 seconds for one, and 0.05 for each of many. It waits as its runtime does (a greenlet in `web`), so
    nothing else stands still meanwhile.
    """
    found: list[bytes] = []
    for start in range(0, len(papers), BATCH):
        found += _batch(papers[start : start + BATCH])
    return found


def _moment(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def _batch(papers: Sequence[Paper]) -> list[bytes]:
    asked = {"documents": [{"timestamp": _moment(paper.day), "data": paper.data} for paper in papers]}
    if not _AT_ONCE.acquire(timeout=_WAIT_SECONDS):
        raise TypesettingFailed("too many documents are being made; try again in a moment", 5)
    try:
        # Files and no pipes: whoever waits for a process waits for nothing else, in every runtime alike.
        with (
            tempfile.TemporaryFile() as given,
            tempfile.TemporaryFile() as made,
            tempfile.TemporaryFile() as said,
        ):
            given.write(json.dumps(asked).encode("ascii"))
            given.seek(0)
            _run(given, made, said, _SECONDS + _SECONDS_EACH * len(papers))
            made.seek(0)
            return _apart(made.read(), len(papers))
    finally:
        _AT_ONCE.release()


def _run(given: Any, made: Any, said: Any, seconds: float) -> None:
    # -I: nothing of the environment or the folder it is started in decides what is imported.
    with subprocess.Popen([sys.executable, "-I", str(_PROGRAM)], stdin=given, stdout=made, stderr=said) as process:
        try:
            code = process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            raise TypesettingFailed(f"the document was not ready after {seconds:.0f} seconds", 30) from None
        except BaseException:
            # Whoever waited was ended: nobody reads what comes.
            process.kill()
            raise
    if code != 0:
        said.seek(0)
        raise TypesettingFailed(f"the typesetter ended with {code}: {said.read()[-500:].decode(errors='replace')}")


def _apart(content: bytes, count: int) -> list[bytes]:
    found, place = [], 0
    while place < len(content):
        size = int.from_bytes(content[place : place + 8], "big")
        found.append(content[place + 8 : place + 8 + size])
        place += 8 + size
    if len(found) != count:
        raise TypesettingFailed(f"{count} documents were asked for and {len(found)} came")
    return found
