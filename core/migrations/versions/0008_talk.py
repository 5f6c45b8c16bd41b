"""Files, mail to send, and comments on invoices."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TABLES = """
-- Papers that people handed in. The content lies sealed under DATA_DIR/files, named by its hash.
CREATE TABLE files (
    id uuid PRIMARY KEY,
    owner_id uuid NOT NULL REFERENCES users,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 120),
    media_type text NOT NULL CHECK (media_type IN ('application/pdf', 'image/png', 'image/jpeg', 'text/plain',
                                                   'text/csv')),
    size integer NOT NULL CHECK (size BETWEEN 1 AND 5242880),
    sha256 bytea NOT NULL CHECK (length(sha256) = 32),
    created_at timestamptz NOT NULL
);
CREATE INDEX files_owner ON files (owner_id, id DESC);
CREATE INDEX files_content ON files (sha256);
"""


def upgrade() -> None:
    """Create what is new."""
    # Straight to the driver: this script holds several statements and no parameters.
    if TABLES.strip():
        op.get_bind().exec_driver_sql(TABLES.replace("%", "%%"))
