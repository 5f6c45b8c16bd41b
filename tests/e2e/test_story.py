"""The main story: a really signed webhook changes what a person sees, without a reload."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import SignIn, live
from tests.e2e.stack import Stack
from workers.simulators.basiq import SimulatedTransaction

pytestmark = pytest.mark.e2e
SOON_MS = 6000


def watch(page: Page) -> None:
    """Leave a mark that a reload would wipe away."""
    page.evaluate("window.notReloaded = true")


def was_not_reloaded(page: Page) -> bool:
    return page.evaluate("window.notReloaded === true") is True


def figure(page: Page, name: str) -> Decimal:
    words = page.locator(f"#figures [data-currency=INR] [data-figure={name}]").inner_text()
    return Decimal(re.sub(r"[^\d.]", "", words))


def heard(page: Page) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.evaluate(
        "window.ledgerwire.delivered.map(({room, seq, name}) => ({room, seq, name}))"
    )
    return found


@pytest.mark.parametrize("mode", ["eventlet", pytest.param("gevent", marks=pytest.mark.long), "threading"])
def test_a_payment_appears_everywhere_at_once(stack: Stack, signed_in: SignIn, mode: str) -> None:
    made = stack.invoice(1_000_00)
    dashboard = signed_in(mode=mode)
    invoice = dashboard.context.new_page()
    invoice.goto(f"/invoices/{made['id']}")
    live(invoice)
    open_before, received_before = figure(dashboard, "open"), figure(dashboard, "received")
    for page in (dashboard, invoice):
        watch(page)

    answer = stack.send("razorpay", "payment.captured", number=made["number"], minor=1_000_00)
    assert answer.status_code < 300

    for page in (dashboard, invoice):
        toast = page.locator(".toast-card").filter(has_text=made["number"])
        expect(toast).to_contain_text("₹1,000.00 received", timeout=SOON_MS)
    expect(invoice.locator("#invoice-head")).to_have_attribute("data-status", "paid", timeout=SOON_MS)
    expect(invoice.locator("#invoice-history")).to_contain_text("Payment received")
    expect(invoice.locator("#invoice-payments")).to_contain_text("₹1,000.00")
    expect(dashboard.locator("#recent-payments")).to_contain_text(made["number"])
    expect(dashboard.locator("#open-invoices")).not_to_contain_text(made["number"])
    assert figure(dashboard, "open") == open_before - 1000
    assert figure(dashboard, "received") == received_before + 1000
    assert all(was_not_reloaded(page) for page in (dashboard, invoice))


def test_sent_twice_it_counts_once_and_altered_it_counts_never(stack: Stack, signed_in: SignIn) -> None:
    made = stack.invoice(500_00)
    page = signed_in()
    page.goto(f"/invoices/{made['id']}")
    live(page)

    refused = stack.send("razorpay", "payment.captured", number=made["number"], minor=200_00, tamper=True)
    assert refused.status_code == 401
    for _ in range(2):
        answer = stack.send("razorpay", "payment.captured", number=made["number"], minor=200_00, message_id="msg_twice")
        assert answer.status_code < 300

    expect(page.locator("#invoice-head")).to_have_attribute("data-status", "partial", timeout=SOON_MS)
    expect(page.locator("[data-figure=due]")).to_have_text("₹300.00")
    page.wait_for_timeout(600)
    expect(page.locator("#invoice-payments li")).to_have_count(1)
    expect(page.locator("[data-figure=paid]")).to_have_text("₹200.00")


def test_a_bank_line_that_is_sure_books_itself_and_a_part_payment_is_accepted_by_key(
    stack: Stack, signed_in: SignIn
) -> None:
    whole, part = (stack.invoice(750_00 + one, currency="AUD", email="ap@harbour.example") for one in (0, 10_00))
    page = signed_in()
    page.goto("/transactions")
    live(page)
    watch(page)
    stack.bank_shows(
        SimulatedTransaction(narration=f"HARBOUR {whole['number']}", amount="750.00"),
        SimulatedTransaction(narration=f"HARBOUR {part['number']}", amount="200.00"),
        SimulatedTransaction(narration="MONTHLY FEE E2E", amount="-10.00"),
    )
    assert stack.send("basiq", "transactions.updated").status_code < 300

    expect(page.locator("#rows")).to_contain_text("MONTHLY FEE E2E", timeout=2 * SOON_MS)
    sure = page.locator("tbody tr").filter(has_text=f"HARBOUR {whole['number']}")
    expect(sure).to_contain_text("Matched", timeout=SOON_MS)
    asked = page.locator("tbody tr").filter(has_text=f"HARBOUR {part['number']}")
    accept = asked.get_by_role("button", name="Accept")
    accept.focus()
    page.keyboard.press("Enter")
    expect(asked).to_contain_text("Matched", timeout=SOON_MS)
    assert was_not_reloaded(page)

    sure.get_by_role("link", name=f"HARBOUR {whole['number']}").click()
    expect(page.locator("#transaction")).to_contain_text(f"This pays {whole['number']}")
    expect(page.locator("#transaction")).to_contain_text("Booked by itself, because it was sure")
    page.get_by_role("link", name=whole["number"], exact=True).click()
    expect(page.locator("#invoice-head")).to_have_attribute("data-status", "paid")
    page.go_back()
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#transaction")).to_contain_text("This looks like the payment of", timeout=SOON_MS)


def test_another_user_sees_none_of_it(stack: Stack, signed_in: SignIn) -> None:
    made = stack.invoice(300_00, email="somebody@else.example")
    seller, stranger = signed_in(), signed_in("buyer@demo.com")
    answer = stack.send("razorpay", "payment.captured", number=made["number"], minor=300_00)
    expect(seller.locator(".toast-card").filter(has_text=made["number"])).to_be_visible(timeout=SOON_MS)

    stranger.wait_for_timeout(500)
    expect(stranger.locator(".toast-card")).to_have_count(0)
    assert heard(stranger) == []
    for path in (f"/invoices/{made['id']}", f"/deliveries/{answer.json()['delivery_id']}"):
        found = stranger.goto(path)
        assert found is not None
        assert found.status == 404
    refused = stranger.goto("/transactions")
    assert refused is not None
    assert refused.status == 403


def test_the_buyer_sees_their_invoice_paid(stack: Stack, signed_in: SignIn) -> None:
    made = stack.invoice(320_00)
    page = signed_in("buyer@demo.com")
    page.goto(f"/invoices/{made['id']}")
    live(page)
    stack.send("razorpay", "payment.captured", number=made["number"], minor=320_00)
    expect(page.locator("#invoice-head")).to_have_attribute("data-status", "paid", timeout=SOON_MS)


def test_provenance_shows_the_whole_road(stack: Stack, signed_in: SignIn) -> None:
    made = stack.invoice(400_00)
    page = signed_in()
    answer = stack.send("razorpay", "payment.captured", number=made["number"], minor=400_00)
    expect(page.locator(".toast-card").filter(has_text=made["number"])).to_be_visible(timeout=SOON_MS)
    page.goto(f"/deliveries/{answer.json()['delivery_id']}")

    steps = page.locator(".timeline h3").all_inner_texts()
    assert steps == ["Received", "Verified", "Stored", "Claimed", "Processed", "Numbered and sent"]
    events = page.locator("#events")
    expect(events).to_contain_text("payment.captured")
    expect(events.get_by_role("link", name=made["number"])).to_be_visible()
    expect(events).to_contain_text("payment.received")
    expect(events).to_contain_text(re.compile(r"user:[0-9a-f-]{36}"))
    expect(page.locator(".headers")).to_contain_text(re.compile("x-razorpay-signature", re.IGNORECASE))
    expect(page.get_by_label("Body, readable")).to_contain_text(made["number"])
    expect(page.get_by_label("Body, bytes")).to_be_hidden()
    page.get_by_text("Bytes", exact=True).click()
    expect(page.get_by_label("Body, bytes")).to_contain_text("000000  7b 22")
    expect(page.get_by_label("Body, readable")).to_be_hidden()


def test_a_killed_server_costs_no_event(stack: Stack, signed_in: SignIn) -> None:
    page = signed_in()
    first = stack.invoice(110_00)
    expect(page.locator("#open-invoices")).to_contain_text(first["number"], timeout=SOON_MS)
    began = len(heard(page))
    stack.kill("web-eventlet")
    expect(page.locator("#live")).to_have_attribute("data-state", "reconnecting", timeout=SOON_MS)
    # The worker and the relay go on meanwhile.
    later = [stack.invoice(120_00 + one) for one in range(3)]
    stack.web()
    live(page)
    expect(page.locator("#open-invoices")).to_contain_text(later[-1]["number"], timeout=SOON_MS)

    page.wait_for_timeout(300)
    events = heard(page)
    assert len(events) >= began + 3
    own = [event["seq"] for event in events if event["room"].startswith("user:")]
    assert own == list(range(own[0], own[0] + len(own)))
