"""The double-entry ledger: money that cannot be wrong.

Everything that moves goes through `post` (or `try_post`, where a refusal is an answer):

    from core import ledger
    from core.ledger import Hold, HoldPart, Leg, Purpose, Release, Transfer

    hold = Hold(key=f"fund:{slice_id}", account=ledger.wallet(user_id), to=ledger.escrow(financing_id, "INR"),
                amount=14_704_109, description="Slice 1")
    ledger.post(session, [hold], now)

    ledger.post(session, [Transfer(
        kind="financing.settled", key=f"settle:{financing_id}", description="Funded",
        legs=[Leg(ledger.wallet(user_id), -14_704_109), Leg(ledger.escrow(financing_id, "INR"), 14_704_109)],
        posts=(HoldPart(hold.id, 14_704_109),),
    )], now)

Amounts are whole minor units; a credit is above zero and makes an account grow; the legs of a transfer sum to zero in
one currency. Accounts come into being when first named. The rules (marketplace rules 3.1) are enforced here by name,
and by the database once more (migration 0006). The modules: `accounts`, `work` (what can be asked), `posting`,
`books` (the arithmetic), `balances` (reading), `chain`, `anchors` and `verify` (evidence), `clearing` (scratch only).
"""

from __future__ import annotations

from core.ledger.accounts import Account, Purpose, escrow, outside, platform, recoverable, unapplied, wallet
from core.ledger.balances import (
    Balance,
    balance,
    balance_at,
    balances,
    books_at,
    expired_holds,
    sequence_at,
    statement,
)
from core.ledger.errors import (
    AlreadyReversed,
    HoldExceeded,
    HoldResolved,
    InsufficientFunds,
    KeyReused,
    NotMirrored,
    Refused,
    Unbalanced,
    UnknownHold,
)
from core.ledger.posting import post, reverse, try_post, undoing
from core.ledger.work import Hold, HoldPart, Leg, Outcome, Posted, Release, Transfer, Work

__all__ = [
    "Account",
    "AlreadyReversed",
    "Balance",
    "Hold",
    "HoldExceeded",
    "HoldPart",
    "HoldResolved",
    "InsufficientFunds",
    "KeyReused",
    "Leg",
    "NotMirrored",
    "Outcome",
    "Posted",
    "Purpose",
    "Refused",
    "Release",
    "Transfer",
    "Unbalanced",
    "UnknownHold",
    "Work",
    "balance",
    "balance_at",
    "balances",
    "books_at",
    "escrow",
    "expired_holds",
    "outside",
    "platform",
    "post",
    "recoverable",
    "reverse",
    "sequence_at",
    "statement",
    "try_post",
    "unapplied",
    "undoing",
    "wallet",
]
