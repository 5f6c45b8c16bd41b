"""Risk assessments and reviews."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TABLES = """
"""


def upgrade() -> None:
    """Create what is new."""
    # Straight to the driver: this script holds several statements and no parameters.
    if TABLES.strip():
        op.get_bind().exec_driver_sql(TABLES.replace("%", "%%"))
