"""What the engine found and nobody accepted yet: proposals, lines told twice, and lines in suspense are written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from core.bulk import Rows, array
from core.ids import new_id
from core.reconciliation import booking
from core.reconciliation.engine import Judgement
from core.reconciliation.fingerprints import target_key
from core.statements import Outcome

_STANDING = text(
    "SELECT id, transaction_id, target_key, score, tier, decided_by, weights_version, features -> 'stops' AS stops "
    "FROM matches WHERE transaction_id = ANY(CAST(:ids AS uuid[])) AND state = 'proposed'"
)
_DROP = text("DELETE FROM matches WHERE id = ANY(CAST(:ids AS uuid[])) AND state = 'proposed' AND decided_by IS NULL")
_MATCHES = Rows(**booking.PROPOSED)
# Who decided on it before stays known: what a person took back is never accepted by the engine.
_STORE = text(
    _MATCHES.insert(
        "matches",
        "ON CONFLICT (transaction_id, target_key) DO UPDATE SET state = 'proposed', score = excluded.score, "
        "margin = excluded.margin, tier = excluded.tier, features = excluded.features, "
        "weights_version = excluded.weights_version, alternatives = excluded.alternatives "
        "WHERE matches.state IN ('proposed', 'undone') RETURNING id, transaction_id",
    )
)


def write(connection: Connection, lines: Mapping[UUID, Any], judged: Sequence[Judgement], outcome: Outcome) -> None:
    """Bring the proposals of locked lines in line with what was judged; what is the same stays untouched."""
    if not judged:
        return
    standing: dict[UUID, list[Any]] = {}
    for row in connection.execute(_STANDING, {"ids": array((one.line_id for one in judged), "uuid")}):
        standing.setdefault(row.transaction_id, []).append(row)
    wanted = {
        one.line_id: one for one in judged if one.kind in ("invoices", "payment", "payout") and one.tier != "suspense"
    }
    stale, fresh = [], []
    for one in judged:
        key = _key(one) if one.line_id in wanted else None
        rows = standing.get(one.line_id, [])
        stale += [row.id for row in rows if row.target_key != key and row.decided_by is None]
        same = next((row for row in rows if row.target_key == key), None)
        if key is not None and (same is None or not _says_the_same(same, one)):
            fresh.append(one)
    connection.execute(_DROP, {"ids": array(stale, "uuid")})
    stored = _store(connection, lines, fresh)
    kept = {line for line, rows in standing.items() if any(row.decided_by is not None for row in rows)}
    again = {one.line_id for one in fresh}
    proposed = {line for line in wanted if line in stored or (line in standing and line not in again)}
    _mark(connection, lines, judged, proposed | kept, outcome)
    known = {(row.transaction_id, row.target_key) for rows in standing.values() for row in rows}
    numbers = _numbers(connection, [one for one in fresh if one.line_id in stored])
    for one in fresh:
        if one.line_id not in stored:
            continue
        if (one.line_id, _key(one)) not in known:
            _tell(outcome, lines[one.line_id], one, numbers)
        else:
            # The same answer, and surer or less so: whoever looks at it sees that.
            booking.tell_line(outcome, lines[one.line_id], "proposed")


def _key(one: Judgement) -> UUID:
    return target_key([invoice for invoice, _ in one.targets], one.subject_id)


def _says_the_same(row: Any, one: Judgement) -> bool:
    return (
        abs(float(row.score) - one.score) < 0.0006
        and row.tier == one.tier
        and row.weights_version == one.features.get("rules")
        and (row.stops or []) == one.features.get("stops")
    )


def _store(connection: Connection, lines: Mapping[UUID, Any], fresh: Sequence[Judgement]) -> dict[UUID, UUID]:
    """Write proposals; return line → match. A pair that was rejected meanwhile stays so."""
    if not fresh:
        return {}
    rows = connection.execute(
        _STORE,
        _MATCHES.parameters(
            {
                "id": new_id(),
                "transaction_id": one.line_id,
                "invoice_id": one.targets[0][0] if one.targets else None,
                "user_id": lines[one.line_id].user_id,
                "kind": one.kind,
                "subject_id": one.subject_id,
                "target_key": _key(one),
                "state": "proposed",
                "score": round(one.score, 3),
                "margin": None if one.margin is None else round(one.margin, 3),
                "tier": one.tier,
                "features": json.dumps(dict(one.features)),
                "weights_version": one.features["rules"],
                "alternatives": json.dumps(list(one.alternatives)),
            }
            for one in fresh
        ),
    )
    stored = {row.transaction_id: row.id for row in rows}
    booking.store_targets(connection, {stored[one.line_id]: one.targets for one in fresh if one.line_id in stored})
    return stored


def _mark(
    connection: Connection,
    lines: Mapping[UUID, Any],
    judged: Sequence[Judgement],
    proposed: set[UUID],
    outcome: Outcome,
) -> None:
    """Set how far each line is, where that is different from before."""
    twice = {one.line_id: one.subject_id for one in judged if one.kind == "duplicate"}
    if twice:
        connection.execute(
            text(
                "UPDATE transactions SET match_state = 'duplicate', duplicate_of = given.other, updated_at = now() "
                "FROM unnest(CAST(:ids AS uuid[]), CAST(:others AS uuid[])) AS given (line, other) "
                "WHERE transactions.id = given.line AND transactions.id = ANY(CAST(:ids AS uuid[]))"
            ),
            {"ids": array(twice, "uuid"), "others": array(twice.values(), "uuid")},
        )
        for line in twice:
            booking.tell_line(outcome, lines[line], "duplicate")
    for state in ("proposed", "none"):
        moved = {
            one.line_id: lines[one.line_id]
            for one in judged
            if one.line_id not in twice
            and ((one.line_id in proposed) == (state == "proposed"))
            and lines[one.line_id].match_state != state
        }
        booking.mark(connection, moved, state, outcome)


def _numbers(connection: Connection, judged: Sequence[Judgement]) -> dict[UUID, str]:
    """The number of the first invoice of each of these."""
    ids = {one.targets[0][0] for one in judged if one.targets}
    if not ids:
        return {}
    rows = connection.execute(
        text("SELECT id, number FROM invoices WHERE id = ANY(CAST(:ids AS uuid[]))"), {"ids": array(ids, "uuid")}
    )
    return {row.id: row.number for row in rows}


def _tell(outcome: Outcome, line: Any, one: Judgement, numbers: Mapping[UUID, str]) -> None:
    first = one.targets[0][0] if one.targets else None
    outcome.tell(
        [f"user:{line.user_id}"],
        "match.proposed",
        {
            "transaction_id": str(line.id),
            "invoice_id": None if first is None else str(first),
            "invoice_number": None if first is None else numbers.get(first),
            "amount": line.amount,
            "currency": line.currency,
            "score": round(one.score, 3),
            "tier": one.tier,
        },
        None,
    )
