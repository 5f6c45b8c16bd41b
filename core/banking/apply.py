"""Bank accounts, transactions, payouts and connection states take effect, in bulk.

A transaction is known by (connection, provider's id); statements about it are merged so that any order of
arrival ends with the same row (`core.statements.supersedes`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, text

from core import books, objects
from core.banking import matching
from core.bulk import Rows, array, pipelined
from core.events import (
    BankAccount,
    BankTransaction,
    ConnectionState,
    Payout,
    PayoutStatus,
    PendingSnapshot,
    TransactionStatus,
    Trust,
)
from core.notifications.connections import health_changed
from core.payments import payouts
from core.statements import Effect, EffectKind, Outcome, Statement, supersedes

_RANK = {status.value: rank for rank, status in enumerate(TransactionStatus)}
_PAYOUT_RANK = {status.value: rank for rank, status in enumerate(PayoutStatus)}

_TRANSACTIONS = Rows(
    id="uuid",
    user_id="uuid",
    connection_id="uuid",
    account_object_id="text",
    object_id="text",
    version="bigint",
    status="text",
    amount="bigint",
    currency="text",
    narration="text",
    counterparty="text",
    bank_reference="text",
    category="text",
    balance="bigint",
    occurred_at="timestamptz",
    booked_on="date",
    trust="text",
    swept="boolean",
)
_CONTENT = (
    "amount",
    "currency",
    "narration",
    "account_object_id",
    "counterparty",
    "bank_reference",
    "category",
    "balance",
    "occurred_at",
    "booked_on",
)
_LOAD = text(f"SELECT {_TRANSACTIONS.names} FROM transactions WHERE id = ANY(CAST(:ids AS uuid[]))")
_INSERT = text(_TRANSACTIONS.insert("transactions"))
_UPDATE = text(_TRANSACTIONS.update("transactions", suffix=", updated_at = now()"))


def _values(statement: Statement, record: BankTransaction, identity: UUID) -> dict[str, Any]:
    return {
        "id": identity,
        "user_id": statement.user_id,
        "connection_id": statement.connection_id,
        "account_object_id": record.account_id,
        "object_id": record.object_id,
        "version": record.version,
        "status": record.status.value,
        "amount": record.money.minor,
        "currency": record.money.currency,
        "narration": record.narration,
        "counterparty": record.counterparty,
        "bank_reference": record.bank_reference,
        "category": record.category,
        "balance": None if record.balance is None else record.balance.minor,
        "occurred_at": record.occurred_at,
        "booked_on": record.booked_on,
        "trust": statement.trust.value,
        "swept": False,
    }


def _standing(row: dict[str, Any]) -> tuple[Any, ...]:
    return (
        row["trust"] != Trust.HINT,
        _RANK["pending" if row["swept"] else row["status"]],
        row["version"],
        *(row[name] for name in _CONTENT),
        row["trust"],
    )


def _says_the_same(row: dict[str, Any], before: dict[str, Any]) -> bool:
    """Whether two statements differ in their age and origin at most."""
    new, old = _standing(row), _standing(before)
    return new[:2] == old[:2] and new[3:-1] == old[3:-1] and row["swept"] == before["swept"]


def apply(connection: Connection, statements: Sequence[Statement], outcome: Outcome) -> None:
    """Take in what events say about bank transactions; propose matches for what is new.

    The caller owns the transaction. Repeats and older statements have the effect "unchanged".
    """
    said = [(statement, statement.record) for statement in statements if isinstance(statement.record, BankTransaction)]
    ids = objects.identify(
        connection, [(statement.connection_id, "transaction", record.object_id) for statement, record in said]
    )
    known = {row["id"]: dict(row) for row in _stored(connection, ids.known())}
    stored = set(known)
    changed: dict[UUID, tuple[dict[str, Any], UUID]] = {}
    loud: set[UUID] = set()
    for statement, record in said:
        identity = ids[statement.connection_id, "transaction", record.object_id]
        row = _values(statement, record, identity)
        before = known.get(identity)
        effect: EffectKind = "created" if before is None else "updated"
        if before is not None and not supersedes(_standing(row), _standing(before)):
            effect = "unchanged"
        else:
            if before is not None and _says_the_same(row, before):
                # Newer, and nothing else is different: a pull repeats what is known, and nobody needs to hear that.
                effect = "unchanged"
            else:
                loud.add(identity)
            known[identity] = row
            changed[identity] = (row, statement.event_id)
        outcome.effects.append(
            Effect(event_id=statement.event_id, object_kind="transaction", object_id=identity, effect=effect)
        )
    new = [row for identity, (row, _) in changed.items() if identity not in stored]
    old = [row for identity, (row, _) in changed.items() if identity in stored]
    with pipelined(connection):
        if new:
            connection.execute(_INSERT, _TRANSACTIONS.parameters(new))
        if old:
            connection.execute(_UPDATE, _TRANSACTIONS.parameters(old))
    origins = {identity: event_id for identity, (_, event_id) in changed.items()}
    _announce({identity: changed[identity] for identity in changed if identity in loud}, stored, outcome)
    _sweep_pending(connection, statements, changed, outcome)
    told = [row for identity, (row, _) in changed.items() if identity in loud]
    again = [row for row in told if row["id"] in stored]
    matching.withdraw(connection, [row["id"] for row in again if row["status"] == "removed"], outcome)
    matching.follow(connection, [row for row in again if row["status"] == "posted"], outcome)
    matching.forget(connection, [row["id"] for row in again])
    matching.propose(connection, told, origins, outcome)


def _stored(connection: Connection, ids: Sequence[UUID]) -> Sequence[RowMapping]:
    return connection.execute(_LOAD, {"ids": array(ids, "uuid")}).mappings().all() if ids else []


def _announce(changed: dict[UUID, tuple[dict[str, Any], UUID]], stored: set[UUID], outcome: Outcome) -> None:
    for identity, (row, event_id) in changed.items():
        outcome.tell(
            [f"user:{row['user_id']}"],
            "transaction.updated" if identity in stored else "transaction.created",
            {
                "transaction_id": str(identity),
                "status": row["status"],
                "amount": row["amount"],
                "currency": row["currency"],
                "narration": row["narration"][:120],
            },
            event_id,
        )


def _sweep_pending(
    connection: Connection,
    statements: Sequence[Statement],
    changed: dict[UUID, tuple[dict[str, Any], UUID]],
    outcome: Outcome,
) -> None:
    """Remove pending transactions that the provider no longer lists (see `PendingSnapshot`).

    A sweep is no statement about the transaction: a newer statement brings it back.
    """
    # (connection, account) → the event that last spoke of it.
    touched: dict[tuple[UUID, str], UUID] = {
        (row["connection_id"], row["account_object_id"]): event_id
        for row, event_id in changed.values()
        if row["status"] == "pending"
    }
    for statement in statements:
        snapshot = statement.record
        if isinstance(snapshot, PendingSnapshot):
            touched[statement.connection_id, snapshot.object_id] = statement.event_id
            connection.execute(
                text(
                    "INSERT INTO pending_snapshots AS known VALUES (:connection, :account, :version) "
                    "ON CONFLICT (connection_id, account_object_id) "
                    "DO UPDATE SET version = greatest(known.version, excluded.version)"
                ),
                {
                    "connection": statement.connection_id,
                    "account": snapshot.object_id,
                    "version": snapshot.version,
                },
            )
    if not touched:
        return
    rows = connection.execute(
        text(
            "UPDATE transactions AS known SET status = 'removed', swept = true, updated_at = now() "
            "FROM pending_snapshots AS snapshot "
            "JOIN unnest(CAST(:connections AS uuid[]), CAST(:accounts AS text[])) "
            "AS touched (connection_id, account_object_id) USING (connection_id, account_object_id) "
            "WHERE known.connection_id = snapshot.connection_id AND known.status = 'pending' "
            "AND known.account_object_id = snapshot.account_object_id AND known.version < snapshot.version "
            f"RETURNING {', '.join('known.' + name for name in _TRANSACTIONS.columns)}"
        ),
        {"connections": [key[0] for key in touched], "accounts": [key[1] for key in touched]},
    ).mappings()
    swept = {row["id"]: (dict(row), touched[row["connection_id"], row["account_object_id"]]) for row in rows}
    for identity, (_, event_id) in swept.items():
        outcome.effects.append(
            Effect(event_id=event_id, object_kind="transaction", object_id=identity, effect="updated")
        )
    _announce(swept, set(swept), outcome)


def mask(number: str | None) -> str | None:
    """The last four characters of an account number; the rest is not ours to keep."""
    if number is None:
        return None
    return "•••• " + number[-4:] if len(number) > 4 else "••••"


def _account_standing(account: BankAccount) -> tuple[Any, ...]:
    """The place of a statement about an account; the database compares the same columns, byte by byte."""
    return (
        account.version,
        account.name[:200].encode(),
        (mask(account.number) or "").encode(),
        account.currency,
        (account.kind or "").encode(),
        0 if account.balance is None else account.balance.minor,
        account.available,
    )


def apply_accounts(connection: Connection, statements: Sequence[Statement], outcome: Outcome) -> None:
    """Take in what providers say of the accounts themselves; the newest version holds."""
    said: dict[tuple[UUID, str], tuple[Statement, BankAccount]] = {}
    for statement in statements:
        record = statement.record
        if isinstance(record, BankAccount):
            key = (statement.connection_id, record.object_id)
            if key not in said or _account_standing(said[key][1]) < _account_standing(record):
                said[key] = (statement, record)
    ids = objects.identify(connection, [(key[0], "account", key[1]) for key in said])
    for key in sorted(said):
        statement, account = said[key]
        changed = connection.execute(
            text(
                "WITH old AS (SELECT name, number_masked, currency, kind, balance, available FROM bank_accounts "
                "WHERE connection_id = :connection_id AND object_id = :object_id) "
                "INSERT INTO bank_accounts AS known (id, user_id, connection_id, object_id, version, name, "
                "number_masked, currency, kind, balance, available) VALUES (:id, :user_id, :connection_id, :object_id, "
                ":version, :name, :number, :currency, :kind, :balance, :available) "
                "ON CONFLICT (connection_id, object_id) DO UPDATE SET version = excluded.version, "
                "name = excluded.name, "
                "number_masked = excluded.number_masked, "
                "currency = excluded.currency, kind = excluded.kind, balance = excluded.balance, "
                "available = excluded.available, updated_at = now() "
                'WHERE (known.version, known.name COLLATE "C", coalesce(known.number_masked, \'\') COLLATE "C", '
                'known.currency COLLATE "C", coalesce(known.kind, \'\') COLLATE "C", coalesce(known.balance, 0), '
                'known.available) < (excluded.version, excluded.name COLLATE "C", '
                'coalesce(excluded.number_masked, \'\') COLLATE "C", excluded.currency COLLATE "C", '
                "coalesce(excluded.kind, '') COLLATE \"C\", coalesce(excluded.balance, 0), excluded.available) "
                "RETURNING (xmax = 0) AS created, NOT EXISTS (SELECT FROM old WHERE (old.name, old.number_masked, "
                "old.currency, old.kind, old.balance, old.available) IS NOT DISTINCT FROM (known.name, "
                "known.number_masked, known.currency, known.kind, known.balance, known.available)) AS different"
            ),
            {
                "id": ids[key[0], "account", key[1]],
                "user_id": statement.user_id,
                "connection_id": statement.connection_id,
                "object_id": account.object_id,
                "version": account.version,
                "name": account.name[:200],
                "number": mask(account.number),
                "currency": account.currency,
                "kind": account.kind,
                "balance": None if account.balance is None else account.balance.minor,
                "available": account.available,
            },
        ).one_or_none()
        effect: EffectKind = "unchanged"
        if changed is not None and changed.different:
            # What is only said again, newer, raises the version and is no news.
            effect = "created" if changed.created else "updated"
        outcome.effects.append(
            Effect(
                event_id=statement.event_id,
                object_kind="account",
                object_id=ids[key[0], "account", key[1]],
                effect=effect,
            )
        )


_PAYOUTS = Rows(
    id="uuid",
    user_id="uuid",
    connection_id="uuid",
    object_id="text",
    version="bigint",
    status="text",
    amount="bigint",
    currency="text",
    fee="bigint",
    bank_reference="text",
    occurred_at="timestamptz",
    to_third_party="boolean",
)
# Its parts are looked for anew.
_UNEXPLAINED = text("UPDATE payouts SET unexplained = NULL WHERE id = ANY(CAST(:ids AS uuid[]))")


def apply_payouts(connection: Connection, statements: Sequence[Statement], outcome: Outcome) -> None:
    """Take in payouts, merged like transactions; find what they hold, also of those whose items were just named."""
    said = [(statement, statement.record) for statement in statements if isinstance(statement.record, Payout)]
    ids = objects.identify(
        connection, [(statement.connection_id, "payout", record.object_id) for statement, record in said]
    )
    known = {
        row["id"]: dict(row)
        for row in connection.execute(
            text(f"SELECT {_PAYOUTS.names} FROM payouts WHERE id = ANY(CAST(:ids AS uuid[]))"),
            {"ids": array(ids.values(), "uuid")},
        )
        .mappings()
        .all()
    }
    stored = set(known)
    changed: dict[UUID, dict[str, Any]] = {}
    told: dict[UUID, UUID] = {}
    for statement, record in said:
        identity = ids[statement.connection_id, "payout", record.object_id]
        row = {
            "id": identity,
            "user_id": statement.user_id,
            "connection_id": statement.connection_id,
            "object_id": record.object_id,
            "version": record.version,
            "status": record.status.value,
            "amount": record.money.minor,
            "currency": record.money.currency,
            "fee": None if record.fee is None else record.fee.minor,
            "bank_reference": record.bank_reference,
            "occurred_at": record.occurred_at,
            "to_third_party": record.to_third_party,
        }
        before = known.get(identity)
        effect: EffectKind = "created" if before is None else "updated"
        if before is not None and not supersedes(_payout_standing(row), _payout_standing(before)):
            effect = "unchanged"
        else:
            if before is not None and {**row, "version": 0} == {**before, "version": 0}:
                # Only said again, newer.
                effect = "unchanged"
            else:
                told[identity] = statement.connection_id
            known[identity] = changed[identity] = row
        outcome.effects.append(
            Effect(event_id=statement.event_id, object_kind="payout", object_id=identity, effect=effect)
        )
    renamed = {connection_id for connection_id, _ in outcome.named}
    if changed or renamed:
        books.touch(connection)
        payouts.hold(connection, {row["connection_id"] for row in changed.values()} | renamed)
    new = [row for identity, row in changed.items() if identity not in stored]
    old = [row for identity, row in changed.items() if identity in stored]
    if new:
        connection.execute(text(_PAYOUTS.insert("payouts")), _PAYOUTS.parameters(new))
    if old:
        connection.execute(text(_PAYOUTS.update("payouts", suffix=", updated_at = now()")), _PAYOUTS.parameters(old))
    if told or renamed:
        connection.execute(_UNEXPLAINED, {"ids": array(told, "uuid")})
        named = outcome.named | {(row["connection_id"], row["object_id"]) for row in map(changed.__getitem__, told)}
        payouts.add_up(connection, named)
        payouts.look_again(connection, {*told.values(), *renamed}, renamed)


def _payout_standing(row: dict[str, Any]) -> tuple[Any, ...]:
    details = ("amount", "currency", "fee", "bank_reference", "occurred_at", "to_third_party")
    return (True, _PAYOUT_RANK[row["status"]], row["version"], *(row[name] for name in details))


def apply_health(connection: Connection, statements: Sequence[Statement], outcome: Outcome) -> None:
    """Take in what providers say of the connection itself; the newest statement holds."""
    for statement in statements:
        record = statement.record
        if not isinstance(record, ConnectionState):
            continue
        row = connection.execute(
            text(
                "UPDATE connections SET health = :health, health_reason = :reason, health_version = :version, "
                "updated_at = now() FROM (SELECT health AS was, health_reason AS why FROM connections WHERE id = :id "
                'FOR NO KEY UPDATE) AS old WHERE id = :id AND (health_version, health COLLATE "C", '
                'coalesce(health_reason, \'\') COLLATE "C") < (:version, CAST(:health AS text) COLLATE "C", '
                "coalesce(CAST(:reason AS text), '') COLLATE \"C\") "
                "RETURNING user_id, name, (old.was, old.why) IS DISTINCT FROM (health, health_reason) AS different"
            ),
            {
                "id": statement.connection_id,
                "health": record.health.value,
                "reason": None if record.reason is None else record.reason[:500],
                "version": record.version,
            },
        ).one_or_none()
        outcome.effects.append(
            Effect(
                event_id=statement.event_id,
                object_kind="connection",
                object_id=statement.connection_id,
                effect="updated" if row is not None and row.different else "unchanged",
            )
        )
        if row is not None and row.different:
            outcome.tell(
                [f"user:{row.user_id}"],
                "connection.updated",
                {
                    "connection_id": str(statement.connection_id),
                    "name": row.name,
                    "health": record.health.value,
                    "reason": record.reason,
                },
                statement.event_id,
            )
            told = health_changed(connection, statement.connection_id, record.health, record.reason, statement.event_id)
            outcome.announcements.extend((event, statement.event_id) for event in told)
