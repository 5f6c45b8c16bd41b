"""An invoice from its making to its receipt, by clicks: docs/invoicing.md, to the letter."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import SignIn, live
from tests.e2e.stack import Stack
from tests.e2e.test_pages import complaints

pytestmark = pytest.mark.e2e
SOON_MS = 10_000


@contextmanager
def stranger(browser: Browser, base: str, width: int = 1440) -> Iterator[Page]:
    """Somebody without an account."""
    context = browser.new_context(base_url=base, viewport={"width": width, "height": 900})
    try:
        yield context.new_page()
    finally:
        context.close()


def send(page: Page, invoice_id: str) -> None:
    """Press Send on the invoice's page, and Send in its dialog."""
    page.goto(f"/invoices/{invoice_id}")
    live(page)
    page.get_by_role("link", name=re.compile("^(Issue and send|Send)$")).first.click()
    dialog = page.locator("dialog[open]")
    expect(dialog.locator(".letter")).to_contain_text("Please pay it by", timeout=SOON_MS)
    assert complaints(page) == []
    dialog.get_by_role("button", name="Send").click()
    expect(page.locator("main")).to_contain_text("is on its way to")


def link_in(page: Page, subject: str) -> str:
    """The link in the mail of this subject in somebody's mailbox."""
    page.goto("/mailbox")
    page.get_by_role("link", name=subject).first.click()
    found = page.locator(".mail__text a", has_text="/i/").get_attribute("href")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("gateway", "width"), [("Razorpay", 1440), pytest.param("Stripe", 390, marks=pytest.mark.long)]
)
def test_make_send_pay_and_both_sides_see_it(
    stack: Stack, signed_in: SignIn, browser: Browser, gateway: str, width: int
) -> None:
    made = stack.invoice(1_250_00)
    number = made["number"]
    seller, buyer = signed_in(), signed_in("buyer@demo.com")
    send(seller, made["id"])
    expect(seller.locator("#invoice-head")).to_have_attribute("data-stage", "sent")
    address = link_in(buyer, f"Invoice {number} from")

    with stranger(browser, stack.url(), width) as customer:
        customer.goto(address)
        expect(customer.get_by_role("heading", name=f"Invoice {number}")).to_be_visible()
        assert complaints(customer) == []
        # The page asks for news by itself, and by that the seller sees that it was seen.
        expect(seller.locator("#invoice-head")).to_have_attribute("data-stage", "viewed", timeout=SOON_MS)
        pay = customer.get_by_role("button", name=f"by {gateway}")
        pay.focus()
        customer.keyboard.press("Enter")
        customer.wait_for_url(f"**/simulated/{gateway.lower()}/**", timeout=2 * SOON_MS)
        expect(customer.get_by_role("heading", name="₹1,250.00")).to_be_visible()
        assert complaints(customer) == []
        customer.get_by_role("button", name="Pay").click()
        customer.wait_for_url("**/i/**")
        expect(customer.locator("#state")).to_have_attribute("data-status", "paid", timeout=2 * SOON_MS)
        assert complaints(customer) == []
        with customer.expect_download() as fetched:
            customer.get_by_role("link", name="Receipt").click()
        assert fetched.value.suggested_filename == f"receipt-{number}.pdf"

    expect(seller.locator("#invoice-head")).to_have_attribute("data-status", "paid", timeout=SOON_MS)
    receipt = f"We received ₹1,250.00 for invoice {number}"
    expect(seller.locator("#invoice-mails")).to_contain_text(receipt, timeout=2 * SOON_MS)
    buyer.goto("/mailbox")
    expect(buyer.get_by_role("link", name=receipt)).to_be_visible()


def test_a_customer_says_what_is_wrong_and_the_seller_sees_it_at_once(
    stack: Stack, signed_in: SignIn, browser: Browser
) -> None:
    made = stack.invoice(900_00)
    seller = signed_in()
    send(seller, made["id"])
    address = seller.locator("#invoice-mails [data-copy]").get_attribute("data-copy")
    assert address is not None
    with stranger(browser, stack.url(), 390) as customer:
        customer.goto(address)
        customer.get_by_text("There is a problem").click()
        customer.get_by_label("What is wrong").fill("Two bales were torn")
        customer.get_by_role("button", name="Tell").click()
        expect(customer.locator("main")).to_contain_text("You said that something is wrong")
    expect(seller.locator("#invoice-mails")).to_contain_text("Two bales were torn", timeout=SOON_MS)
    expect(seller.locator("#bell")).to_have_attribute("aria-label", re.compile("unread"))
    for path in ("/settings/mail", "/settings/mail/receipt", f"/invoices/{made['id']}/mail?do=remind"):
        for width in (1440, 390):
            seller.set_viewport_size({"width": width, "height": 900})
            seller.goto(path)
            assert complaints(seller) == [], (path, width)
