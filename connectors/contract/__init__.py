"""The contract every connector keeps, as test cases. One line in a plugin's test module runs them all.

    globals().update(contract.cases(connector, samples=Path(__file__).parent / "samples"))

`samples` holds `<slug>/<event>.json` for every event the connector maps, and `<slug>/api/routes.json` where it asks
the provider's API. Each case is a plain function without arguments that raises AssertionError; any test runner will
do. A case that a connector cannot be asked to keep (no address is signed, there is no pull) is left out.

`stream` gives the life of an object, as lists of records in the order in which they were told; without it, samples
that are about the same object are taken for one. `docs` is the page about the connector.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from connectors import samples as house
from connectors.base import Connector
from connectors.contract.edges import Edges
from connectors.contract.meaning import BAD_BODIES, Meaning
from connectors.contract.proof import Proof
from connectors.contract.setting import Setting
from connectors.contract.streams import Streams
from connectors.contract.suite import AT, MESSAGE_ID, URL, Case, Suite, Told, deliver, signed
from connectors.contract.talks import Talks
from connectors.contract.trees import SPOILERS

__all__ = [
    "AT",
    "BAD_BODIES",
    "MESSAGE_ID",
    "SPOILERS",
    "URL",
    "Case",
    "Told",
    "case_names",
    "cases",
    "deliver",
    "signed",
]


class _All(Proof, Meaning, Edges, Streams, Talks, Setting):
    """Every case there is."""


def cases(
    connector: Connector,
    *,
    samples: Path | None = None,
    stream: Callable[[], Told] | None = None,
    docs: Path | None = None,
) -> dict[str, Case]:
    """The contract's cases for one connector, by the name a test runner collects."""
    suite = _All(connector, samples or house.HERE, told=stream, docs=docs)
    return {f"test_{connector.slug}_{name}": _function(suite, name) for name in case_names() if _applies(suite, name)}


def case_names() -> Iterator[str]:
    """The name of every case."""
    for family in (Proof, Meaning, Edges, Streams, Talks, Setting):
        yield from (name for name in vars(family) if not name.startswith("_"))


def _applies(suite: Suite, name: str) -> bool:
    applies = getattr(getattr(type(suite), name), "applies", None)
    try:
        return applies is None or bool(getattr(suite, applies)())
    except Exception:  # noqa: BLE001  # Too broken to be asked: the case itself will say how.
        return True


def _function(suite: Suite, name: str) -> Case:
    """A plain function: test runners treat bound methods in various ways."""

    def case() -> None:
        getattr(suite, name)()

    case.__doc__ = getattr(type(suite), name).__doc__
    return case
