"""Financing in browsers side by side: everybody concerned sees it happen, and nobody reloads."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import SignIn, live
from tests.e2e.stack import Stack
from tests.e2e.test_story import SOON_MS, was_not_reloaded, watch

pytestmark = pytest.mark.e2e
LAKH = 1_00_000_00


def open_live(page: Page, path: str) -> Page:
    """Another window of the same person, live and marked so that a reload shows."""
    window = page.context.new_page()
    window.goto(path)
    live(window)
    watch(window)
    return window


def money(page: Page, name: str) -> int:
    words = page.locator(f"#figures [data-figure={name}]").first.inner_text()
    return int(re.sub(r"[^\d]", "", words))


def wallet(page: Page) -> Page:
    return open_live(page, "/wallet")


def test_from_submission_to_repayment_with_every_window_open(stack: Stack, signed_in: SignIn) -> None:
    made = stack.invoice(LAKH)
    seller, buyer, investor = (signed_in(f"{who}@demo.com") for who in ("seller", "buyer", "investor"))
    sellers, market = wallet(seller), open_live(investor, "/marketplace")
    investors = wallet(investor)
    before = money(investors, "balance"), money(sellers, "balance")

    # The seller submits; the buyer, who looks at what is to be confirmed, sees it come.
    asked = open_live(buyer, "/financing")
    seller.goto(f"/invoices/{made['id']}")
    live(seller)
    seller.get_by_role("link", name="Finance this invoice").click()
    seller.get_by_role("button", name="Ask the buyer to confirm").click()
    expect(seller.locator("#invoice-head")).to_have_attribute("data-status", "pending_buyer_confirmation")
    watch(seller)
    expect(asked.locator("#list")).to_contain_text(made["number"], timeout=SOON_MS)

    # The buyer confirms; the seller's page says so by itself.
    asked.get_by_role("link", name=made["number"]).click()
    asked.get_by_label("I accept to pay this amount").check()
    asked.get_by_role("button", name="Confirm", exact=True).click()
    expect(asked.locator("#invoice-head")).to_have_attribute("data-status", "confirmed")
    expect(seller.locator("#invoice-finance")).to_contain_text("Choose your terms", timeout=SOON_MS)
    assert was_not_reloaded(seller)

    # The seller lists it for ₹90,000, sees what that comes to first, and the investor's marketplace has it at once.
    seller.get_by_role("link", name="Choose terms").click()
    seller.get_by_label("an amount").check()
    seller.get_by_label("Investors pay in all").fill("90000")
    seller.get_by_label("Platform fee").select_option("none")
    expect(seller.locator("#preview")).to_contain_text("₹10,000.00", timeout=SOON_MS)
    seller.get_by_role("button", name="List it").click()
    expect(seller.locator("#invoice-head")).to_have_attribute("data-status", "listed")
    watch(seller)
    card = market.locator(".listing").filter(has_text=made["number"])
    expect(card).to_be_visible(timeout=SOON_MS)
    assert was_not_reloaded(market)

    # The investor looks at it, in a second window, and funds it whole.
    offer = open_live(investor, f"/marketplace/{made['id']}")
    expect(offer.locator("[data-figure=profit]")).to_have_text("₹10,000.00")
    offer.get_by_role("button", name="Fund now").click()
    expect(offer.locator("#listing-head")).to_have_attribute("data-status", "funded")
    expect(investors.locator("#figures [data-figure=balance]")).to_have_text("₹9,10,000.00", timeout=SOON_MS)
    expect(sellers.locator("#figures [data-figure=balance]")).to_have_text("₹10,90,000.00", timeout=SOON_MS)
    assert (money(investors, "balance"), money(sellers, "balance")) == (before[0] - 90_000_00, before[1] + 90_000_00)
    expect(seller.locator("#invoice-head")).to_have_attribute("data-status", "funded", timeout=SOON_MS)
    expect(card).to_have_count(0, timeout=SOON_MS)
    portfolio = open_live(investor, "/portfolio")
    expect(portfolio.locator("#figures [data-figure=expected]")).to_have_text("₹1,00,000.00")

    # The buyer pays, as the gateway's webhook reports, and the investor has it back.
    answer = stack.send("razorpay", "payment.captured", number=made["number"], minor=LAKH)
    assert answer.status_code < 300
    expect(investors.locator("#figures [data-figure=balance]")).to_have_text("₹10,10,000.00", timeout=SOON_MS)
    expect(portfolio.locator("#figures [data-figure=profit]")).to_have_text("₹10,000.00", timeout=SOON_MS)
    expect(seller.locator("#invoice-head")).to_have_attribute("data-status", "repaid", timeout=SOON_MS)
    assert all(was_not_reloaded(page) for page in (seller, sellers, investors, market, portfolio))
