"""Every connector that is installed keeps the contract."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from connectors import contract, registry
from connectors.base import Connector
from connectors.contract import Told
from tests.connectors.streams import STREAMS

PAGES = Path(__file__).parents[2] / "docs" / "connectors"
SEED = 7


def told(slug: str) -> Told:
    """The life of an object, as its records were told."""
    return [step.records for step in STREAMS[slug](SEED)]


def cases(connector: Connector) -> dict[str, contract.Case]:
    slug = connector.slug
    stream = partial(told, slug) if slug in STREAMS else None
    return contract.cases(connector, stream=stream, docs=PAGES / f"{slug}.md")


for found in registry.all().values():
    globals().update(cases(found))


@pytest.mark.parametrize("slug", sorted(registry.all()))
def test_each_connector_is_asked_at_least_25_questions(slug: str) -> None:
    assert len(cases(registry.get(slug))) >= 25
