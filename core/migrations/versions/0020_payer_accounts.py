"""Accounts that a payer is known by: virtual accounts and addresses of payment."""

from __future__ import annotations

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""


def downgrade() -> None:
    """Migrations go forward only."""
    raise NotImplementedError
