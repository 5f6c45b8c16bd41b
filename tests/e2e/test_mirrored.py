"""Invoices elsewhere appear live, and the list of them fits a telephone."""

from __future__ import annotations

from datetime import date
from uuid import UUID

import pytest
from playwright.sync_api import expect
from sqlalchemy import text

from core import intake
from core.events import MirroredInvoice, MirroredStatus, Trust
from core.ids import new_id
from core.money import Money
from core.statements import Statement
from tests.e2e.conftest import SignIn, live
from tests.e2e.stack import Stack
from tests.e2e.test_pages import complaints

pytestmark = pytest.mark.e2e
SOON_MS = 6000


def tell(stack: Stack, number: str, status: MirroredStatus, due: int) -> None:
    """What some connection of the seller says of an invoice of a hundred million rupees."""
    with stack.database.connect() as connection:
        row = connection.execute(
            text(
                "SELECT connections.id, user_id, connector FROM connections JOIN users ON users.id = user_id "
                "WHERE users.email = 'seller@demo.com' ORDER BY connections.id LIMIT 1"
            )
        ).one()
        record = MirroredInvoice(
            object_id=number,
            version=1 if due else 2,
            status=status,
            number=number,
            direction="sales",
            total=Money(10**10, "INR"),
            due=Money(due, "INR"),
            due_on=date(2026, 12, 1),
            contact_name="Hansestadt Lübeck, Landschaftsverwaltungsgesellschaft mit beschränkter Haftung",
            url="https://books.example/1",
        )
        intake.apply(
            connection,
            [
                Statement(
                    event_id=new_id(),
                    connection_id=UUID(str(row.id)),
                    user_id=row.user_id,
                    connector=row.connector,
                    trust=Trust.FETCHED,
                    record=record,
                )
            ],
        )


def test_an_invoice_elsewhere_appears_live_and_the_list_fits_a_telephone(stack: Stack, signed_in: SignIn) -> None:
    with stack.database.connect() as connection:
        # What the simulated providers told in other tests.
        connection.execute(text("TRUNCATE mirrored_invoices, mirrored_invoices_gone CASCADE"))
    page = signed_in(width=390)
    page.goto("/mirrored-invoices")
    live(page)
    expect(page.locator("#list")).to_contain_text("No invoices elsewhere yet")
    assert complaints(page) == []
    tell(stack, "ELSEWHERE-2026-0000000000001", MirroredStatus.OPEN, 10**10)
    rows = page.locator("#rows tr")
    expect(rows).to_have_count(1, timeout=SOON_MS)
    expect(rows.first).to_contain_text("Open")
    tell(stack, "ELSEWHERE-2026-0000000000001", MirroredStatus.PAID, 0)
    expect(rows.first).to_contain_text("Paid", timeout=SOON_MS)
    assert complaints(page) == []
    page.set_viewport_size({"width": 1440, "height": 900})
    assert complaints(page) == []
