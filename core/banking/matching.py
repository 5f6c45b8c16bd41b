"""The first look at a bank line, in the transaction that brings it: does its text name an invoice?

Only a line whose text names an invoice of the same seller and currency is proposed here (marketplace rules 4.2, rule
3); the amount then says how sure that is (rule 4). The engine (`core.reconciliation.run`) looks at everything a moment
later, in a worker, and what it finds takes the place of these proposals. A proposal moves no money, and it stands only
while the invoice is due: when something else pays it the proposal is laid aside, and taken up again if that is
reversed. What people decide is in `core.reconciliation.decisions`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from core.bulk import Rows, array
from core.ids import new_id
from core.invoicing.references import candidate_keys
from core.live.feed import announce_all
from core.payments import apply as payments
from core.reconciliation import booking, requests, succession
from core.statements import Outcome

# Weights of this version of the rules; stored with every proposal.
RULES = "reference-amount/1"
_REFERENCE_WEIGHT = 0.70
_AMOUNT_WEIGHTS = {"exact": 0.28, "part": 0.10, "over": 0.02}

_MATCHES = Rows(
    id="uuid",
    transaction_id="uuid",
    invoice_id="uuid",
    target_key="uuid",
    user_id="uuid",
    state="text",
    score="numeric",
    features="jsonb",
)

_CANDIDATES = text(
    "SELECT asked.transaction_id, invoices.id, invoices.number, invoices.total, invoices.amount_due, "
    "invoices.seller_id "
    "FROM unnest(CAST(:transactions AS uuid[]), CAST(:users AS uuid[]), CAST(:currencies AS text[]), "
    "CAST(:keys AS text[])) AS asked (transaction_id, user_id, currency, number_key) "
    "JOIN invoices ON invoices.seller_id = asked.user_id AND invoices.number_key = asked.number_key "
    "AND invoices.currency = asked.currency AND invoices.status IN ('open', 'partial', 'paid') "
    "WHERE NOT EXISTS (SELECT FROM matches WHERE matches.transaction_id = asked.transaction_id "
    "AND (matches.target_key = invoices.id OR matches.state IN ('proposed', 'accepted'))) "
    "AND NOT EXISTS (SELECT FROM transactions WHERE transactions.id = asked.transaction_id "
    "AND match_state IN ('accepted', 'duplicate', 'ignored'))"
)
_TARGETS = Rows(match_id="uuid", position="smallint", invoice_id="uuid", amount="bigint")


def judge(amount: int, due: int) -> tuple[float, str]:
    """The score of a named invoice and how the amounts compare: exact, part or over. Both in minor units."""
    relation = "exact" if amount == due else "part" if amount < due else "over"
    return round(_REFERENCE_WEIGHT + _AMOUNT_WEIGHTS[relation], 3), relation


def propose(
    connection: Connection,
    rows: Sequence[Mapping[str, Any]],
    origins: Mapping[UUID, UUID],
    outcome: Outcome,
) -> int:
    """Propose the best match of each posted credit in `rows` (columns of transactions); return how many.

    A transaction that has a match already keeps it. A pair that a person rejected is not proposed again.
    """
    asked: list[tuple[UUID, UUID, str, str]] = []
    incoming = {row["id"]: row for row in rows if row["status"] == "posted" and row["amount"] > 0}
    ask(connection, {row["user_id"] for row in incoming.values()})
    for row in incoming.values():
        words = " ".join(filter(None, (row["narration"], row["bank_reference"])))
        asked.extend((row["id"], row["user_id"], row["currency"], key) for key in candidate_keys(words))
    if not asked:
        return 0
    found = connection.execute(
        _CANDIDATES,
        {
            "transactions": array((row[0] for row in asked), "uuid"),
            "users": array((row[1] for row in asked), "uuid"),
            "currencies": array((row[2] for row in asked), "text"),
            "keys": array((row[3] for row in asked), "text"),
        },
    ).all()
    best: dict[UUID, Any] = {}
    for pair in found:
        rival = best.get(pair.transaction_id)
        # By what never changes, so that any order of arrival chooses the same: the amount against the whole
        # invoice, then the number.
        amount = incoming[pair.transaction_id]["amount"]
        place = (judge(amount, pair.total)[0], pair.number)
        if rival is None or place > (judge(amount, rival.total)[0], rival.number):
            best[pair.transaction_id] = pair
    if not best:
        return 0
    _write(connection, [_match(pair, incoming[pair.transaction_id]["amount"]) for pair in best.values()], incoming)
    proposed = {identity: pair for identity, pair in best.items() if pair.amount_due > 0}
    connection.execute(
        text("UPDATE transactions SET match_state = 'proposed' WHERE id = ANY(CAST(:ids AS uuid[]))"),
        {"ids": array(proposed, "uuid")},
    )
    for identity, pair in proposed.items():
        _tell_proposed(
            outcome,
            user_id=pair.seller_id,
            transaction_id=identity,
            invoice_id=pair.id,
            number=pair.number,
            amount=incoming[identity]["amount"],
            currency=incoming[identity]["currency"],
            due=pair.amount_due,
            event_id=origins.get(identity),
        )
    return len(proposed)


def _write(connection: Connection, made: Sequence[Mapping[str, Any]], lines: Mapping[UUID, Mapping[str, Any]]) -> None:
    stored = set(
        connection.scalars(
            text(_MATCHES.insert("matches", "ON CONFLICT DO NOTHING RETURNING id")), _MATCHES.parameters(made)
        )
    )
    connection.execute(
        text(_TARGETS.insert("match_targets")),
        _TARGETS.parameters(
            {
                "match_id": match["id"],
                "position": 0,
                "invoice_id": match["invoice_id"],
                "amount": lines[match["transaction_id"]]["amount"],
            }
            for match in made
            if match["id"] in stored
        ),
    )


ask = requests.ask


def ask_about_money(connection: Connection, users: Iterable[UUID]) -> None:
    """Of users with payments or payouts that are news, ask for those whose bank lines the engine knows."""
    if wanted := sorted(set(users)):
        connection.execute(_ASK_KNOWN, {"users": array(wanted, "uuid")})


_ASK_KNOWN = text(
    "INSERT INTO reconcile_requests (user_id) SELECT known FROM unnest(CAST(:users AS uuid[])) AS known "
    "WHERE EXISTS (SELECT FROM judgements WHERE judgements.user_id = known)"
)


def _match(pair: Any, amount: int) -> dict[str, Any]:
    score, relation = judge(amount, pair.amount_due)
    return {
        "id": new_id(),
        "transaction_id": pair.transaction_id,
        "invoice_id": pair.id,
        "target_key": pair.id,
        "user_id": pair.seller_id,
        "state": "proposed" if pair.amount_due > 0 else "undone",
        "score": score,
        "features": _features(pair.number, relation, pair.amount_due),
    }


def _features(number: str, relation: str, due: int) -> str:
    return json.dumps({"rules": RULES, "reference": number, "amount": relation, "amount_due": due})


def _tell_proposed(
    outcome: Outcome,
    *,
    user_id: UUID,
    transaction_id: UUID,
    invoice_id: UUID,
    number: str,
    amount: int,
    currency: str,
    due: int,
    event_id: UUID | None,
) -> None:
    outcome.tell(
        [f"user:{user_id}"],
        "match.proposed",
        {
            "transaction_id": str(transaction_id),
            "invoice_id": str(invoice_id),
            "invoice_number": number,
            "amount": amount,
            "currency": currency,
            "score": judge(amount, due)[0],
        },
        event_id,
    )


_REFRESHED = Rows(id="uuid", state="text", score="numeric", features="jsonb")
_OF_INVOICES = (
    "SELECT matches.id AS match_id, matches.state, matches.score, matches.invoice_id, invoices.number, "
    "transactions.id, transactions.user_id, transactions.status, transactions.amount, transactions.currency, "
    "transactions.narration FROM matches JOIN invoices ON invoices.id = matches.invoice_id "
    "JOIN transactions ON transactions.id = matches.transaction_id "
    "WHERE matches.invoice_id = ANY(CAST(:invoices AS uuid[])) AND matches.state IN ('proposed', 'undone') "
    f"AND matches.weights_version = '{RULES}' AND transactions.match_state IN ('none', 'proposed') "
    "AND transactions.status = 'posted' "
    "AND transactions.amount > 0 AND transactions.currency = invoices.currency ORDER BY matches.id"
)
_READ = text(_OF_INVOICES)
# Lines come before invoices in the order of locks, and those are ours already: nobody waits here. Who holds a line
# decides on it now, and the engine looks at it once they did.
_HELD = text(f"{_OF_INVOICES} FOR UPDATE OF matches, transactions SKIP LOCKED")


def refresh(connection: Connection, outcome: Outcome) -> None:
    """Judge the proposals of invoices anew whose due amount just changed (`outcome.due`)."""
    if not outcome.due:
        return
    _lay_aside(connection, outcome)
    invoices = {"invoices": array(outcome.due, "uuid")}
    known = connection.execute(_READ, invoices).all()
    if not known:
        return
    rows = connection.execute(_HELD, invoices).all()
    held = {row.match_id for row in rows}
    ask(connection, {row.user_id for row in known if row.match_id not in held})
    changed = []
    for row in rows:
        due = outcome.due[row.invoice_id]
        score, relation = judge(row.amount, due)
        state = "proposed" if due > 0 else "undone"
        changed.append(
            {"id": row.match_id, "state": state, "score": score, "features": _features(row.number, relation, due)}
        )
        if state != row.state:
            booking.mark(connection, {row.id: row}, "proposed" if state == "proposed" else "none", outcome)
            if state == "proposed":
                _tell_proposed(
                    outcome,
                    user_id=row.user_id,
                    transaction_id=row.id,
                    invoice_id=row.invoice_id,
                    number=row.number,
                    amount=row.amount,
                    currency=row.currency,
                    due=due,
                    event_id=None,
                )
    if changed:
        connection.execute(text(_REFRESHED.update("matches")), _REFRESHED.parameters(changed))


# A proposal of the engine stands while every invoice of it still takes what is meant for it; of a single invoice any
# amount may be due.
_SPOILED = text(
    "SELECT DISTINCT matches.id, matches.transaction_id, matches.user_id FROM match_targets "
    "JOIN matches ON matches.id = match_targets.match_id AND matches.state = 'proposed' "
    f"AND matches.weights_version <> '{RULES}' JOIN invoices ON invoices.id = match_targets.invoice_id "
    "WHERE match_targets.invoice_id = ANY(CAST(:invoices AS uuid[])) ORDER BY matches.id"
)
_UNDO_SPOILED = text(
    "UPDATE matches SET state = 'undone' WHERE id = ANY(CAST(:ids AS uuid[])) "
    "AND transaction_id = ANY(CAST(:lines AS uuid[])) AND state = 'proposed' "
    "AND EXISTS (SELECT FROM match_targets JOIN invoices ON invoices.id = match_targets.invoice_id "
    "WHERE match_id = matches.id AND (invoices.status NOT IN ('open', 'partial') OR (match_targets.amount > amount_due "
    "AND EXISTS (SELECT FROM match_targets AS other WHERE other.match_id = matches.id AND other.position = 1)))) "
    "RETURNING transaction_id"
)
_LINES = text(
    "SELECT id, user_id, status, amount, currency, narration FROM transactions "
    "WHERE id = ANY(CAST(:ids AS uuid[])) AND match_state = 'proposed' ORDER BY id FOR UPDATE SKIP LOCKED"
)


def _lay_aside(connection: Connection, outcome: Outcome) -> None:
    """Lay proposals of the engine aside that cannot be any more, and have it look again at those that can."""
    touched = connection.execute(_SPOILED, {"invoices": array(outcome.due, "uuid")}).all()
    if not touched:
        return
    found = connection.execute(_LINES, {"ids": array({row.transaction_id for row in touched}, "uuid")}).all()
    lines = {line.id: line for line in found}
    undone = connection.scalars(
        _UNDO_SPOILED, {"ids": array((row.id for row in touched), "uuid"), "lines": array(lines, "uuid")}
    ).all()
    booking.mark(connection, {identity: lines[identity] for identity in undone}, "none", outcome)
    ask(connection, {row.user_id for row in touched})


_WAITING = text(
    "SELECT transactions.id, transactions.user_id, status, amount, currency, narration, bank_reference "
    "FROM transactions WHERE transactions.id > :after AND match_state = 'none' AND status = 'posted' AND amount > 0 "
    "AND transactions.created_at >= :since "
    # What the engine has judged, it looks at again by itself.
    "AND NOT EXISTS (SELECT FROM judgements WHERE judgements.transaction_id = transactions.id) "
    "AND EXISTS (SELECT FROM invoices WHERE seller_id = transactions.user_id "
    "AND status IN ('open', 'partial') AND invoices.created_at >= :since) "
    "ORDER BY transactions.id LIMIT :limit FOR UPDATE OF transactions SKIP LOCKED"
)


def propose_waiting(session: Session | Connection, since: datetime, page: int = 1000) -> int:
    """Look again at credits that name an invoice which came later; return how many were proposed.

    All that came `since` then are looked at, a page at a time: what names nothing must not hide what is behind it.
    """
    connection = session.connection() if isinstance(session, Session) else session
    outcome = Outcome()
    proposed, after = 0, UUID(int=0)
    while True:
        rows = connection.execute(_WAITING, {"since": since, "limit": page, "after": after}).mappings().all()
        proposed += propose(connection, [dict(row) for row in rows], {}, outcome)
        if len(rows) < page:
            break
        after = rows[-1]["id"]
    announce_all(connection, outcome.announcements)
    return proposed


def follow(connection: Connection, rows: Sequence[Mapping[str, Any]], outcome: Outcome) -> None:
    """Let the payments of accepted lines say what the bank says now (`rows` as they are just written).

    One that can no longer pay its invoice, because it brings nothing or another currency, is withdrawn; so is a link to
    a payment or payout of another amount.
    """
    if not rows:
        return
    now = {row["id"]: row for row in rows}
    accepted = connection.execute(
        text(
            "SELECT payment_id, transaction_id, kind FROM matches "
            "WHERE transaction_id = ANY(CAST(:ids AS uuid[])) AND state = 'accepted'"
        ),
        {"ids": array(now, "uuid")},
    ).all()
    if not accepted:
        return
    states = payments.load(connection, [match.payment_id for match in accepted if match.kind == "invoices"])
    lost, kept = [], {}
    for match in accepted:
        row = now[match.transaction_id]
        state = states.get(match.payment_id)
        if state is None or row["amount"] <= 0 or row["currency"] != state.currency:
            lost.append(match.transaction_id)
            continue
        booking.restate(state, row)
        kept[state.id] = state
    withdraw(connection, lost, outcome)
    payments.settle(connection, kept, {}, outcome, resolve=False)


_FORGET = (
    text(
        "DELETE FROM matches WHERE transaction_id = ANY(CAST(:ids AS uuid[])) "
        "AND state IN ('proposed', 'undone') AND decided_by IS NULL"
    ),
    text("DELETE FROM judgements WHERE transaction_id = ANY(CAST(:ids AS uuid[]))"),
    text(
        "UPDATE transactions SET match_state = 'none', duplicate_of = NULL WHERE id = ANY(CAST(:ids AS uuid[])) "
        "AND (match_state = 'duplicate' OR match_state = 'proposed' AND NOT EXISTS (SELECT FROM matches "
        "WHERE matches.transaction_id = transactions.id AND matches.state = 'proposed'))"
    ),
)


def forget(connection: Connection, transaction_ids: Sequence[UUID]) -> None:
    """Drop what was proposed and judged of lines whose content changed; what a person decided stays."""
    if not transaction_ids:
        return
    ids = array(transaction_ids, "uuid")
    for statement in _FORGET:
        connection.execute(statement, {"ids": ids})


_ACCEPTED = text(
    "SELECT transaction_id FROM matches WHERE transaction_id = ANY(CAST(:ids AS uuid[])) AND state = 'accepted'"
)


def withdraw(connection: Connection, transaction_ids: Sequence[UUID], outcome: Outcome) -> None:
    """Undo the matches of lines that the bank took back; what was told twice is told once again by the other line.

    What its owner uploaded goes on with what was decided, where that may be (`core.reconciliation.succession`).
    """
    if not transaction_ids:
        return
    ids = array(transaction_ids, "uuid")
    accepted_ids = connection.scalars(_ACCEPTED, {"ids": ids}).all()
    if accepted_ids:
        succession.fall_back(connection, accepted_ids, outcome)
    rows = connection.execute(
        text(
            "SELECT id, transaction_id, kind, subject_id, payment_id, state FROM matches "
            "WHERE transaction_id = ANY(CAST(:ids AS uuid[])) AND state IN ('proposed', 'accepted') "
            "ORDER BY id FOR UPDATE"
        ),
        {"ids": ids},
    ).all()
    if accepted := [row for row in rows if row.state == "accepted"]:
        booking.release(connection, accepted, outcome)
    connection.execute(
        text("UPDATE matches SET state = 'undone', payment_id = NULL WHERE id = ANY(CAST(:ids AS uuid[]))"),
        {"ids": array((row.id for row in rows), "uuid")},
    )
    free = connection.scalars(
        text(
            "UPDATE transactions SET match_state = 'none', duplicate_of = NULL WHERE id = ANY(CAST(:ids AS uuid[])) "
            "OR duplicate_of = ANY(CAST(:ids AS uuid[])) RETURNING user_id"
        ),
        {"ids": ids},
    )
    ask(connection, free)
