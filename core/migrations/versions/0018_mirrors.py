"""Which invoice here is which there, where they differ, and what is written to other books."""

from __future__ import annotations

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

TABLES = """
-- Since when we write to the books at the other end; nobody's are written to unasked. What was issued before is not
-- made there.
ALTER TABLE connections ADD COLUMN write_since timestamptz;

-- Numbers of mirrored invoices in their normal form, which Python makes. Written by the worker alone.
CREATE TABLE mirror_numbers (
    mirrored_id uuid PRIMARY KEY REFERENCES mirrored_invoices,
    user_id uuid NOT NULL REFERENCES users,
    number_key text NOT NULL
);
CREATE INDEX mirror_numbers_key ON mirror_numbers (user_id, number_key);

-- One invoice of ours is one of theirs in each set of books, and the other way round.
CREATE TABLE mirror_links (
    id uuid PRIMARY KEY,
    invoice_id uuid NOT NULL REFERENCES invoices,
    mirrored_id uuid NOT NULL UNIQUE REFERENCES mirrored_invoices,
    connection_id uuid NOT NULL REFERENCES connections,
    user_id uuid NOT NULL REFERENCES users,
    -- Who linked them; nobody: number and currency did.
    made_by uuid REFERENCES users,
    state text NOT NULL DEFAULT 'agreed' CHECK (state IN ('agreed', 'differs', 'conflict')),
    -- What both sides last said alike, by field.
    agreed jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(agreed) = 'object'),
    -- What of ours was last written there, as a digest: the same is not written twice.
    written text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    UNIQUE (invoice_id, connection_id)
);
CREATE INDEX mirror_links_user ON mirror_links (user_id, state);

-- Where linked invoices differ, and which side moved since they last agreed.
CREATE TABLE mirror_differences (
    link_id uuid NOT NULL REFERENCES mirror_links ON DELETE CASCADE,
    field text NOT NULL CHECK (field IN ('total', 'paid', 'issue_date', 'due_date', 'void')),
    moved text NOT NULL CHECK (moved IN ('ours', 'theirs', 'both')),
    ours jsonb NOT NULL,
    theirs jsonb NOT NULL,
    since timestamptz NOT NULL,
    PRIMARY KEY (link_id, field),
    CONSTRAINT mirror_differences_differ CHECK (ours <> theirs)
);

-- Pairs that a person took apart: they are not put together again by number.
CREATE TABLE mirror_apart (
    invoice_id uuid NOT NULL REFERENCES invoices,
    mirrored_id uuid NOT NULL REFERENCES mirrored_invoices,
    PRIMARY KEY (invoice_id, mirrored_id)
);

CREATE FUNCTION check_mirror_link() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM invoices JOIN mirrored_invoices AS theirs ON theirs.id = NEW.mirrored_id
    WHERE invoices.id = NEW.invoice_id AND invoices.seller_id = NEW.user_id AND theirs.user_id = NEW.user_id
      AND theirs.connection_id = NEW.connection_id AND theirs.currency = invoices.currency
      AND theirs.direction = 'sales' AND theirs.kind = 'invoice' AND invoices.number IS NOT NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'invoice % is not the same as mirrored invoice %', NEW.invoice_id, NEW.mirrored_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'mirror_links_same_invoice';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER mirror_links_same_invoice AFTER INSERT OR UPDATE ON mirror_links
    FOR EACH ROW EXECUTE FUNCTION check_mirror_link();

-- An invoice that is to be written to other books, once for each state of it.
CREATE TABLE mirror_pushes (
    id uuid PRIMARY KEY,
    invoice_id uuid NOT NULL REFERENCES invoices,
    connection_id uuid NOT NULL REFERENCES connections,
    user_id uuid NOT NULL REFERENCES users,
    kind text NOT NULL CHECK (kind IN ('create', 'update', 'void', 'payment')),
    -- stopped: the other side had moved meanwhile, or it is not wanted any more; failed: error says why.
    state text NOT NULL DEFAULT 'wanted' CHECK (state IN ('wanted', 'done', 'stopped', 'failed')),
    -- Who asked; nobody: the invoice changed.
    asked_by uuid REFERENCES users,
    -- What of ours it is about, as a digest.
    wanted text NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    error text CHECK (length(error) <= 1000),
    claimed_at timestamptz,
    due_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT mirror_pushes_failed_say_why CHECK (state <> 'failed' OR error IS NOT NULL)
);
-- Two at a time would be two invoices there.
CREATE UNIQUE INDEX mirror_pushes_one_at_a_time ON mirror_pushes (invoice_id, connection_id) WHERE state = 'wanted';
CREATE INDEX mirror_pushes_due ON mirror_pushes (due_at, id) WHERE state = 'wanted';
CREATE INDEX mirror_pushes_invoice ON mirror_pushes (invoice_id, id DESC);

-- Payments of ours that were written there, or that came from there. The reference is told to the provider before
-- anything is sent, so that its echo is known whichever comes first.
CREATE TABLE mirror_payments (
    connection_id uuid NOT NULL REFERENCES connections,
    reference text NOT NULL CHECK (length(reference) BETWEEN 1 AND 21),
    payment_id uuid NOT NULL,
    invoice_id uuid NOT NULL REFERENCES invoices,
    amount bigint NOT NULL CHECK (amount > 0),
    -- ours: to be there, and there once provider_id is known; theirs: noted here because it was there.
    origin text NOT NULL CHECK (origin IN ('ours', 'theirs')),
    provider_id text CHECK (length(provider_id) BETWEEN 1 AND 200),
    created_at timestamptz NOT NULL,
    PRIMARY KEY (connection_id, reference),
    UNIQUE (connection_id, payment_id, invoice_id)
);

-- What changed and was not looked at yet. Rows are only added and taken, so nobody waits for them.
CREATE TABLE mirror_due (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    invoice_id uuid,
    mirrored_id uuid,
    CHECK (num_nonnulls(invoice_id, mirrored_id) = 1)
);

CREATE FUNCTION mirror_invoice_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Whose connection is young may be hearing of its first invoice this moment: a new number asks in any case.
    IF EXISTS (SELECT FROM connections WHERE user_id = NEW.seller_id AND deleted_at IS NULL)
       AND (OLD.number IS DISTINCT FROM NEW.number
            OR EXISTS (SELECT FROM mirrored_invoices WHERE user_id = NEW.seller_id)
            OR EXISTS (SELECT FROM connections
                       WHERE user_id = NEW.seller_id AND deleted_at IS NULL AND write_since IS NOT NULL)) THEN
        INSERT INTO mirror_due (invoice_id) VALUES (NEW.id);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER mirror_invoice_moved AFTER UPDATE ON invoices
    FOR EACH ROW WHEN (NEW.number IS NOT NULL AND (
        NEW.number IS DISTINCT FROM OLD.number OR NEW.status <> OLD.status OR NEW.total <> OLD.total
        OR NEW.currency <> OLD.currency OR NEW.amount_paid <> OLD.amount_paid OR NEW.issue_date <> OLD.issue_date
        OR NEW.due_date <> OLD.due_date))
    EXECUTE FUNCTION mirror_invoice_moved();

CREATE FUNCTION mirror_theirs_came() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO mirror_due (mirrored_id) SELECT id FROM fresh WHERE direction = 'sales' AND kind = 'invoice';
    RETURN NULL;
END $$;
CREATE TRIGGER mirror_theirs_came AFTER INSERT ON mirrored_invoices
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION mirror_theirs_came();

CREATE FUNCTION mirror_theirs_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO mirror_due (mirrored_id) SELECT fresh.id FROM fresh JOIN stale USING (id)
    WHERE fresh.direction = 'sales' AND fresh.kind = 'invoice'
      AND (fresh.status, fresh.total, fresh.due, fresh.currency, fresh.number, fresh.issued_on, fresh.due_on,
           fresh.direction, fresh.kind)
          IS DISTINCT FROM (stale.status, stale.total, stale.due, stale.currency, stale.number, stale.issued_on,
                            stale.due_on, stale.direction, stale.kind);
    RETURN NULL;
END $$;
CREATE TRIGGER mirror_theirs_moved AFTER UPDATE ON mirrored_invoices
    REFERENCING OLD TABLE AS stale NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION mirror_theirs_moved();

CREATE FUNCTION mirror_theirs_gone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO mirror_due (mirrored_id)
    SELECT fresh.id FROM fresh WHERE EXISTS (SELECT FROM mirror_links WHERE mirrored_id = fresh.id);
    RETURN NULL;
END $$;
CREATE TRIGGER mirror_theirs_gone AFTER INSERT ON mirrored_invoices_gone
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION mirror_theirs_gone();
CREATE TRIGGER mirror_theirs_gone_again AFTER UPDATE ON mirrored_invoices_gone
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION mirror_theirs_gone();

-- What is there already is looked at once.
INSERT INTO mirror_due (mirrored_id) SELECT id FROM mirrored_invoices WHERE direction = 'sales' AND kind = 'invoice';
"""


def upgrade() -> None:
    """Create what is new."""
    # Straight to the driver: this script holds several statements and no parameters.
    op.get_bind().exec_driver_sql(TABLES.replace("%", "%%"))
