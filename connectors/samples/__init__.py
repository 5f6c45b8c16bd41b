"""Captured, scrubbed webhook bodies: `<slug>/<event>.json`, and `<event>__<variant>.json` for the awkward ones.

They serve the tests and `ledgerwire simulate` alike. `<slug>/api/` holds answers of the provider's API.
"""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent


def load(slug: str, event: str, variant: str | None = None, *, folder: Path = HERE) -> bytes:
    """The body of one sample. Raises FileNotFoundError."""
    stem = f"{event}__{variant}" if variant else event
    return (folder / slug / f"{stem}.json").read_bytes()


def names(slug: str, *, folder: Path = HERE) -> tuple[tuple[str, str | None], ...]:
    """Every sample of a connector as (event, variant), sorted."""
    found = []
    for path in sorted((folder / slug).glob("*.json")):
        event, _, variant = path.stem.partition("__")
        found.append((event, variant or None))
    return tuple(found)


def api(slug: str, name: str, *, folder: Path = HERE) -> bytes:
    """A recorded answer of a provider's API. Raises FileNotFoundError."""
    return (folder / slug / "api" / f"{name}.json").read_bytes()
