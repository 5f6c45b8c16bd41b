"""Duplicates among financings: at submission, at acceptance, and between two at one moment."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import count
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from core.database import Database
from core.identity import Actor, Role
from core.marketplace import duplicates, reviewing, states, submitting
from core.marketplace.likeness import Hit
from core.marketplace.papers import Papers
from core.marketplace.reviewing import DuplicateFinancing
from core.marketplace.states import Financing, State
from core.marketplace.submitting import Confirmer
from core.taxids import gstin
from tests.builders import NOW, add_invoice
from tests.core.marketplace.builders import RULES, person

_numbers = count(1)


def pan() -> str:
    """A number nobody else in this file has."""
    return f"ABCPA{next(_numbers):04d}K"


def registered(number: str, state: str = "27") -> str:
    first = f"{state}{number}1Z"
    return first + gstin.check_character(first)


class _Keeper:
    """Keeps no records."""

    def record(self, *_: Any) -> None:
        return


def submitted(session: Session, seller: Actor, buyer: Actor, total: int = 5_00_000, **papers: Any) -> Financing:
    invoice = add_invoice(session, seller, total)
    return submitting.submit(
        session,
        seller,
        UUID(invoice["id"]),
        buyer_email=buyer.email,
        papers=Papers(**papers),
        link_to=lambda financing: f"https://here.test/{financing.id}",
        rules=RULES,
        now=NOW,
    )


def confirm(session: Session, financing: Financing, buyer: Actor) -> Financing:
    who = Confirmer(email=buyer.email, actor=buyer)
    return submitting.confirm(
        session, who, financing.invoice_id, amount=None, rules=RULES, keeper=_Keeper(), now=NOW + timedelta(hours=1)
    )


def hits(session: Session, financing: Financing) -> list[Hit]:
    return duplicates.check(session, financing, RULES.fingerprint_key)


def two(session: Session) -> tuple[Actor, Actor]:
    return person(session, Role.SELLER), person(session, Role.BUYER)


def test_the_same_number_of_the_same_registration_is_financed_once(market: Database) -> None:
    number = pan()
    with market.session() as session:
        seller, buyer = two(session)
        submitted(session, seller, buyer, supplier_gstin=registered(number), document_number="KA/042")
    with market.session() as session:
        other, _ = two(session)
    with pytest.raises(DuplicateFinancing) as refused, market.session() as session:
        submitted(session, other, buyer, supplier_gstin=registered(number), document_number="ka/042")
    # Nothing of by whom, for how much, or since when.
    assert str(refused.value) == "an invoice with this number is financed already"


def test_another_states_registration_and_another_account_do_not_hide_it(market: Database) -> None:
    number = pan()
    with market.session() as session:
        seller, buyer = two(session)
        submitted(session, seller, buyer, supplier_gstin=registered(number), document_number="INV-0042")
    with pytest.raises(DuplicateFinancing), market.session() as session:
        submitted(
            session,
            person(session, Role.SELLER),
            buyer,
            supplier_gstin=registered(number, "07"),
            document_number="inv/42",
        )


def test_what_ended_is_free_again(market: Database) -> None:
    number = registered(pan())
    with market.session() as session:
        seller, buyer = two(session)
        first = submitted(session, seller, buyer, supplier_gstin=number, document_number="X1")
        states.move(session, first, State.WITHDRAWN, NOW, actor=seller, reason="a mistake")
        again = submitted(session, seller, buyer, supplier_gstin=number, document_number="X1")
        assert hits(session, again) == []


@pytest.mark.parametrize(
    ("first", "second", "level"),
    [
        ({"document_number": "A-77"}, {"document_number": "B-12"}, "N1"),
        ({"document_number": "A-77"}, {"document_number": "A-77X", "total": 5_02_000}, "N2"),
        (
            {"document_number": "A-77", "references": ("111122223333",)},
            {"document_number": "B-12", "references": ("1111 2222 3333",), "total": 9_000},
            "N4",
        ),
    ],
)
def test_a_near_duplicate_is_found_and_stops_nothing(
    market: Database, first: dict[str, Any], second: dict[str, Any], level: str
) -> None:
    with market.session() as session:
        seller, buyer = two(session)
        original = submitted(session, seller, buyer, **first)
        copy = submitted(session, seller, buyer, **second)
        found = [(hit.level, hit.kind, hit.other) for hit in hits(session, copy)]
        assert found == [(level, "review", original.id)]
        # The first came first: what came after it is held against the other alone.
        assert hits(session, original) == []


def test_the_same_file_is_found_between_strangers(market: Database) -> None:
    with market.session() as session:
        one, buyer = two(session)
        other, till = two(session)
        file = session.scalar(
            text(
                "INSERT INTO files (id, owner_id, name, media_type, size, sha256, created_at) VALUES "
                "(uuid7(), :owner, 'a.pdf', 'application/pdf', 5, sha256('the same invoice'), :now) RETURNING id"
            ),
            {"owner": one.id, "now": NOW},
        )
        original = submitted(session, one, buyer, files=(file,))
        described = duplicates.document(
            session,
            UUID(add_invoice(session, other, 7_000)["id"]),
            buyer_email=till.email,
            buyer_id=till.id,
            papers={"files": [str(file)]},
        )
        found = duplicates.find(session, described, RULES.fingerprint_key)
    assert [(hit.level, hit.other) for hit in found] == [("N3", original.id)]


def test_it_is_asked_again_at_acceptance(market: Database) -> None:
    number = registered(pan())
    with market.session() as session:
        seller, buyer = two(session)
        first = submitted(session, seller, buyer, document_number="Q-1")
        second = submitted(session, seller, buyer, 8_00_000, document_number="Q-2")
        confirm(session, first, buyer)
        # What was said of the second turns out to be the first: its papers are read as they stand now.
        session.execute(
            text("UPDATE financings SET document = document || CAST(:said AS jsonb) WHERE id = :id"),
            {"said": f'{{"document_number": "q/01", "supplier_gstin": "{number}"}}', "id": second.id},
        )
    with pytest.raises(DuplicateFinancing), market.session() as session:
        confirm(session, second, buyer)


def test_of_two_that_wait_the_one_that_came_first_may_go_on(market: Database) -> None:
    with market.session() as session:
        seller, buyer = two(session)
        first = submitted(session, seller, buyer, document_number="W-1")
        second = _slipped_in(session, seller, buyer, first)
    with pytest.raises(DuplicateFinancing), market.session() as session:
        confirm(session, second, buyer)
    with market.session() as session:
        assert confirm(session, first, buyer).state is State.CONFIRMED


def _slipped_in(session: Session, seller: Actor, buyer: Actor, first: Financing) -> Financing:
    """A second one of the same fingerprints, as if both had been submitted at one moment."""
    made = submitted(session, seller, buyer, 8_00_000, document_number=f"S-{next(_numbers)}")
    session.execute(
        text(
            "UPDATE financings SET fp_e1 = first.fp_e1, fp_e2 = first.fp_e2, document = first.document "
            "FROM financings AS first WHERE financings.id = :id AND first.id = :first"
        ),
        {"id": made.id, "first": first.id},
    )
    return states.lock(session, made.invoice_id)


def at_once(*works: Callable[[], str]) -> list[str]:
    barrier = Barrier(len(works))

    def run(work: Callable[[], str]) -> str:
        barrier.wait()
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return sorted(pool.map(run, works))


def test_two_acceptances_at_one_moment_are_one_financing_and_one_clean_refusal(
    market: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Both look before either commits: the check finds nothing, and the index is the last line.
    monkeypatch.setattr(reviewing, "check", lambda *_, **__: None)
    with market.session() as session:
        seller, buyer = two(session)
        first = submitted(session, seller, buyer, document_number="R-1")
        second = _slipped_in(session, seller, buyer, first)

    def accept(financing: Financing) -> str:
        try:
            with market.session() as session:
                return confirm(session, financing, buyer).state.value
        except DuplicateFinancing as error:
            return error.code

    assert at_once(lambda: accept(first), lambda: accept(second)) == ["confirmed", "duplicate_financing"]


def test_the_registry_knows_what_is_confirmed_and_not_what_is_only_asked(market: Database) -> None:
    supplier, customer = registered(pan()), registered(pan(), "29")
    with market.session() as session:
        seller, buyer = two(session)
        made = submitted(session, seller, buyer, supplier_gstin=supplier, buyer_gstin=customer, document_number="REG-1")
        asked = duplicates.document(
            session,
            made.invoice_id,
            buyer_email="",
            buyer_id=None,
            papers={"supplier_gstin": supplier, "buyer_gstin": customer, "document_number": "reg/01"},
        )
        assert not duplicates.is_financed(session, asked, RULES.fingerprint_key)
        confirm(session, made, buyer)
        assert duplicates.is_financed(session, asked, RULES.fingerprint_key)
        assert not duplicates.is_financed(session, asked, b"another key")
