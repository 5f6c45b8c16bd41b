"""How the tests are dealt out to processes that run side by side."""

from __future__ import annotations

from collections.abc import Sequence

from xdist.scheduler import LoadScopeScheduling

# What shares an installation and a browser stays in one process.
TOGETHER = ("tests/e2e/", "tests/faults/")
# Longest first, so that no process is left alone with one of them at the end.
LONGEST = (
    *TOGETHER,
    "tests/core/intake/test_order.py",
    "tests/simulation/test_simulation.py",
    "tests/webapp/test_sockets.py",
    "tests/webapp/api/test_bad_input.py",
    "tests/webapp/test_serve.py",
    "tests/config/test_embedded.py",
)


def place_of(path: str) -> int:
    """Where in the order of files one stands; files of the same place stay in the order they have."""
    places: Sequence[int] = [place for place, start in enumerate(LONGEST) if path.startswith(start)]
    return places[0] if places else len(LONGEST)


class Deal(LoadScopeScheduling):  # type: ignore[misc]
    """A file at a time to whoever is free, and whole folders where the tests share what is dear."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.split("::", 1)[0]
        return next((folder for folder in TOGETHER if path.startswith(folder)), path)
