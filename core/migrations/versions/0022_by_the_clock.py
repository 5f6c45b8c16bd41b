"""What the clock does to invoices, where rates come from, how much a seller mails, and credit notes in the making."""

from __future__ import annotations

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

TABLES = """
-- The due date of which it was said that it passed: each is told of once, and a moved one is another.
ALTER TABLE invoices ADD COLUMN overdue_told date;
CREATE INDEX invoices_overdue_untold ON invoices (due_date, id)
    WHERE status IN ('open', 'partial') AND overdue_told IS DISTINCT FROM due_date;

-- Whose address a mail goes to, where nobody named another: corrected meanwhile, it goes to the corrected one.
ALTER TABLE mails ADD COLUMN contact_id uuid;
CREATE INDEX mails_waiting_for_contact ON mails (contact_id) WHERE state = 'queued' AND contact_id IS NOT NULL;

-- How many mails to customers a seller asked for on a day (UTC), one by one and in bulk: core.correspondence.allowance.
CREATE TABLE mail_days (
    seller_id uuid NOT NULL REFERENCES users,
    day date NOT NULL,
    asked integer NOT NULL CONSTRAINT mail_days_within_limit CHECK (asked BETWEEN 1 AND 1000),
    PRIMARY KEY (seller_id, day)
);
CREATE INDEX mail_days_day ON mail_days (day);

-- Sellers whose rates are fetched from a provider, and how that went. `due_at` is also the lease of who fetches.
CREATE TABLE rate_feeds (
    user_id uuid PRIMARY KEY REFERENCES users,
    is_on boolean NOT NULL,
    due_at timestamptz,
    fetched_at timestamptz,
    newest_day date,
    failures integer NOT NULL DEFAULT 0 CHECK (failures >= 0),
    error text CHECK (length(error) BETWEEN 1 AND 500),
    updated_at timestamptz NOT NULL,
    CHECK (is_on OR due_at IS NULL)
);
CREATE INDEX rate_feeds_due ON rate_feeds (due_at) WHERE due_at IS NOT NULL;

-- What a seller filled in of a credit note that is not issued: it has no number, and counts for nothing.
CREATE TABLE credit_note_drafts (
    id uuid PRIMARY KEY,
    seller_id uuid NOT NULL REFERENCES users,
    invoice_id uuid NOT NULL REFERENCES invoices,
    given jsonb NOT NULL CHECK (jsonb_typeof(given) = 'object'),
    total bigint NOT NULL CHECK (total > 0),
    version integer NOT NULL DEFAULT 1 CHECK (version >= 1),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX credit_note_drafts_seller ON credit_note_drafts (seller_id, id DESC);
CREATE INDEX credit_note_drafts_invoice ON credit_note_drafts (invoice_id);

-- What is overdue already is known to everybody: nobody is told of it all at once.
UPDATE invoices SET overdue_told = due_date
    WHERE status IN ('open', 'partial') AND due_date < (now() AT TIME ZONE 'UTC')::date;
"""


def upgrade() -> None:
    """Mark of overdue invoices, counts of mails, feeds of rates, drafts of credit notes."""
    op.execute(TABLES)
