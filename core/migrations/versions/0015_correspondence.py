"""Words of mails, reminders, links of customers and payment links."""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

TABLES = """
-- What a seller's mails say, where it is not what they say by themselves.
CREATE TABLE mail_templates (
    seller_id uuid NOT NULL REFERENCES users,
    kind text NOT NULL CHECK (kind IN
        ('invoice', 'reminder_before', 'reminder_due', 'reminder_after', 'receipt', 'credit_note')),
    subject text NOT NULL CHECK (length(subject) BETWEEN 1 AND 200),
    body text NOT NULL CHECK (length(body) BETWEEN 1 AND 5000),
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (seller_id, kind)
);

-- Whether a seller's customers are reminded and sent receipts. Without a row everything is as it is by itself.
CREATE TABLE mail_settings (
    seller_id uuid PRIMARY KEY REFERENCES users,
    reminders boolean NOT NULL DEFAULT true,
    receipts boolean NOT NULL DEFAULT true,
    updated_at timestamptz NOT NULL
);

-- When a seller's customers are reminded: days after the due date, before it where below zero.
CREATE TABLE reminder_rules (
    seller_id uuid NOT NULL REFERENCES mail_settings ON DELETE CASCADE,
    days smallint NOT NULL CHECK (days BETWEEN -90 AND 365),
    enabled boolean NOT NULL DEFAULT true,
    PRIMARY KEY (seller_id, days)
);

-- A rule reminds of one due date once, whoever looks at the clock; by hand (no days) as often as somebody asks.
CREATE TABLE reminders_sent (
    id uuid PRIMARY KEY,
    invoice_id uuid NOT NULL REFERENCES invoices ON DELETE CASCADE,
    due_date date NOT NULL,
    days smallint,
    -- No reference: mails are forgotten, and what was done is not.
    mail_id uuid NOT NULL,
    sent_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX reminders_sent_once ON reminders_sent (invoice_id, due_date, days) WHERE days IS NOT NULL;
CREATE INDEX reminders_sent_invoice ON reminders_sent (invoice_id, sent_at);

-- Who paid is told once that it arrived, however often it is moved between invoices.
CREATE TABLE receipts_sent (
    payment_id uuid PRIMARY KEY,
    invoice_id uuid NOT NULL REFERENCES invoices,
    mail_id uuid NOT NULL,
    sent_at timestamptz NOT NULL
);
CREATE INDEX receipts_sent_invoice ON receipts_sent (invoice_id);

ALTER TABLE mails
    -- The person in whose name it goes out, who sees what became of it, and gets the answers to it.
    ADD COLUMN sender_id uuid REFERENCES users,
    ADD COLUMN sender_name text CHECK (length(sender_name) BETWEEN 1 AND 200),
    ADD COLUMN reply_to text CHECK (length(reply_to) BETWEEN 3 AND 254),
    -- What the worker renders and hangs on when it sends: [{"kind": "invoice_pdf", "id": "..."}].
    ADD COLUMN attachments jsonb NOT NULL DEFAULT '[]'
        CHECK (jsonb_typeof(attachments) = 'array' AND jsonb_array_length(attachments) <= 5),
    -- It came back: the server refused it, or somebody's server said later that nobody lives there.
    ADD COLUMN bounced_at timestamptz,
    ADD COLUMN bounce_reason text CHECK (length(bounce_reason) BETWEEN 1 AND 1000),
    ADD CONSTRAINT mails_bounces_have_reasons CHECK ((bounced_at IS NULL) = (bounce_reason IS NULL)),
    -- What was not handed on cannot come back.
    ADD CONSTRAINT mails_bounced_after_sending CHECK (bounced_at IS NULL OR state IN ('sent', 'failed', 'kept'));
CREATE INDEX mails_sender ON mails (sender_id, id DESC) WHERE sender_id IS NOT NULL;

-- A page at a gateway on which an invoice is paid, made through the seller's connection there.
CREATE TABLE payment_links (
    id uuid PRIMARY KEY,
    invoice_id uuid NOT NULL REFERENCES invoices ON DELETE CASCADE,
    connection_id uuid NOT NULL REFERENCES connections,
    -- Counts the links of an invoice: providers want a name that was never used.
    ordinal integer NOT NULL CHECK (ordinal > 0),
    amount bigint NOT NULL CHECK (amount > 0),
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    -- wanted; open: at url; unwanted: to be closed at the provider; closed; expired; failed: error says why.
    state text NOT NULL DEFAULT 'wanted' CHECK (state IN ('wanted', 'open', 'unwanted', 'closed', 'expired', 'failed')),
    provider_id text CHECK (length(provider_id) BETWEEN 1 AND 200),
    url text CHECK (length(url) BETWEEN 8 AND 2000),
    error text,
    attempts integer NOT NULL DEFAULT 0,
    claimed_at timestamptz,
    due_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    expires_at timestamptz,
    UNIQUE (invoice_id, ordinal),
    CONSTRAINT payment_links_open_lead_somewhere CHECK (
        state <> 'open' OR (url IS NOT NULL AND provider_id IS NOT NULL)),
    CONSTRAINT payment_links_failed_say_why CHECK (state <> 'failed' OR error IS NOT NULL)
);
-- Two ways to pay the same amount at the same gateway would be two payments.
CREATE UNIQUE INDEX payment_links_active ON payment_links (invoice_id, connection_id)
    WHERE state IN ('wanted', 'open');
CREATE INDEX payment_links_due ON payment_links (due_at, id) WHERE state IN ('wanted', 'unwanted');
CREATE INDEX payment_links_open ON payment_links (invoice_id) WHERE state = 'open';

-- What a customer said of an invoice on the page behind its link; the newest one holds.
CREATE TABLE invoice_answers (
    id uuid PRIMARY KEY,
    invoice_id uuid NOT NULL REFERENCES invoices ON DELETE CASCADE,
    answer text NOT NULL CHECK (answer IN ('agreed', 'disputed')),
    reason text NOT NULL DEFAULT '' CHECK (length(reason) <= 1000),
    -- Which state of the invoice it is about.
    version integer NOT NULL,
    at timestamptz NOT NULL,
    CHECK (answer = 'agreed' OR reason <> '')
);
CREATE INDEX invoice_answers_invoice ON invoice_answers (invoice_id, id DESC);
CREATE TRIGGER invoice_answers_stay BEFORE UPDATE ON invoice_answers
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- How much of what was paid the customer has receipts for: where it differs, somebody looks which are missing.
ALTER TABLE invoices ADD COLUMN receipted bigint NOT NULL DEFAULT 0;
CREATE INDEX invoices_receipts_due ON invoices (id) WHERE sent_at IS NOT NULL AND amount_paid <> receipted;
CREATE INDEX invoices_to_remind ON invoices (due_date)
    WHERE sent_at IS NOT NULL AND reminders AND status IN ('open', 'partial');
"""


def upgrade() -> None:
    """Create what is new."""
    # Straight to the driver: this script holds several statements and no parameters.
    op.get_bind().exec_driver_sql(TABLES.replace("%", "%%"))
