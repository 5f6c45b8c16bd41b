"""Captured, scrubbed webhook bodies: `<slug>/<event>.json`, and `<event>__<variant>.json` for the awkward ones.

Bodies that are no JSON end in `.form` or `.xml`; a character of an event's name that a file name cannot hold is
written as %xx. They serve the tests and `ledgerwire simulate` alike. `<slug>/api/` holds answers of the provider's
API, and `<slug>/simulate.json` says what a simulation changes in them.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, unquote

HERE = Path(__file__).parent
SUFFIXES = (".json", ".form", ".xml")
SCRIPT = "simulate.json"


def load(slug: str, event: str, variant: str | None = None, *, folder: Path = HERE) -> bytes:
    """The body of one sample. Raises FileNotFoundError."""
    stem = quote(f"{event}__{variant}" if variant else event, safe="#@+~")
    for suffix in SUFFIXES:
        if (path := folder / slug / (stem + suffix)).is_file():
            return path.read_bytes()
    raise FileNotFoundError(f"{slug} has no sample {stem}")


def names(slug: str, *, folder: Path = HERE) -> tuple[tuple[str, str | None], ...]:
    """Every sample of a connector as (event, variant), sorted."""
    found = []
    for path in sorted((folder / slug).glob("*.*")):
        if path.suffix in SUFFIXES and path.name != SCRIPT:
            event, _, variant = unquote(path.stem).partition("__")
            found.append((event, variant or None))
    return tuple(found)


def api(slug: str, name: str, *, folder: Path = HERE) -> bytes:
    """A recorded answer of a provider's API. Raises FileNotFoundError."""
    return (folder / slug / "api" / f"{name}.json").read_bytes()
