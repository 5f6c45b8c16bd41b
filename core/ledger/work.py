"""What can be asked of the ledger, as values: transfers, holds and their release; and what it answers."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, TypeAlias
from uuid import UUID

from core.errors import CurrencyMismatch, Invalid
from core.ids import new_id
from core.ledger.accounts import Account
from core.ledger.errors import Unbalanced
from core.money import MAX_MINOR

_KIND = re.compile(r"[a-z][a-z0-9_.]{0,59}")
_SURROGATES = re.compile("[\ud800-\udfff]")
_CURRENCY = re.compile(r"[A-Z]{3}")
MAX_KEY = 300
MAX_DESCRIPTION = 500


@dataclass(frozen=True, slots=True)
class Leg:
    """One entry to be: `amount` in minor units, above zero a credit (the account grows), below zero a debit."""

    account: Account
    amount: int


@dataclass(frozen=True, slots=True)
class HoldPart:
    """`amount` (minor units) of a hold that a transfer's legs use up. The rest of the hold goes back."""

    hold_id: UUID
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """A balanced movement in one currency: its legs sum to zero.

    The legs say everything that moves, in the order of the entries. `posts` names the holds whose money they use: the
    legs must debit the account of each by at least that much, and credit the account it was held for.
    `effective_at` is when it counts, None for now. `reverses` is a transfer that the legs undo exactly, which can be
    once. `overdraft` lets scratch accounts (and no others) go below zero.
    """

    kind: str
    key: str
    legs: tuple[Leg, ...] | list[Leg]
    description: str
    effective_at: datetime | None = None
    invoice_id: UUID | None = None
    event_id: UUID | None = None
    reverses: UUID | None = None
    posts: tuple[HoldPart, ...] = ()
    overdraft: bool = False
    id: UUID = field(default_factory=new_id)

    def check(self) -> None:
        """Look at the parts alone. Raises Invalid, CurrencyMismatch, Unbalanced."""
        _check_words(self)
        if not _KIND.fullmatch(self.kind):
            raise Invalid("kind", "is a lower-case word such as wallet.welcome")
        for place, leg in enumerate(self.legs):
            _check_amount(f"legs.{place}.amount", leg.amount)
        for place, part in enumerate(self.posts):
            _check_amount(f"posts.{place}.amount", part.amount, positive=True)
        if len({part.hold_id for part in self.posts}) < len(self.posts):
            raise Invalid("posts", "name a hold once")
        if len({leg.account.currency for leg in self.legs}) > 1:
            raise CurrencyMismatch("a transfer has one currency")
        if len(self.legs) < 2:
            raise Unbalanced("a transfer has at least two legs")
        if total := sum(leg.amount for leg in self.legs):
            raise Unbalanced(f"the legs sum to {total}, not to zero")

    def accounts(self) -> list[Account]:
        """Every account that moves."""
        return [leg.account for leg in self.legs]

    def body(self) -> list[object]:
        """What a repeat under the same key must repeat."""
        return [
            "transfer",
            self.kind,
            [[str(leg.account.id), leg.amount] for leg in self.legs],
            self.description,
            _spelled(self.effective_at),
            str(self.invoice_id),
            str(self.event_id),
            str(self.reverses),
            [[str(part.hold_id), part.amount] for part in self.posts],
            self.overdraft,
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """`amount` (minor units) of `account` promised to `to`: it counts as spent until it is posted, voided or expired.

    From `expires_at` on it cannot be posted. A hold that would leave less than nothing to spend is refused now, so
    that posting it cannot fail for funds.
    """

    key: str
    account: Account
    to: Account
    amount: int
    description: str
    expires_at: datetime | None = None
    invoice_id: UUID | None = None
    id: UUID = field(default_factory=new_id)

    def check(self) -> None:
        """Look at the parts alone. Raises Invalid, CurrencyMismatch."""
        _check_words(self)
        _check_amount("amount", self.amount, positive=True)
        if self.account.currency != self.to.currency:
            raise CurrencyMismatch("a hold has one currency")
        if self.account == self.to:
            raise Invalid("to", "must be another account")

    def accounts(self) -> list[Account]:
        """Both ends; the one it is for must exist too."""
        return [self.account, self.to]

    def body(self) -> list[object]:
        """What a repeat under the same key must repeat."""
        return [
            "hold",
            str(self.account.id),
            str(self.to.id),
            self.amount,
            self.description,
            _spelled(self.expires_at),
            str(self.invoice_id),
        ]


@dataclass(frozen=True, slots=True)
class Release:
    """Give a hold back. "expired" only from its `expires_at` on."""

    hold_id: UUID
    outcome: Literal["voided", "expired"] = "voided"


Work: TypeAlias = Transfer | Hold | Release


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """What became of one piece of work. `id` is the transfer or hold; of a duplicate, the one that was there first."""

    id: UUID
    key: str | None
    duplicate: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The answer of `try_post`. `reason` is the code of the error that was met, `detail` its words where known."""

    status: Literal["applied", "duplicate", "refused"]
    reason: str | None = None
    detail: str | None = None
    posted: tuple[Posted, ...] = ()

    @property
    def applied(self) -> bool:
        """Whether this call changed something."""
        return self.status == "applied"


def body_hash(work: Transfer | Hold) -> bytes:
    """SHA-256 over everything of a request that matters; its id and the moment of asking do not."""
    return hashlib.sha256(json.dumps(work.body(), separators=(",", ":")).encode()).digest()


def _spelled(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat()


def _check_amount(name: str, amount: int, *, positive: bool = False) -> None:
    # bool is an int to Python and never an amount.
    if type(amount) is not int or amount == 0 or abs(amount) > MAX_MINOR or (positive and amount < 0):
        raise Invalid(name, f"must be whole minor units, not zero, within {MAX_MINOR}")


def is_key(key: str) -> bool:
    """Whether a key can be kept at all."""
    return 1 <= len(key) <= MAX_KEY and _storable(key)


def _storable(text: str) -> bool:
    # PostgreSQL keeps no NUL, and lone surrogates have no UTF-8.
    return "\x00" not in text and (text.isascii() or not _SURROGATES.search(text))


def _check_words(work: Transfer | Hold) -> None:
    if not is_key(work.key):
        raise Invalid("key", f"is 1 to {MAX_KEY} characters")
    if len(work.description) > MAX_DESCRIPTION or not _storable(work.description):
        raise Invalid("description", f"is at most {MAX_DESCRIPTION} characters")
    for account in work.accounts():
        if not (1 <= len(account.owner) <= 200 and _storable(account.owner)):
            raise Invalid("account", "an owner's name is 1 to 200 characters")
        if not _CURRENCY.fullmatch(account.currency):
            raise Invalid("currency", "is three capitals")
