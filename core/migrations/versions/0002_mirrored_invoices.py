"""Invoices as accounting systems and gateways keep them."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE mirrored_invoices (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    connection_id uuid NOT NULL,
    object_id text NOT NULL,
    version bigint NOT NULL,
    status text NOT NULL CHECK (status IN ('draft', 'open', 'partially_paid', 'paid', 'void')),
    direction text NOT NULL CHECK (direction IN ('sales', 'purchase')),
    kind text NOT NULL CHECK (kind IN ('invoice', 'credit_note')),
    number text CHECK (length(number) BETWEEN 1 AND 100),
    total bigint NOT NULL,
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    due bigint NOT NULL,
    -- Stored beside the other, so that a statement in two currencies is refused and not quietly made one.
    due_currency text NOT NULL,
    issued_on date,
    due_on date,
    contact_name text CHECK (length(contact_name) BETWEEN 1 AND 200),
    contact_email text CHECK (length(contact_email) BETWEEN 1 AND 254),
    -- Shown as a link.
    url text CHECK (url ~ '^https://' AND length(url) <= 2000),
    trust text NOT NULL CHECK (trust IN ('signed', 'fetched', 'hint')),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT mirrored_invoices_one_currency CHECK (due_currency = currency),
    CONSTRAINT mirrored_invoices_not_negative CHECK (total >= 0 AND due >= 0),
    CONSTRAINT mirrored_invoices_due_within_total CHECK (kind = 'credit_note' OR due <= total)
) PARTITION BY RANGE (id);
CREATE INDEX mirrored_invoices_user ON mirrored_invoices (user_id, id DESC);
CREATE INDEX mirrored_invoices_connection ON mirrored_invoices (connection_id, id DESC);

-- Those that the provider deleted, by our id of them: known or not, so that a late word does not bring one back.
CREATE TABLE mirrored_invoices_gone (
    id uuid PRIMARY KEY,
    version bigint NOT NULL
);
"""


def upgrade() -> None:
    """Create what is new."""
    # Straight to the driver: this script holds several statements and no parameters.
    op.get_bind().exec_driver_sql(TABLES.replace("%", "%%"))
