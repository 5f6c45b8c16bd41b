"""How what comes of a fetch is known: only what a provider was asked for is better known than its notice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from connectors import registry, samples
from core.events import Trust
from tests.builders import Clockwork, open_shop, worker
from tests.standing import empty
from tests.workers.test_fetch import line
from workers import fetch, normalize


@pytest.fixture(scope="module")
def installation(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as parts:
        yield parts


@pytest.mark.parametrize("trust", [Trust.HINT, Trust.SIGNED])
def test_a_pointer_that_a_newer_connector_reads_at_once_is_known_as_it_was_when_it_came(
    installation: Clockwork, trust: Trust, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty(installation.database)
    shop = open_shop(installation, "basiq", secrets={"api_key": "a2V5"})
    delivery = shop.delivery(json.loads(samples.load("basiq", "transactions.updated")))
    shop.store(replace(delivery, events=[replace(event, trust=trust.value) for event in delivery.events]))
    assert normalize.drain(shop.context) == 1
    assert shop.one("SELECT state FROM event_queue") == {"state": "fetch"}
    newer = replace(registry.get("basiq"), events={"transactions.updated": lambda _: [line()]})
    monkeypatch.setattr(registry, "get", lambda _: newer)
    assert fetch.drain(shop.context) == 1
    assert shop.one("SELECT trust FROM transactions") == {"trust": trust}
