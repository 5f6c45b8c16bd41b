"""What is read out of the database is what is there, in a number of queries that does not grow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, text
from sqlalchemy.orm import Session

from core import risk
from core.database import Database
from core.errors import NotFound
from core.identity import Actor, Role
from core.ids import new_id
from core.risk import history
from core.risk.facts import History, Shared
from core.risk.scoring import judge
from core.taxids import DocumentKind
from core.taxids.irn import irn
from tests.core.risk.trade import Alike, Pair, finance, invoice, pair, pay, person
from tests.core.risk.worked import NOW, TODAY, day

GSTIN = "27AAPFU0939F1ZV"


def load(books: Database, invoice_id: UUID, **more: Any) -> History:
    with books.session() as session:
        return history.load(session, invoice_id, NOW, **more)


@contextmanager
def counted(books: Database) -> Iterator[list[str]]:
    said: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_more: object) -> None:
        said.append(statement)

    event.listen(books.engine, "before_cursor_execute", note)
    try:
        yield said
    finally:
        event.remove(books.engine, "before_cursor_execute", note)


def verified(session: Session, who: Actor, **columns: str) -> None:
    """KYC as an operator left it after looking at papers."""
    names = "".join(f", {name}" for name in columns)
    values = "".join(f", :{name}" for name in columns)
    session.execute(
        text(
            "INSERT INTO kyc_profiles (user_id, state, evidence, legal_name, constitution, account_name, version, "
            f"updated_at{names}) VALUES (:id, 'verified', 'documents', 'A', 'company', 'A', 1, :now{values})"
        ),
        {"id": who.id, "now": NOW, **columns},
    )
    session.execute(
        text(
            "INSERT INTO kyc_history (id, user_id, version, before, after, reason, at) "
            "VALUES (uuid7(), :id, 1, 'submitted', 'verified', 'test', :now)"
        ),
        {"id": who.id, "now": NOW},
    )


def test_a_first_invoice_knows_nothing_and_still_is_judged(books: Database) -> None:
    mine = pair(books)
    found = load(books, mine.invoice)
    assert (found.amount, found.tenor, found.issued) == (1_00_000_00, 30, TODAY)
    assert (found.pair_repaid, found.bills, found.velocity, found.price) == (0, (), None, None)
    assert (found.seller_days, found.buyer_days) == (400, 400)
    assert found.known["buyer_account"]
    assert not found.known["seller_gstin"]
    assert judge(found).codes == {"C1", "C2"}


def test_an_unknown_invoice_is_not_found(books: Database) -> None:
    with pytest.raises(NotFound):
        load(books, new_id())


def test_paid_late_and_open_bills_are_the_buyers_with_every_seller(books: Database) -> None:
    mine = pair(books)
    with books.session() as session:
        elsewhere = person(session, Role.SELLER)
        late = invoice(session, elsewhere, mine.buyer.email, issued=day(100), days=30)
        pay(session, late, elsewhere, day(50))
        on_time = invoice(session, mine.seller, mine.buyer.email, issued=day(90), days=30)
        pay(session, on_time, mine.seller, day(60))
        invoice(session, mine.seller, mine.buyer.email, issued=day(60), days=30)
        invoice(session, mine.seller, mine.buyer.email, issued=day(5), days=30)
    found = load(books, mine.invoice)
    assert sorted((bill.due, bill.paid_on) for bill in found.bills if bill.paid_on) == [
        (day(70), day(50)),
        (day(60), day(60)),
    ]
    # One is overdue and counts; the one that is not yet due does not.
    assert [bill.due for bill in found.bills if bill.paid_on is None] == [day(30)]
    assert found.pair_repaid == 1
    assert found.known["proven_payments"]


def test_the_same_lines_after_a_void_are_a_new_date_for_an_old_invoice(books: Database) -> None:
    with books.session() as session:
        seller, buyer = person(session, Role.SELLER), person(session, Role.BUYER)
        old = invoice(session, seller, buyer.email, issued=day(80), says="Loom no 4")
        other = invoice(session, seller, buyer.email, issued=day(70), says="Loom no 5")
        again = invoice(session, seller, buyer.email, issued=day(2), says="Loom no 4")
        session.execute(text("UPDATE invoices SET status = 'void' WHERE id IN (:a, :b)"), {"a": old, "b": other})
    found = load(books, again)
    assert [earlier.invoice_id for earlier in found.redated] == [str(old)]
    assert "T3" in {finding.code for finding in judge(found).stops}


def test_a_circle_of_three_sellers_is_found_by_their_addresses(books: Database) -> None:
    with books.session() as session:
        first, second, third = (person(session, Role.SELLER) for _ in range(3))
        subject = invoice(session, first, second.email)
        invoice(session, second, third.email)
        back = invoice(session, third, first.email)
    assert "C4" in judge(load(books, subject)).codes
    with books.session() as session:
        session.execute(text("UPDATE invoices SET issue_date = :then WHERE id = :id"), {"then": day(91), "id": back})
    assert "C4" not in judge(load(books, subject)).codes


def test_one_pan_on_two_sides_is_a_shared_identity(books: Database) -> None:
    mine = pair(books)
    with books.session() as session:
        verified(session, mine.seller, pan="AAPFU0939F", gstin=GSTIN, udyam="UDYAM-MH-12-0012345")
        verified(session, mine.buyer, pan="AAPFU0939F")
    found = load(books, mine.invoice)
    assert found.shared == (Shared(kind="pan", first="the seller", second="the buyer"),)
    assert found.small_seller
    assert found.known["seller_gstin"]
    assert found.known["seller_verified"]
    assert not found.known["buyer_gstin"]
    # That is C3's to say, once.
    assert {finding.code for finding in judge(found).stops} == {"C3"}


def test_a_wrong_irn_and_a_wrong_gstin_stop_and_right_ones_do_not(books: Database) -> None:
    with books.session() as session:
        seller, buyer = person(session, Role.SELLER), person(session, Role.BUYER)
        right = irn(GSTIN, TODAY, DocumentKind.INVOICE, "A/7")
        papers = {"supplier_gstin": GSTIN, "irn": right, "document_number": "A/7"}
        spelled = ", ".join(f'"{name}": "{value}"' for name, value in papers.items())
        good = invoice(session, seller, buyer.email)
        finance(session, good, document=f"{{{spelled}}}")
        bad = invoice(session, seller, buyer.email)
        finance(session, bad, document=f"{{{spelled.replace(right, '0' * 64)}}}")
        typo = invoice(session, seller, buyer.email)
        finance(session, typo, document=f"{{{spelled.replace(GSTIN, '27AAPFU0939F1ZW')}}}")
    assert "G1" not in judge(load(books, good)).codes
    failed = [[check.name for check in load(books, one).checks if check.passed is False] for one in (bad, typo)]
    assert failed == [["irn"], ["gstin_invalid", "irn"]]
    assert load(books, good).known["irn"]


def test_lines_that_do_not_add_up_stop_whoever_wrote_them(books: Database) -> None:
    mine = pair(books)
    with books.session() as session:
        session.execute(text("UPDATE invoice_items SET tax = 5 WHERE invoice_id = :id"), {"id": mine.invoice})
    assert [check.name for check in load(books, mine.invoice).checks if check.passed is False] == ["tax_arithmetic"]


def test_the_two_requests_are_compared_by_their_digests(books: Database) -> None:
    mine, other = pair(books), pair(books)
    with books.session() as session:
        risk.assess(session, mine.invoice, NOW, at="submission", evidence={"ip": "one"})
        soon = NOW + timedelta(seconds=20)
        again = risk.assess(session, mine.invoice, soon, at="acceptance", evidence={"ip": "one"})
        assert "K1" in again.codes
        elsewhere = risk.assess(session, mine.invoice, soon, at="acceptance", evidence={"ip": "two"})
        assert "K1" not in elsewhere.codes
        # The digest of the submission may be missing; then nothing is claimed.
        risk.assess(session, other.invoice, NOW, at="submission")
        for marks in ({"ip": "one"}, {"user_agent": "a browser"}):
            assert "K1" not in risk.assess(session, other.invoice, soon, at="acceptance", evidence=marks).codes


def test_credit_notes_elsewhere_and_short_pay_dilute(books: Database) -> None:
    mine = pair(books)
    with books.session() as session:
        paid = invoice(session, mine.seller, mine.buyer.email, issued=day(90), days=30)
        pay(session, paid, mine.seller, day(60))
        session.execute(
            text(
                "INSERT INTO mirrored_invoices (id, user_id, connection_id, object_id, version, status, direction, "
                "kind, number, total, currency, due, due_currency, issued_on, contact_email, trust) "
                "VALUES (uuid7(), :seller, :any, 'c', 1, 'open', 'sales', 'credit_note', 'C-1', 600000, 'INR', 0, "
                "'INR', :on, :buyer, 'fetched')"
            ),
            {"seller": mine.seller.id, "any": new_id(), "on": day(20), "buyer": mine.buyer.email},
        )
    found = load(books, mine.invoice)
    assert (found.diluted, found.sold) == (6_000_00, 1_00_000_00)
    assert judge(found).haircut is not None


def test_the_number_of_queries_does_not_grow_with_the_books(books: Database) -> None:
    def asked(mine: Pair, *hits: Alike) -> int:
        with counted(books) as said:
            load(books, mine.invoice, hits=hits)
        return len(said)

    mine = pair(books)
    few = asked(mine)
    with books.session() as session:
        for back in range(30):
            made = invoice(session, mine.seller, mine.buyer.email, issued=day(back + 1))
            if back % 3 == 0:
                pay(session, made, mine.seller, day(back))
        other = finance(session, invoice(session, mine.seller, mine.buyer.email))
    assert asked(mine) == few
    assert asked(mine, Alike("N1", other), Alike("N3", other)) == few + 1 <= 10
