"""Two browsers on one invoice: each sees the other, what the other changes, and nothing is overwritten unseen."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import SignIn, live
from tests.e2e.stack import Stack

pytestmark = pytest.mark.e2e
SOON_MS = 6000


def test_two_windows_on_one_invoice(stack: Stack, signed_in: SignIn) -> None:
    made = stack.invoice(10_00)
    address = f"/invoices/{made['id']}"
    seller, other, buyer = signed_in(), signed_in(), signed_in("buyer@demo.com")
    for page in (seller, other, buyer):
        page.goto(address)
        live(page)
    looking = seller.locator("[data-looking]")
    expect(looking).to_contain_text("in another window", timeout=SOON_MS)
    expect(looking).to_contain_text("Vikram Rao", timeout=SOON_MS)
    expect(buyer.locator("[data-looking]")).to_contain_text("Asha Sharma", timeout=SOON_MS)

    # Both open the form; the second to save sees what the first changed, with what was typed still there.
    for page in (seller, other):
        page.goto(f"{address}/edit")
        live(page)
    seller.get_by_label("Their order number").fill("PO-7")
    seller.get_by_role("button", name="Save changes").click()
    seller.wait_for_url(f"**{address}")
    expect(buyer.locator("#invoice-history")).to_contain_text("PO-7", timeout=SOON_MS)
    other.get_by_role("textbox", name="Notes").fill("From the other window")
    other.get_by_role("button", name="Save changes").click()
    expect(other.get_by_text("Somebody changed this invoice while you were editing it")).to_be_visible()
    expect(other.get_by_text("nothing → PO-7")).to_be_visible()
    expect(other.get_by_role("textbox", name="Notes")).to_have_value("From the other window")

    # Money comes meanwhile: both pages of the invoice show it without a reload.
    seller.goto(address)
    live(seller)
    assert stack.send("razorpay", "payment.captured", number=made["number"], minor=4_00).status_code < 300
    for page in (seller, buyer):
        expect(page.locator("[data-figure=paid]")).to_have_text("₹4.00", timeout=SOON_MS)
    expect(looking).to_contain_text("Vikram Rao", timeout=SOON_MS)
    buyer.close()
    expect(looking).not_to_contain_text("Vikram Rao", timeout=SOON_MS)
