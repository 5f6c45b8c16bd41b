"""An auditor who knows the rules and not the code: says what the ledger may answer, and what must stand afterwards.

Written from marketplace rules 3.1 and 3.4 alone. It shares the values that are asked with the ledger, and no function.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from core.ledger import Hold, HoldPart, Release, Transfer, Work

# The rules name these; every other account must not be below zero.
MAY_OWE = {"issuance", "outside", "recoverable"}
NIL = UUID(int=0)


@dataclass
class Promise:
    """A hold, as promised."""

    source: Any
    target: Any
    amount: int
    expires_at: datetime | None
    open: bool = True


@dataclass
class State:
    """Everything there is to know."""

    balances: dict[Any, int] = field(default_factory=dict)
    entries: dict[Any, int] = field(default_factory=dict)
    holds: dict[UUID, Promise] = field(default_factory=dict)
    transfers: dict[UUID, list[tuple[Any, int]]] = field(default_factory=dict)
    undone: set[UUID] = field(default_factory=set)
    # key → (request, None or the reason of its refusal)
    keys: dict[str, tuple[Work, str | None]] = field(default_factory=dict)

    def held(self, account: Any) -> int:
        return sum(one.amount for one in self.holds.values() if one.open and one.source == account)

    def spendable(self, account: Any) -> int:
        return self.balances.get(account, 0) - self.held(account)


class No(Exception):
    """Must be refused, for this reason."""


class Spent(No):
    """Its key stands for something else, or for its refusal."""


def _same(one: Work, other: Work) -> bool:
    if type(one) is not type(other) or isinstance(one, Release) or isinstance(other, Release):
        return False
    return replace(one, id=NIL) == replace(other, id=NIL)


class Auditor:
    """Keeps the books that must be, and predicts every answer."""

    def __init__(self) -> None:
        self.state = State()

    def predict(self, work: list[Work], now: datetime) -> tuple[str, str | None]:
        """Status and reason that the ledger must answer; the state moves on as it must."""
        before = self.state
        after = copy.deepcopy(before)
        applied = False
        try:
            for piece in work:
                self._shape(piece)
            fresh = [piece for piece in work if not self._known(before, piece)]
            for piece in fresh:
                self._apply(after, piece, now)
                applied = True
        except No as no:
            reason = str(no)
            # An answer about a key that is spent spends no other.
            if not isinstance(no, Spent):
                for piece in work:
                    if not isinstance(piece, Release):
                        before.keys.setdefault(piece.key, (piece, reason))
            return "refused", reason
        self.state = after
        return ("applied" if applied else "duplicate"), None

    @staticmethod
    def _shape(piece: Work) -> None:
        if not isinstance(piece, Transfer):
            return
        if len({leg.account.currency for leg in piece.legs}) > 1:
            raise No("currency_mismatch")
        if len(piece.legs) < 2 or sum(leg.amount for leg in piece.legs) != 0:
            raise No("unbalanced")

    @staticmethod
    def _known(state: State, piece: Work) -> bool:
        if isinstance(piece, Release) or piece.key not in state.keys:
            return False
        request, refusal = state.keys[piece.key]
        if not _same(request, piece):
            raise Spent("ledger_key_reused")
        if refusal is not None:
            raise Spent(refusal)
        return True

    def _apply(self, state: State, piece: Work, now: datetime) -> None:
        match piece:
            case Transfer():
                self._transfer(state, piece, now)
                state.keys[piece.key] = (piece, None)
            case Hold():
                if piece.account.purpose not in MAY_OWE and state.spendable(piece.account) < piece.amount:
                    raise No("insufficient_funds")
                state.holds[piece.id] = Promise(piece.account, piece.to, piece.amount, piece.expires_at)
                state.keys[piece.key] = (piece, None)
            case Release():
                hold = self._open(state, piece.hold_id)
                if piece.outcome == "expired" and (hold.expires_at is None or now < hold.expires_at):
                    raise No("hold_resolved")
                hold.open = False

    def _transfer(self, state: State, piece: Transfer, now: datetime) -> None:
        if piece.reverses is not None:
            undone = sorted((str(leg.account.id), -leg.amount) for leg in piece.legs)
            if piece.reverses not in state.transfers:
                raise No("reversal_not_mirrored")
            if piece.reverses in state.undone:
                raise No("already_reversed")
            if undone != sorted((str(account.id), amount) for account, amount in state.transfers[piece.reverses]):
                raise No("reversal_not_mirrored")
            state.undone.add(piece.reverses)
        for part in piece.posts:
            self._post(state, piece, part, now)
        touched: dict[Any, int] = {}
        for leg in piece.legs:
            touched[leg.account] = touched.get(leg.account, 0) + leg.amount
            state.balances[leg.account] = state.balances.get(leg.account, 0) + leg.amount
            state.entries[leg.account] = state.entries.get(leg.account, 0) + 1
        for account, change in touched.items():
            if change < 0 and account.purpose not in MAY_OWE and state.spendable(account) < 0:
                raise No("insufficient_funds")
        state.transfers[piece.id] = [(leg.account, leg.amount) for leg in piece.legs]

    @staticmethod
    def _open(state: State, hold_id: UUID) -> Promise:
        if hold_id not in state.holds:
            raise No("unknown_hold")
        if not state.holds[hold_id].open:
            raise No("hold_resolved")
        return state.holds[hold_id]

    def _post(self, state: State, piece: Transfer, part: HoldPart, now: datetime) -> None:
        hold = self._open(state, part.hold_id)
        if hold.expires_at is not None and now >= hold.expires_at:
            raise No("hold_resolved")
        out = -sum(leg.amount for leg in piece.legs if leg.account == hold.source and leg.amount < 0)
        into = sum(leg.amount for leg in piece.legs if leg.account == hold.target and leg.amount > 0)
        if part.amount > hold.amount or part.amount > out or part.amount > into:
            raise No("hold_exceeded")
        hold.open = False
