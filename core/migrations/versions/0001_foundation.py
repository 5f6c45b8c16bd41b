"""The foundation: people, connections, inbox, banking, invoicing, payments, live feed.

Big tables are partitioned by time through their UUIDv7 key (ADR 0003), so that a primary key is still one
column. Identity that must hold for ever (provider event ids, provider object ids) lives in narrow key
tables, partitioned by hash.
"""

from __future__ import annotations

from alembic import op

from core.migrations.partitions import create_hash_partitions

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

PEOPLE = """
CREATE TABLE users (
    id uuid PRIMARY KEY,
    email text NOT NULL UNIQUE CHECK (email = lower(email) AND length(email) BETWEEN 3 AND 254),
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    organisation text NOT NULL DEFAULT '' CHECK (length(organisation) <= 200),
    role text NOT NULL CHECK (role IN ('seller', 'buyer', 'investor', 'operator')),
    password_hash text NOT NULL,
    preferences jsonb NOT NULL DEFAULT '{}',
    is_active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE sessions (
    token_hash bytea PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    user_agent text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_expiry ON sessions (expires_at);

CREATE TABLE refresh_tokens (
    id uuid PRIMARY KEY,
    family uuid NOT NULL,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    token_hash bytea NOT NULL UNIQUE,
    issued_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    revoked_at timestamptz
);
CREATE INDEX refresh_tokens_family ON refresh_tokens (family);
CREATE INDEX refresh_tokens_user ON refresh_tokens (user_id);
CREATE INDEX refresh_tokens_expiry ON refresh_tokens (expires_at);

CREATE TABLE service_tokens (
    id uuid PRIMARY KEY,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    token_hash bytea NOT NULL UNIQUE,
    created_by uuid NOT NULL REFERENCES users,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);

CREATE TABLE idempotency_keys (
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    key text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    request_hash bytea NOT NULL,
    status smallint,
    response jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

CREATE TABLE audit_log (
    id uuid PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    actor_id uuid,
    action text NOT NULL,
    subject_kind text NOT NULL,
    subject_id uuid NOT NULL,
    data jsonb NOT NULL DEFAULT '{}'
) PARTITION BY RANGE (id);
CREATE INDEX audit_log_subject ON audit_log (subject_id, id);
"""

CONNECTIONS = """
CREATE TABLE connections (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users,
    connector text NOT NULL,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    -- The address for providers that forbid their own name in it: 128 random bits.
    hook_id text NOT NULL UNIQUE,
    external_id text CHECK (length(external_id) BETWEEN 1 AND 200),
    settings jsonb NOT NULL DEFAULT '{}',
    health text NOT NULL DEFAULT 'active' CHECK (health IN ('active', 'needs_attention', 'revoked')),
    health_reason text,
    health_version bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
);
CREATE INDEX connections_user ON connections (user_id) WHERE deleted_at IS NULL;
-- One account at a provider belongs to one connection, or an event could move somebody else's books.
CREATE UNIQUE INDEX connections_external ON connections (connector, external_id)
    WHERE external_id IS NOT NULL AND deleted_at IS NULL;

CREATE TABLE connection_secrets (
    id uuid PRIMARY KEY,
    connection_id uuid NOT NULL REFERENCES connections ON DELETE CASCADE,
    name text NOT NULL,
    sealed bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- Set when a newer secret took over; until then old deliveries still verify.
    expires_at timestamptz
);
CREATE INDEX connection_secrets_connection ON connection_secrets (connection_id, name, created_at DESC);
"""

INBOX = """
CREATE TABLE deliveries (
    id uuid PRIMARY KEY,
    connector text NOT NULL,
    connection_id uuid,
    received_at timestamptz NOT NULL,
    path text NOT NULL,
    remote_addr text NOT NULL,
    headers jsonb NOT NULL,
    body bytea NOT NULL,
    secret_index smallint NOT NULL,
    message_id text,
    verify_micros integer NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT clock_timestamp()
) PARTITION BY RANGE (id);
CREATE INDEX deliveries_connection ON deliveries (connection_id, id DESC);

CREATE TABLE event_keys (
    connector text NOT NULL,
    -- The connection the event belongs to; while it is unrouted external:<id>, with via:<connection>: before it
    -- when it came to a connection's own address. One sender cannot take an id away from another.
    scope text NOT NULL,
    provider_event_id text NOT NULL CHECK (length(provider_event_id) BETWEEN 1 AND 255),
    event_id uuid NOT NULL,
    PRIMARY KEY (connector, scope, provider_event_id)
) PARTITION BY HASH (provider_event_id);

CREATE TABLE events (
    id uuid PRIMARY KEY,
    delivery_id uuid NOT NULL,
    item_index integer NOT NULL,
    connector text NOT NULL,
    connection_id uuid,
    external_id text,
    provider_event_id text NOT NULL,
    name text NOT NULL,
    trust text NOT NULL CHECK (trust IN ('signed', 'fetched', 'hint')),
    received_at timestamptz NOT NULL
) PARTITION BY RANGE (id);
CREATE INDEX events_delivery ON events (delivery_id);
CREATE INDEX events_connection ON events (connection_id, delivery_id DESC);

-- What is still to be done, and nothing else: finished rows leave it for event_results. `due_at` is also
-- the lease (a claimed event is due again when its lease ends) and `attempts` is the fencing token.
CREATE TABLE event_queue (
    event_id uuid PRIMARY KEY,
    delivery_id uuid NOT NULL,
    connector text NOT NULL,
    connection_id uuid,
    external_id text,
    state text NOT NULL CHECK (state IN ('ready', 'fetch', 'unrouted', 'unknown', 'dead')),
    due_at timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    claimed_at timestamptz,
    error text
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX event_queue_ready ON event_queue (due_at, event_id) WHERE state = 'ready';
CREATE INDEX event_queue_fetch ON event_queue (due_at, event_id) WHERE state = 'fetch';
CREATE INDEX event_queue_unrouted ON event_queue (connector, external_id) WHERE state = 'unrouted';
CREATE INDEX event_queue_parked ON event_queue (state, event_id) WHERE state IN ('unknown', 'dead');

CREATE TABLE event_results (
    event_id uuid PRIMARY KEY,
    outcome text NOT NULL CHECK (outcome IN ('processed', 'ignored')),
    attempts integer NOT NULL,
    claimed_at timestamptz NOT NULL,
    read_micros integer NOT NULL,
    finished_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    note text
) PARTITION BY RANGE (event_id);

-- Which event said something about which object, and what came of it: provenance in both directions.
CREATE TABLE event_effects (
    event_id uuid NOT NULL,
    object_kind text NOT NULL,
    object_id uuid NOT NULL,
    effect text NOT NULL CHECK (effect IN ('created', 'updated', 'unchanged')),
    PRIMARY KEY (event_id, object_kind, object_id)
) PARTITION BY RANGE (event_id);
CREATE INDEX event_effects_object ON event_effects (object_id, event_id);

-- Refused deliveries, bounded in number and size by core.inbox.
CREATE TABLE quarantine (
    id uuid PRIMARY KEY,
    connector text NOT NULL,
    connection_id uuid,
    received_at timestamptz NOT NULL,
    path text NOT NULL,
    remote_addr text NOT NULL,
    headers jsonb NOT NULL,
    body bytea NOT NULL,
    body_bytes integer NOT NULL,
    reason text NOT NULL
);

-- Identity of every provider object, kept for ever: (connection, kind, provider's id) is ours once.
CREATE TABLE object_keys (
    connection_id uuid NOT NULL,
    kind text NOT NULL,
    object_id text NOT NULL CHECK (length(object_id) BETWEEN 1 AND 255),
    id uuid NOT NULL,
    PRIMARY KEY (connection_id, kind, object_id)
) PARTITION BY HASH (object_id);
"""

BANKING = """
CREATE TABLE bank_accounts (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users,
    connection_id uuid NOT NULL REFERENCES connections,
    object_id text NOT NULL,
    version bigint NOT NULL,
    name text NOT NULL,
    number_masked text,
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    kind text,
    balance bigint,
    available boolean NOT NULL DEFAULT true,
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (connection_id, object_id)
);

CREATE TABLE transactions (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    connection_id uuid NOT NULL,
    account_object_id text NOT NULL,
    object_id text NOT NULL,
    version bigint NOT NULL,
    status text NOT NULL CHECK (status IN ('pending', 'posted', 'removed')),
    amount bigint NOT NULL,
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    narration text NOT NULL,
    counterparty text,
    bank_reference text,
    category text,
    balance bigint,
    occurred_at timestamptz NOT NULL,
    booked_on date,
    trust text NOT NULL CHECK (trust IN ('signed', 'fetched', 'hint')),
    -- Removed only because a snapshot no longer lists it: a newer statement brings it back.
    swept boolean NOT NULL DEFAULT false CHECK (NOT swept OR status = 'removed'),
    match_state text NOT NULL DEFAULT 'none' CHECK (match_state IN ('none', 'proposed', 'accepted')),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
) PARTITION BY RANGE (id);
CREATE INDEX transactions_user ON transactions (user_id, occurred_at DESC, id DESC);
CREATE INDEX transactions_account_pending ON transactions (connection_id, account_object_id) WHERE status = 'pending';

-- The newest version at which an account's pending transactions were listed in full.
CREATE TABLE pending_snapshots (
    connection_id uuid NOT NULL,
    account_object_id text NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (connection_id, account_object_id)
);
"""

INVOICING = """
CREATE TABLE contacts (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    email text NOT NULL CHECK (email = lower(email) AND length(email) BETWEEN 3 AND 254),
    buyer_id uuid REFERENCES users,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (user_id, email)
);
CREATE INDEX contacts_email ON contacts (email);

CREATE TABLE invoice_counters (
    seller_id uuid NOT NULL REFERENCES users,
    year integer NOT NULL,
    last integer NOT NULL CHECK (last >= 1),
    PRIMARY KEY (seller_id, year)
);

CREATE TABLE invoices (
    id uuid PRIMARY KEY,
    seller_id uuid NOT NULL REFERENCES users,
    buyer_id uuid REFERENCES users,
    contact_id uuid NOT NULL REFERENCES contacts,
    number text NOT NULL,
    -- The number without punctuation and leading zeros (marketplace.md 2.9), by which payments find it.
    number_key text NOT NULL,
    year integer NOT NULL,
    sequence integer NOT NULL CHECK (sequence >= 1),
    status text NOT NULL CHECK (status IN ('draft', 'open', 'partial', 'paid', 'void')),
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    issue_date date NOT NULL,
    due_date date NOT NULL CHECK (due_date >= issue_date),
    subtotal bigint NOT NULL CHECK (subtotal >= 0),
    tax bigint NOT NULL CHECK (tax >= 0),
    total bigint NOT NULL,
    amount_paid bigint NOT NULL DEFAULT 0,
    amount_due bigint GENERATED ALWAYS AS (total - amount_paid) STORED,
    notes text NOT NULL DEFAULT '',
    payment_terms text NOT NULL DEFAULT '',
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (seller_id, number),
    UNIQUE (seller_id, number_key),
    UNIQUE (seller_id, year, sequence),
    CONSTRAINT invoices_total_adds_up CHECK (total = subtotal + tax AND total > 0),
    CONSTRAINT invoices_paid_within_total CHECK (amount_paid BETWEEN 0 AND total),
    CONSTRAINT invoices_status_fits_paid CHECK (
        CASE status
            WHEN 'paid' THEN amount_paid = total
            WHEN 'partial' THEN amount_paid > 0 AND amount_paid < total
            ELSE amount_paid = 0
        END)
);
CREATE INDEX invoices_seller_recent ON invoices (seller_id, id DESC);
CREATE INDEX invoices_seller_open ON invoices (seller_id, due_date) WHERE status IN ('open', 'partial');
CREATE INDEX invoices_buyer ON invoices (buyer_id, id DESC) WHERE buyer_id IS NOT NULL;

CREATE TABLE invoice_items (
    invoice_id uuid NOT NULL REFERENCES invoices ON DELETE CASCADE,
    position integer NOT NULL CHECK (position >= 0),
    description text NOT NULL CHECK (length(description) BETWEEN 1 AND 500),
    quantity numeric(18, 6) NOT NULL CHECK (quantity > 0),
    unit_price bigint NOT NULL CHECK (unit_price >= 0),
    tax_rate numeric(7, 4) NOT NULL DEFAULT 0 CHECK (tax_rate BETWEEN 0 AND 100),
    net bigint NOT NULL CHECK (net >= 0),
    tax bigint NOT NULL CHECK (tax >= 0),
    PRIMARY KEY (invoice_id, position)
);
"""

PAYMENTS = """
CREATE TABLE payments (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    connection_id uuid,
    connector text,
    object_id text,
    source text NOT NULL CHECK (source IN ('gateway', 'bank', 'manual')),
    transaction_id uuid,
    version bigint NOT NULL,
    status text NOT NULL CHECK (status IN ('pending', 'failed', 'succeeded', 'cancelled')),
    amount bigint NOT NULL CHECK (amount > 0),
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    -- What came back out of it: refunds that went through, and disputes that were lost.
    refunded bigint NOT NULL DEFAULT 0,
    deducted bigint NOT NULL DEFAULT 0,
    net bigint NOT NULL GENERATED ALWAYS AS (
        CASE WHEN status = 'succeeded' THEN amount - refunded - deducted ELSE 0 END) STORED,
    allocated bigint NOT NULL DEFAULT 0,
    -- [[priority, text], ...] as the provider named the invoice, and the keys these texts may stand for.
    invoice_references jsonb NOT NULL DEFAULT '[]',
    reference_keys text[] NOT NULL DEFAULT '{}',
    invoice_id uuid REFERENCES invoices,
    method text,
    payer_name text,
    payer_email text,
    bank_reference text,
    description text,
    fee bigint,
    failure text,
    notes text NOT NULL DEFAULT '',
    occurred_at timestamptz NOT NULL,
    trust text NOT NULL CHECK (trust IN ('signed', 'fetched', 'hint')),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT payments_returns_within_amount CHECK (refunded >= 0 AND deducted >= 0 AND refunded + deducted <= amount),
    CONSTRAINT payments_allocated_within_net CHECK (
        allocated >= 0
        AND allocated <= CASE WHEN status = 'succeeded' THEN amount - refunded - deducted ELSE 0 END),
    -- A hint never moves money.
    CONSTRAINT payments_hint_moves_nothing CHECK (trust <> 'hint' OR allocated = 0)
) PARTITION BY RANGE (id);
CREATE INDEX payments_user ON payments (user_id, occurred_at DESC, id DESC);
CREATE INDEX payments_invoice ON payments (invoice_id) WHERE invoice_id IS NOT NULL;
CREATE INDEX payments_waiting ON payments USING gin (reference_keys)
    WHERE invoice_id IS NULL AND status = 'succeeded';

CREATE TABLE payment_adjustments (
    id uuid PRIMARY KEY,
    connection_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('refund', 'dispute')),
    object_id text NOT NULL,
    payment_object_id text NOT NULL,
    version bigint NOT NULL,
    status text NOT NULL,
    amount bigint NOT NULL CHECK (amount >= 0),
    -- What it takes from the payment at present.
    taken bigint NOT NULL CHECK (taken >= 0),
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    reason text,
    respond_by timestamptz,
    occurred_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
) PARTITION BY RANGE (id);
CREATE INDEX payment_adjustments_payment ON payment_adjustments (connection_id, payment_object_id);

CREATE TABLE payouts (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    connection_id uuid NOT NULL,
    object_id text NOT NULL,
    version bigint NOT NULL,
    status text NOT NULL CHECK (status IN ('pending', 'failed', 'paid', 'reversed')),
    amount bigint NOT NULL,
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    fee bigint,
    bank_reference text,
    occurred_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
) PARTITION BY RANGE (id);
CREATE INDEX payouts_user ON payouts (user_id, occurred_at DESC);

-- Append-only: the amount of a payment that pays an invoice is the sum of its rows.
CREATE TABLE allocations (
    id uuid PRIMARY KEY,
    payment_id uuid NOT NULL,
    invoice_id uuid NOT NULL REFERENCES invoices,
    amount bigint NOT NULL CHECK (amount <> 0),
    currency text NOT NULL,
    reason text NOT NULL,
    event_id uuid,
    created_at timestamptz NOT NULL DEFAULT now()
) PARTITION BY RANGE (id);
CREATE INDEX allocations_invoice ON allocations (invoice_id, id);
CREATE INDEX allocations_payment ON allocations (payment_id, id);

CREATE TABLE matches (
    id uuid PRIMARY KEY,
    transaction_id uuid NOT NULL,
    invoice_id uuid NOT NULL REFERENCES invoices,
    user_id uuid NOT NULL REFERENCES users,
    state text NOT NULL CHECK (state IN ('proposed', 'accepted', 'rejected', 'undone')),
    score numeric(4, 3) NOT NULL CHECK (score BETWEEN 0 AND 1),
    features jsonb NOT NULL,
    payment_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    decided_at timestamptz,
    decided_by uuid REFERENCES users,
    UNIQUE (transaction_id, invoice_id),
    CHECK ((state = 'accepted') = (payment_id IS NOT NULL))
);
-- A transaction pays at most one match at a time, whoever clicks first.
CREATE UNIQUE INDEX matches_one_accepted ON matches (transaction_id) WHERE state = 'accepted';
CREATE INDEX matches_invoice ON matches (invoice_id);
CREATE INDEX matches_proposed ON matches (user_id) WHERE state = 'proposed';

-- The second guard of every amount: checked at commit, against hand-written SQL as well.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER allocations_append_only BEFORE UPDATE OR DELETE ON allocations
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE FUNCTION check_invoice_sum() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    subject uuid;
    stored bigint;
    summed bigint;
BEGIN
    -- Statements, not CASE: a field that the table does not have may not even be named in an expression.
    IF TG_ARGV[0] = 'invoices' THEN subject := NEW.id; ELSE subject := NEW.invoice_id; END IF;
    SELECT amount_paid INTO stored FROM invoices WHERE id = subject;
    SELECT coalesce(sum(amount), 0) INTO summed FROM allocations WHERE invoice_id = subject;
    IF stored IS DISTINCT FROM summed THEN
        RAISE EXCEPTION 'invoice % says % paid, its allocations say %', subject, stored, summed
            USING ERRCODE = 'check_violation', CONSTRAINT = 'invoices_paid_is_sum_of_allocations';
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION check_payment_sum() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    subject uuid;
    stored bigint;
    summed bigint;
BEGIN
    IF TG_ARGV[0] = 'payments' THEN subject := NEW.id; ELSE subject := NEW.payment_id; END IF;
    SELECT allocated INTO stored FROM payments WHERE id = subject;
    SELECT coalesce(sum(amount), 0) INTO summed FROM allocations WHERE payment_id = subject;
    IF stored IS DISTINCT FROM summed THEN
        RAISE EXCEPTION 'payment % says % allocated, its allocations say %', subject, stored, summed
            USING ERRCODE = 'check_violation', CONSTRAINT = 'payments_allocated_is_sum_of_allocations';
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER invoices_paid_is_sum AFTER UPDATE OF amount_paid ON invoices
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_invoice_sum('invoices');
CREATE CONSTRAINT TRIGGER payments_allocated_is_sum AFTER UPDATE OF allocated ON payments
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_payment_sum('payments');
CREATE CONSTRAINT TRIGGER invoices_new_paid_is_sum AFTER INSERT ON invoices
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.amount_paid <> 0)
    EXECUTE FUNCTION check_invoice_sum('invoices');
CREATE CONSTRAINT TRIGGER payments_new_allocated_is_sum AFTER INSERT ON payments
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.allocated <> 0)
    EXECUTE FUNCTION check_payment_sum('payments');
CREATE CONSTRAINT TRIGGER allocations_fit_invoice AFTER INSERT ON allocations
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_invoice_sum('allocations');
CREATE CONSTRAINT TRIGGER allocations_fit_payment AFTER INSERT ON allocations
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_payment_sum('allocations');
"""

LIVE = """
-- Written by business code in its own transaction; emptied by the relay.
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    room text NOT NULL,
    name text NOT NULL,
    data jsonb NOT NULL,
    event_id uuid,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE rooms (
    room text PRIMARY KEY,
    seq bigint NOT NULL CHECK (seq >= 1)
) WITH (fillfactor = 70);

-- A UUIDv7 of this moment, for rows that the database makes itself (PostgreSQL has its own from version 18 on).
CREATE FUNCTION uuid7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
    SELECT (lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0')
            || overlay(overlay(substr(replace(gen_random_uuid()::text, '-', ''), 13) PLACING '7' FROM 1 FOR 1)
                       PLACING '8' FROM 5 FOR 1))::uuid
$$;

CREATE SEQUENCE feed_position;
CREATE TABLE feed (
    id uuid PRIMARY KEY,
    -- Order of numbering over all rooms, by which a restarted relay knows what it has not emitted.
    position bigint NOT NULL,
    room text NOT NULL,
    seq bigint NOT NULL,
    name text NOT NULL,
    data jsonb NOT NULL,
    event_id uuid,
    at timestamptz NOT NULL,
    numbered_at timestamptz NOT NULL DEFAULT clock_timestamp()
) PARTITION BY RANGE (id);
CREATE INDEX feed_room ON feed (room, seq);
CREATE INDEX feed_by_position ON feed (position);
CREATE INDEX feed_event ON feed (event_id) WHERE event_id IS NOT NULL;

CREATE TABLE relay_state (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    emitted_position bigint NOT NULL
);
INSERT INTO relay_state (emitted_position) VALUES (0);
"""


def upgrade() -> None:
    """Create everything."""
    for part in (PEOPLE, CONNECTIONS, INBOX, BANKING, INVOICING, PAYMENTS, LIVE):
        # Straight to the driver: these scripts hold several statements and no parameters.
        op.get_bind().exec_driver_sql(part.replace("%", "%%"))
    create_hash_partitions(op.execute, "event_keys", 8)
    create_hash_partitions(op.execute, "object_keys", 8)
