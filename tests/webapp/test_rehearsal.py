"""Trying an event: what a sample would become, judged as a real delivery would be."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from connectors import registry, samples
from core.errors import NotFound
from webapp.rehearsal import choices, rehearse

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
URL = "https://ledgerwire.example/api/connectors/any/webhook/1"


def try_out(slug: str, event: str, variant: str | None = None, *secrets: str) -> Any:
    return rehearse(registry.get(slug), event, variant, secrets=secrets, url=URL, now=NOW)


@pytest.mark.parametrize("slug", sorted(registry.all()))
def test_every_sample_of_a_connector_can_be_tried(slug: str) -> None:
    connector = registry.get(slug)
    signing = connector.signature.new_secret()
    kept = [kept] if (kept := connector.signature.receiving(signing)) else []
    for event, variant in choices(connector):
        found = try_out(slug, event, variant, *kept)
        assert found.refused is None, (event, found.refused)
        assert found.events, event
        assert {one.outcome for one in found.events} <= {"records", "fetch", "ignored"}, event


def test_it_shows_what_the_event_becomes() -> None:
    secret = registry.get("razorpay").signature.new_secret()
    found = try_out("razorpay", "payment.captured", None, secret)
    assert found.proof == "own"
    (event,) = found.events
    assert (event.name, event.outcome) == ("payment.captured", "records")
    (record,) = event.records
    assert record["kind"] == "payment"
    assert record["fields"]["money"] == "1.00 INR"
    assert record["fields"]["status"] == "succeeded"
    assert "version" not in record["fields"]


def test_it_says_when_only_the_provider_can_sign() -> None:
    public = "whpk_0r0+Z02Sv1SRb1QjsKUnil6t2oqtAyhn5HHfKgbTXFs="
    found = try_out("standard_webhooks", "payment.succeeded", None, public)
    assert (found.proof, found.refused) == ("made", None)


def test_a_pointer_is_called_one() -> None:
    found = try_out("basiq", "transactions.updated", None, registry.get("basiq").signature.new_secret())
    assert [event.outcome for event in found.events] == ["fetch"]


@pytest.mark.parametrize("event", ["", "payment.teleported", "../basiq/account.updated", "payment.captured\0"])
def test_a_sample_that_is_not_there_is_not_found(event: str) -> None:
    with pytest.raises(NotFound):
        try_out("razorpay", event)


def test_the_samples_are_those_of_the_folder() -> None:
    assert choices(registry.get("razorpay")) == list(samples.names("razorpay"))
