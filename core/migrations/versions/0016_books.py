"""The sellers' books: accounts of what is owed to them and what they earned, and what each is made of (ADR 0015)."""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

# A position's columns are accounts of the seller's books.
_ACCOUNTS = (
    "receivable",
    "sales",
    "tax_due",
    "rounding",
    "credit",
    "clearing",
    "bank",
    "gateway_fees",
    "tds",
    "credit_notes",
    "financing",
)
_PURPOSES = ", ".join(f"'{name}'" for name in _ACCOUNTS)

TABLES = f"""
-- Whoever has books owes and is owed: every one of these accounts may be below zero, as debts to the seller are.
ALTER TABLE ledger_accounts
    DROP CONSTRAINT ledger_accounts_purpose_check,
    ADD CONSTRAINT ledger_accounts_purpose_check CHECK (purpose IN
        ('wallet', 'escrow', 'fees', 'gst', 'unapplied', 'issuance', 'outside', 'recoverable', 'scratch', {_PURPOSES})),
    DROP CONSTRAINT ledger_accounts_overdraft,
    ADD CONSTRAINT ledger_accounts_overdraft CHECK (purpose = 'scratch'
        OR overdraft = (purpose IN ('issuance', 'outside', 'recoverable', {_PURPOSES})));

-- What an invoice, a credit note, a payment or a payout is in its seller's books, a row a change: the newest one is how
-- it stands. Amounts are minor units as the ledger has them: credits above zero, debits below.
CREATE TABLE book_positions (
    object_id uuid NOT NULL,
    version integer NOT NULL CHECK (version >= 1),
    kind text NOT NULL CHECK (kind IN ('invoice', 'credit_note', 'payment', 'payout')),
    user_id uuid NOT NULL,
    -- Whose clearing account it moves; none where no gateway is.
    connection_id uuid,
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{{3}}$'),
    {"".join(f"{name} bigint NOT NULL DEFAULT 0, " for name in _ACCOUNTS)}
    -- What posted the difference to the row before; none where the changes of one posting cancel each other out.
    transfer_id uuid,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (object_id, version),
    CONSTRAINT book_positions_balance CHECK ({" + ".join(_ACCOUNTS)} = 0),
    CONSTRAINT book_positions_have_clearing CHECK (clearing = 0 OR connection_id IS NOT NULL)
);
CREATE INDEX book_positions_transfer ON book_positions (transfer_id);

-- What changed and is not posted yet. Emptied at the end of the transaction that changed it; what is left over (by
-- hand-written SQL, and what was there before there were books) is posted by a worker.
CREATE TABLE book_due (
    object_id uuid PRIMARY KEY,
    kind text NOT NULL,
    -- The transaction that changed it last.
    changed_by xid8
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX book_due_changed ON book_due (changed_by) WHERE changed_by IS NOT NULL;

-- What reports of a period read.
CREATE INDEX invoices_issued ON invoices (seller_id, issue_date) WHERE status NOT IN ('draft', 'void');

INSERT INTO book_due (object_id, kind)
    SELECT id, 'invoice' FROM invoices WHERE status NOT IN ('draft', 'void')
    UNION ALL SELECT id, 'credit_note' FROM credit_notes WHERE status <> 'void'
    UNION ALL SELECT id, 'payment' FROM payments WHERE status = 'succeeded'
    UNION ALL SELECT id, 'payout' FROM payouts WHERE status = 'paid' AND NOT to_third_party;
"""

# Of each kind: its table, when it counts, and what its position depends on then.
_WATCHED = {
    "invoice": (
        "invoices",
        "{0}.status NOT IN ('draft', 'void')",
        "{0}.seller_id, {0}.currency, {0}.total, {0}.tax, {0}.rounding",
    ),
    "credit_note": (
        "credit_notes",
        "{0}.status <> 'void'",
        "{0}.seller_id, {0}.currency, {0}.total, {0}.tax, {0}.rounding",
    ),
    "payment": (
        "payments",
        "({0}.status = 'succeeded' AND {0}.trust <> 'hint')",
        (
            "{0}.user_id, {0}.connection_id, {0}.currency, {0}.net, {0}.allocated, {0}.fee, {0}.source, "
            "{0}.method, {0}.refunded, {0}.given_back"
        ),
    ),
    "payout": (
        "payouts",
        "({0}.status = 'paid' AND NOT {0}.to_third_party)",
        "{0}.user_id, {0}.connection_id, {0}.currency, {0}.amount",
    ),
}

_DUE = """
CREATE FUNCTION book_due_{kind}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO book_due AS due (object_id, kind, changed_by)
        SELECT fresh.id, '{kind}', pg_current_xact_id() FROM fresh WHERE {counts}
        ON CONFLICT (object_id) DO UPDATE SET changed_by = excluded.changed_by;
    ELSIF TG_OP = 'UPDATE' THEN
        INSERT INTO book_due AS due (object_id, kind, changed_by)
        SELECT fresh.id, '{kind}', pg_current_xact_id() FROM fresh JOIN gone ON gone.id = fresh.id
        WHERE ({counts} OR {counted}) AND ({counts}, {now}) IS DISTINCT FROM ({counted}, {then})
        ON CONFLICT (object_id) DO UPDATE SET changed_by = excluded.changed_by;
    ELSE
        INSERT INTO book_due AS due (object_id, kind, changed_by)
        SELECT gone.id, '{kind}', pg_current_xact_id() FROM gone WHERE {counted}
        ON CONFLICT (object_id) DO UPDATE SET changed_by = excluded.changed_by;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER {table}_book_new AFTER INSERT ON {table} REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION book_due_{kind}();
CREATE TRIGGER {table}_book_changed AFTER UPDATE ON {table} REFERENCING NEW TABLE AS fresh OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION book_due_{kind}();
CREATE TRIGGER {table}_book_gone AFTER DELETE ON {table} REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION book_due_{kind}();
"""

# Where a payment's money went is in the rows of repayments.
_FINANCED = """
CREATE FUNCTION book_due_repayment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO book_due AS due (object_id, kind, changed_by)
    SELECT DISTINCT payment_id, 'payment', pg_current_xact_id() FROM fresh
    ON CONFLICT (object_id) DO UPDATE SET changed_by = excluded.changed_by;
    RETURN NULL;
END $$;
CREATE TRIGGER repayments_book_new AFTER INSERT ON repayments REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION book_due_repayment();
CREATE TRIGGER repayments_book_changed AFTER UPDATE ON repayments REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION book_due_repayment();
"""

# Plans are made when a session first needs them, perhaps over empty tables, and kept: look-ups by key are never wrong.
_STEADY = "SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off"

_DELTAS = ", ".join(f"sum(fresh.{name} - coalesce(before.{name}, 0))::bigint AS {name}" for name in _ACCOUNTS)
_LEGS = ", ".join(f"('{name}', moved.{name})" for name in _ACCOUNTS)

GUARDS = f"""
-- Positions follow each other, and each transfer moves exactly what the positions that name it changed by.
CREATE FUNCTION book_check_positions() RETURNS trigger LANGUAGE plpgsql {_STEADY} AS $$
DECLARE
    wrong record;
BEGIN
    SELECT fresh.object_id, fresh.version INTO wrong
    FROM fresh LEFT JOIN book_positions AS before
        ON before.object_id = fresh.object_id AND before.version = fresh.version - 1
    WHERE (before.version IS NULL) <> (fresh.version = 1) OR before.kind <> fresh.kind
        -- To other books, or another currency, it moves by way of nothing.
        OR ((before.user_id, before.connection_id, before.currency)
            IS DISTINCT FROM (fresh.user_id, fresh.connection_id, fresh.currency) AND before.version IS NOT NULL
            AND ({", ".join(f"before.{name}" for name in _ACCOUNTS)}) <> ({", ".join("0" for _ in _ACCOUNTS)}))
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'position % of % does not follow the one before it', wrong.version, wrong.object_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'book_positions_follow';
    END IF;

    WITH moved AS (
        SELECT fresh.transfer_id, fresh.user_id, fresh.connection_id, fresh.currency, {_DELTAS}
        FROM fresh LEFT JOIN book_positions AS before
            ON before.object_id = fresh.object_id AND before.version = fresh.version - 1
        GROUP BY fresh.transfer_id, fresh.user_id, fresh.connection_id, fresh.currency
    ), said AS (
        SELECT transfer_id, currency, purpose, amount,
               CASE purpose WHEN 'clearing' THEN 'connection:' || connection_id ELSE 'books:' || user_id END AS owner
        FROM moved, LATERAL (VALUES {_LEGS}) AS leg (purpose, amount) WHERE amount <> 0
    ), posted AS (
        SELECT entry.transfer_id, account.currency, account.purpose, entry.amount, account.owner
        FROM (SELECT DISTINCT transfer_id FROM fresh WHERE transfer_id IS NOT NULL) AS named
        JOIN ledger_entries AS entry ON entry.transfer_id = named.transfer_id
        JOIN ledger_accounts AS account ON account.id = entry.account_id
    )
    SELECT transfer_id INTO wrong FROM (
        SELECT transfer_id, currency, purpose, owner, amount FROM said
        UNION ALL SELECT transfer_id, currency, purpose, owner, -amount FROM posted
    ) AS both_ways GROUP BY transfer_id, currency, purpose, owner HAVING sum(amount) <> 0 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'transfer % does not move what its positions changed by', wrong.transfer_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'book_positions_are_posted';
    END IF;

    SELECT transfer_id INTO wrong FROM fresh WHERE transfer_id IS NOT NULL GROUP BY transfer_id
    HAVING count(*) <> (SELECT count(*) FROM book_positions WHERE book_positions.transfer_id = fresh.transfer_id)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'transfer % explains other positions already', wrong.transfer_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'book_positions_are_posted';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER book_positions_check AFTER INSERT ON book_positions REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION book_check_positions();
CREATE TRIGGER book_positions_append_only BEFORE UPDATE OR DELETE ON book_positions
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER book_positions_no_truncate BEFORE TRUNCATE ON book_positions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The other side, at commit: nothing moves on an account of the books without positions that say why.
CREATE FUNCTION book_check_account() RETURNS trigger LANGUAGE plpgsql {_STEADY} AS $$
BEGIN
    IF EXISTS (
        SELECT FROM ledger_entries AS entry
        WHERE entry.account_id = NEW.id AND entry.sequence > OLD.sequence AND entry.sequence <= NEW.sequence
            AND NOT EXISTS (SELECT FROM book_positions WHERE book_positions.transfer_id = entry.transfer_id)
    ) THEN
        RAISE EXCEPTION 'account % moved and no position says why', NEW.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_accounts_books_are_explained';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER ledger_accounts_books AFTER UPDATE ON ledger_accounts
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (OLD.sequence <> NEW.sequence AND NEW.purpose IN ({_PURPOSES}))
    EXECUTE FUNCTION book_check_account();
"""


def upgrade() -> None:
    """Create what is new."""
    # Straight to the driver: these scripts hold several statements and no parameters.
    execute = op.get_bind().exec_driver_sql
    execute(TABLES.replace("%", "%%"))
    for kind, (table, counts, parts) in _WATCHED.items():
        words = {"counts": counts.format("fresh"), "counted": counts.format("gone")}
        words |= {"now": parts.format("fresh"), "then": parts.format("gone")}
        execute(_DUE.format(kind=kind, table=table, **words).replace("%", "%%"))
    execute(_FINANCED.replace("%", "%%"))
    execute(GUARDS.replace("%", "%%"))
