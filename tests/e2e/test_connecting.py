"""Connecting: the gallery narrows, any sender is described and tried, a connection pauses and rehearses."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import SignIn, live
from tests.e2e.stack import Stack

pytestmark = pytest.mark.e2e


def test_the_gallery_narrows_as_one_types(signed_in: SignIn) -> None:
    page = signed_in()
    page.goto("/connections/new")
    shown = page.locator("#gallery > li:visible")
    everything = shown.count()
    assert everything >= 20
    field = page.get_by_label("Search providers")
    field.fill("stripe")
    expect(shown).to_have_count(1)
    field.fill("bank accounts")
    expect(shown.first).to_be_visible()
    assert 1 < shown.count() < everything
    field.fill("no such provider")
    expect(shown).to_have_count(0)
    expect(page.get_by_role("link", name="described in a form")).to_be_visible()


def definition(page: Page) -> dict[str, object]:
    found: dict[str, object] = json.loads(page.get_by_label("Definition").input_value())
    return found


def test_any_sender_is_described_tried_and_connected(stack: Stack, signed_in: SignIn) -> None:
    del stack
    page = signed_in()
    page.goto("/connections/new/custom")
    page.get_by_role("button", name="Read it").click()
    trial = page.locator("#trial")
    expect(trial).to_contain_text("It would become this")
    expect(trial).to_contain_text("1290.00 INR")
    expect(trial).to_contain_text("INV-2026-0042")
    body = page.get_by_label("A body as the sender posts it")
    good = body.input_value()
    body.fill(good.replace("129000", '"a lot"'))
    page.get_by_role("button", name="Read it").click()
    expect(trial).to_contain_text("It cannot be read")
    expect(trial).to_contain_text("amount")
    body.fill(good.replace("payment.updated", "payment.teleported"))
    page.get_by_role("button", name="Read it").click()
    expect(trial).to_contain_text("No mapping for this event")

    page.get_by_label("How is it signed?").select_option("Standard Webhooks")
    assert definition(page)["scheme"] == {"kind": "standard-webhooks"}
    kept = page.get_by_label("Definition").input_value()
    page.get_by_label("Definition").fill(kept.replace('"minor"', '"pennies"', 1))
    page.get_by_label("Name").fill("Own till")
    page.get_by_role("button", name="Connect").click()
    expect(page.locator("#definition-error")).to_contain_text("events.payment.updated.amount.form")
    page.get_by_label("Definition").fill(kept)
    page.get_by_role("button", name="Connect").click()
    expect(page.get_by_role("heading", name="Own till")).to_be_visible()
    expect(page.get_by_label("Secret", exact=True)).to_contain_text("whsec_")

    page.get_by_role("link", name="Definition").click()
    page.get_by_label("How is it signed?").select_option("HMAC of the body")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("The definition was saved")).to_be_visible()


def test_a_paused_connection_keeps_what_comes_until_it_is_resumed(stack: Stack, signed_in: SignIn) -> None:
    made = stack.invoice(400_00)
    page = signed_in()
    page.goto("/connections")
    page.locator("#list li", has_text="Razorpay").locator("a.cover").first.click()
    live(page)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#connection-head")).to_contain_text("Paused")
    assert stack.send("razorpay", "payment.captured", number=made["number"], minor=400_00).status_code < 300
    page.reload()
    expect(page.locator("#connection-deliveries li").first).to_contain_text("Paused")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#connection-deliveries li").first).to_contain_text("Processed", timeout=8000)
    page.goto(f"/invoices/{made['id']}")
    expect(page.locator("#invoice-head")).to_have_attribute("data-status", "paid", timeout=8000)


def test_a_sample_is_rehearsed_with_the_connections_own_secret(signed_in: SignIn) -> None:
    page = signed_in()
    page.goto("/connections")
    page.locator("#list li", has_text="Razorpay").locator("a.cover").first.click()
    page.get_by_role("link", name="Try an event").click()
    # The choice answers as it is made; the button is for whoever has no JavaScript, and for a page that still loads.
    live(page)
    page.locator("#sample").select_option("payment.captured")
    page.wait_for_url(re.compile(r"sample=payment\.captured"))
    expect(page.get_by_text("Its signature holds with the secret of this connection.", exact=True)).to_be_visible()
    expect(page.locator("main")).to_contain_text("pay_DESlfW9H8K9uqM")


def test_the_keys_for_a_providers_api_are_changed_on_its_page(signed_in: SignIn) -> None:
    page = signed_in()
    page.goto("/connections/new/stripe")
    page.get_by_label("Name").fill("Till abroad")
    page.get_by_role("button", name="Connect").click()
    expect(page.get_by_role("heading", name="Till abroad")).to_be_visible()
    page.get_by_text("Access to Stripe").click()
    page.get_by_label("Secret or restricted API key").fill("rk_test_of_the_tests")
    page.locator("details").get_by_role("button", name="Save").click()
    expect(page.get_by_text("The provider is asked with it from now on")).to_be_visible()
    expect(page.locator("main")).to_contain_text("Api key")
    assert "rk_test_of_the_tests" not in page.content()


def test_nothing_needs_a_person_at_first(signed_in: SignIn) -> None:
    # Not the seller, whose connections the tests before this one make trouble with.
    page = signed_in("investor@demo.com")
    page.locator("#bell").click()
    expect(page.get_by_role("heading", name="Notifications")).to_be_visible()
