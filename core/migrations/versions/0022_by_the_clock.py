"""What the clock does to invoices, and where rates come from."""

from __future__ import annotations

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""


def downgrade() -> None:
    """Migrations go forward only."""
    raise NotImplementedError
