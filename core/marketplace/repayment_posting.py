"""The ledger's side of repayments: what each receipt moves, and how it is taken back (marketplace rules 2.7, 3.3).

A receipt is one transfer: from outside into escrow, and out of it to everybody at once, so that escrow is empty
again. Whoever owes the platform pays that first out of what comes. Taking a receipt back is a reversal that mirrors
it; where somebody has spent the money by then, the platform covers the wallet first, and claims it from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

from core import ledger
from core.bulk import array
from core.ledger import Account, Leg, Purpose, Transfer
from core.marketplace.receipts import Divided

_LEGS = text(
    "SELECT transfer_id, ledger_transfers.effective_at, owner, purpose, ledger_accounts.currency, amount "
    "FROM ledger_entries JOIN ledger_accounts ON ledger_accounts.id = account_id "
    "JOIN ledger_transfers ON ledger_transfers.id = transfer_id "
    "WHERE transfer_id = ANY(CAST(:ids AS uuid[])) ORDER BY ledger_entries.id"
)
# As `ledger.post` locks them: all that will be named, in the order of their ids, before what they hold is read.
_LOCK = text(
    "SELECT id, balance, held FROM ledger_accounts WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR NO KEY UPDATE"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """A transfer that stands: its legs and when it counts."""

    legs: tuple[Leg, ...]
    effective_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Whose repayments these are. `payer` owns what was paid above all that was owed."""

    financing_id: UUID
    invoice_id: UUID
    number: str
    seller_id: UUID
    payer: str
    currency: str

    @property
    def escrow(self) -> Account:
        """The account everything passes through."""
        return ledger.escrow(self.financing_id, self.currency)

    def wallet(self, user_id: UUID) -> Account:
        """What a person can spend."""
        return ledger.wallet(user_id, self.currency)

    def claim(self, user_id: UUID) -> Account:
        """What a person owes the platform."""
        return ledger.recoverable(user_id, self.currency)

    def source(self, row: Divided) -> Account:
        """Where the money of a receipt comes from."""
        return ledger.outside(row.receipt.connection_id, self.currency)

    def accounts(self, row: Divided) -> list[Account]:
        """Every account that a receipt may move."""
        people = [self.seller_id, *(share.investor_id for share in row.shares)]
        return [
            self.escrow,
            self.source(row),
            ledger.unapplied(self.payer, self.currency),
            *(account for person in people for account in (self.wallet(person), self.claim(person))),
        ]


@dataclass(slots=True)
class Till:
    """What the accounts will hold after the work so far: read under lock, then followed transfer by transfer."""

    balances: dict[UUID, int] = field(default_factory=dict)
    held: dict[UUID, int] = field(default_factory=dict)
    work: list[Transfer] = field(default_factory=list)

    @classmethod
    def open(cls, connection: Connection, accounts: Iterable[Account]) -> Till:
        """Lock the accounts that exist and read them. One that does not has nothing, and nobody else has it."""
        ids = {account.id for account in accounts}
        rows = connection.execute(_LOCK, {"ids": array(ids, "uuid")}).all()
        return cls({row.id: row.balance for row in rows}, {row.id: row.held for row in rows})

    def balance(self, account: Account) -> int:
        """Credits less debits, in minor units."""
        return self.balances.get(account.id, 0)

    def available(self, account: Account) -> int:
        """What can be spent of it."""
        return self.balance(account) - self.held.get(account.id, 0)

    def put(self, transfer: Transfer) -> None:
        """Add a transfer to the work."""
        self.work.append(transfer)
        for leg in transfer.legs:
            self.balances[leg.account.id] = self.balance(leg.account) + leg.amount


def owing(wallet: Account) -> Account:
    """What the owner of a wallet owes the platform."""
    return Account(wallet.owner, Purpose.RECOVERABLE, wallet.currency)


def past(connection: Connection, transfer_ids: Sequence[UUID]) -> dict[UUID, Past]:
    """Transfers that are to be taken back, by id."""
    if not transfer_ids:
        return {}
    legs: dict[UUID, list[Leg]] = {}
    moments: dict[UUID, datetime] = {}
    for row in connection.execute(_LEGS, {"ids": array(transfer_ids, "uuid")}):
        account = Account(row.owner, Purpose(row.purpose), row.currency)
        legs.setdefault(row.transfer_id, []).append(Leg(account, row.amount))
        moments[row.transfer_id] = row.effective_at
    return {identity: Past(legs=tuple(legs[identity]), effective_at=moments[identity]) for identity in legs}


def receive(case: Case, row: Divided, till: Till, *, sequence: int, event_id: UUID | None) -> UUID:
    """Put one divided receipt through escrow; return the transfer's id. It counts from when it was paid."""
    into = _repurchased(case, row, till) if row.receipt.repurchase else [Leg(case.source(row), -row.amount)]
    due: dict[UUID, int] = {}
    for share in row.shares:
        due[share.investor_id] = due.get(share.investor_id, 0) + share.interest + share.principal
    if row.seller:
        due[case.seller_id] = due.get(case.seller_id, 0) + row.seller
    out = [leg for person, amount in due.items() for leg in _credit(case, person, amount, till)]
    if row.surplus:
        out.append(Leg(ledger.unapplied(case.payer, case.currency), row.surplus))
    word = "bought back by its seller" if row.receipt.repurchase else "paid by its buyer"
    transfer = Transfer(
        kind="repayment.repurchased" if row.receipt.repurchase else "repayment.received",
        key=f"repayment:{case.financing_id}:{sequence}",
        legs=(*into, Leg(case.escrow, row.amount), Leg(case.escrow, -row.amount), *out),
        description=f"Invoice {case.number} {word}",
        effective_at=row.receipt.paid_at,
        invoice_id=case.invoice_id,
        event_id=event_id,
    )
    till.put(transfer)
    return transfer.id


def _repurchased(case: Case, row: Divided, till: Till) -> list[Leg]:
    """The seller pays what the wallet has; the platform advances the rest and claims it."""
    wallet = case.wallet(case.seller_id)
    given = max(0, min(row.amount, till.available(wallet)))
    parts = [(wallet, given), (case.claim(case.seller_id), row.amount - given)]
    return [Leg(account, -amount) for account, amount in parts if amount]


def _credit(case: Case, person: UUID, amount: int, till: Till) -> list[Leg]:
    """What a person gets, less what they owe the platform."""
    claim = case.claim(person)
    cleared = min(amount, max(0, -till.balance(claim)))
    return [Leg(account, part) for account, part in ((claim, cleared), (case.wallet(person), amount - cleared)) if part]


def take_back(
    case: Case, original_id: UUID, original: Past, till: Till, *, sequence: int, event_id: UUID | None
) -> UUID:
    """Reverse a receipt; return the reversal's id. It counts from when the receipt did, as if that had never been."""
    key = f"repayment:{case.financing_id}:{sequence}"
    taken: dict[Account, int] = {}
    for leg in original.legs:
        if leg.account.purpose is Purpose.WALLET:
            taken[leg.account] = taken.get(leg.account, 0) + leg.amount
    for wallet, amount in taken.items():
        short = amount - max(0, till.available(wallet))
        if amount > 0 and short > 0:
            claim = owing(wallet)
            till.put(
                Transfer(
                    kind="repayment.covered",
                    key=f"{key}:cover:{wallet.owner}",
                    legs=(Leg(claim, -short), Leg(wallet, short)),
                    description=f"Invoice {case.number}: what was spent of a payment that was taken back",
                    effective_at=original.effective_at,
                    invoice_id=case.invoice_id,
                    event_id=event_id,
                )
            )
    transfer = Transfer(
        kind="repayment.reversed",
        key=f"{key}:reversed",
        # What came in last goes out first.
        legs=tuple(Leg(leg.account, -leg.amount) for leg in reversed(original.legs)),
        description=f"Invoice {case.number}: a payment was taken back or changed",
        effective_at=original.effective_at,
        invoice_id=case.invoice_id,
        event_id=event_id,
        reverses=original_id,
    )
    till.put(transfer)
    for claim in {leg.account for leg in original.legs if leg.account.purpose is Purpose.RECOVERABLE}:
        # It was paid off since, out of other money: what the reversal gives is its owner's to spend.
        if (over := till.balance(claim)) > 0:
            wallet = Account(claim.owner, Purpose.WALLET, claim.currency)
            till.put(
                Transfer(
                    kind="repayment.claim_returned",
                    key=f"{key}:returned:{claim.owner}",
                    legs=(Leg(claim, -over), Leg(wallet, over)),
                    description=f"Invoice {case.number}: what was claimed too much",
                    effective_at=original.effective_at,
                    invoice_id=case.invoice_id,
                    event_id=event_id,
                )
            )
    return transfer.id
