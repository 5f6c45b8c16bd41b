"""Every provider's section of the story: simulated, verified, fetched where it only points, in the books, on the page.

One running installation and one open dashboard for all of them. Each provider is played by `ledgerwire simulate`
itself, as somebody would who has just installed this and is connected to nobody.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner
from playwright.sync_api import Browser, Page, expect

from connectors import registry, samples
from tests.budget import left_to_long
from tests.e2e.conftest import live, sign_in
from tests.e2e.stack import ROOT, Stack
from webapp.cli import main

pytestmark = pytest.mark.e2e
SOON_MS = 8000

# What each provider is there for: an event that brings money, or an invoice, into the books.
MAIN = {
    "adyen": "CAPTURE",
    "apideck": "accounting.invoice.updated",
    "basiq": "transactions.updated",
    "braintree": "transaction_settled",
    "cashfree": "PAYMENT_SUCCESS_WEBHOOK",
    "flutterwave": "charge.completed",
    "gocardless": "payments.confirmed",
    "mollie": "payment.paid",
    "mpesa": "c2b.confirmation",
    "paypal": "PAYMENT.CAPTURE.COMPLETED",
    "paystack": "charge.success",
    "plaid": "TRANSACTIONS.SYNC_UPDATES_AVAILABLE",
    "quickbooks": "invoice.updated",
    "razorpay": "payment.captured",
    "square": "payment.updated",
    "standard_webhooks": "payment.succeeded",
    "stripe": "payment_intent.succeeded",
    "truelayer": "payment_settled",
    "wise": "balances#update",
    "xero": "INVOICE.UPDATE",
}
# A custom connection is described by its user: there is no provider to play.
SLUGS = sorted(set(registry.all()) - {"custom"})
# What the page hears of each kind of record, and where that tells the amount.
HEARD = {"payment.received": "amount", "transaction.created": "amount", "mirrored_invoice.updated": "total"}


@pytest.fixture(scope="module")
def dashboard(stack: Stack, browser: Browser) -> Iterator[Page]:
    """The seller's dashboard, opened once: whatever arrives, arrives without a reload."""
    context = browser.new_context(base_url=stack.web(), viewport={"width": 1440, "height": 900})
    page = context.new_page()
    sign_in(page, stack.web(), "seller@demo.com")
    live(page)
    page.evaluate("window.notReloaded = true")
    yield page
    assert page.evaluate("window.notReloaded === true")
    context.close()


@pytest.fixture
def simulate(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`ledgerwire simulate`, run where the stack runs; returns what it prints."""

    def run(*arguments: str) -> str:
        for name, value in stack.environment().items():
            monkeypatch.setenv(name, value)
        done = CliRunner().invoke(main, ["simulate", *arguments])
        assert done.exit_code == 0, (done.output, done.exception)
        return done.output

    return run


def heard(page: Page) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.evaluate("window.ledgerwire.delivered.map(({name, data}) => ({name, data}))")
    return found


@pytest.mark.parametrize("slug", left_to_long(SLUGS, 6))
def test_what_a_provider_says_stands_on_the_page_at_once(
    slug: str, stack: Stack, dashboard: Page, simulate: Any
) -> None:
    # An amount of its own for each, so that nothing else is taken for it.
    minor = 200_000 + 1_111 * SLUGS.index(slug)
    made = stack.invoice(minor, email="somebody@else.example")
    output = simulate(slug, MAIN[slug], "--invoice", made["number"], "--currency", "INR")
    assert ": processed after" in output, output

    dashboard.wait_for_function(
        "([names, minor]) => window.ledgerwire.delivered.some(({name, data}) =>"
        " name in names && Math.abs(data[names[name]]) === minor)",
        arg=[HEARD, minor],
        timeout=SOON_MS,
    )
    if any(one["name"] == "payment.received" and one["data"]["amount"] == minor for one in heard(dashboard)):
        expect(dashboard.locator("#recent-payments")).to_contain_text(f"{minor / 100:,.2f}", timeout=SOON_MS)


def test_a_run_is_counted_and_summed_up(simulate: Any) -> None:
    output = simulate(
        "razorpay", "payment.captured", "--count", "12", "--duplicates", "1", "--shuffle", "--rate", "60",
        "--amount", "7.00",
    )  # fmt: skip
    assert re.search(r"Sent 24 in \d\.\d s, \d+ a second\. Answered: 200 x24; p50 \d+ ms, p99 \d+ ms\.", output), output
    assert "Stored 12 new events: processed x12." in output
    assert re.search(r"From arrival to the books: p50 \d+ ms, p99 \d+ ms\.", output)


def test_a_tampered_delivery_is_refused_on_the_command_line_too(simulate: Any) -> None:
    assert re.search(
        r"401 The signature does not prove this body", simulate("razorpay", "payment.captured", "--tamper")
    )


def test_a_simulated_api_can_be_pulled_from(stack: Stack, simulate: Any) -> None:
    simulate("stripe", MAIN["stripe"])
    # As a terminal starts it: where the tests run in the background, an interrupt would be ignored.
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from webapp.cli import main; main(['simulate', 'stripe', '--serve'])"
    )
    serving = subprocess.Popen(
        [sys.executable, "-u", "-c", code], cwd=ROOT, env=stack.environment(), stdout=subprocess.PIPE, text=True
    )
    try:
        assert serving.stdout is not None
        assert any("It answers until" in line for line in iter(serving.stdout.readline, ""))
        done = CliRunner().invoke(main, ["sync", str(stack.connection("stripe"))])
        assert done.exit_code == 0, (done.output, done.exception)
        assert re.match(r"done: [1-9]\d* listed on 2 pages, ", done.output), done.output
        serving.send_signal(signal.SIGINT)
        assert serving.wait(10) == 0
    finally:
        serving.kill()
        serving.communicate()


@pytest.mark.long
@pytest.mark.parametrize("slug", SLUGS)
def test_every_event_of_every_provider_ends_in_the_books_or_in_words(slug: str, simulate: Any) -> None:
    for event, variant in samples.names(slug):
        more = ["--variant", variant] if variant else []
        output = simulate(slug, event, *more)
        # Done, put aside with a reason that a person can read, or a question that was answered.
        assert re.search(r": (processed|ignored) after|: (fetch|ready|dead) [^(]|Nothing was stored", output), output
