"""What the ledger refuses, by name."""

from __future__ import annotations

from core.errors import Conflict, CurrencyMismatch, Invalid, NotFound


class InsufficientFunds(Conflict):
    """An account would have less than nothing to spend, holds counted. `short` is by how much, in minor units."""

    code = "insufficient_funds"

    def __init__(self, owner: str, available: int, wanted: int, currency: str) -> None:
        # Who it is stays out of the words: they may be shown to the other side.
        super().__init__(f"{wanted} {currency} (minor units) are needed, {available} can be spent")
        self.owner, self.available, self.wanted, self.currency = owner, available, wanted, currency
        self.short = wanted - available


class Unbalanced(Invalid):
    """The legs of a transfer do not sum to zero, or there are fewer than two."""

    code = "unbalanced"

    def __init__(self, message: str) -> None:
        super().__init__("legs", message)


class KeyReused(Conflict):
    """A key came again with another request."""

    code = "ledger_key_reused"

    def __init__(self, key: str) -> None:
        super().__init__(f"the key {key!r} stands for another request")
        self.key = key


class Refused(Conflict):
    """This very request was refused before: its key is spent. `reason` is the code of the error it met."""

    code = "ledger_refused"

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"the request {key!r} was refused before ({reason})")
        self.key, self.reason = key, reason


class HoldResolved(Conflict):
    """A hold is posted, voided or expired already, or its time is over."""

    code = "hold_resolved"


class UnknownHold(NotFound):
    """There is no such hold."""

    code = "unknown_hold"


class HoldExceeded(Conflict):
    """More is posted than is held, or not from and to the accounts of the hold."""

    code = "hold_exceeded"


class AlreadyReversed(Conflict):
    """A transfer was reversed before."""

    code = "already_reversed"


class NotMirrored(Invalid):
    """A reversal does not undo exactly what the original did, or there is no original."""

    code = "reversal_not_mirrored"

    def __init__(self, message: str) -> None:
        super().__init__("reverses", message)


# The refusals that are remembered under a key. KeyReused and Refused are answers to a key that is spent already.
REFUSALS = (
    InsufficientFunds,
    Unbalanced,
    CurrencyMismatch,
    Invalid,
    HoldResolved,
    UnknownHold,
    HoldExceeded,
    AlreadyReversed,
)
