"""The rows of repayments: those that stand, those that should, and what is written of the difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from core.bulk import Rows, array
from core.ids import new_id
from core.marketplace.receipts import Claim, Divided, Receipt, Terms, divide
from core.marketplace.repayment_posting import Case
from core.marketplace.states import Financing
from core.marketplace.waterfall import Recourse

_CLAIMS = text(
    "SELECT id, financing_id, investor_id, outlay, principal, status, repaid_principal, repaid_interest "
    "FROM investments WHERE financing_id = ANY(CAST(:ids AS uuid[])) AND status IN ('settled', 'repaid') "
    "ORDER BY financing_id, sequence"
)
_ROWS = text(
    "SELECT repayments.*, coalesce((SELECT jsonb_object_agg(investment_id, jsonb_build_array(shares.interest, "
    "shares.principal)) FROM repayment_shares AS shares WHERE repayment_id = repayments.id), '{}') AS shares "
    "FROM repayments WHERE financing_id = ANY(CAST(:ids AS uuid[])) ORDER BY financing_id, sequence"
)
_REVERSED = Rows(id="uuid", reversed_by="uuid")
_NEW = Rows(
    id="uuid",
    financing_id="uuid",
    payment_id="uuid",
    sequence="integer",
    amount="bigint",
    currency="text",
    interest="bigint",
    principal="bigint",
    seller="bigint",
    surplus="bigint",
    transfer_id="uuid",
    paid_at="timestamptz",
    created_at="timestamptz",
)
_SHARES = Rows(repayment_id="uuid", investment_id="uuid", interest="bigint", principal="bigint")
_INVESTMENTS = Rows(
    id="uuid", status="text", repaid_principal="bigint", repaid_interest="bigint", closed_at="timestamptz"
)
_REVERSE = text(_REVERSED.update("repayments"))
_INSERT = text(_NEW.insert("repayments"))
_INSERT_SHARES = text(_SHARES.insert("repayment_shares"))
_UPDATE_INVESTMENTS = text(_INVESTMENTS.update("investments"))


@dataclass(slots=True, kw_only=True)
class Desk:
    """A financing with what its repayments are (`rows`) and what they should be (`wanted`)."""

    financing: Financing
    case: Case
    claims: Sequence[Any]
    rows: Sequence[Any]
    wanted: Sequence[Divided]
    fresh: list[Divided] = field(init=False)
    undone: list[Any] = field(init=False)
    sequence: int = field(init=False)

    def __post_init__(self) -> None:
        # What is the same as it was stays as it is.
        left = {_as_kept(row): row for row in self.rows if row.reversed_by is None}
        self.fresh = [row for row in self.wanted if left.pop(_as_wanted(row), None) is None]
        # The newest first, as they would be undone by hand.
        self.undone = sorted(left.values(), key=lambda row: -int(row.sequence))
        self.sequence = max((row.sequence for row in self.rows), default=0)

    @property
    def sums(self) -> dict[str, Any]:
        """Columns of the financing that are sums of its repayments. A repurchase is not collected from the buyer."""
        return {
            "collected": sum(row.amount for row in self.wanted if not row.receipt.repurchase),
            "repaid_principal": sum(row.principal for row in self.wanted),
            "repaid_interest": sum(row.interest for row in self.wanted),
            "seller_reserve_paid": sum(row.seller for row in self.wanted),
            "surplus": sum(row.surplus for row in self.wanted),
        }

    @property
    def invested(self) -> list[dict[str, Any]]:
        """Each investment with what came back of it. It is closed by the receipt that brought the last of it."""
        found: dict[UUID, dict[str, Any]] = {
            claim.id: {
                "id": claim.id,
                "status": "settled",
                "repaid_principal": 0,
                "repaid_interest": 0,
                "closed_at": None,
                "principal": claim.principal,
            }
            for claim in self.claims
        }
        for row in self.wanted:
            for share in row.shares:
                one = found[share.investment_id]
                one["repaid_interest"] += share.interest
                one["repaid_principal"] += share.principal
                if one["repaid_principal"] == one["principal"] and one["closed_at"] is None:
                    one["status"], one["closed_at"] = "repaid", row.receipt.paid_at
        return list(found.values())


def _as_kept(row: Any) -> tuple[Any, ...]:
    shares = tuple(sorted((identity, *parts) for identity, parts in row.shares.items()))
    return (row.payment_id, row.paid_at, row.amount, row.interest, row.principal, row.seller, row.surplus, shares)


def _as_wanted(row: Divided) -> tuple[Any, ...]:
    shares = tuple(sorted((str(share.investment_id), share.interest, share.principal) for share in row.shares))
    paid = (row.receipt.payment_id, row.receipt.paid_at)
    return (*paid, row.amount, row.interest, row.principal, row.seller, row.surplus, shares)


def terms(financing: Financing) -> Terms:
    """What a settled financing promises."""
    if financing.confirmed_amount is None or financing.principal is None or financing.pay_date is None:
        raise ValueError(f"financing {financing.id} was never listed")
    return Terms(
        total=financing.face,
        confirmed=financing.confirmed_amount,
        principal=financing.principal,
        due=financing.pay_date,
        late_rate=(financing.late_rate or Decimal(0)).scaleb(-2),
        recourse=Recourse(financing.recourse or Recourse.NONE),
    )


def desks(
    connection: Connection, financings: Sequence[tuple[Financing, str]], money: Mapping[UUID, Sequence[Receipt]]
) -> list[Desk]:
    """Read what stands of each financing (with the number of its invoice) and divide what it should be."""
    if not financings:
        return []
    ids = {"ids": array((financing.id for financing, _ in financings), "uuid")}
    claims: dict[UUID, list[Any]] = {}
    for row in connection.execute(_CLAIMS, ids):
        claims.setdefault(row.financing_id, []).append(row)
    rows: dict[UUID, list[Any]] = {}
    for row in connection.execute(_ROWS, ids):
        rows.setdefault(row.financing_id, []).append(row)
    return [
        _desk(financing, number, claims.get(financing.id, []), rows.get(financing.id, []), money.get(financing.id, ()))
        for financing, number in financings
    ]


def _desk(
    financing: Financing, number: str, claims: Sequence[Any], rows: Sequence[Any], money: Sequence[Receipt]
) -> Desk:
    bought = [Claim(id=row.id, investor_id=row.investor_id, principal=row.principal) for row in claims]
    # A repurchase is a fact like a payment, and stands under the financing's own id: it happened once and stays.
    again = {row.paid_at for row in rows if row.payment_id == financing.id} - {
        one.paid_at for one in money if one.repurchase
    }
    repurchases = [Receipt(payment_id=financing.id, amount=0, paid_at=at, repurchase=True) for at in sorted(again)]
    case = Case(
        financing_id=financing.id,
        invoice_id=financing.invoice_id,
        number=number,
        seller_id=financing.seller_id,
        payer=f"user:{financing.buyer_id}" if financing.buyer_id else f"email:{financing.buyer_email}",
        currency=financing.currency,
    )
    return Desk(
        financing=financing,
        case=case,
        claims=claims,
        rows=rows,
        wanted=divide(terms(financing), bought, [*money, *repurchases]),
    )


@dataclass(slots=True)
class Written:
    """What is to be written once the ledger has posted."""

    reversed: list[dict[str, Any]] = field(default_factory=list)
    repayments: list[dict[str, Any]] = field(default_factory=list)
    shares: list[dict[str, Any]] = field(default_factory=list)
    investments: list[dict[str, Any]] = field(default_factory=list)

    def add(self, desk: Desk, row: Divided, transfer_id: UUID, now: datetime) -> UUID:
        """A divided receipt under the desk's present sequence number; return the repayment's id."""
        identity = new_id()
        self.repayments.append(
            {
                "id": identity,
                "financing_id": desk.financing.id,
                "payment_id": row.receipt.payment_id,
                "sequence": desk.sequence,
                "amount": row.amount,
                "currency": desk.financing.currency,
                "interest": row.interest,
                "principal": row.principal,
                "seller": row.seller,
                "surplus": row.surplus,
                "transfer_id": transfer_id,
                "paid_at": row.receipt.paid_at,
                "created_at": now,
            }
        )
        self.shares += [
            {
                "repayment_id": identity,
                "investment_id": share.investment_id,
                "interest": share.interest,
                "principal": share.principal,
            }
            for share in row.shares
        ]
        return identity

    def write(self, connection: Connection) -> None:
        """Write each table once. What was taken back first, or a payment would stand twice."""
        for rows, columns, statement in (
            (self.reversed, _REVERSED, _REVERSE),
            (self.repayments, _NEW, _INSERT),
            (self.shares, _SHARES, _INSERT_SHARES),
            (self.investments, _INVESTMENTS, _UPDATE_INVESTMENTS),
        ):
            if rows:
                connection.execute(statement, columns.parameters(rows))
