"""Two million invoices, one million of one seller, with lines, payments and bank lines, for `bench.s7_lists`.

Rows are written past the triggers, which would make each of them one by one; what the triggers keep is written here.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, text

from core.database import Database

SELLERS = 100
CONTACTS = 5_000
_TABLES = ("contacts", "invoices", "invoice_items", "payments", "allocations", "transactions")
YEARS_DAYS = 1_000

# Ids in the order of the days, as UUIDv7 are: milliseconds, then what keeps them apart.
_ID = (
    "(lpad(to_hex((extract(epoch FROM {moment}) * 1000)::bigint), 12, '0') || '7' || substr(md5({salt}), 1, 3) || '8' "
    "|| substr(md5({salt}), 4, 15))::uuid"
)
_NAMES = (
    "(ARRAY['Ramesh','Sunita','Kavita','Arjun','Meera','Farhan','Gurpreet','Lakshmi','Naveen','Pooja'])[1 + n % 10] "
    "|| ' ' || (ARRAY['Traders','Textiles','Foods','Motors','Paper','Chemicals','Steel','Garments'])[1 + n / 10 % 8] "
    "|| ' ' || n"
)
_GOODS = (
    "(ARRAY['Cotton cloth','Steel bolts','Basmati rice','Printing paper','Engine oil','School bags','Tea leaves',"
    "'Ceramic tiles'])[1 + n % 8] || ' lot ' || upper(substr(md5(n::text), 1, 8))"
)


@dataclass(frozen=True, slots=True)
class Scale:
    """How many rows there are: of the one seller, and of all the others together."""

    one: int = 1_000_000
    others: int = 1_000_000
    bank_lines: int = 200_000


def build(database: Database, scale: Scale) -> UUID:
    """Fill an empty, migrated database; return the seller of half of it."""
    with database.connect() as connection:
        for table in _TABLES:
            connection.exec_driver_sql(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
        indexes = _without_indexes(connection)
        seller = _people(connection)
        _invoices(connection, scale)
        _payments(connection)
        _lines(connection, scale)
        _texts(connection)
        connection.exec_driver_sql("SET LOCAL maintenance_work_mem = '512MB'")
        for definition in indexes:
            connection.exec_driver_sql(definition)
        for table in _TABLES:
            connection.exec_driver_sql(f"ALTER TABLE {table} ENABLE TRIGGER USER")
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")
    return seller


def _without_indexes(connection: Connection) -> list[str]:
    """Take the search's indexes away until the texts are there; return how they are made."""
    found = connection.execute(
        text("SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'invoice_texts' AND indexname !~ 'pkey'")
    ).all()
    for row in found:
        connection.exec_driver_sql(f"DROP INDEX {row.indexname}")
    return [row.indexdef for row in found]


def _people(connection: Connection) -> UUID:
    connection.execute(
        text(
            "INSERT INTO users (id, email, name, role, password_hash) SELECT md5('user ' || n)::uuid, "
            "'seller' || n || '@bench.example', 'Seller ' || n, 'seller', '' FROM generate_series(0, :sellers) AS n"
        ),
        {"sellers": SELLERS},
    )
    connection.exec_driver_sql(
        "INSERT INTO business_profiles (user_id, legal_name, tax_regime, gstin, state_code) "
        "SELECT id, name, 'gst', '27AAPFU0939F1ZV', '27' FROM users"
    )
    connection.execute(
        text(
            "INSERT INTO contacts (id, user_id, name, email, gstin, state_code) "
            f"SELECT md5('contact ' || n)::uuid, md5('user ' || CASE WHEN n < :one THEN 0 ELSE 1 + n % :sellers END)"
            f"::uuid, {_NAMES}, 'buyer' || n || '@customers.example', "
            "CASE WHEN n % 2 = 0 THEN '29AAFCC9980M1ZR' END, lpad((1 + n % 30)::text, 2, '0') "
            "FROM generate_series(0, 2 * :one - 1) AS n"
        ),
        {"one": CONTACTS, "sellers": SELLERS},
    )
    return UUID(str(connection.scalar(text("SELECT id FROM users WHERE email = 'seller0@bench.example'"))))


def _invoices(connection: Connection, scale: Scale) -> None:
    # One in nine is a draft or void or open; of the paid, each was paid a few weeks later.
    moment = "(CURRENT_DATE - :days + (n % :spread) * :days / :spread)"
    connection.execute(
        text(
            "INSERT INTO invoices (id, seller_id, contact_id, number, number_key, series, year, sequence, status, "
            "currency, issue_date, due_date, subtotal, tax, igst, cgst, sgst, total, amount_paid, tax_regime, "
            "supplier_gstin, supplier_state, buyer_gstin, place_of_supply, reference, notes, created_at, issued_at) "
            f"SELECT {_ID.format(moment='day', salt='n::text')}, user_id, contact, "
            "'INV-' || n, 'INV·' || n, 'INV', 2026, n, status, 'INR', day, day + 30, net, net / 100 * 18, "
            "CASE WHEN state = '27' THEN 0 ELSE net / 100 * 18 END, CASE WHEN state = '27' THEN net / 100 * 9 ELSE 0 "
            "END, CASE WHEN state = '27' THEN net / 100 * 9 ELSE 0 END, net + net / 100 * 18, "
            "CASE WHEN status = 'paid' THEN net + net / 100 * 18 ELSE 0 END, 'gst', '27AAPFU0939F1ZV', '27', gstin, "
            "state, 'PO-' || substr(md5(n::text), 1, 8), '', day, CASE WHEN status <> 'draft' THEN day END "
            f"FROM (SELECT n, {moment}::date AS day, (1000 + n % 9000) * 100::bigint AS net, "
            "CASE n % 40 WHEN 0 THEN 'draft' WHEN 1 THEN 'void' WHEN 2 THEN 'open' WHEN 3 THEN 'open' ELSE 'paid' END "
            "AS status, contacts.user_id, contacts.id AS contact, contacts.gstin, contacts.state_code AS state "
            "FROM generate_series(1, :all) AS n "
            # What is left over after the seller's own belongs to the others' customers.
            "JOIN contacts ON contacts.id = md5('contact ' || CASE WHEN n <= :one THEN n % :contacts "
            "ELSE :contacts + n % :contacts END)::uuid) AS made"
        ),
        {
            "days": YEARS_DAYS,
            "spread": scale.one,
            "all": scale.one + scale.others,
            "one": scale.one,
            "contacts": CONTACTS,
        },
    )
    connection.execute(
        text(
            "INSERT INTO invoice_items (invoice_id, position, description, quantity, unit_price, tax_rate, net, tax, "
            "igst, cgst, sgst, hsn, unit) SELECT id, 0, description, 1, subtotal, 18, subtotal, igst + cgst + sgst, "
            "igst, cgst, sgst, hsn, 'PCS' FROM (SELECT invoices.*, "
            f"{_GOODS.replace('n % 8', 'sequence % 8').replace('n::text', 'sequence::text')} AS description, "
            "(ARRAY['5208','7318','1006','4802','2710','4202','0902','6907'])[1 + sequence % 8] AS hsn "
            "FROM invoices) AS made"
        )
    )


def _payments(connection: Connection) -> None:
    connection.execute(
        text(
            "INSERT INTO payments (id, user_id, source, version, status, amount, currency, allocated, invoice_id, "
            "method, fee, occurred_at, trust, contact_id) SELECT "
            + _ID.format(moment="day", salt="'p' || number")
            + ", seller_id, CASE WHEN sequence % 3 = 0 THEN 'gateway' ELSE 'bank' END, 1, 'succeeded', total, "
            "currency, total, id, CASE WHEN sequence % 3 = 0 THEN 'upi' END, "
            + "CASE WHEN sequence % 3 = 0 THEN total / 50 END, day, 'signed', contact_id FROM ("
            + "SELECT *, (due_date + (sequence % 21 - 7))::timestamptz AS day FROM invoices "
            "WHERE status = 'paid') AS paid"
        )
    )
    connection.exec_driver_sql(
        "INSERT INTO allocations (id, payment_id, invoice_id, amount, currency, reason) SELECT "
        "gen_random_uuid(), id, invoice_id, allocated, currency, 'paid' FROM payments"
    )


def _lines(connection: Connection, scale: Scale) -> None:
    """Lines of a bank account: most are matched."""
    columns = "id, user_id, connection_id, object_id, account_object_id, version, status, amount, currency, narration, "
    connection.execute(
        text(
            f"INSERT INTO transactions ({columns} occurred_at, trust, match_state) SELECT "
            + _ID.format(moment="day", salt="'t' || n")
            + ", md5('user 0')::uuid, md5('bank')::uuid, 'line ' || n, 'account', 1, 'posted', 100000 + n, 'INR', "
            "'NEFT ' || n, day, 'signed', CASE n % 20 WHEN 0 THEN 'none' WHEN 1 THEN 'proposed' ELSE 'accepted' END "
            "FROM (SELECT n, (CURRENT_DATE - n % :days)::timestamptz AS day "
            "FROM generate_series(1, :many) AS n) AS made"
        ),
        {"many": scale.bank_lines, "days": YEARS_DAYS},
    )


def _texts(connection: Connection) -> None:
    connection.exec_driver_sql(
        "INSERT INTO invoice_texts (invoice_id, seller_id, body) SELECT invoices.id, seller_id, "
        "lower(concat_ws(' ', number, reference, contacts.name, contacts.email, description)) FROM invoices "
        "JOIN contacts ON contacts.id = contact_id JOIN invoice_items ON invoice_id = invoices.id"
    )
