"""Credit notes that are not issued: no number, no credit, and nothing lost when two change one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from core.edits import StaleEdit
from core.errors import Conflict, Forbidden, Invalid, NotFound
from core.identity import Actor, Role
from core.invoicing import credit_drafts, credit_notes, queries
from core.invoicing.credit_drafts import MOST_DRAFTS
from core.invoicing.credit_notes import NewCreditNote
from core.invoicing.totals import NewItem
from tests.builders import NOW, Clockwork, add_invoice
from tests.core.invoicing.desk import register


def note(invoice: Any, price: int | None = 2_500, **more: Any) -> NewCreditNote:
    line = NewItem(description="Tea", quantity=Decimal("1.5"), unit_price=price or 0, tax_rate=Decimal(5))
    given = {"reason": "Torn", "issue_date": NOW.date(), "items": None if price is None else [line], **more}
    return NewCreditNote(invoice_id=UUID(invoice["id"]), **given)


def drafted(session: Session, seller: Actor, **more: Any) -> tuple[dict[str, Any], NewCreditNote]:
    new = note(add_invoice(session, seller, 10_000), **more)
    return credit_drafts.make(session, seller, new, NOW), new


def due(session: Session, seller: Actor, new: NewCreditNote) -> int:
    return int(queries.get_invoice(session, seller, new.invoice_id)["amount_due"])


def numbers(session: Session, seller: Actor) -> list[str]:
    return list(
        session.scalars(
            text("SELECT number FROM credit_notes WHERE seller_id = :id ORDER BY sequence"), {"id": seller.id}
        )
    )


def test_a_draft_takes_no_number_and_credits_nothing_until_it_is_issued(session: Session, seller: Actor) -> None:
    draft, new = drafted(session, seller)
    gone, _ = drafted(session, seller)
    assert (draft["total"], due(session, seller, new), numbers(session, seller)) == (3_938, 10_000, [])
    credit_drafts.delete(session, seller, UUID(gone["id"]))
    made = credit_drafts.issue(session, seller, UUID(draft["id"]), NOW)
    assert (made["total"], due(session, seller, new)) == (3_938, 6_062)
    assert numbers(session, seller) == [made["number"]] == ["CN-2026-00001"]
    assert credit_drafts.drafts(session, seller) == []
    with pytest.raises(NotFound):
        credit_drafts.issue(session, seller, UUID(draft["id"]), NOW)


@pytest.mark.parametrize("price", [2_500, None], ids=["lines", "the whole invoice"])
def test_what_was_filled_in_is_what_is_issued(session: Session, seller: Actor, price: int | None) -> None:
    draft, new = drafted(session, seller, price=price, notes="Sorry", reason=" Torn ")
    assert credit_drafts.new_of(new.invoice_id, draft) == replace(new, reason="Torn")


def test_two_who_change_one_do_not_overwrite_each_other(session: Session, seller: Actor) -> None:
    draft, new = drafted(session, seller)
    identity = UUID(draft["id"])
    changed = credit_drafts.update(session, seller, identity, replace(new, reason="Late"), NOW, expected_version=1)
    assert (changed["version"], changed["reason"]) == (2, "Late")
    with pytest.raises(StaleEdit, match="changed reason meanwhile") as stale:
        credit_drafts.update(session, seller, identity, replace(new, notes="Mine"), NOW, expected_version=1)
    assert [edit.changes["reason"] for edit in stale.value.edits] == [["Torn", "Late"]]
    with pytest.raises(StaleEdit):
        credit_drafts.issue(session, seller, identity, NOW, expected_version=1)
    same = credit_drafts.update(session, seller, identity, replace(new, reason="Late"), NOW, expected_version=2)
    assert same["version"] == 2
    told = session.execute(
        text("SELECT data->>'version' AS version FROM outbox WHERE name = 'credit_note.drafted' "
             "AND data->>'draft_id' = :id ORDER BY id"), {"id": draft["id"]},
    )  # fmt: skip
    assert [row.version for row in told] == ["1", "2"]


def test_what_cannot_be_issued_is_not_kept_either(session: Session, seller: Actor) -> None:
    draft, new = drafted(session, seller)
    for wrong in (
        replace(new, reason=" "),
        replace(new, issue_date=NOW.date() + timedelta(days=9)),
        note({"id": str(new.invoice_id)}, 10_000),
    ):
        with pytest.raises(Invalid):
            credit_drafts.make(session, seller, wrong, NOW)
        with pytest.raises(Invalid):
            credit_drafts.update(session, seller, UUID(draft["id"]), wrong, NOW, expected_version=None)
    other = note(add_invoice(session, seller, 10_000))
    with pytest.raises(Conflict, match="stays with its invoice"):
        credit_drafts.update(session, seller, UUID(draft["id"]), other, NOW, expected_version=None)


def test_a_draft_that_no_longer_fits_is_refused_and_stays(session: Session, seller: Actor) -> None:
    draft, new = drafted(session, seller)
    credit_notes.create(session, seller, note({"id": str(new.invoice_id)}, 5_000), NOW)
    with pytest.raises(Invalid, match="2125 minor units are left"):
        credit_drafts.issue(session, seller, UUID(draft["id"]), NOW)
    assert [one["id"] for one in credit_drafts.drafts(session, seller)] == [draft["id"]]


def test_it_is_its_sellers_alone(session: Session, seller: Actor, context: Clockwork) -> None:
    draft, new = drafted(session, seller)
    identity, operator = UUID(draft["id"]), register(context.database, Role.OPERATOR)
    assert credit_drafts.get(session, operator, identity)["id"] == draft["id"]
    with pytest.raises(Forbidden):
        credit_drafts.delete(session, operator, identity)
    for person in (register(context.database), register(context.database, Role.BUYER)):
        with pytest.raises(NotFound):
            credit_drafts.get(session, person, identity)
        with pytest.raises(NotFound):
            credit_drafts.delete(session, person, identity)
        with pytest.raises(NotFound):
            credit_drafts.issue(session, person, identity, NOW)
        with pytest.raises((NotFound, Forbidden)):
            credit_drafts.make(session, person, new, NOW)


def test_so_many_are_kept_and_no_more(session: Session, seller: Actor) -> None:
    draft, new = drafted(session, seller)
    session.execute(
        text(
            "INSERT INTO credit_note_drafts (id, seller_id, invoice_id, given, total, created_at, updated_at) "
            "SELECT gen_random_uuid(), seller_id, invoice_id, given, total, created_at, updated_at "
            "FROM credit_note_drafts, generate_series(1, :more) WHERE id = :id"
        ),
        {"more": MOST_DRAFTS - 2, "id": draft["id"]},
    )
    credit_drafts.make(session, seller, new, NOW)
    with pytest.raises(Conflict, match="100 drafts"):
        credit_drafts.make(session, seller, new, NOW)
    assert len(credit_drafts.drafts(session, seller)) == MOST_DRAFTS
