"""Risk assessments and reviews."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TABLES = """
-- What was judged of an invoice, when, and by which weights. The newest row is the one that is shown.
CREATE TABLE risk_assessments (
    id uuid PRIMARY KEY,
    invoice_id uuid NOT NULL REFERENCES invoices,
    financing_id uuid,
    version text NOT NULL CHECK (length(version) BETWEEN 1 AND 40),
    cause text NOT NULL CHECK (cause IN ('submission', 'acceptance', 'listing', 'funding', 'person')),
    outputs jsonb NOT NULL,
    at timestamptz NOT NULL
);
CREATE INDEX risk_assessments_invoice ON risk_assessments (invoice_id, id DESC);
CREATE TRIGGER risk_assessments_append_only BEFORE UPDATE OR DELETE ON risk_assessments
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER risk_assessments_no_truncate BEFORE TRUNCATE ON risk_assessments
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- One row for what a person must look at. `stops`: while it is open, or upheld, nothing of it may be listed or funded.
CREATE TABLE reviews (
    id uuid PRIMARY KEY,
    invoice_id uuid NOT NULL REFERENCES invoices,
    financing_id uuid,
    codes text[] NOT NULL CHECK (cardinality(codes) > 0),
    stops boolean NOT NULL,
    -- An exact duplicate: nobody may clear it.
    hard boolean NOT NULL,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'cleared', 'upheld')),
    -- code -> the finding in words, with its raw values and the invoices on the other side
    findings jsonb NOT NULL,
    assessment_id uuid NOT NULL REFERENCES risk_assessments,
    reason text CHECK (length(reason) BETWEEN 3 AND 1000),
    reviewer_id uuid REFERENCES users,
    opened_at timestamptz NOT NULL,
    decided_at timestamptz,
    CONSTRAINT reviews_decision_is_whole CHECK (
        CASE state
            WHEN 'open' THEN reason IS NULL AND reviewer_id IS NULL AND decided_at IS NULL
            ELSE reason IS NOT NULL AND reviewer_id IS NOT NULL AND decided_at IS NOT NULL
        END),
    CONSTRAINT reviews_hard_stops_stand CHECK (NOT (hard AND state = 'cleared')),
    CONSTRAINT reviews_hard_is_a_stop CHECK (stops OR NOT hard)
);
CREATE UNIQUE INDEX reviews_one_open ON reviews (invoice_id) WHERE state = 'open';
CREATE INDEX reviews_state ON reviews (state, id DESC);
CREATE INDEX reviews_invoice ON reviews (invoice_id);
CREATE INDEX reviews_financing ON reviews (financing_id) WHERE financing_id IS NOT NULL;

-- What is decided stays decided, and no row goes away: a new finding opens a new row.
CREATE FUNCTION keep_reviews() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'UPDATE' OR OLD.state <> 'open' THEN
        RAISE EXCEPTION '% keeps what was decided', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER reviews_keep BEFORE UPDATE OR DELETE ON reviews FOR EACH ROW EXECUTE FUNCTION keep_reviews();
CREATE TRIGGER reviews_no_truncate BEFORE TRUNCATE ON reviews FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE review_history (
    id uuid PRIMARY KEY,
    review_id uuid NOT NULL REFERENCES reviews,
    step text NOT NULL CHECK (step IN ('opened', 'extended', 'cleared', 'upheld')),
    codes text[] NOT NULL,
    reason text,
    actor_id uuid REFERENCES users,
    at timestamptz NOT NULL
);
CREATE INDEX review_history_review ON review_history (review_id, id);
CREATE TRIGGER review_history_append_only BEFORE UPDATE OR DELETE ON review_history
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER review_history_no_truncate BEFORE TRUNCATE ON review_history
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""


def upgrade() -> None:
    """Create what is new."""
    # Straight to the driver: this script holds several statements and no parameters.
    op.get_bind().exec_driver_sql(TABLES.replace("%", "%%"))
