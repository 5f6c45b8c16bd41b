"""A seller submits an invoice, its buyer answers (marketplace rules 2.1, 2.9).

The seller asks the buyer to accept the debt; the buyer accepts an amount, which cannot be taken back, or refuses
with a reason. Nothing here moves money.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import books, kyc, mail, notifications
from core.errors import Conflict, Forbidden, Invalid, NotFound
from core.identity import Actor, Role
from core.identity.users import clean_email
from core.ids import new_id
from core.invoicing import invoices
from core.invoicing import queries as invoicing
from core.live import announce
from core.marketplace import clock, duplicates, fingerprints, letters, news, reviewing, states
from core.marketplace import papers as documents
from core.marketplace.papers import Papers
from core.marketplace.rules import CONFIRM_DAYS, CURRENCY, MIN_TENOR_DAYS, Rules, today
from core.marketplace.states import Financing, State
from core.notifications import Notice
from core.taxids import cross

REASON_CODES = (
    "goods_not_received",
    "quality",
    "quantity",
    "price",
    "already_paid",
    "not_our_invoice",
    "other",
)
# How often one invoice is submitted in 24 hours.
SUBMISSIONS_A_DAY = 5
_MAX_REASON = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmer:
    """Who answers for the buyer: an account, or whoever opened the signed link sent to the buyer's address."""

    email: str
    actor: Actor | None = None
    # What the request was like, for the record of the acceptance.
    evidence: Mapping[str, str] = field(default_factory=dict)


def _own(session: Session, actor: Actor, invoice_id: UUID) -> Any:
    if actor.role is not Role.SELLER:
        invoicing.get_invoice(session, actor, invoice_id)
        raise Forbidden("only the seller submits an invoice")
    row = session.execute(
        text(
            "SELECT invoices.id, invoices.number, invoices.status, invoices.currency, invoices.total, "
            "invoices.amount_paid, invoices.issue_date, invoices.due_date, invoices.buyer_id, users.email, "
            "coalesce(nullif(users.organisation, ''), users.name) AS seller, contacts.name AS contact "
            "FROM invoices JOIN users ON users.id = invoices.seller_id "
            "JOIN contacts ON contacts.id = invoices.contact_id "
            "WHERE invoices.id = :id AND seller_id = :seller FOR UPDATE OF invoices"
        ),
        {"id": invoice_id, "seller": actor.id},
    ).one_or_none()
    if row is None:
        raise NotFound("invoice", invoice_id)
    return row


def _check_invoice(session: Session, invoice: Any, email: str, rules: Rules, now: datetime) -> None:
    if invoice.status not in {"draft", "open"}:
        raise Conflict(f"an invoice that is {invoice.status} is not financed")
    known = states.find(session, invoice.id)
    if known is not None and known.state not in states.ENDED:
        raise Conflict(f"this invoice is on the marketplace already: {known.state.value}")
    if invoice.currency != CURRENCY:
        raise Invalid("currency", f"the marketplace finances invoices in {CURRENCY}")
    if email == invoice.email:
        raise Invalid("buyer_email", "the buyer must be somebody else")
    left = (rules.calendar.due(invoice.due_date) - today(now)).days
    if left < MIN_TENOR_DAYS:
        raise Invalid("due_date", f"must be at least {MIN_TENOR_DAYS} days away to be financed; it is {max(left, 0)}")


def _check_repeats(session: Session, invoice_id: UUID, now: datetime) -> None:
    """Each submission writes a mail to somebody who may never have heard of us."""
    lately = session.scalar(
        text("SELECT count(*) FROM financings WHERE invoice_id = :id AND submitted_at > :since"),
        {"id": invoice_id, "since": now - timedelta(days=1)},
    )
    if int(lately or 0) >= SUBMISSIONS_A_DAY:
        raise Conflict(f"an invoice is submitted at most {SUBMISSIONS_A_DAY} times a day")


def _buyer(session: Session, invoice: Any, email: str) -> UUID | None:
    """The buyer's account, if there is one; the invoice becomes theirs to see."""
    found: UUID | None = session.scalar(
        text("SELECT id FROM users WHERE email = :email AND role = 'buyer' AND is_active"), {"email": email}
    )
    if invoice.buyer_id is not None and found != invoice.buyer_id:
        raise Conflict("this invoice is addressed to another buyer")
    return found


def submit(
    session: Session,
    actor: Actor,
    invoice_id: UUID,
    *,
    buyer_email: str,
    papers: Papers,
    rules: Rules,
    link_to: Callable[[Financing], str],
    now: datetime,
    evidence: Mapping[str, str] | None = None,
) -> Financing:
    """Ask the buyer to accept an invoice, in their account and by mail. A draft is issued by it.

    `link_to` gives the address at which whoever reads the buyer's mail may answer. `evidence` is what the request was
    like, in digests: the risk rules compare it with the buyer's.
    Raises Conflict for an invoice that is paid, void or on the marketplace already, `DuplicateFinancing` when a
    fingerprint stops it, Invalid naming the field, and KycRequired.
    """
    invoice = _own(session, actor, invoice_id)
    email = clean_email(buyer_email, "buyer_email")
    _check_invoice(session, invoice, email, rules, now)
    if invoice.status == "draft":
        invoices.issue(session, actor, invoice_id, now)
        # It may say something else by now, and money that waited for its number may have paid it.
        invoice = _own(session, actor, invoice_id)
        _check_invoice(session, invoice, email, rules, now)
    papers = documents.clean(papers, invoice.total)
    _check_repeats(session, invoice_id, now)
    kyc.require_verified(session, actor.id)
    buyer_id = _buyer(session, invoice, email)
    if buyer_id is not None and kyc.same_person(session, actor.id, buyer_id):
        raise Forbidden("seller and buyer are the same person")
    document = duplicates.document(session, invoice_id, buyer_email=email, buyer_id=buyer_id, papers=papers.shown())
    documents.check_parties(papers, document.seller, document.buyer)
    documents.check_irn(papers, document.seller, invoice.issue_date, invoice.number)
    prints = fingerprints.of(document, rules.fingerprint_key)
    session.execute(
        text(
            "UPDATE invoices SET buyer_id = coalesce(buyer_id, :buyer), version = version + 1, "
            "updated_at = :now WHERE id = :id"
        ),
        {"id": invoice_id, "buyer": buyer_id, "now": now},
    )
    books.touch(session, now)
    identity = new_id()
    session.execute(
        text(
            "INSERT INTO financings (id, invoice_id, seller_id, buyer_id, buyer_email, state, currency, face, "
            "deductions, due_date, issue_date, document, fp_e1, fp_e2, fp_n1, fp_pair, number_groups, "
            "file_hashes, document_references, submitted_at, confirm_by, created_at, updated_at) "
            "VALUES (:id, :invoice, :seller, :buyer, :email, :state, :currency, :face, :deductions, :due, :issue, "
            "CAST(:document AS jsonb), :e1, :e2, :n1, :pair, :groups, :hashes, :references, :now, :confirm_by, "
            ":now, :now)"
        ),
        {
            "id": identity,
            "invoice": invoice_id,
            "seller": actor.id,
            "buyer": buyer_id,
            "email": email,
            "state": State.PENDING.value,
            "currency": invoice.currency,
            "face": invoice.total,
            "deductions": papers.deductions,
            "due": invoice.due_date,
            "issue": invoice.issue_date,
            "document": states.spelled(papers.shown()),
            "e1": prints.e1,
            "e2": prints.e2,
            "n1": prints.n1,
            "pair": prints.pair,
            "groups": prints.number_groups,
            "hashes": list(prints.file_hashes),
            "references": list(prints.references),
            "now": now,
            "confirm_by": now + timedelta(days=CONFIRM_DAYS),
        },
    )
    financing = states.lock(session, invoice_id)
    reviewing.check(session, financing, rules, now, at="submission", evidence=evidence)
    financing = states.change(session, financing, now, due_at=clock.next_look(financing, rules.calendar))
    states.record(session, financing, None, now, actor=actor, reason="submitted by the seller")
    states.tell(session, financing)
    _ask_buyer(session, financing, invoice, link_to(financing), now)
    return financing


def _ask_buyer(session: Session, financing: Financing, invoice: Any, link: str, now: datetime) -> None:
    asked = letters.Asked(
        financing_id=financing.id,
        version=financing.version,
        number=invoice.number,
        seller=invoice.seller,
        buyer=invoice.contact,
        buyer_email=financing.buyer_email,
        currency=financing.currency,
        face=financing.face,
        deductions=financing.deductions,
        issue_date=financing.issue_date,
        due_date=financing.due_date,
        confirm_by=today(financing.confirm_by),
        link=link,
    )
    mail.write(session, letters.ask_to_confirm(asked), now)
    news.over(session, financing, now, "invoice.rejected", "invoice.expired", "invoice.withdrawn")
    if financing.buyer_id is None:
        return
    until = today(financing.confirm_by)
    notice = Notice(
        user_id=financing.buyer_id,
        kind="invoice.to_confirm",
        subject_kind="invoice",
        subject_id=financing.invoice_id,
        title=f"Confirm invoice {invoice.number}",
        body="Its seller wants to have it financed. Say whether you owe it, and how much, before "
        f"{until.day} {until:%b %Y}. What you confirm cannot be taken back.",
    )
    announce(session, notifications.tell(session, notice, now))


def _answering(session: Session, who: Confirmer, invoice_id: UUID) -> Financing:
    """The financing, locked, when it is theirs to answer. Raises NotFound or Forbidden."""
    if who.actor is not None:
        # To a stranger the invoice is not there.
        invoicing.get_invoice(session, who.actor, invoice_id)
        if who.actor.role is not Role.BUYER:
            raise Forbidden("only the buyer answers for an invoice")
        if states.find(session, invoice_id) is None:
            raise Conflict("nobody asked you to confirm this invoice")
    financing = states.lock(session, invoice_id)
    mine = financing.buyer_id == who.actor.id if who.actor is not None else financing.buyer_email == who.email
    if not mine:
        raise Forbidden("somebody else is asked to confirm this invoice")
    if who.actor is not None:
        kyc.require_verified(session, who.actor.id)
        if kyc.same_person(session, who.actor.id, financing.seller_id):
            raise Forbidden("seller and buyer are the same person")
    return financing


def confirm(
    session: Session,
    who: Confirmer,
    invoice_id: UUID,
    *,
    amount: int | None,
    rules: Rules,
    keeper: Any,
    now: datetime,
) -> Financing:
    """The buyer accepts to owe `amount` (None: face less deductions) on the due date, for good.

    A repeat with the same amount changes nothing. Raises Conflict when it was refused, has expired or was accepted
    with another amount. `keeper` signs the record (core.marketplace.confirmations).
    """
    financing = _answering(session, who, invoice_id)
    if financing.buyer_id is not None:
        # The link is no way around a KYC that an operator refused.
        kyc.require_verified(session, financing.buyer_id)
    most = financing.face - financing.deductions
    accepted = most if amount is None else amount
    if type(accepted) is not int or not 0 < accepted <= most:
        raise Invalid("confirmed_amount", f"must be 1 to {most} minor units: the face less the declared deductions")
    if financing.confirmed_amount is not None and financing.state not in states.ENDED:
        if financing.confirmed_amount == accepted:
            return financing
        raise Conflict("this invoice is confirmed already, and a confirmation cannot be changed")
    if State.CONFIRMED not in states.MOVES[financing.state]:
        raise Conflict(f"this invoice cannot be confirmed any more: {financing.state.value}")
    if now > financing.confirm_by:
        raise Conflict("the time to confirm this invoice is over; its seller may submit it again")
    document = duplicates.described(session, financing)
    # KYC may know of a PAN by now that it did not know at submission.
    if any(finding.code == "same_pan" for finding in cross.check(document.seller, document.buyer)):
        raise Forbidden("seller and buyer are the same person")
    reviewing.check(session, financing, rules, now, at="acceptance", evidence=who.evidence)
    with reviewing.last_line(session):
        moved = states.move(
            session,
            financing,
            State.CONFIRMED,
            now,
            actor=who.actor,
            reason="accepted by the buyer" if who.actor else "accepted by the buyer through the signed link",
            data={"confirmed_amount": accepted},
            confirmed_amount=accepted,
            confirmed_at=now,
            reason_code=None,
        )
    keeper.record(session, moved, who, now)
    _answered(session, moved, "Confirmed", "Its buyer accepted it. You can list it on the marketplace now.", now)
    return moved


def reject(
    session: Session,
    who: Confirmer,
    invoice_id: UUID,
    *,
    reason: str,
    code: str = "other",
    dispute: bool = False,
    now: datetime,
) -> Financing:
    """The buyer says no, with a reason; as a dispute it may still be confirmed when seller and buyer agree."""
    if code not in REASON_CODES:
        raise Invalid("reason_code", f"must be one of {', '.join(REASON_CODES)}")
    if not 0 < len(reason.strip()) <= _MAX_REASON:
        raise Invalid("reason", f"must have 1 to {_MAX_REASON} characters")
    financing = _answering(session, who, invoice_id)
    to = State.DISPUTED if dispute else State.REJECTED
    if financing.confirmed_amount is not None and financing.state not in states.ENDED:
        raise Conflict("this invoice is confirmed, and a confirmation cannot be taken back")
    moved = states.move(
        session,
        financing,
        to,
        now,
        actor=who.actor,
        reason=f"{code}: {reason.strip()}",
        data={"reason_code": code},
        reason_code=code,
    )
    _answered(session, moved, "Disputed" if dispute else "Rejected", f"Its buyer says: {reason.strip()}", now)
    return moved


def _answered(session: Session, financing: Financing, word: str, body: str, now: datetime) -> None:
    number = session.scalar(text("SELECT number FROM invoices WHERE id = :id"), {"id": financing.invoice_id})
    events = notifications.clear(session, financing.invoice_id, ["invoice.to_confirm", "invoice.disputed"], now)
    notice = Notice(
        user_id=financing.seller_id,
        kind=f"invoice.{financing.state.value}",
        subject_kind="invoice",
        subject_id=financing.invoice_id,
        title=f"{word}: invoice {number}",
        body=body,
    )
    announce(session, [*events, *notifications.tell(session, notice, now)])
