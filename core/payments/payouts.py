"""What a gateway's payouts hold: which payments less fees, refunds and lost disputes each of them brings to the bank.

Where the provider names the parts (`core.payments.payout_items`) a payout is what it names, and what that does not come
to is a number. Of other payouts the parts are found: what was collected over the connection, is named nowhere and is in
no payout yet, the oldest first, as far as it sums up to the payout. What then differs is looked at again with the news
of the connection; what was explained to the last paisa stays so, until something of it is named elsewhere.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from core.bulk import Rows, array

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


_NAMED = (
    "EXISTS (SELECT FROM payout_items AS item WHERE item.connection_id = payouts.connection_id "
    "AND item.payout_object_id = payouts.object_id)"
)
_SETTLED = "payouts.status = 'paid' AND NOT payouts.to_third_party AND payouts.amount > 0"
# Of these weeks, by the newest payout of the connection.
_YOUNG = (
    "payouts.occurred_at >= (SELECT max(newest.occurred_at) FROM payouts AS newest "
    "WHERE newest.connection_id = :connection) - CAST(:window AS interval)"
)
_OPEN = text(
    "SELECT id, user_id, connection_id, amount, fee, currency, occurred_at FROM payouts "
    f"WHERE connection_id = :connection AND {_SETTLED} AND unexplained IS DISTINCT FROM 0 "
    f"AND ({_YOUNG} OR id = ANY(CAST(:robbed AS uuid[]))) AND NOT {_NAMED} ORDER BY occurred_at, id LIMIT :most"
)
_WAITING = text(
    "SELECT id, 'payment' AS kind, amount, coalesce(fee, 0) AS fee, occurred_at FROM payments "
    "WHERE user_id = :user AND connection_id = :connection AND source = 'gateway' AND status = 'succeeded' "
    "AND trust <> 'hint' AND currency = :currency AND occurred_at BETWEEN :since AND :until "
    "AND NOT EXISTS (SELECT FROM payout_lines WHERE subject_id = payments.id) "
    "AND NOT EXISTS (SELECT FROM payout_items AS item WHERE item.connection_id = payments.connection_id "
    "AND item.kind = 'payment' AND item.subject_object_id = payments.object_id) "
    "UNION ALL SELECT back.id, back.kind, -back.taken, 0, back.occurred_at FROM payment_adjustments AS back "
    "JOIN object_keys AS known ON known.connection_id = back.connection_id AND known.kind = 'payment' "
    "AND known.object_id = back.payment_object_id JOIN payments ON payments.id = known.id "
    "WHERE back.connection_id = :connection AND back.taken > 0 AND back.currency = :currency "
    "AND back.occurred_at BETWEEN :since AND :until AND payments.status = 'succeeded' AND payments.trust <> 'hint' "
    "AND NOT EXISTS (SELECT FROM payout_lines WHERE subject_id = back.id) "
    "AND NOT EXISTS (SELECT FROM payout_items AS item WHERE item.connection_id = back.connection_id "
    "AND item.kind = back.kind AND item.subject_object_id = back.object_id) "
    "ORDER BY occurred_at, id LIMIT :most"
)
_LINES = Rows(
    subject_id="uuid", payout_id="uuid", kind="text", amount="bigint", fee="bigint", occurred_at="timestamptz"
)
_INSERT = text(_LINES.insert("payout_lines"))


# What is named of each payout asked for. What cannot be a sum here, in another currency, stays unexplained.
_ADD_UP = text(
    "WITH said AS (SELECT payouts.id, payouts.amount, count(item.id) AS many, "
    "coalesce(sum(item.net), 0)::bigint AS net, "
    # With a payment its own fee is in the books already.
    "coalesce(sum(CASE item.kind WHEN 'payment' THEN 0 WHEN 'fee' THEN -item.net ELSE item.fee END), 0)::bigint "
    f"AS charges, ({_SETTLED}) AS settled "
    "FROM unnest(CAST(:connections AS uuid[]), CAST(:objects AS text[])) AS asked (connection_id, object_id) "
    "JOIN object_keys AS known ON known.connection_id = asked.connection_id AND known.kind = 'payout' "
    "AND known.object_id = asked.object_id JOIN payouts ON payouts.id = known.id "
    "LEFT JOIN payout_items AS item ON item.connection_id = payouts.connection_id "
    "AND item.payout_object_id = payouts.object_id AND item.currency = payouts.currency GROUP BY payouts.id) "
    "UPDATE payouts SET charges = said.charges, unexplained = "
    "CASE WHEN said.many = 0 THEN payouts.unexplained WHEN said.settled THEN said.amount - said.net END "
    "FROM said WHERE payouts.id = said.id"
)
# Once something is named, what was found beside it is looked for anew.
_LOOSEN = text(
    "UPDATE payouts SET unexplained = NULL WHERE connection_id = :connection AND unexplained IS NOT NULL "
    f"AND NOT {_NAMED} AND {_YOUNG}"
)
_TAKEN = text(
    "SELECT DISTINCT line.payout_id FROM payout_items AS item "
    "JOIN object_keys AS known ON known.connection_id = item.connection_id AND known.kind = item.kind "
    "AND known.object_id = item.subject_object_id "
    "JOIN payout_lines AS line ON line.subject_id = known.id WHERE item.connection_id = :connection"
)
_ROB = text(
    "WITH gone AS (DELETE FROM payout_lines WHERE payout_id = ANY(CAST(:robbed AS uuid[]))) "
    f"UPDATE payouts SET unexplained = NULL WHERE id = ANY(CAST(:robbed AS uuid[])) AND NOT {_NAMED}"
)
_FORGET = text(
    "DELETE FROM payout_lines USING payouts WHERE payouts.id = payout_lines.payout_id "
    f"AND payouts.connection_id = :connection AND (payouts.status <> 'paid' OR {_NAMED} "
    f"OR (payouts.unexplained IS DISTINCT FROM 0 AND {_YOUNG}))"
)


def hold(connection: Connection, connection_ids: Collection[UUID]) -> None:
    """Let nobody else say what payouts of these connections hold until the transaction ends.

    One at a time for each connection, or two would give the same payment to two payouts and one would fail. After the
    keys of payouts, before their rows.
    """
    for identity in sorted(connection_ids):
        connection.execute(
            text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": f"payouts:{identity}"}
        )


def add_up(connection: Connection, named: Collection[tuple[UUID, str]]) -> None:
    """Say of payouts, by connection and the provider's id, what the items that their provider names come to.

    Those that nothing is named of, or that did not come yet, stay as they are. The caller holds their connections.
    """
    connection.execute(
        _ADD_UP,
        {
            "connections": array((connection_id for connection_id, _ in named), "uuid"),
            "objects": array((object_id for _, object_id in named), "text"),
        },
    )


def look_again(connection: Connection, connection_ids: Collection[UUID], renamed: Collection[UUID] = ()) -> int:
    """Find what the unexplained payouts of connections hold; return how many payouts were looked at.

    Lines of a payout that went back to the gateway, or that it says to be another amount, are free again, and those of
    one whose parts are named. Of a connection that is `renamed` all is looked for anew. A repeat without news changes
    nothing.
    """
    looked = 0
    hold(connection, connection_ids)
    for identity in sorted(connection_ids):
        given = {"connection": identity, "window": WINDOW}
        robbed = array(connection.scalars(_TAKEN, given) if identity in renamed else (), "uuid")
        if identity in renamed:
            connection.execute(_LOOSEN, given)
            connection.execute(_ROB, {"robbed": robbed})
        connection.execute(_FORGET, given)
        payouts = connection.execute(_OPEN, {**given, "robbed": robbed, "most": MOST_PAYOUTS}).all()
        for payout in payouts:
            _fill(connection, payout)
        looked += len(payouts)
    return looked


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
            f"SELECT connection_id FROM payouts WHERE {_SETTLED} AND unexplained IS DISTINCT FROM 0 "
            f"AND occurred_at > :since AND NOT {_NAMED} "
            "GROUP BY connection_id ORDER BY connection_id LIMIT :limit"
        ),
        {"limit": limit, "since": now - WINDOW},
    )
    return list(found)
