"""Who people are: KYC profiles and their documents."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TABLES = """
"""


def upgrade() -> None:
    """Create what is new."""
    # Straight to the driver: this script holds several statements and no parameters.
    if TABLES.strip():
        op.get_bind().exec_driver_sql(TABLES.replace("%", "%%"))
