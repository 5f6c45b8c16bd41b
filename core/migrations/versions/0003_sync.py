"""What was pulled from providers, and how complete webhooks are."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLES = """
-- A page that was pulled is kept as a delivery of its own kind; what a provider posted has no sync.
ALTER TABLE deliveries ADD COLUMN sync_id uuid;

-- One row a connection: when it is pulled next, and where that goes on.
CREATE TABLE sync_schedules (
    connection_id uuid PRIMARY KEY REFERENCES connections ON DELETE CASCADE,
    due_at timestamptz NOT NULL,
    -- Where the provider's list ended last time. Without one the next pull begins anew, a while before `reached_at`.
    cursor text,
    -- When the last good sync began: everything before was listed.
    reached_at timestamptz,
    -- Why it cannot be pulled, in words.
    obstacle text
);
CREATE INDEX sync_schedules_due ON sync_schedules (due_at);

-- One row a run. `due_at` is also the lease, and (attempts, claimed_at) the fencing token, as in event_queue.
CREATE TABLE syncs (
    id uuid PRIMARY KEY,
    connection_id uuid NOT NULL REFERENCES connections,
    connector text NOT NULL,
    reason text NOT NULL CHECK (reason IN ('first', 'schedule', 'person')),
    state text NOT NULL CHECK (state IN ('queued', 'running', 'waiting', 'done', 'failed')),
    asked_by uuid REFERENCES users,
    due_at timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    claimed_at timestamptz,
    -- Failed tries since the last page: these end a sync, however long it is.
    failures integer NOT NULL DEFAULT 0,
    since timestamptz NOT NULL,
    cursor text,
    -- An earlier cursor of this run. Coming back to it means that the list leads in a circle (Brent).
    mark text,
    pages integer NOT NULL DEFAULT 0,
    -- kind -> {"listed", "webhook", "before", "fresh", "missed", "gap"}; docs/completeness.md
    counts jsonb NOT NULL DEFAULT '{}',
    lateness jsonb,
    error text,
    created_at timestamptz NOT NULL,
    started_at timestamptz,
    finished_at timestamptz,
    CHECK ((state IN ('done', 'failed')) = (finished_at IS NOT NULL))
);
CREATE UNIQUE INDEX syncs_one_open ON syncs (connection_id) WHERE state IN ('queued', 'running', 'waiting');
CREATE INDEX syncs_due ON syncs (due_at, id) WHERE state IN ('queued', 'running', 'waiting');
CREATE INDEX syncs_connection ON syncs (connection_id, id DESC);

-- What an open sync has listed, so that an object that stands on two pages is counted once. Emptied at its end.
CREATE TABLE sync_listed (
    sync_id uuid NOT NULL REFERENCES syncs ON DELETE CASCADE,
    object_id uuid NOT NULL,
    PRIMARY KEY (sync_id, object_id)
);

-- How the webhook stands at the provider, where the provider's API can tell.
CREATE TABLE registrations (
    connection_id uuid PRIMARY KEY REFERENCES connections ON DELETE CASCADE,
    due_at timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    claimed_at timestamptz,
    state text CHECK (state IN ('kept', 'created', 'repaired', 'failed')),
    checked_at timestamptz,
    -- When it was last created or repaired.
    mended_at timestamptz,
    error text
);
CREATE INDEX registrations_due ON registrations (due_at);

-- What a person must know, with what to do about it. One row a trouble: an open one is not told again.
CREATE TABLE notifications (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    kind text NOT NULL,
    subject_kind text NOT NULL,
    subject_id uuid NOT NULL,
    title text NOT NULL CHECK (length(title) BETWEEN 1 AND 200),
    body text NOT NULL CHECK (length(body) <= 1000),
    event_id uuid,
    created_at timestamptz NOT NULL,
    read_at timestamptz,
    cleared_at timestamptz
);
CREATE UNIQUE INDEX notifications_open ON notifications (subject_id, kind, user_id) WHERE cleared_at IS NULL;
CREATE INDEX notifications_user ON notifications (user_id, id DESC);
CREATE INDEX notifications_unread ON notifications (user_id) WHERE read_at IS NULL AND cleared_at IS NULL;

-- What was connected before is pulled and checked from now on as well.
INSERT INTO sync_schedules (connection_id, due_at) SELECT id, now() FROM connections WHERE deleted_at IS NULL;
INSERT INTO registrations (connection_id, due_at) SELECT id, now() FROM connections WHERE deleted_at IS NULL;
"""


def upgrade() -> None:
    """Create what is new."""
    # Straight to the driver: this script holds several statements and no parameters.
    op.get_bind().exec_driver_sql(TABLES.replace("%", "%%"))
