"""Accounts that a payer is known by: virtual accounts and addresses of payment."""

from __future__ import annotations

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

TABLES = """
ALTER TABLE contacts ADD CONSTRAINT contacts_of_user UNIQUE (id, user_id);

-- Accounts and addresses that stand for one customer: given to them alone to pay to, or theirs to pay from.
CREATE TABLE payer_accounts (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users,
    contact_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('virtual_account', 'upi_collect', 'gateway', 'bank_account', 'vpa')),
    -- As the seller wrote it, and as it is looked for: without marks, and letters of one size.
    value text NOT NULL CHECK (length(value) BETWEEN 3 AND 120),
    key text NOT NULL CHECK (length(key) BETWEEN 3 AND 100 AND key !~ '[[:space:]]'),
    ifsc text CHECK (ifsc ~ '^[A-Z]{4}0[A-Z0-9]{6}$'),
    created_by uuid REFERENCES users,
    created_at timestamptz NOT NULL,
    FOREIGN KEY (contact_id, user_id) REFERENCES contacts (id, user_id) ON DELETE CASCADE,
    -- What two customers share tells nobody.
    CONSTRAINT payer_accounts_one_customer UNIQUE (user_id, key),
    CONSTRAINT payer_accounts_kind_fits CHECK (
        (kind IN ('upi_collect', 'vpa')) = (key LIKE '%@%')
        AND (ifsc IS NULL OR kind IN ('virtual_account', 'bank_account')))
);
CREATE INDEX payer_accounts_contact ON payer_accounts (contact_id);
-- Payments that came through an account or address and are nobody's yet.
CREATE INDEX payments_of_nobody ON payments (user_id)
    WHERE contact_id IS NULL AND NOT decided AND jsonb_path_exists(invoice_references, '$[*] ? (@[0] == 100)');

-- A rejection can be taken back; the case says so.
ALTER TABLE reconciliation_cases DROP CONSTRAINT reconciliation_cases_kind_check;
ALTER TABLE reconciliation_cases ADD CONSTRAINT reconciliation_cases_kind_check
    CHECK (kind IN ('rejected', 'chose_other', 'undone', 'ignored', 'restored'));
"""


def upgrade() -> None:
    """Create what is new."""
    # Straight to the driver: this script holds several statements and no parameters.
    op.get_bind().exec_driver_sql(TABLES.replace("%", "%%"))
