"""Emptying the ledger: for scratch databases and demo data alone."""

from __future__ import annotations

from sqlalchemy import Connection, text

TABLES = (
    "ledger_accounts",
    "ledger_keys",
    "ledger_transfers",
    "ledger_entries",
    "ledger_reversals",
    "ledger_holds",
    "ledger_resolutions",
    "ledger_unsealed",
    "ledger_chain",
    "ledger_anchors",
)
_PARTS = text(
    "SELECT root::text FROM unnest(CAST(:tables AS regclass[])) AS root UNION SELECT inhrelid::regclass::text "
    "FROM pg_inherits WHERE inhparent = ANY(CAST(:tables AS regclass[])) ORDER BY 1"
)


def empty(connection: Connection) -> None:
    """Forget every account, transfer and hold. Only the owner of the tables can, in a transaction of its own.

    Their triggers refuse that, so they are switched off by name and on again: an act that nobody does by accident.
    """
    tables = list(connection.scalars(_PARTS, {"tables": list(TABLES)}))
    for table in tables:
        connection.exec_driver_sql(f"ALTER TABLE ONLY {table} DISABLE TRIGGER USER")
    connection.exec_driver_sql(f"TRUNCATE {', '.join(TABLES)}")
    for table in tables:
        connection.exec_driver_sql(f"ALTER TABLE ONLY {table} ENABLE TRIGGER USER")
    connection.exec_driver_sql("UPDATE ledger_chain_head SET position = 0, hash = decode(repeat('00', 32), 'hex')")
