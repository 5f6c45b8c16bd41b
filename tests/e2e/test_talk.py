"""Talk in two windows at once, and a mail that comes in while its reader looks at the mailbox."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import FilePayload, Page, expect

from core import mail
from core.mail import Mail
from tests.e2e.conftest import SignIn, live
from tests.e2e.stack import Stack
from tests.e2e.test_pages import complaints
from tests.papers import PDF

pytestmark = pytest.mark.e2e
SOON_MS = 6000


def picture(page: Page, name: str) -> None:
    """A picture for who wants to look: TALK_PICTURES names the folder."""
    folder = os.environ.get("TALK_PICTURES")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def test_what_the_seller_says_stands_in_the_buyers_window_and_leaves_their_typing_alone(
    stack: Stack, signed_in: SignIn
) -> None:
    invoice = stack.invoice(5_00_000_00)
    seller, buyer = signed_in("seller@demo.com"), signed_in("buyer@demo.com", width=390)
    for page in (seller, buyer):
        page.goto(f"/invoices/{invoice['id']}")
        live(page)
        expect(page.get_by_text("Nothing said yet")).to_be_visible()
    buyer.get_by_label("Message").fill("I was about to ask")
    seller.get_by_label("Message").fill("The goods left on Monday.\nThe papers are here.")
    seller.get_by_text("Notify somebody").click()
    seller.get_by_label("Vikram Rao").check()
    seller.get_by_label("Files").set_input_files(
        FilePayload(name="Delivery note.pdf", mimeType="application/pdf", buffer=PDF)
    )
    seller.get_by_role("button", name="Send").click()
    expect(buyer.get_by_text("The goods left on Monday.")).to_be_visible(timeout=SOON_MS)
    expect(buyer.get_by_label("Message")).to_have_value("I was about to ask")
    expect(buyer.get_by_text("For Vikram Rao")).to_be_visible()
    with buyer.expect_download() as caught:
        buyer.get_by_role("link", name="Delivery note.pdf").click()
    assert Path(caught.value.path()).read_bytes() == PDF
    buyer.get_by_role("button", name="Send").click()
    expect(seller.get_by_text("I was about to ask")).to_be_visible(timeout=SOON_MS)
    for page, name in ((seller, "talk-1440"), (buyer, "talk-390")):
        page.wait_for_timeout(500)
        picture(page, name)
        assert complaints(page) == []
        page.goto(f"/invoices/{invoice['id']}/talk")
        live(page)
        picture(page, f"{name}-page")
        assert complaints(page) == []


def test_a_mail_comes_into_the_mailbox_while_one_looks(stack: Stack, signed_in: SignIn) -> None:
    page = signed_in("buyer@demo.com", width=390)
    page.goto("/mailbox")
    live(page)
    with stack.database.session() as session:
        words = f"Please look:\n\n{stack.url()}/confirm/abc\n\nThank you."
        mail.write(session, Mail(to="buyer@demo.com", subject="A letter to look at", text=words), datetime.now(UTC))
    expect(page.get_by_role("link", name="A letter to look at")).to_be_visible(timeout=10_000)
    picture(page, "mailbox-390")
    assert complaints(page) == []
    page.get_by_role("link", name="A letter to look at").click()
    expect(page.get_by_role("link", name="/confirm/abc")).to_be_visible()
    live(page)
    picture(page, "mail-390")
    assert complaints(page) == []
