"""A statement of 500 lines is brought, its columns are said once, and it is reconciled by keys alone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import text

from core.identity import Actor, Role, passwords, users
from core.invoicing import invoices
from tests.e2e.conftest import SignIn
from tests.e2e.stack import PASSWORD, Stack
from tests.e2e.test_pages import complaints

pytestmark = [pytest.mark.e2e, pytest.mark.long]
SOON_MS = 20_000
TODAY = datetime.now(UTC).date()
SURE = 40


def a_seller(stack: Stack) -> Actor:
    """Somebody whose matches wait for a decision, however sure they are."""
    now = datetime.now(UTC)
    with stack.database.session() as session:
        person = users.register(
            session,
            email="keys@demo.com",
            name="Kiran Keys",
            password_hash=passwords.hash_password(PASSWORD),
            role=Role.SELLER,
            now=now,
        )
        session.execute(
            text("INSERT INTO business_profiles (user_id, match_automatically) VALUES (:user, false)"),
            {"user": person.id},
        )
    return person


def an_invoice(stack: Stack, seller: Actor, customer: str, amount: int) -> Mapping[str, Any]:
    with stack.database.session() as session:
        new = invoices.NewInvoice(
            contact_name=customer,
            contact_email=f"{customer.split(maxsplit=1)[0].lower()}@example.com",
            currency="INR",
            issue_date=TODAY - timedelta(days=20),
            due_date=TODAY - timedelta(days=2),
            items=[invoices.NewItem(description="Tea", quantity=Decimal(1), unit_price=amount)],
        )
        return invoices.create(session, seller, new, datetime.now(UTC))


def a_statement(named: list[Mapping[str, Any]], others: list[tuple[str, int]]) -> str:
    """500 lines: the payments of these invoices by their numbers, these others, and money that left."""
    incoming = [(f"NEFT CR {one['contact']['name'].upper()} {one['number']}", one["total"]) for one in named] + others
    outgoing = [(f"UPI SUPPLIER {number}", -(10_000 + number)) for number in range(500 - len(incoming))]
    rows = [
        f"{TODAY:%d/%m/%Y},{words},HDFCN5202600{at:09d},{'' if minor > 0 else f'{-minor / 100:.2f}'},"
        f'"{f"{minor / 100:,.2f}" if minor > 0 else ""}"'
        for at, (words, minor) in enumerate(incoming + outgoing)
    ]
    return "\n".join(["Statement of account,,,,", "Txn Date,Narration,UTR No.,Debit,Credit", *rows, ""])


def due(stack: Stack, *found: Mapping[str, Any]) -> list[tuple[str, int]]:
    with stack.database.session() as session:
        rows = session.execute(
            text("SELECT id, status, amount_due FROM invoices WHERE id = ANY(:ids)"),
            {"ids": [one["id"] for one in found]},
        ).all()
    known = {str(row.id): (row.status, row.amount_due) for row in rows}
    return [known[one["id"]] for one in found]


def bring(page: Page, file: Path) -> None:
    page.goto("/statements")
    page.set_input_files("#file", file)
    page.get_by_label("Name of the new account").fill("Current account")
    page.get_by_role("button", name="Look at it").click()
    expect(page.get_by_label("UTR No.")).to_have_value("reference")
    assert complaints(page) == []
    page.get_by_role("button", name="Read it").click()
    page.get_by_role("button", name="Take in 500 new lines").click()
    expect(page.locator(".badge-state").first).to_have_text("Taken in")


def test_a_statement_of_500_lines_is_reconciled_by_keys(stack: Stack, signed_in: SignIn, tmp_path: Path) -> None:
    seller = a_seller(stack)
    sure = [an_invoice(stack, seller, "Acme Mills", 50_000 + 137 * number) for number in range(SURE)]
    twins = [an_invoice(stack, seller, "Twin Traders", 77_700) for _ in range(2)]
    parts = [an_invoice(stack, seller, "Lotus Labs", amount) for amount in (30_000, 21_100)]
    file = tmp_path / "november.csv"
    file.write_text(a_statement(sure, [("NEFT CR-TWIN TRADERS", 77_700), ("CASH DEPOSIT BRANCH", 51_100)]))
    page = signed_in("keys@demo.com")
    bring(page, file)

    page.goto("/reconcile")
    expect(page.locator(".tabs a", has_text="Sure")).to_contain_text(str(SURE), timeout=SOON_MS)
    page.reload()
    expect(page.locator("#lines > li")).to_have_count(SURE)
    assert complaints(page) == []

    # All that is sure at once.
    page.keyboard.press("a")
    expect(page.locator("#headway")).to_have_text(f"{SURE} of {SURE + 2} lines reconciled", timeout=SOON_MS)
    assert due(stack, *sure) == [("paid", 0)] * SURE

    # One that is suggested, by Enter.
    page.goto("/reconcile?tab=suggested")
    row = page.locator("#lines > li", has_text="NEFT CR-TWIN TRADERS")
    expect(row).to_contain_text("Another answer is as good")
    page.keyboard.press("j")
    while "TWIN" not in (page.locator("#lines > li[aria-current]").text_content() or ""):
        page.keyboard.press("j")
    expect(row).to_be_focused()
    page.evaluate(
        "() => { window.told = []; new MutationObserver((all) => all.forEach((one) => one.addedNodes.forEach("
        "(card) => window.told.push(card.textContent)))).observe(document.getElementById('toasts'), "
        "{ childList: true }); }"
    )
    page.keyboard.press("Enter")
    expect(row).to_have_count(0, timeout=SOON_MS)
    assert sorted(due(stack, *twins)) == [("open", 77_700), ("paid", 0)]
    expect(page.locator("#spoken")).to_have_text("Matched.")

    # Taken back by u, and it waits again.
    page.keyboard.press("u")
    expect(row).to_have_count(1, timeout=SOON_MS)
    assert due(stack, *twins) == [("open", 77_700)] * 2
    expect(row).to_be_focused()

    # Rejected by x, and proposed again by u.
    page.keyboard.press("x")
    expect(row).to_have_count(0, timeout=SOON_MS)
    page.keyboard.press("u")
    expect(row).to_have_count(1, timeout=SOON_MS)
    expect(page.locator("#spoken")).to_have_text("Proposed again.")
    # Each was told once: the live feed's own words for the payment are not added.
    said = page.evaluate("window.told")
    assert [each.strip() for each in said] == [
        "Matched: the money is on the books.", "1 line taken back.",
        "Rejected. It is not proposed again.", "Proposed again.",
    ]  # fmt: skip

    # One that nothing explains, split over two.
    page.goto("/reconcile?tab=suspense")
    row = page.locator("#lines > li", has_text="CASH DEPOSIT BRANCH")
    expect(row).to_contain_text("Nothing is proposed")
    page.keyboard.press("j")
    while "CASH" not in (page.locator("#lines > li[aria-current]").text_content() or ""):
        page.keyboard.press("j")
    page.keyboard.press("/")
    chooser = page.locator("#chooser")
    expect(chooser.get_by_label("Look for an invoice")).to_be_focused()
    page.keyboard.type("lotus")
    boxes = chooser.get_by_role("checkbox")
    expect(boxes).to_have_count(2)
    for box in (0, 1):
        boxes.nth(box).focus()
        page.keyboard.press("Space")
    expect(chooser.get_by_text("It comes out even.")).to_be_visible()
    assert complaints(page) == []
    chooser.get_by_role("button", name="Match").focus()
    page.keyboard.press("Enter")
    expect(row).to_have_count(0, timeout=SOON_MS)
    assert due(stack, *parts) == [("paid", 0)] * 2
    page.keyboard.press("u")
    # What somebody chose once is what is suggested from then on.
    expect(page.locator("#spoken")).to_have_text("Taken back.", timeout=SOON_MS)
    assert due(stack, *parts) == [("open", 30_000), ("open", 21_100)]

    # Everything of the statement stands, on a phone as well; brought again it adds nothing.
    page.set_viewport_size({"width": 390, "height": 844})
    for path in ("/reconcile?tab=done", "/reconcile?tab=suspense", "/statements", "/statements/line"):
        page.goto(path)
        assert complaints(page) == [], path
    page.goto("/statements")
    page.set_input_files("#file", file)
    page.get_by_role("button", name="Look at it").click()
    expect(page.get_by_role("button", name="Nothing is new")).to_be_visible()
