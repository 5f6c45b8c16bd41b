"""What a gateway's payouts hold: which payments less fees, refunds and lost disputes each of them brings to the bank.

Providers say the sum and seldom the parts. So the parts are found: what was collected over the connection and is in no
payout yet, the oldest first, as far as it sums up to the payout. What then differs is shown as a number, and looked at
again with the news of the connection; what was explained to the last paisa stays so.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from core.bulk import Rows

# Gateways pay out within days; money that waited longer is in no payout that comes.
WINDOW = timedelta(days=60)
# So many movements are looked at for one payout, the oldest first, and so many payouts of a connection at a time.
MOST_LINES = 5_000
MOST_PAYOUTS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """Money that came over a connection or went back over it (negative), in minor units, and the fee for it."""

    id: UUID
    kind: str
    amount: int
    fee: int
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class Batch:
    """What a payout holds, and what of it that does not explain (negative: there should have been more)."""

    lines: Sequence[Movement]
    unexplained: int


def explain(amount: int, fee: int | None, waiting: Sequence[Movement]) -> Batch:
    """The movements, the oldest first, that make up a payout of `amount` after its own `fee`.

    Fees may stand on the payments or on the payout; whichever makes it exact is right. Where nothing is exact the
    movements that come nearest after their own fees are taken, the more of them where two are as near.
    """
    net = list(accumulate(one.amount - one.fee for one in waiting))
    gross = list(accumulate(one.amount for one in waiting))
    # The own fees are said by the provider for each payment: they are tried first.
    for sums, wanted in ((net, amount), (gross, amount + (fee or 0)), (net, amount + (fee or 0))):
        if wanted in sums:
            return Batch(waiting[: len(sums) - sums[::-1].index(wanted)], 0)
    nearest = min(range(len(net) + 1), key=lambda many: (abs(amount - (net[many - 1] if many else 0)), -many))
    return Batch(waiting[:nearest], amount - (net[nearest - 1] if nearest else 0))


_OPEN = text(
    "SELECT id, user_id, connection_id, amount, fee, currency, occurred_at FROM payouts "
    "WHERE connection_id = :connection AND status = 'paid' AND NOT to_third_party AND amount > 0 "
    "AND unexplained IS DISTINCT FROM 0 AND occurred_at >= (SELECT max(newest.occurred_at) FROM payouts AS newest "
    "WHERE newest.connection_id = :connection) - CAST(:window AS interval) "
    "ORDER BY occurred_at, id LIMIT :most"
)
_WAITING = text(
    "SELECT id, 'payment' AS kind, amount, coalesce(fee, 0) AS fee, occurred_at FROM payments "
    "WHERE user_id = :user AND connection_id = :connection AND source = 'gateway' AND status = 'succeeded' "
    "AND trust <> 'hint' AND currency = :currency AND occurred_at BETWEEN :since AND :until "
    "AND NOT EXISTS (SELECT FROM payout_lines WHERE subject_id = payments.id) "
    "UNION ALL SELECT back.id, back.kind, -back.taken, 0, back.occurred_at FROM payment_adjustments AS back "
    "JOIN object_keys AS known ON known.connection_id = back.connection_id AND known.kind = 'payment' "
    "AND known.object_id = back.payment_object_id JOIN payments ON payments.id = known.id "
    "WHERE back.connection_id = :connection AND back.taken > 0 AND back.currency = :currency "
    "AND back.occurred_at BETWEEN :since AND :until AND payments.status = 'succeeded' AND payments.trust <> 'hint' "
    "AND NOT EXISTS (SELECT FROM payout_lines WHERE subject_id = back.id) "
    "ORDER BY occurred_at, id LIMIT :most"
)
_LINES = Rows(
    subject_id="uuid", payout_id="uuid", kind="text", amount="bigint", fee="bigint", occurred_at="timestamptz"
)
_INSERT = text(_LINES.insert("payout_lines"))


def look_again(connection: Connection, connection_ids: Collection[UUID]) -> int:
    """Find what the unexplained payouts of connections hold; return how many payouts were looked at.

    Lines of a payout that went back to the gateway, or that it says to be another amount, are free again. A repeat
    without news changes nothing.
    """
    looked = 0
    for identity in sorted(connection_ids):
        # One at a time for each connection, or two would give the same payment to two payouts and one would fail.
        connection.execute(
            text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": f"payouts:{identity}"}
        )
        _forget(connection, identity)
        payouts = connection.execute(_OPEN, {"connection": identity, "window": WINDOW, "most": MOST_PAYOUTS}).all()
        for payout in payouts:
            _fill(connection, payout)
        looked += len(payouts)
    return looked


def _forget(connection: Connection, connection_id: UUID) -> None:
    """Free what stands in payouts of this connection that are not explained, or are no settlement any more."""
    connection.execute(
        text(
            "DELETE FROM payout_lines USING payouts WHERE payouts.id = payout_lines.payout_id "
            "AND payouts.connection_id = :connection AND (payouts.status <> 'paid' "
            "OR (payouts.unexplained IS DISTINCT FROM 0 AND payouts.occurred_at >= (SELECT max(newest.occurred_at) "
            "FROM payouts AS newest WHERE newest.connection_id = :connection) - CAST(:window AS interval)))"
        ),
        {"connection": connection_id, "window": WINDOW},
    )


def _fill(connection: Connection, payout: Any) -> None:
    rows = connection.execute(
        _WAITING,
        {
            "user": payout.user_id,
            "connection": payout.connection_id,
            "currency": payout.currency,
            "since": payout.occurred_at - WINDOW,
            "until": payout.occurred_at,
            "most": MOST_LINES,
        },
    ).all()
    batch = explain(payout.amount, payout.fee, [Movement(**row._asdict()) for row in rows])
    connection.execute(
        _INSERT,
        _LINES.parameters(
            {
                "subject_id": one.id,
                "payout_id": payout.id,
                "kind": one.kind,
                "amount": one.amount,
                "fee": one.fee,
                "occurred_at": one.occurred_at,
            }
            for one in batch.lines
        ),
    )
    connection.execute(
        text("UPDATE payouts SET unexplained = :left WHERE id = :id AND unexplained IS DISTINCT FROM :left"),
        {"left": batch.unexplained, "id": payout.id},
    )


def with_gaps(connection: Connection, now: datetime, limit: int = 100) -> list[UUID]:
    """Connections with a payout of these weeks that is not explained: news that came late may explain it."""
    found = connection.scalars(
        text(
            "SELECT connection_id FROM payouts WHERE status = 'paid' AND NOT to_third_party AND amount > 0 "
            "AND unexplained IS DISTINCT FROM 0 AND occurred_at > :since "
            "GROUP BY connection_id ORDER BY connection_id LIMIT :limit"
        ),
        {"limit": limit, "since": now - WINDOW},
    )
    return list(found)
