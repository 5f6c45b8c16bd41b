"""Who people are: KYC profiles and their documents; and where near duplicates of an invoice are looked for."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# core.kyc.states holds the same table; a test compares them.
MOVES = {
    "not_started": ("not_started", "submitted", "verified"),
    "submitted": ("submitted", "verified", "rejected"),
    "verified": ("verified", "submitted", "rejected", "expired"),
    "rejected": ("rejected", "submitted"),
    "expired": ("expired", "submitted"),
}
_STATES = ", ".join(f"'{state}'" for state in MOVES)
_PAIRS = ", ".join(f"('{before}', '{after}')" for before, afters in MOVES.items() for after in afters)

TABLES = f"""
-- One row a person; without one nothing was begun.
CREATE TABLE kyc_profiles (
    user_id uuid PRIMARY KEY REFERENCES users,
    state text NOT NULL DEFAULT 'not_started' CHECK (state IN ({_STATES})),
    -- Counts every change: what an operator decides on is what they saw.
    version integer NOT NULL DEFAULT 0,
    -- What a verification rests on: papers that an operator looked at, or nothing but that this is a demo.
    evidence text CHECK (evidence IN ('documents', 'demo')),
    legal_name text CHECK (length(legal_name) BETWEEN 1 AND 200),
    constitution text CHECK (length(constitution) BETWEEN 1 AND 30),
    pan text CHECK (pan ~ '^[A-Z]{{3}}[ABCFGHJLPT][A-Z][0-9]{{4}}[A-Z]$'),
    gstin text CHECK (gstin ~ '^[0-9A-Z]{{15}}$'),
    udyam text CHECK (udyam ~ '^UDYAM-[A-Z]{{2}}-[0-9]{{2}}-[0-9]{{7}}$'),
    account_name text CHECK (length(account_name) BETWEEN 1 AND 200),
    submitted_at timestamptz,
    decided_at timestamptz,
    decided_by uuid REFERENCES users,
    decision_reason text CHECK (length(decision_reason) BETWEEN 1 AND 500),
    updated_at timestamptz NOT NULL,
    -- Nothing was handed in, or a demo asked for nothing: otherwise all of it is there.
    CONSTRAINT kyc_submitted_is_complete CHECK (
        state = 'not_started' OR (evidence IS NOT DISTINCT FROM 'demo' AND state <> 'submitted')
        OR (legal_name IS NOT NULL AND constitution IS NOT NULL AND pan IS NOT NULL AND account_name IS NOT NULL)),
    CONSTRAINT kyc_verified_has_evidence CHECK (state <> 'verified' OR evidence IS NOT NULL),
    -- Maker and checker are two.
    CONSTRAINT kyc_nobody_decides_on_themselves CHECK (decided_by <> user_id)
);
CREATE INDEX kyc_profiles_pan ON kyc_profiles (pan) WHERE pan IS NOT NULL;
CREATE INDEX kyc_profiles_queue ON kyc_profiles (state, updated_at, user_id);

CREATE TABLE kyc_transitions (before text NOT NULL, after text NOT NULL, PRIMARY KEY (before, after));
INSERT INTO kyc_transitions (before, after) VALUES {_PAIRS};

-- Every change: who, why, and what of the checks failed at that moment.
CREATE TABLE kyc_history (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users,
    version integer NOT NULL,
    before text NOT NULL,
    after text NOT NULL,
    actor_id uuid,
    reason text NOT NULL CHECK (length(reason) BETWEEN 1 AND 500),
    data jsonb NOT NULL DEFAULT '{{}}',
    at timestamptz NOT NULL,
    UNIQUE (user_id, version)
);
CREATE TRIGGER kyc_history_append_only BEFORE UPDATE OR DELETE ON kyc_history
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER kyc_history_not_truncated BEFORE TRUNCATE ON kyc_history
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE FUNCTION check_kyc_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM kyc_transitions WHERE before = OLD.state AND after = NEW.state) THEN
        RAISE EXCEPTION 'KYC does not go from % to %', OLD.state, NEW.state
            USING ERRCODE = 'check_violation', CONSTRAINT = 'kyc_move_is_allowed';
    END IF;
    IF NEW.version <> OLD.version + 1 THEN
        RAISE EXCEPTION 'a change of KYC raises its version by one'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'kyc_move_raises_version';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER kyc_profiles_move BEFORE UPDATE ON kyc_profiles FOR EACH ROW EXECUTE FUNCTION check_kyc_move();

CREATE FUNCTION check_kyc_recorded() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM kyc_history WHERE user_id = NEW.user_id AND version = NEW.version
                   AND after = NEW.state) THEN
        RAISE EXCEPTION 'a change of the KYC of % is not recorded', NEW.user_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'kyc_move_is_recorded';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER kyc_profiles_recorded AFTER INSERT OR UPDATE ON kyc_profiles
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.version <> 0 OR NEW.state <> 'not_started') EXECUTE FUNCTION check_kyc_recorded();

-- A newer paper of a kind takes the place of the older, which stays.
CREATE TABLE kyc_documents (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users,
    kind text NOT NULL CHECK (kind IN ('pan_card', 'gst_certificate', 'address_proof', 'bank_statement')),
    file_id uuid NOT NULL UNIQUE REFERENCES files,
    created_at timestamptz NOT NULL,
    replaced_at timestamptz
);
CREATE UNIQUE INDEX kyc_documents_current ON kyc_documents (user_id, kind) WHERE replaced_at IS NULL;
CREATE INDEX kyc_documents_user ON kyc_documents (user_id, id DESC);

-- The two parties of an invoice, keyed: near duplicates (N2) are looked for among their invoices.
ALTER TABLE financings ADD COLUMN fp_pair bytea;
CREATE INDEX financings_pair ON financings (fp_pair, issue_date) WHERE fp_pair IS NOT NULL;
CREATE INDEX financings_files ON financings USING gin (file_hashes);
CREATE INDEX financings_references ON financings USING gin (document_references);
"""


def upgrade() -> None:
    """Create what is new."""
    # Straight to the driver: this script holds several statements and no parameters.
    op.get_bind().exec_driver_sql(TABLES.replace("%", "%%"))
