"""What a provider says that a payout holds: item by item, and in place of what was found by order alone."""

from __future__ import annotations

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

TABLES = """
-- What providers say of the parts of their payouts, as they say it. The payout, and the payment, refund or dispute that
-- is meant, are named by the provider's ids: either may be unknown here until its own news comes.
CREATE TABLE payout_items (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    connection_id uuid NOT NULL,
    object_id text NOT NULL CHECK (length(object_id) BETWEEN 1 AND 255),
    version bigint NOT NULL,
    payout_object_id text NOT NULL CHECK (length(payout_object_id) BETWEEN 1 AND 255),
    kind text NOT NULL CHECK (kind IN ('payment', 'refund', 'dispute', 'fee', 'adjustment')),
    subject_object_id text CHECK (length(subject_object_id) BETWEEN 1 AND 255),
    -- Minor units: what it brings before its fee, below zero for what it takes; and what the provider kept of it, below
    -- zero where a fee is given back.
    amount bigint NOT NULL,
    fee bigint NOT NULL DEFAULT 0,
    net bigint NOT NULL GENERATED ALWAYS AS (amount - fee) STORED,
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    occurred_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    -- A movement is in one payout.
    CONSTRAINT payout_items_are_in_one_payout UNIQUE (connection_id, object_id),
    CONSTRAINT payout_items_have_a_subject
        CHECK ((kind IN ('payment', 'refund', 'dispute')) = (subject_object_id IS NOT NULL))
);
CREATE INDEX payout_items_payout ON payout_items (connection_id, payout_object_id);
CREATE INDEX payout_items_subject ON payout_items (connection_id, subject_object_id)
    WHERE subject_object_id IS NOT NULL;

-- What the items of a payout charge beside the fees of payments, minor units: in the books with the payout.
ALTER TABLE payouts ADD COLUMN charges bigint NOT NULL DEFAULT 0;
-- Whether the fee was told by the items of a payout, because the payment itself told none.
ALTER TABLE payments
    ADD COLUMN fee_named boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT payments_named_fees_are_fees CHECK (NOT fee_named OR fee IS NOT NULL);
"""

GUARDS = """
-- What is named by its provider is not found by order as well: it would be in two payouts.
CREATE FUNCTION check_found_lines() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM fresh JOIN payments ON payments.id = fresh.subject_id JOIN payout_items AS item
            ON item.connection_id = payments.connection_id AND item.subject_object_id = payments.object_id
        WHERE item.kind = 'payment'
        UNION ALL SELECT FROM fresh JOIN payment_adjustments AS back ON back.id = fresh.subject_id
            JOIN payout_items AS item
            ON item.connection_id = back.connection_id AND item.subject_object_id = back.object_id
        WHERE item.kind = back.kind
    ) THEN
        RAISE EXCEPTION 'what is found in a payout is named by its provider'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'payout_lines_are_not_named';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER payout_lines_are_not_named AFTER INSERT ON payout_lines REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION check_found_lines();

CREATE FUNCTION check_payout_item() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM object_keys AS known JOIN payout_lines ON payout_lines.subject_id = known.id
        WHERE known.connection_id = NEW.connection_id AND known.kind = NEW.kind
            AND known.object_id = NEW.subject_object_id
    ) THEN
        RAISE EXCEPTION '% % is found in a payout by order, and named in one', NEW.kind, NEW.subject_object_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'payout_lines_are_not_named';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER payout_items_are_not_found AFTER INSERT OR UPDATE ON payout_items
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.subject_object_id IS NOT NULL)
    EXECUTE FUNCTION check_payout_item();

-- As it was, and what a payout's items charge.
CREATE OR REPLACE FUNCTION book_due_payout() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO book_due AS due (object_id, kind, changed_by)
        SELECT fresh.id, 'payout', pg_current_xact_id() FROM fresh
        WHERE (fresh.status = 'paid' AND NOT fresh.to_third_party)
        ON CONFLICT (object_id) DO UPDATE SET changed_by = excluded.changed_by;
    ELSIF TG_OP = 'UPDATE' THEN
        INSERT INTO book_due AS due (object_id, kind, changed_by)
        SELECT fresh.id, 'payout', pg_current_xact_id() FROM fresh JOIN gone ON gone.id = fresh.id
        WHERE ((fresh.status = 'paid' AND NOT fresh.to_third_party)
               OR (gone.status = 'paid' AND NOT gone.to_third_party))
            AND ((fresh.status = 'paid' AND NOT fresh.to_third_party),
                 fresh.user_id, fresh.connection_id, fresh.currency, fresh.amount, fresh.charges)
            IS DISTINCT FROM ((gone.status = 'paid' AND NOT gone.to_third_party),
                 gone.user_id, gone.connection_id, gone.currency, gone.amount, gone.charges)
        ON CONFLICT (object_id) DO UPDATE SET changed_by = excluded.changed_by;
    ELSE
        INSERT INTO book_due AS due (object_id, kind, changed_by)
        SELECT gone.id, 'payout', pg_current_xact_id() FROM gone
        WHERE (gone.status = 'paid' AND NOT gone.to_third_party)
        ON CONFLICT (object_id) DO UPDATE SET changed_by = excluded.changed_by;
    END IF;
    RETURN NULL;
END $$;
"""


def upgrade() -> None:
    """Create what is new."""
    # Straight to the driver: these scripts hold several statements and no parameters.
    for script in (TABLES, GUARDS):
        op.get_bind().exec_driver_sql(script.replace("%", "%%"))
