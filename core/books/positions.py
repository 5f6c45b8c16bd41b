"""What each object is in its seller's books, as SQL: by its present state, and by what was posted of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from core.ledger.accounts import BOOKS

COLUMNS = tuple(purpose.value for purpose in BOOKS)
# Where a position lies. Moving from one place to another goes by way of nothing.
PLACE = ("user_id", "connection_id", "currency")
KINDS = ("invoice", "credit_note", "payment", "payout")


def _amounts(given: Mapping[str, str]) -> str:
    if unknown := given.keys() - set(COLUMNS):
        raise ValueError(f"no accounts: {unknown}")
    return ", ".join(f"({given.get(name, '0')})::bigint AS {name}" for name in COLUMNS)


_GATEWAY = "payments.source = 'gateway' AND payments.connection_id IS NOT NULL"
_TDS = "payments.method IS NOT DISTINCT FROM 'tds_withheld'"
_NOTE = "payments.source = 'credit_note'"
_FEE = "coalesce(payments.fee, 0)"
# What is left where the money is, once the fee is paid and the financing has its part.
_LEFT = f"payments.net - {_FEE} - financed.amount"
# What a person gave back of it came from the bank, wherever the payment is.
_BACK = "least(payments.given_back, payments.refunded)"
_PLACE = f"CASE WHEN {_NOTE} THEN 'credit_notes' WHEN {_TDS} THEN 'tds' WHEN {_GATEWAY} THEN 'clearing' ELSE 'bank' END"


def _in(place: str) -> str:
    return f"CASE {_PLACE} WHEN '{place}' THEN -({_LEFT} + {_BACK}) ELSE 0 END"


# What went into the repayment of a financing, as the marketplace posted it.
_FINANCED = (
    "LATERAL (SELECT coalesce(sum(repayments.amount), 0)::bigint AS amount FROM repayments "
    "WHERE repayments.payment_id = payments.id AND repayments.reversed_by IS NULL) AS financed"
)

# Of each kind: its rows that count, in the columns of a position.
WANTED: Mapping[str, str] = {
    "invoice": (
        "SELECT invoices.id AS object_id, 'invoice' AS kind, invoices.seller_id AS user_id, "
        "CAST(NULL AS uuid) AS connection_id, invoices.currency, "
        + _amounts(
            {
                "receivable": "-invoices.total",
                "sales": "invoices.subtotal",
                "tax_due": "invoices.tax",
                "rounding": "invoices.rounding",
            }
        )
        + " FROM invoices WHERE invoices.status NOT IN ('draft', 'void')"
    ),
    "credit_note": (
        "SELECT credit_notes.id AS object_id, 'credit_note' AS kind, credit_notes.seller_id AS user_id, "
        "CAST(NULL AS uuid) AS connection_id, credit_notes.currency, "
        + _amounts(
            {
                "sales": "-credit_notes.subtotal",
                "tax_due": "-credit_notes.tax",
                "rounding": "-credit_notes.rounding",
                "credit_notes": "credit_notes.total",
            }
        )
        + " FROM credit_notes WHERE credit_notes.status <> 'void'"
    ),
    "payment": (
        "SELECT payments.id AS object_id, 'payment' AS kind, payments.user_id, "
        f"CASE WHEN {_GATEWAY} THEN payments.connection_id END AS connection_id, payments.currency, "
        + _amounts(
            {
                "receivable": "payments.allocated",
                "credit": "payments.net - payments.allocated",
                "gateway_fees": f"-{_FEE}",
                "financing": "-financed.amount",
                "credit_notes": _in("credit_notes"),
                "tds": _in("tds"),
                "clearing": _in("clearing"),
                "bank": f"{_BACK} + {_in('bank')}",
            }
        )
        + f" FROM payments, {_FINANCED} WHERE payments.status = 'succeeded' AND payments.trust <> 'hint'"
    ),
    "payout": (
        "SELECT payouts.id AS object_id, 'payout' AS kind, payouts.user_id, payouts.connection_id, payouts.currency, "
        + _amounts(
            {
                # What its items charge beside the fees of payments was kept of what was collected.
                "clearing": "payouts.amount + payouts.charges",
                "bank": "-payouts.amount",
                "gateway_fees": "-payouts.charges",
            }
        )
        # What goes to somebody else, such as a supplier, is none of these books' business.
        + " FROM payouts WHERE payouts.status = 'paid' AND NOT payouts.to_third_party"
    ),
}
_TABLES = {"invoice": "invoices", "credit_note": "credit_notes", "payment": "payments", "payout": "payouts"}
# Nobody else changes an object while it is posted. What this transaction wrote it holds already.
LOCKS: Mapping[str, str] = {
    kind: (
        f"SELECT FROM {table} WHERE id = ANY(CAST(:ids AS uuid[])) AND xmin <> pg_current_xact_id()::xid "
        "ORDER BY id FOR NO KEY UPDATE"
    )
    for kind, table in _TABLES.items()
}


def _every(spell: Callable[[str], str], separator: str = ", ") -> str:
    return separator.join(spell(name) for name in COLUMNS)


_ZEROS = f"({_every(lambda _: '0')})"
_STANDS = f"({_every(lambda name: f'stands.{name}')})"
_HERE = f"({', '.join(f'wanted.{name}' for name in PLACE)})"
_THERE = f"({', '.join(f'stands.{name}' for name in PLACE)})"
_MOVED = f"(stands.object_id IS NOT NULL AND {_HERE} IS DISTINCT FROM {_THERE})"


def changes(kinds: tuple[str, ...]) -> str:
    """The CTEs whose last, `changes`, has a row for each position to be written of the objects :<kind>_ids.

    Columns: object_id, kind, version, PLACE, COLUMNS, and of each of these what changes, as change_<column>.
    """
    asked = " UNION ALL ".join(f"SELECT unnest(CAST(:{kind}_ids AS uuid[])) AS object_id" for kind in kinds)
    wanted = " UNION ALL ".join(
        f"({WANTED[kind]} AND {_TABLES[kind]}.id = ANY(CAST(:{kind}_ids AS uuid[])))" for kind in kinds
    )
    place = ", ".join(f"stands.{name}" for name in PLACE)
    return f"""
    WITH asked AS ({asked}), wanted AS MATERIALIZED ({wanted}), stands AS MATERIALIZED (
        SELECT newest.* FROM asked, LATERAL (
            SELECT * FROM book_positions WHERE book_positions.object_id = asked.object_id ORDER BY version DESC LIMIT 1
        ) AS newest
    ), changes AS (
        SELECT stands.object_id, stands.kind, stands.version + 1 AS version, {place},
               {_every(lambda name: f"0::bigint AS {name}")},
               {_every(lambda name: f"-stands.{name} AS change_{name}")}
        FROM stands LEFT JOIN wanted ON wanted.object_id = stands.object_id
        WHERE (wanted.object_id IS NULL OR {_MOVED}) AND {_STANDS} <> {_ZEROS}
        UNION ALL
        SELECT wanted.object_id, wanted.kind,
               coalesce(stands.version, 0) + CASE WHEN {_MOVED} AND {_STANDS} <> {_ZEROS} THEN 2 ELSE 1 END,
               {", ".join(f"wanted.{name}" for name in PLACE)},
               {_every(lambda name: f"wanted.{name}")},
               {_every(lambda name: f"wanted.{name} - CASE WHEN {_MOVED} THEN 0 ELSE coalesce(stands.{name}, 0) END")}
        FROM wanted LEFT JOIN stands ON stands.object_id = wanted.object_id
        WHERE ({_every(lambda name: f"wanted.{name}")})
            IS DISTINCT FROM ({_every(lambda name: f"CASE WHEN {_MOVED} THEN 0 ELSE coalesce(stands.{name}, 0) END")})
    )"""
