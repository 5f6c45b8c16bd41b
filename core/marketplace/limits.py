"""How much of an investor's money may go to one place (marketplace rules 2.2 and 2.4).

Caps that investors set themselves stop them, unless they say that they mean it. Without them, the suggested caps
only warn, with the share that would result. Exposure counts against the buyer, or against the seller where the
seller must buy the invoice back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import audit, ledger
from core.errors import Invalid
from core.identity import Actor
from core.marketplace.refusals import CapExceeded
from core.marketplace.states import Financing

SUGGESTED_PER_BUYER = Decimal(20)
SUGGESTED_PER_INVOICE = Decimal(10)
_TENTH = Decimal("0.1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """An investor's own caps, None where there is none: per cent of wallet and investments, and days."""

    per_buyer: Decimal | None = None
    per_invoice: Decimal | None = None
    max_days: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """Minor units: all the investor has, and what of it is in this invoice and with whoever stands for it."""

    wealth: int
    invoice: int
    debtor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Concern:
    """A cap that an amount goes over, in a sentence. `own`: the investor set it, so it stops."""

    sentence: str
    own: bool


def of(session: Session, user_id: UUID, *, lock: bool = False) -> Limits:
    """The caps an investor has set. Locked, two amounts at once are judged one after the other."""
    row = session.execute(
        text(
            "SELECT per_buyer, per_invoice, max_days FROM investor_limits WHERE user_id = :user"
            + (" FOR UPDATE" if lock else "")
        ),
        {"user": user_id},
    ).one_or_none()
    return Limits() if row is None else Limits(**row._asdict())


def put(session: Session, actor: Actor, limits: Limits, now: datetime) -> Limits:
    """Set the actor's own caps; repeating it changes nothing. Raises Invalid, naming the field."""
    for field in ("per_buyer", "per_invoice"):
        value: Decimal | None = getattr(limits, field)
        if value is not None and not (value.is_finite() and 0 < value <= 100 and value == round(value, 2)):
            raise Invalid(field, "must be more than 0 and at most 100 percent, with up to two decimal places")
    if limits.max_days is not None and not (type(limits.max_days) is int and 0 < limits.max_days <= 3650):
        raise Invalid("max_days", "must be 1 to 3650 days")
    values = {"per_buyer": limits.per_buyer, "per_invoice": limits.per_invoice, "max_days": limits.max_days}
    session.execute(
        text(
            "INSERT INTO investor_limits (user_id, per_buyer, per_invoice, max_days, updated_at) "
            "VALUES (:user, :per_buyer, :per_invoice, :max_days, :now) ON CONFLICT (user_id) DO UPDATE SET "
            "per_buyer = excluded.per_buyer, per_invoice = excluded.per_invoice, max_days = excluded.max_days, "
            "updated_at = excluded.updated_at"
        ),
        {"user": actor.id, "now": now, **values},
    )
    shown = {name: None if value is None else str(value) for name, value in values.items()}
    audit.record(session, actor, "limits.changed", "user", actor.id, shown, now)
    return limits


# What is still out: of a slice as much as its claim is unpaid, of a bid all that is held for it.
_EXPOSURE = text(
    """
    WITH mine AS (
        SELECT financing_id, investments.status = 'settled' AS out,
               outlay - floor(outlay::numeric * repaid_principal / principal)::bigint AS amount
        FROM investments WHERE investor_id = :user AND status IN ('held', 'settled')
        UNION ALL
        SELECT financing_id, false, outlay FROM bids WHERE investor_id = :user AND state = 'open'
    )
    SELECT coalesce(sum(amount) FILTER (WHERE out), 0)::bigint AS invested,
           coalesce(sum(amount) FILTER (WHERE financings.id = :financing), 0)::bigint AS invoice,
           coalesce(sum(amount) FILTER (WHERE CASE WHEN :recourse
               THEN financings.recourse = 'full' AND financings.seller_id = :seller
               ELSE financings.recourse IS DISTINCT FROM 'full' AND financings.buyer_email = :buyer END), 0)::bigint
               AS debtor
    FROM mine JOIN financings ON financings.id = mine.financing_id WHERE financings.currency = :currency
    """
)


def exposure(session: Session, user_id: UUID, financing: Financing) -> Exposure:
    """Where the investor's money is. What is held is still in the wallet, and counts as placed."""
    row: Any = session.execute(
        _EXPOSURE,
        {
            "user": user_id,
            "financing": financing.id,
            "recourse": financing.recourse == "full",
            "seller": financing.seller_id,
            "buyer": financing.buyer_email,
            "currency": financing.currency,
        },
    ).one()
    wallet = ledger.balance(session, ledger.wallet(user_id, financing.currency))
    return Exposure(wealth=max(0, wallet.balance) + row.invested, invoice=row.invoice, debtor=row.debtor)


def _share(amount: int, wealth: int) -> str:
    return f"{(Decimal(amount) * 100 / wealth).quantize(_TENTH, ROUND_HALF_UP):f}"


def concerns(limits: Limits, has: Exposure, financing: Financing, outlay: int) -> list[Concern]:
    """What speaks against putting in so much more. No wealth at all is for the ledger to refuse."""
    found: list[Concern] = []
    debtor = "seller, who must buy it back if the buyer does not pay" if financing.recourse == "full" else "buyer"
    for what, before, own, suggested in (
        (debtor, has.debtor, limits.per_buyer, SUGGESTED_PER_BUYER),
        ("invoice", has.invoice, limits.per_invoice, SUGGESTED_PER_INVOICE),
    ):
        cap = suggested if own is None else own
        after = before + outlay
        if has.wealth > 0 and after * 100 > cap * has.wealth:
            whose = "the suggested cap" if own is None else "your own cap"
            sentence = (
                f"{_share(after, has.wealth)} % of your money would stand with this {what}; "
                f"{whose} is {cap.normalize():f} %."
            )
            found.append(Concern(sentence=sentence, own=own is not None))
    if limits.max_days is not None and (financing.days or 0) > limits.max_days:
        sentence = f"Your money would be out for {financing.days} days; your own cap is {limits.max_days} days."
        found.append(Concern(sentence=sentence, own=True))
    return found


def warnings(session: Session, user_id: UUID, financing: Financing, outlay: int) -> list[str]:
    """What a quote says about the investor's caps, each with the share that would result."""
    return _sentences(concerns(of(session, user_id), exposure(session, user_id, financing), financing, outlay))


def check(session: Session, user_id: UUID, financing: Financing, outlay: int, *, override: bool) -> list[str]:
    """The warnings that go with an amount. Raises CapExceeded for a cap of the investor's own, unless `override`."""
    limits = of(session, user_id, lock=True)
    found = concerns(limits, exposure(session, user_id, financing), financing, outlay)
    own = [concern for concern in found if concern.own]
    if own and not override:
        raise CapExceeded(" ".join(_sentences(own)))
    return _sentences(found)


def _sentences(found: Sequence[Concern]) -> list[str]:
    return [concern.sentence for concern in found]
