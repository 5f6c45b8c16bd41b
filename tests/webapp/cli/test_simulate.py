"""`ledgerwire simulate`: what it lists, and what it says where it cannot play."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from connectors import registry, samples
from webapp.cli import main

NOBODY = "nobody is connected to razorpay: make a connection on the page Connections, or `ledgerwire seed`"


def simulate(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["simulate", *arguments])


@pytest.fixture
def installation(file_database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A migrated installation without a person in it: nothing is ever written into its database."""
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "DATABASE_URL": file_database_url,
        "REDIS_URL": redis_url,
        "DATA_DIR": str(tmp_path / "data"),
        "SECRET_KEY": "the secret key of the simulation's tests",
        "MASTER_KEYS": "k1:" + base64.b64encode(b"\x07" * 32).decode(),
    }.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("slug", list(registry.all()))
def test_every_event_with_a_sample_is_listed(slug: str) -> None:
    listed = simulate(slug, "--list")
    assert listed.exit_code == 0
    names = {line.split()[0] for line in listed.output.splitlines()}
    assert names == {name for name, _ in samples.names(slug)}


def test_ignored_events_are_listed_with_the_reason_and_others_with_their_variants() -> None:
    assert "ignored: a user without accounts has nothing to show yet" in simulate("basiq", "--list").output
    assert "variants: card, upi_with_invoice_number, yen_numeric_note" in simulate("razorpay", "--list").output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["northwind", "paid"], "no connector 'northwind'; there are: "),
        (["razorpay", "no.such"], "no sample of 'no.such'"),
        (["razorpay", "payment.captured", "--variant", "none"], "there are: --variant card, "),
        (["razorpay"], "`ledgerwire simulate razorpay --list` lists them"),
        (["razorpay", "payment.captured", "--to", "http://127.0.0.1:1"], "--to needs --secret"),
        (["razorpay", "payment.captured", "--count", "0"], "0 is not in the range"),
    ],
)
def test_what_cannot_be_played_is_said(arguments: list[str], words: str) -> None:
    done = simulate(*arguments)
    assert done.exit_code != 0
    assert words in done.output


def test_an_alias_is_the_event_that_it_stands_for(installation: None) -> None:
    assert "nobody is connected to basiq" in simulate("basiq", "transaction.created").output


def test_without_a_demo_seller_nobody_is_connected(installation: None) -> None:
    assert NOBODY in simulate("razorpay", "payment.captured").output


def test_outside_a_demo_nobody_is_connected_by_the_way(installation: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMO_MODE", "0")
    assert NOBODY in simulate("razorpay", "payment.captured").output


def test_where_no_local_provider_is_allowed_no_simulators_key_is_believed(
    installation: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALLOW_LOCAL_PROVIDERS", "0")
    done = simulate("paypal", "PAYMENT.CAPTURE.COMPLETED")
    assert done.exit_code == 1
    assert "PayPal signs with a key of its own, and this installation believes no other" in done.output


def test_an_invoice_that_is_not_there_is_named(installation: None) -> None:
    assert (
        "there is no invoice INV-1999-1" in simulate("razorpay", "payment.captured", "--invoice", "INV-1999-1").output
    )


def test_a_provider_that_signs_nothing_cannot_be_tampered_with() -> None:
    done = simulate("mpesa", "c2b.confirmation", "--tamper", "--to", "http://127.0.0.1:1", "--secret", "-")
    assert "deliveries of M-PESA are not signed" in done.output
