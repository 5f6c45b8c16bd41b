"""The arithmetic of the ledger, without a database: what work does to the accounts it finds, or why it may not.

`Books` are given accounts, holds and originals as they stand under the caller's locks. Each piece of work is looked
at in turn, over what the ones before it left. The rows to write collect in it; nothing is written when one is refused,
because the caller then has nothing to write.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from core.errors import Invalid
from core.ledger.accounts import OVERDRAWN, Account, Purpose
from core.ledger.errors import AlreadyReversed, HoldExceeded, HoldResolved, InsufficientFunds, NotMirrored, UnknownHold
from core.ledger.work import Hold, HoldPart, Release, Transfer

# Far below what a bigint holds, far above all the money there is.
_LIMIT = 10**18


@dataclass(slots=True, kw_only=True)
class AccountState:
    """An account as it stands, and as work changes it. Amounts in minor units."""

    id: UUID
    owner: str
    purpose: str
    currency: str
    balance: int
    held: int
    sequence: int
    overdraft: bool
    moved_at: datetime | None
    changed: bool = False

    @property
    def available(self) -> int:
        """What can be spent: what is held is not."""
        return self.balance - self.held


@dataclass(slots=True, kw_only=True)
class HoldState:
    """A hold as it stands."""

    id: UUID
    account_id: UUID
    to_account_id: UUID
    amount: int
    expires_at: datetime | None
    open: bool = True


@dataclass(slots=True, kw_only=True)
class Original:
    """A transfer that is to be reversed: its (account, amount) pairs, and whether it was reversed before."""

    legs: list[tuple[UUID, int]]
    reversed: bool


@dataclass(slots=True)
class Books:
    """Accounts under lock, and the rows that work makes of them."""

    accounts: Mapping[UUID, AccountState]
    holds: dict[UUID, HoldState]
    originals: Mapping[UUID, Original]
    now: datetime
    recorded_at: datetime = field(init=False)
    entries: list[dict[str, Any]] = field(default_factory=list)
    transfers: list[dict[str, Any]] = field(default_factory=list)
    reversals: list[dict[str, Any]] = field(default_factory=list)
    new_holds: list[dict[str, Any]] = field(default_factory=list)
    resolutions: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        # Recorded time never runs backwards on an account, whatever the clocks of two machines say.
        moved = [state.moved_at for state in self.accounts.values() if state.moved_at is not None]
        self.recorded_at = max([self.now, *moved])

    def transfer(self, work: Transfer) -> None:
        """Post a transfer. Raises what `core.ledger.post` does."""
        if work.reverses is not None:
            self._check_reversal(work, work.reverses)
        for part in work.posts:
            self._use(work, part)
        effective_at = work.effective_at or self.now
        before: dict[UUID, int] = {}
        for leg in work.legs:
            state = self.accounts[leg.account.id]
            before.setdefault(state.id, state.balance)
            self._enter(state, leg.amount, work.id, effective_at)
        for identity, was in before.items():
            check_funds(self.accounts[identity], was, overdraft=work.overdraft)
        self.transfers.append(
            {
                "id": work.id,
                "kind": work.kind,
                "key": work.key,
                "description": work.description,
                "invoice_id": work.invoice_id,
                "event_id": work.event_id,
                "effective_at": effective_at,
                "recorded_at": self.recorded_at,
            }
        )

    def hold(self, work: Hold) -> None:
        """Promise money of an account. Raises InsufficientFunds."""
        state = self.accounts[work.account.id]
        state.held += work.amount
        state.changed = True
        check_funds(state, state.balance + work.amount, overdraft=False)
        self.holds[work.id] = HoldState(
            id=work.id,
            account_id=state.id,
            to_account_id=work.to.id,
            amount=work.amount,
            expires_at=work.expires_at,
        )
        self.new_holds.append(
            {
                "id": work.id,
                "account_id": state.id,
                "to_account_id": work.to.id,
                "currency": state.currency,
                "amount": work.amount,
                "key": work.key,
                "description": work.description,
                "invoice_id": work.invoice_id,
                "expires_at": work.expires_at,
                "created_at": self.now,
            }
        )

    def release(self, work: Release) -> None:
        """Give a hold back. Raises UnknownHold, HoldResolved."""
        hold = check_open(self.holds, work.hold_id)
        if work.outcome == "expired" and (hold.expires_at is None or self.now < hold.expires_at):
            raise HoldResolved(f"hold {hold.id} has not expired")
        self._resolve(hold, work.outcome, 0, None)

    def _enter(self, state: AccountState, amount: int, transfer_id: UUID, effective_at: datetime) -> None:
        balance = state.balance + amount
        if abs(balance) > _LIMIT:
            raise Invalid("legs", "more than an account can keep")
        state.sequence += 1
        self.entries.append(
            {
                "account_id": state.id,
                "sequence": state.sequence,
                "transfer_id": transfer_id,
                "currency": state.currency,
                "amount": amount,
                "balance_before": state.balance,
                "balance_after": balance,
                "effective_at": effective_at,
                "recorded_at": self.recorded_at,
            }
        )
        state.balance = balance
        state.moved_at = self.recorded_at
        state.changed = True

    def _use(self, work: Transfer, part: HoldPart) -> None:
        hold = check_open(self.holds, part.hold_id)
        if hold.expires_at is not None and self.now >= hold.expires_at:
            raise HoldResolved(f"hold {hold.id} expired at {hold.expires_at}")
        if part.amount > hold.amount:
            raise HoldExceeded(f"hold {hold.id} is over {hold.amount}, not {part.amount}")
        parts = [(self.holds[other.hold_id], other.amount) for other in work.posts if other.hold_id in self.holds]
        out = sum(amount for other, amount in parts if other.account_id == hold.account_id)
        into = sum(amount for other, amount in parts if other.to_account_id == hold.to_account_id)
        if debited(work, hold.account_id) < out or credited(work, hold.to_account_id) < into:
            raise HoldExceeded(f"the legs do not move {part.amount} of hold {hold.id} to whom it is promised")
        self._resolve(hold, "posted", part.amount, work.id)

    def _resolve(self, hold: HoldState, outcome: str, amount: int, transfer_id: UUID | None) -> None:
        hold.open = False
        state = self.accounts[hold.account_id]
        state.held -= hold.amount
        state.changed = True
        self.resolutions.append(
            {"hold_id": hold.id, "outcome": outcome, "amount": amount, "transfer_id": transfer_id, "at": self.now}
        )

    def _check_reversal(self, work: Transfer, original_id: UUID) -> None:
        original = self.originals.get(original_id)
        if original is None:
            raise NotMirrored(f"there is no transfer {original_id}")
        if original.reversed:
            raise AlreadyReversed(f"transfer {original_id} was reversed before")
        if sorted((leg.account.id, -leg.amount) for leg in work.legs) != sorted(original.legs):
            raise NotMirrored(f"the legs do not undo transfer {original_id} exactly")
        original.reversed = True
        self.reversals.append({"original": original_id, "transfer_id": work.id})


def check_funds(state: AccountState, was: int, *, overdraft: bool) -> None:
    """Nobody who took something from an account may leave less than nothing to spend. Raises InsufficientFunds.

    `was` is what it had before, in the same terms as `state.balance` is now.
    """
    if state.available >= 0 or state.purpose in OVERDRAWN:
        return
    if state.purpose == Purpose.SCRATCH and overdraft:
        state.overdraft = True
        return
    taken = was - state.balance
    if taken > 0:
        raise InsufficientFunds(state.owner, state.available + taken, taken, state.currency)


def check_open(holds: Mapping[UUID, HoldState], hold_id: UUID) -> HoldState:
    """The hold, when nothing became of it yet. Raises UnknownHold, HoldResolved."""
    hold = holds.get(hold_id)
    if hold is None:
        raise UnknownHold("hold", hold_id)
    if not hold.open:
        raise HoldResolved(f"hold {hold_id} is resolved")
    return hold


def debited(work: Transfer, account_id: UUID) -> int:
    """What a transfer takes from an account."""
    return -sum(leg.amount for leg in work.legs if leg.amount < 0 and leg.account.id == account_id)


def credited(work: Transfer, account_id: UUID) -> int:
    """What a transfer gives to an account."""
    return sum(leg.amount for leg in work.legs if leg.amount > 0 and leg.account.id == account_id)


def by_id(accounts: Iterable[Account]) -> Sequence[Account]:
    """Each account once, in the order in which they are opened and locked everywhere."""
    return sorted({account.id: account for account in accounts}.values(), key=lambda account: account.id)
