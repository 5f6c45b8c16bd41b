"""What a seller says of the document must be well formed, and fit what the parties' KYC says."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.orm import Session

from core.database import Database
from core.errors import Forbidden, Invalid
from core.identity import Actor, Role
from core.marketplace import submitting
from core.marketplace.papers import Papers
from core.marketplace.states import Financing
from core.marketplace.submitting import Confirmer
from core.taxids import DocumentKind, gstin
from core.taxids.irn import irn
from tests.builders import NOW, add_invoice
from tests.core.marketplace.builders import RULES, person, verified

SELLER, BUYER, STRANGER = "ABCPS1234K", "ABCCB5678L", "ABCPX9999Z"


def registered(number: str, state: str = "27") -> str:
    first = f"{state}{number}1Z"
    return first + gstin.check_character(first)


def submit(session: Session, seller: Actor, buyer: Actor, invoice: Any = None, **said: Any) -> Financing:
    made = invoice or add_invoice(session, seller, 5_00_000)
    return submitting.submit(
        session,
        seller,
        UUID(made["id"]),
        buyer_email=buyer.email,
        papers=Papers(**said),
        link_to=lambda financing: f"https://here.test/{financing.id}",
        rules=RULES,
        now=NOW,
    )


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"supplier_gstin": "27AAPFU0939F1ZX"}, "supplier_gstin"),
        ({"buyer_gstin": "A" * 15}, "buyer_gstin"),
        ({"buyer_gstin": "78AAPFU0939F1ZV"}, "buyer_gstin"),
        ({"irn": "z" * 64}, "irn"),
        ({"document_number": "INV 7"}, "document_number"),
        ({"document_type": "CRN"}, "document_type"),
        ({"supplier_gstin": registered(STRANGER)}, "supplier_gstin"),
        ({"buyer_gstin": registered(STRANGER)}, "buyer_gstin"),
        ({"buyer_gstin": registered(SELLER, "07")}, "buyer_gstin"),
        ({"supplier_gstin": registered(SELLER), "document_number": "A/7", "irn": "0" * 64}, "irn"),
        ({"supplier_gstin": registered(SELLER), "irn": "0" * 64}, "irn"),
    ],
)
def test_what_cannot_be_true_is_not_submitted(market: Database, said: dict[str, str], field: str) -> None:
    with market.session() as session:
        seller, buyer = person(session, Role.SELLER, pan=SELLER), person(session, Role.BUYER, pan=BUYER)
        with pytest.raises(Invalid) as caught:
            submit(session, seller, buyer, **said)
        assert caught.value.field == field


def test_both_sides_of_one_taxpayer_are_refused_without_a_word_from_kyc(market: Database) -> None:
    with market.session() as session:
        seller, buyer = person(session, Role.SELLER), person(session, Role.BUYER)
        with pytest.raises(Invalid) as caught:
            submit(session, seller, buyer, supplier_gstin=registered(STRANGER), buyer_gstin=registered(STRANGER, "29"))
        assert caught.value.field == "buyer_gstin"


def test_numbers_that_fit_are_kept_as_they_are_written(market: Database) -> None:
    with market.session() as session:
        seller, buyer = person(session, Role.SELLER, pan=SELLER), person(session, Role.BUYER, pan=BUYER)
        invoice = add_invoice(session, seller, 5_00_000)
        right = irn(registered(SELLER), invoice["issue_date"], DocumentKind.INVOICE, "A/7")
        made = submit(
            session,
            seller,
            buyer,
            invoice,
            supplier_gstin=registered(SELLER).lower(),
            buyer_gstin=registered(BUYER, "29"),
            document_number="A/7",
            irn=right.upper(),
        )
        kept = {name: made.document[name] for name in ("supplier_gstin", "buyer_gstin", "document_number", "irn")}
        assert kept == {
            "supplier_gstin": registered(SELLER),
            "buyer_gstin": registered(BUYER, "29"),
            "document_number": "A/7",
            "irn": right,
        }


class _Keeper:
    """Keeps no records."""

    def record(self, *_: Any) -> None:
        return


def test_a_buyer_who_turns_out_to_be_the_supplier_that_the_papers_name_confirms_nothing(market: Database) -> None:
    with market.session() as session:
        seller, buyer = person(session, Role.SELLER), person(session, Role.BUYER)
        made = submit(session, seller, buyer, supplier_gstin=registered(STRANGER))
        verified(session, buyer, STRANGER)
        with pytest.raises(Forbidden):
            submitting.confirm(
                session,
                Confirmer(email=buyer.email, actor=buyer),
                made.invoice_id,
                amount=None,
                rules=RULES,
                keeper=_Keeper(),
                now=NOW,
            )
