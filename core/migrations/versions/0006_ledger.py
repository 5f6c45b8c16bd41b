"""The double-entry ledger: accounts, transfers, entries, holds, keys, and the guards that hold without the code.

What the code checks first and by name, these triggers and constraints refuse once more, against SQL written by
hand by the owner of the tables as well. Most are triggers of a statement: a transfer's entries arrive in one
statement, after the accounts were changed. Only what two statements must agree on waits for the commit.
"""

from __future__ import annotations

from alembic import op

from core.migrations.partitions import create_hash_partitions

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLES = """
-- Who may be below zero: what the platform issued, what is outside of it, and what it may claim. A scratch account
-- (conformance checks) is, from the moment a posting allowed it.
CREATE TABLE ledger_accounts (
    id uuid PRIMARY KEY,
    owner text NOT NULL CHECK (length(owner) BETWEEN 1 AND 200),
    purpose text NOT NULL CHECK (purpose IN
        ('wallet', 'escrow', 'fees', 'gst', 'unapplied', 'issuance', 'outside', 'recoverable', 'scratch')),
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    -- Credits minus debits, of which `held` is promised to somebody. Both are kept with the entries, never alone.
    balance bigint NOT NULL DEFAULT 0,
    held bigint NOT NULL DEFAULT 0 CHECK (held >= 0),
    sequence bigint NOT NULL DEFAULT 0 CHECK (sequence >= 0),
    overdraft boolean NOT NULL,
    -- When the newest entry was recorded. Recorded time never runs backwards on an account.
    moved_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (owner, purpose, currency),
    UNIQUE (id, currency),
    CONSTRAINT ledger_accounts_overdraft CHECK
        (purpose = 'scratch' OR overdraft = (purpose IN ('issuance', 'outside', 'recoverable'))),
    CONSTRAINT ledger_accounts_spendable CHECK (overdraft OR balance - held >= 0)
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX ledger_accounts_purpose ON ledger_accounts (purpose, currency);

-- A request is applied or refused under its key, once and for ever.
CREATE TABLE ledger_keys (
    key text PRIMARY KEY CHECK (length(key) BETWEEN 1 AND 300),
    body_hash bytea NOT NULL CHECK (length(body_hash) = 32),
    outcome text NOT NULL CHECK (outcome IN ('applied', 'refused')),
    -- The transfer or the hold.
    subject_id uuid,
    reason text,
    created_at timestamptz NOT NULL,
    CHECK ((outcome = 'applied') = (subject_id IS NOT NULL)),
    CHECK ((outcome = 'refused') = (reason IS NOT NULL))
) PARTITION BY HASH (key);

CREATE SEQUENCE ledger_positions;
CREATE TABLE ledger_transfers (
    id uuid PRIMARY KEY,
    position bigint NOT NULL DEFAULT nextval('ledger_positions'),
    kind text NOT NULL CHECK (kind ~ '^[a-z][a-z0-9_.]{0,59}$'),
    key text NOT NULL,
    description text NOT NULL CHECK (length(description) <= 500),
    invoice_id uuid,
    -- The provider event that caused it.
    event_id uuid,
    effective_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL
);
CREATE INDEX ledger_transfers_invoice ON ledger_transfers (invoice_id) WHERE invoice_id IS NOT NULL;
CREATE INDEX ledger_transfers_event ON ledger_transfers (event_id) WHERE event_id IS NOT NULL;

-- Partitioned by account, not by time (ADR 0012): the primary key is the promise that sequences have no double.
CREATE SEQUENCE ledger_entry_ids;
CREATE TABLE ledger_entries (
    account_id uuid NOT NULL,
    sequence bigint NOT NULL CHECK (sequence >= 1),
    -- Taken while the account is locked, so it rises with the account's sequence.
    id bigint NOT NULL DEFAULT nextval('ledger_entry_ids'),
    transfer_id uuid NOT NULL REFERENCES ledger_transfers,
    currency text NOT NULL,
    amount bigint NOT NULL CHECK (amount <> 0),
    balance_before bigint NOT NULL,
    balance_after bigint NOT NULL,
    effective_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, sequence),
    CONSTRAINT ledger_entries_currency FOREIGN KEY (account_id, currency) REFERENCES ledger_accounts (id, currency),
    CONSTRAINT ledger_entries_adds_up CHECK (balance_after = balance_before + amount)
) PARTITION BY HASH (account_id);
CREATE INDEX ledger_entries_transfer ON ledger_entries (transfer_id);
CREATE INDEX ledger_entries_effective ON ledger_entries (account_id, effective_at) INCLUDE (amount);

CREATE TABLE ledger_reversals (
    original uuid PRIMARY KEY REFERENCES ledger_transfers,
    transfer_id uuid NOT NULL UNIQUE REFERENCES ledger_transfers,
    CHECK (original <> transfer_id)
);

CREATE TABLE ledger_holds (
    id uuid PRIMARY KEY,
    account_id uuid NOT NULL,
    to_account_id uuid NOT NULL,
    currency text NOT NULL,
    amount bigint NOT NULL CHECK (amount > 0),
    key text NOT NULL,
    description text NOT NULL CHECK (length(description) <= 500),
    invoice_id uuid,
    expires_at timestamptz,
    created_at timestamptz NOT NULL,
    open boolean NOT NULL DEFAULT true,
    CHECK (account_id <> to_account_id),
    CONSTRAINT ledger_holds_currency FOREIGN KEY (account_id, currency) REFERENCES ledger_accounts (id, currency),
    CONSTRAINT ledger_holds_to_currency FOREIGN KEY (to_account_id, currency) REFERENCES ledger_accounts (id, currency)
) WITH (fillfactor = 80);
CREATE INDEX ledger_holds_open ON ledger_holds (account_id) INCLUDE (amount) WHERE open;
CREATE INDEX ledger_holds_expiring ON ledger_holds (expires_at) WHERE open AND expires_at IS NOT NULL;
CREATE INDEX ledger_holds_account ON ledger_holds (account_id, id DESC);
CREATE INDEX ledger_holds_invoice ON ledger_holds (invoice_id) WHERE invoice_id IS NOT NULL;

-- What became of a hold. One row a hold, whatever many try.
CREATE TABLE ledger_resolutions (
    hold_id uuid PRIMARY KEY REFERENCES ledger_holds,
    outcome text NOT NULL CHECK (outcome IN ('posted', 'voided', 'expired')),
    -- What was posted of it; the rest went back.
    amount bigint NOT NULL CHECK (amount >= 0),
    transfer_id uuid REFERENCES ledger_transfers,
    at timestamptz NOT NULL,
    CHECK ((outcome = 'posted') = (transfer_id IS NOT NULL)),
    CHECK ((outcome = 'posted') = (amount > 0))
);
CREATE INDEX ledger_resolutions_transfer ON ledger_resolutions (transfer_id) WHERE transfer_id IS NOT NULL;

-- Entries that are not in the chain yet: filled by the entries' own trigger, emptied by the chainer.
CREATE TABLE ledger_unsealed (
    entry_id bigint PRIMARY KEY,
    account_id uuid NOT NULL,
    sequence bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE ledger_chain (
    position bigint PRIMARY KEY CHECK (position >= 1),
    entry_id bigint NOT NULL,
    account_id uuid NOT NULL,
    sequence bigint NOT NULL,
    prev_hash bytea NOT NULL CHECK (length(prev_hash) = 32),
    hash bytea NOT NULL CHECK (length(hash) = 32),
    UNIQUE (account_id, sequence),
    FOREIGN KEY (account_id, sequence) REFERENCES ledger_entries
);
CREATE TABLE ledger_chain_head (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    position bigint NOT NULL,
    hash bytea NOT NULL CHECK (length(hash) = 32)
) WITH (fillfactor = 20);
INSERT INTO ledger_chain_head (position, hash) VALUES (0, decode(repeat('00', 32), 'hex'));

-- The head of a day, written to a file outside the database as well.
CREATE TABLE ledger_anchors (
    day date PRIMARY KEY,
    position bigint NOT NULL CHECK (position >= 0),
    hash bytea NOT NULL CHECK (length(hash) = 32),
    anchored_at timestamptz NOT NULL
);
"""

# Plans are made when a session first needs them, perhaps over empty tables, and kept: look-ups by key are never wrong.
_STEADY = "SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off"

GUARDS = """
-- L1, L3, L9 and the feed of the chain. The entries of a transfer come whole, in one statement, after its accounts.
CREATE FUNCTION ledger_check_entries() RETURNS trigger LANGUAGE plpgsql {steady} AS $$
DECLARE
    wrong record;
BEGIN
    SELECT sums.* INTO wrong FROM (
        SELECT transfer_id, count(*) AS legs, sum(amount) AS total, count(DISTINCT currency) AS currencies,
               min(effective_at) AS earliest, max(effective_at) AS latest,
               min(recorded_at) AS first, max(recorded_at) AS last
        FROM fresh GROUP BY transfer_id
    ) AS sums LEFT JOIN ledger_transfers ON ledger_transfers.id = sums.transfer_id
    WHERE legs < 2 OR total <> 0 OR currencies <> 1
        OR (SELECT count(*) FROM ledger_entries WHERE ledger_entries.transfer_id = sums.transfer_id) <> legs
        OR (earliest, latest, first, last) IS DISTINCT FROM (ledger_transfers.effective_at,
            ledger_transfers.effective_at, ledger_transfers.recorded_at, ledger_transfers.recorded_at)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'transfer % has % entries in % currencies that sum to %, or had others before, or other times',
            wrong.transfer_id, wrong.legs, wrong.currencies, wrong.total
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_transfers_balance';
    END IF;

    SELECT fresh.account_id, fresh.sequence INTO wrong
    FROM fresh LEFT JOIN ledger_entries AS before
        ON before.account_id = fresh.account_id AND before.sequence = fresh.sequence - 1
    WHERE (before.sequence IS NULL AND (fresh.sequence <> 1 OR fresh.balance_before <> 0))
        OR before.balance_after <> fresh.balance_before OR before.id >= fresh.id
        OR before.recorded_at > fresh.recorded_at
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'entry % of account % does not follow the one before it', wrong.sequence, wrong.account_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_entries_follow';
    END IF;

    SELECT newest.account_id, newest.sequence INTO wrong
    FROM (SELECT DISTINCT ON (account_id) * FROM fresh ORDER BY account_id, sequence DESC) AS newest
    LEFT JOIN ledger_accounts ON ledger_accounts.id = newest.account_id
    WHERE (ledger_accounts.balance, ledger_accounts.sequence, ledger_accounts.moved_at)
        IS DISTINCT FROM (newest.balance_after, newest.sequence, newest.recorded_at)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'account % does not stand where its entry % leaves it', wrong.account_id, wrong.sequence
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_accounts_follow_entries';
    END IF;

    INSERT INTO ledger_unsealed (entry_id, account_id, sequence) SELECT id, account_id, sequence FROM fresh;
    RETURN NULL;
END $$;

-- L3, L9 from the account's side, at commit: what it says is what its newest entry says.
CREATE FUNCTION ledger_check_account() RETURNS trigger LANGUAGE plpgsql {steady} AS $$
DECLARE
    account ledger_accounts;
    newest ledger_entries;
BEGIN
    SELECT * INTO account FROM ledger_accounts WHERE id = NEW.id;
    SELECT * INTO newest FROM ledger_entries WHERE account_id = NEW.id ORDER BY sequence DESC LIMIT 1;
    IF account.sequence IS DISTINCT FROM coalesce(newest.sequence, 0)
        OR account.balance IS DISTINCT FROM coalesce(newest.balance_after, 0)
        OR account.moved_at IS DISTINCT FROM newest.recorded_at THEN
        RAISE EXCEPTION 'account % says % after %, its newest entry says % after %', NEW.id,
            account.balance, account.sequence, newest.balance_after, newest.sequence
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_accounts_balance_is_newest_entry';
    END IF;
    RETURN NULL;
END $$;

-- L4: what is held is the sum of the open holds. Asked from both sides, at commit.
CREATE FUNCTION ledger_check_held() RETURNS trigger LANGUAGE plpgsql {steady} AS $$
DECLARE
    subject uuid;
    stored bigint;
    summed bigint;
BEGIN
    IF TG_ARGV[0] = 'accounts' THEN subject := NEW.id; ELSE subject := NEW.account_id; END IF;
    SELECT held INTO stored FROM ledger_accounts WHERE id = subject;
    SELECT coalesce(sum(amount), 0) INTO summed FROM ledger_holds WHERE account_id = subject AND open;
    IF stored IS DISTINCT FROM summed THEN
        RAISE EXCEPTION 'account % says % held, its open holds say %', subject, stored, summed
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_accounts_held_is_sum_of_holds';
    END IF;
    RETURN NULL;
END $$;

-- A transfer has entries, and its key leads to it and to nothing else; so does a hold's.
CREATE FUNCTION ledger_check_transfer() RETURNS trigger LANGUAGE plpgsql {steady} AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM ledger_entries WHERE transfer_id = NEW.id) THEN
        RAISE EXCEPTION 'transfer % has no entries', NEW.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_transfers_balance';
    END IF;
    PERFORM ledger_check_key(NEW.key, NEW.id);
    RETURN NULL;
END $$;
CREATE FUNCTION ledger_check_hold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM ledger_check_key(NEW.key, NEW.id);
    RETURN NULL;
END $$;
CREATE FUNCTION ledger_check_key(given text, subject uuid) RETURNS void LANGUAGE plpgsql {steady} AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM ledger_keys WHERE key = given AND subject_id = subject) THEN
        RAISE EXCEPTION '% does not stand under its key %', subject, given
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_keys_lead_to_subjects';
    END IF;
END $$;

-- L12: a reversal undoes exactly what the original did.
CREATE FUNCTION ledger_check_reversal() RETURNS trigger LANGUAGE plpgsql {steady} AS $$
BEGIN
    IF EXISTS (
        (SELECT account_id, -amount FROM ledger_entries WHERE transfer_id = NEW.original
         EXCEPT ALL SELECT account_id, amount FROM ledger_entries WHERE transfer_id = NEW.transfer_id)
        UNION ALL
        (SELECT account_id, amount FROM ledger_entries WHERE transfer_id = NEW.transfer_id
         EXCEPT ALL SELECT account_id, -amount FROM ledger_entries WHERE transfer_id = NEW.original)
    ) THEN
        RAISE EXCEPTION 'transfer % does not undo % exactly', NEW.transfer_id, NEW.original
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_reversals_mirror';
    END IF;
    RETURN NULL;
END $$;

-- L6: a resolution closes its hold, fits into it, and what it says was posted was posted, from and to its accounts.
CREATE FUNCTION ledger_resolve() RETURNS trigger LANGUAGE plpgsql {steady} AS $$
DECLARE
    hold ledger_holds;
BEGIN
    SELECT * INTO hold FROM ledger_holds WHERE id = NEW.hold_id;
    IF NEW.amount > hold.amount OR coalesce(NEW.outcome = 'posted' AND NEW.at >= hold.expires_at, false)
        OR (NEW.outcome = 'expired' AND coalesce(NEW.at < hold.expires_at, true)) THEN
        RAISE EXCEPTION 'hold % cannot end as % of % at %', NEW.hold_id, NEW.outcome, NEW.amount, NEW.at
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_resolutions_fit';
    END IF;
    IF NEW.outcome = 'posted' AND (
        (SELECT sum(amount) FROM ledger_entries
         WHERE transfer_id = NEW.transfer_id AND account_id = hold.account_id AND amount < 0)
        + (SELECT sum(other.amount) FROM ledger_resolutions AS other JOIN ledger_holds AS held ON held.id = hold_id
           WHERE other.transfer_id = NEW.transfer_id AND held.account_id = hold.account_id) <= 0
        AND (SELECT sum(amount) FROM ledger_entries
             WHERE transfer_id = NEW.transfer_id AND account_id = hold.to_account_id AND amount > 0)
        - (SELECT sum(other.amount) FROM ledger_resolutions AS other JOIN ledger_holds AS held ON held.id = hold_id
           WHERE other.transfer_id = NEW.transfer_id AND held.to_account_id = hold.to_account_id) >= 0
    ) IS NOT TRUE THEN
        RAISE EXCEPTION 'transfer % does not move % of hold %', NEW.transfer_id, NEW.amount, NEW.hold_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_resolutions_fit';
    END IF;
    UPDATE ledger_holds SET open = false WHERE id = NEW.hold_id AND open;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'hold % is resolved', NEW.hold_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_resolutions_fit';
    END IF;
    RETURN NULL;
END $$;

-- L5 where a row has a part that moves: all else stays, compared so that a NULL is a value like any other.
CREATE FUNCTION ledger_keep_account() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR (OLD.id, OLD.owner, OLD.purpose, OLD.currency, OLD.created_at)
        IS DISTINCT FROM (NEW.id, NEW.owner, NEW.purpose, NEW.currency, NEW.created_at) THEN
        RAISE EXCEPTION 'ledger_accounts is append-only' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE FUNCTION ledger_keep_hold() RETURNS trigger LANGUAGE plpgsql {steady} AS $$
BEGIN
    IF TG_OP = 'DELETE' OR NOT OLD.open OR NEW.open
        OR (OLD.id, OLD.account_id, OLD.to_account_id, OLD.currency, OLD.amount, OLD.key, OLD.description,
            OLD.invoice_id, OLD.expires_at, OLD.created_at)
        IS DISTINCT FROM (NEW.id, NEW.account_id, NEW.to_account_id, NEW.currency, NEW.amount, NEW.key,
            NEW.description, NEW.invoice_id, NEW.expires_at, NEW.created_at)
        OR NOT EXISTS (SELECT FROM ledger_resolutions WHERE hold_id = NEW.id) THEN
        RAISE EXCEPTION 'ledger_holds is append-only' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE FUNCTION ledger_refuse_birth() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a row of % begins empty and open', TG_TABLE_NAME USING ERRCODE = 'check_violation';
END $$;

-- L10: a link names the one before it.
CREATE FUNCTION ledger_check_chain() RETURNS trigger LANGUAGE plpgsql {steady} AS $$
BEGIN
    IF EXISTS (
        SELECT FROM fresh LEFT JOIN ledger_chain AS before ON before.position = fresh.position - 1
        WHERE fresh.prev_hash IS DISTINCT FROM
            CASE WHEN fresh.position = 1 THEN decode(repeat('00', 32), 'hex') ELSE before.hash END
    ) THEN
        RAISE EXCEPTION 'a link of the chain does not name the one before it'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_chain_links';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER ledger_accounts_keep BEFORE UPDATE OR DELETE ON ledger_accounts
    FOR EACH ROW EXECUTE FUNCTION ledger_keep_account();
CREATE TRIGGER ledger_accounts_begin_empty BEFORE INSERT ON ledger_accounts
    FOR EACH ROW WHEN (NEW.balance <> 0 OR NEW.held <> 0 OR NEW.sequence <> 0 OR NEW.moved_at IS NOT NULL)
    EXECUTE FUNCTION ledger_refuse_birth();
CREATE CONSTRAINT TRIGGER ledger_accounts_balance AFTER UPDATE ON ledger_accounts
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN ((OLD.balance, OLD.sequence, OLD.moved_at) IS DISTINCT FROM (NEW.balance, NEW.sequence, NEW.moved_at))
    EXECUTE FUNCTION ledger_check_account();
CREATE CONSTRAINT TRIGGER ledger_accounts_held AFTER UPDATE ON ledger_accounts
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.held <> NEW.held)
    EXECUTE FUNCTION ledger_check_held('accounts');

CREATE CONSTRAINT TRIGGER ledger_transfers_whole AFTER INSERT ON ledger_transfers
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_check_transfer();
CREATE TRIGGER ledger_reversals_mirror AFTER INSERT ON ledger_reversals
    FOR EACH ROW EXECUTE FUNCTION ledger_check_reversal();

CREATE TRIGGER ledger_holds_keep BEFORE UPDATE OR DELETE ON ledger_holds
    FOR EACH ROW EXECUTE FUNCTION ledger_keep_hold();
CREATE TRIGGER ledger_holds_begin_open BEFORE INSERT ON ledger_holds
    FOR EACH ROW WHEN (NOT NEW.open) EXECUTE FUNCTION ledger_refuse_birth();
CREATE CONSTRAINT TRIGGER ledger_holds_keyed AFTER INSERT ON ledger_holds
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_check_hold();
CREATE CONSTRAINT TRIGGER ledger_holds_sum AFTER INSERT OR UPDATE ON ledger_holds
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_check_held('holds');
CREATE TRIGGER ledger_resolutions_resolve AFTER INSERT ON ledger_resolutions
    FOR EACH ROW EXECUTE FUNCTION ledger_resolve();

CREATE TRIGGER ledger_chain_links AFTER INSERT ON ledger_chain
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION ledger_check_chain();
"""

_ENTRIES = ("ledger_entries", *(f"ledger_entries_{part}" for part in range(4)))
_KEYS = ("ledger_keys", *(f"ledger_keys_{part}" for part in range(8)))
_FROZEN = (
    "ledger_keys",
    "ledger_transfers",
    "ledger_entries",
    "ledger_reversals",
    "ledger_resolutions",
    "ledger_chain",
    "ledger_anchors",
)


def upgrade() -> None:
    """Create what is new."""
    # Straight to the driver: these scripts hold several statements and no parameters.
    execute = op.get_bind().exec_driver_sql
    execute(TABLES.replace("%", "%%"))
    create_hash_partitions(op.execute, "ledger_entries", 4)
    create_hash_partitions(op.execute, "ledger_keys", 8)
    execute(GUARDS.replace("{steady}", _STEADY).replace("%", "%%"))
    for table in _FROZEN:
        execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
    # A row's trigger reaches the partitions by itself, a statement's does not: each gets its own.
    for table in _ENTRIES:
        execute(
            f"CREATE TRIGGER {table}_check AFTER INSERT ON {table} REFERENCING NEW TABLE AS fresh "
            "FOR EACH STATEMENT EXECUTE FUNCTION ledger_check_entries()"
        )
    for table in (*{*_FROZEN, *_ENTRIES, *_KEYS}, "ledger_accounts", "ledger_holds"):
        execute(
            f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
