"""Connections that their owner has paused: what they are told is kept, and waits."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0003"
branch_labels = None
depends_on = None

CHANGES = """
ALTER TABLE connections ADD COLUMN paused_at timestamptz;
ALTER TABLE event_queue DROP CONSTRAINT event_queue_state_check;
ALTER TABLE event_queue ADD CONSTRAINT event_queue_state_check
    CHECK (state IN ('ready', 'fetch', 'paused', 'unrouted', 'unknown', 'dead'));
CREATE INDEX event_queue_paused ON event_queue (connection_id) WHERE state = 'paused';
"""


def upgrade() -> None:
    """Add the state and the moment."""
    op.get_bind().exec_driver_sql(CHANGES)
