"""A made-up statement in a real database: what the engine finds there is what is true, and every sum agrees."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, time

import pytest
from sqlalchemy import text

from core.bulk import Rows, array
from core.ids import new_id
from core.reconciliation import generator, run
from tests.builders import NOW, Clockwork, Shop, check_sums, open_shop, worker

pytestmark = pytest.mark.long

_CONTACTS = Rows(id="uuid", user_id="uuid", name="text", email="text", tds_rate="numeric")
_INVOICES = Rows(
    id="uuid", seller_id="uuid", contact_id="uuid", number="text", number_key="text", year="integer",
    sequence="integer", status="text", currency="text", issue_date="date", due_date="date", subtotal="bigint",
    tax="bigint", total="bigint",
)  # fmt: skip
_ACCOUNTS = Rows(
    id="uuid", user_id="uuid", contact_id="uuid", kind="text", value="text", key="text", created_at="timestamptz"
)
_LINES = Rows(
    id="uuid", user_id="uuid", connection_id="uuid", account_object_id="text", object_id="text", version="bigint",
    status="text", amount="bigint", currency="text", narration="text", counterparty="text", bank_reference="text",
    occurred_at="timestamptz", booked_on="date", trust="text",
)  # fmt: skip


@pytest.fixture
def context(database_url: str) -> Iterator[Clockwork]:
    with worker(database_url) as parts:
        yield parts


def furnish(shop: Shop, seed: int, lines: int, invoices: int) -> dict[str, generator.Truth]:
    """Write a generated book down; the truth by the line's object id."""
    book, truth = generator.make(seed, lines, invoices)
    user = shop.seller.id
    known = {one.id: one for one in book.invoices}
    with shop.database.connect() as connection:
        connection.execute(
            text(_CONTACTS.insert("contacts")),
            _CONTACTS.parameters(
                {"id": one.id, "user_id": user, "name": one.name, "email": f"{one.id.hex}@x.test",
                 "tds_rate": one.tds_rate}
                for one in book.contacts.values()
            ),
        )  # fmt: skip
        connection.execute(
            text(_INVOICES.insert("invoices")),
            _INVOICES.parameters(
                {
                    "id": one.id, "seller_id": user, "contact_id": one.contact_id, "number": one.number,
                    "number_key": one.key, "year": 2026, "sequence": place, "status": "open", "currency": "INR",
                    "issue_date": one.issue_date, "due_date": one.due_date, "subtotal": one.taxable,
                    "tax": one.total - one.taxable, "total": one.total,
                }
                for place, one in enumerate(known.values(), start=1)
            ),
        )  # fmt: skip
        connection.execute(
            text(_LINES.insert("transactions")),
            _LINES.parameters(
                {
                    "id": one.id, "user_id": user, "connection_id": shop.connection_id,
                    "account_object_id": one.source, "object_id": str(one.id), "version": 1, "status": "posted",
                    "amount": one.amount, "currency": "INR", "narration": one.narration,
                    "counterparty": one.counterparty, "bank_reference": one.reference,
                    "occurred_at": datetime.combine(one.day, time(6), NOW.tzinfo), "booked_on": one.day,
                    "trust": "fetched",
                }
                for one in book.lines
            ),
        )  # fmt: skip
        connection.execute(
            text(_ACCOUNTS.insert("payer_accounts")),
            _ACCOUNTS.parameters(
                {"id": new_id(), "user_id": user, "contact_id": one.contact_id, "value": key, "key": key,
                 "kind": "upi_collect" if "@" in key else "virtual_account", "created_at": NOW}
                for key, one in book.accounts.items()
            ),
        )  # fmt: skip
    return {str(line): told for line, told in truth.items()}


def test_a_thousand_lines_are_booked_as_they_are_true_and_never_twice(context: Clockwork) -> None:
    shop = open_shop(context)
    truth = furnish(shop, 11, 1_000, 4_000)
    done = run.work(context.database, shop.seller.id, NOW)
    assert done.judged == 1_000
    found = shop.rows(
        "SELECT transactions.object_id, ARRAY(SELECT invoice_id FROM match_targets WHERE match_id = matches.id) "
        "AS paid FROM matches JOIN transactions ON transactions.id = transaction_id "
        "WHERE state = 'accepted' AND kind = 'invoices'"
    )
    wrong = [row for row in found if {invoice for invoice, _ in truth[row["object_id"]].targets} != set(row["paid"])]
    # Nobody told of the payments that were typed in and of payouts here, so their lines have nothing to be linked to.
    assert wrong == []
    assert len(found) == done.accepted > 700
    twice = [name for name, told in truth.items() if told.kind == "told twice"]
    states = shop.rows(
        "SELECT match_state FROM transactions WHERE object_id = ANY(CAST(:names AS text[]))",
        names=array(twice, "text"),
    )
    assert {row["match_state"] for row in states} == {"duplicate"}
    check_sums(context.database)
    # What was learned from the first run may decide more lines in the second; then nothing is left to do.
    run.work(context.database, shop.seller.id, NOW)
    assert run.work(context.database, shop.seller.id, NOW).accepted == 0
    check_sums(context.database)
