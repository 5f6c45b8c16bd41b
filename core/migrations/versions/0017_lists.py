"""Search, saved views, and work on many invoices at once."""

from __future__ import annotations

import psycopg
from alembic import op
from sqlalchemy.exc import DBAPIError

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

# Both come with PostgreSQL (contrib) and are trusted: whoever may create in the database may create them.
EXTENSIONS = ("pg_trgm", "btree_gin")
# The role may not, or the server has not got it.
_REFUSED = (
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.UndefinedFile,
    psycopg.errors.FeatureNotSupported,
)

TABLES = """
-- What is searched of an invoice: number, reference, customer, lines, notes; kept by the triggers below, apart from
-- the invoice, whose row changes with every payment.
CREATE TABLE invoice_texts (
    invoice_id uuid PRIMARY KEY REFERENCES invoices ON DELETE CASCADE,
    seller_id uuid NOT NULL,
    body text NOT NULL,
    -- 'simple': no language's endings are cut, as invoices are written in any.
    words tsvector GENERATED ALWAYS AS (to_tsvector('simple', body)) STORED
);

CREATE FUNCTION write_invoice_texts(ids uuid[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO invoice_texts (invoice_id, seller_id, body)
    SELECT invoices.id, invoices.seller_id, left(lower(concat_ws(' ', invoices.number, invoices.reference,
        contacts.name, contacts.legal_name, contacts.email, lines.descriptions, invoices.notes)), 20000)
    FROM invoices JOIN contacts ON contacts.id = invoices.contact_id
    LEFT JOIN LATERAL (SELECT string_agg(description, ' ' ORDER BY position) AS descriptions
        FROM invoice_items WHERE invoice_id = invoices.id) AS lines ON true
    WHERE invoices.id = ANY(ids)
    ORDER BY invoices.id
    ON CONFLICT (invoice_id) DO UPDATE SET body = excluded.body WHERE invoice_texts.body <> excluded.body
$$;

CREATE FUNCTION invoice_text_of_invoice() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM write_invoice_texts(ARRAY[NEW.id]);
    RETURN NULL;
END $$;
-- A new invoice is written with its lines.
CREATE TRIGGER invoices_are_searched AFTER UPDATE OF number, reference, notes, contact_id ON invoices FOR EACH ROW
    WHEN ((OLD.number, OLD.reference, OLD.notes, OLD.contact_id)
        IS DISTINCT FROM (NEW.number, NEW.reference, NEW.notes, NEW.contact_id))
    EXECUTE FUNCTION invoice_text_of_invoice();

CREATE FUNCTION invoice_text_of_items() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM write_invoice_texts(ARRAY(SELECT DISTINCT invoice_id FROM changed));
    RETURN NULL;
END $$;
CREATE TRIGGER invoice_items_are_searched AFTER INSERT ON invoice_items
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION invoice_text_of_items();
CREATE TRIGGER invoice_items_are_searched_no_more AFTER DELETE ON invoice_items
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION invoice_text_of_items();
CREATE TRIGGER invoice_items_are_searched_anew AFTER UPDATE ON invoice_items
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION invoice_text_of_items();

CREATE FUNCTION invoice_text_of_contact() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM write_invoice_texts(ARRAY(SELECT id FROM invoices WHERE contact_id = NEW.id));
    RETURN NULL;
END $$;
CREATE TRIGGER contacts_are_searched AFTER UPDATE OF name, legal_name, email ON contacts FOR EACH ROW
    WHEN ((OLD.name, OLD.legal_name, OLD.email) IS DISTINCT FROM (NEW.name, NEW.legal_name, NEW.email))
    EXECUTE FUNCTION invoice_text_of_contact();

SELECT write_invoice_texts(ARRAY(SELECT id FROM invoices));
-- A seller's own first: without them every seller's tea is looked through for one seller's.
CREATE INDEX invoice_texts_words ON invoice_texts USING gin (seller_id, words);
CREATE INDEX invoice_texts_letters ON invoice_texts USING gin (seller_id, body gin_trgm_ops);

-- How somebody likes to see the list.
CREATE TABLE saved_views (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 60),
    filters jsonb NOT NULL CHECK (jsonb_typeof(filters) = 'object'),
    is_default boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX saved_views_name ON saved_views (user_id, lower(name));
CREATE UNIQUE INDEX saved_views_default ON saved_views (user_id) WHERE is_default;

-- The same thing done to many invoices, one after the other.
CREATE TABLE bulk_jobs (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users,
    action text NOT NULL CHECK (action IN ('send', 'remind', 'issue', 'void', 'delete_drafts', 'import')),
    options jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(options) = 'object'),
    status text NOT NULL DEFAULT 'waiting' CHECK (status IN ('waiting', 'working', 'done', 'cancelled')),
    total integer NOT NULL CHECK (total >= 0),
    done integer NOT NULL DEFAULT 0 CHECK (done >= 0),
    failed integer NOT NULL DEFAULT 0 CHECK (failed >= 0),
    created_at timestamptz NOT NULL,
    started_at timestamptz,
    finished_at timestamptz,
    CHECK (done + failed <= total),
    CHECK (status <> 'done' OR done + failed = total),
    CHECK ((finished_at IS NOT NULL) = (status IN ('done', 'cancelled')))
);
CREATE INDEX bulk_jobs_due ON bulk_jobs (created_at, id) WHERE status IN ('waiting', 'working');
CREATE INDEX bulk_jobs_user ON bulk_jobs (user_id, id DESC);

CREATE TABLE bulk_items (
    job_id uuid NOT NULL REFERENCES bulk_jobs ON DELETE CASCADE,
    position integer NOT NULL CHECK (position >= 0),
    -- The invoice; of an import the one that was made.
    invoice_id uuid,
    label text NOT NULL DEFAULT '',
    given jsonb,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'done', 'failed', 'skipped')),
    code text,
    error text,
    finished_at timestamptz,
    PRIMARY KEY (job_id, position),
    -- One thing is done once in a job, however often it was chosen.
    UNIQUE (job_id, invoice_id),
    CHECK ((state = 'failed') = (error IS NOT NULL)),
    CHECK ((state IN ('waiting', 'skipped')) = (finished_at IS NULL))
);
CREATE INDEX bulk_items_waiting ON bulk_items (job_id, position) WHERE state = 'waiting';

-- What was worked off stays so: a row is never done twice.
CREATE FUNCTION check_bulk_item_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state <> 'waiting' AND OLD.state <> NEW.state THEN
        RAISE EXCEPTION 'a row that is % is not worked off again', OLD.state USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER bulk_items_are_done_once BEFORE UPDATE ON bulk_items
    FOR EACH ROW EXECUTE FUNCTION check_bulk_item_change();

-- Files of invoices, from their upload to the job that makes them.
CREATE TABLE invoice_imports (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    sha256 bytea NOT NULL CHECK (length(sha256) = 32),
    content bytea CHECK (length(content) <= 2097152),
    mapping jsonb NOT NULL CHECK (jsonb_typeof(mapping) = 'object'),
    job_id uuid UNIQUE REFERENCES bulk_jobs,
    created_at timestamptz NOT NULL
);
CREATE INDEX invoice_imports_user ON invoice_imports (user_id, id DESC);

-- Which invoice became of which entry of which file: the same file makes each of them once.
CREATE TABLE imported_invoices (
    user_id uuid NOT NULL REFERENCES users,
    sha256 bytea NOT NULL CHECK (length(sha256) = 32),
    entry text NOT NULL,
    invoice_id uuid NOT NULL UNIQUE REFERENCES invoices ON DELETE CASCADE,
    PRIMARY KEY (user_id, sha256, entry)
);
"""


def _extensions() -> None:
    """Make what the search needs. Says what to do where this role may not."""
    connection = op.get_bind()
    have = set(connection.exec_driver_sql("SELECT extname FROM pg_extension").scalars())
    missing = [name for name in EXTENSIONS if name not in have]
    try:
        for name in missing:
            connection.exec_driver_sql(f"CREATE EXTENSION IF NOT EXISTS {name}")
    except DBAPIError as error:
        if not isinstance(error.orig, _REFUSED):
            raise
        raise RuntimeError(
            f"The search needs the PostgreSQL extensions {' and '.join(missing)}, which come with PostgreSQL "
            "(package postgresql-contrib). Have an administrator of the database run "
            f"{'; '.join(f'CREATE EXTENSION {name}' for name in missing)}; and start again."
        ) from error


def upgrade() -> None:
    """Create what is new."""
    _extensions()
    # Straight to the driver: this script holds several statements and no parameters.
    op.get_bind().exec_driver_sql(TABLES.replace("%", "%%"))
