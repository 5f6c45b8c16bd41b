"""Matches with their reasons, statements that were imported, and what corrections teach."""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

TABLES = """
-- A match says what a bank line is: money for invoices, a payment that was booked already, or a gateway's payout.
ALTER TABLE matches
    ADD COLUMN kind text NOT NULL DEFAULT 'invoices' CHECK (kind IN ('invoices', 'payment', 'payout')),
    -- The payment or payout that the line is, where it is not for invoices.
    ADD COLUMN subject_id uuid,
    -- One and the same for the same targets: the invoice's id, or a digest of several.
    ADD COLUMN target_key uuid NOT NULL DEFAULT uuid7(),
    ADD COLUMN tier text NOT NULL DEFAULT 'suggested' CHECK (tier IN ('sure', 'suggested', 'suspense')),
    ADD COLUMN margin numeric(4, 3) CHECK (margin BETWEEN 0 AND 1),
    ADD COLUMN weights_version text NOT NULL DEFAULT 'reference-amount/1' CHECK (length(weights_version) <= 40),
    -- The next best answers: [{"invoices": [...], "score": ...}, ...].
    ADD COLUMN alternatives jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(alternatives) = 'array'),
    -- Who took the decision that it is in.
    ADD COLUMN actor text NOT NULL DEFAULT 'engine' CHECK (actor IN ('engine', 'user')),
    -- Why less came than was due, once a person said.
    ADD COLUMN short_reason text CHECK (short_reason IN ('tds', 'dispute', 'part')),
    ALTER COLUMN invoice_id DROP NOT NULL,
    DROP CONSTRAINT matches_transaction_id_invoice_id_key,
    DROP CONSTRAINT matches_check,
    ADD CONSTRAINT matches_check CHECK (
        CASE WHEN state = 'accepted' THEN (payment_id IS NULL) = (kind = 'payout') ELSE payment_id IS NULL END),
    ADD CONSTRAINT matches_subject_fits_kind CHECK (
        (kind = 'invoices') = (subject_id IS NULL) AND (kind = 'invoices') = (invoice_id IS NOT NULL));
UPDATE matches SET target_key = invoice_id, actor = CASE WHEN decided_by IS NULL THEN 'engine' ELSE 'user' END;
ALTER TABLE matches ADD CONSTRAINT matches_one_of_a_target UNIQUE (transaction_id, target_key);
-- A payout is on one line of one statement.
CREATE UNIQUE INDEX matches_one_line_a_payout ON matches (subject_id) WHERE state = 'accepted' AND kind = 'payout';

-- What of a line is meant for which invoice, the first filled first.
CREATE TABLE match_targets (
    match_id uuid NOT NULL REFERENCES matches ON DELETE CASCADE,
    position smallint NOT NULL CHECK (position BETWEEN 0 AND 99),
    invoice_id uuid NOT NULL REFERENCES invoices,
    amount bigint NOT NULL CHECK (amount > 0),
    PRIMARY KEY (match_id, position),
    UNIQUE (match_id, invoice_id)
);
CREATE INDEX match_targets_invoice ON match_targets (invoice_id);
INSERT INTO match_targets (match_id, position, invoice_id, amount)
    SELECT matches.id, 0, invoice_id, amount FROM matches
    JOIN transactions ON transactions.id = matches.transaction_id WHERE amount > 0;

-- The payment that a line is. One line is one payment and one payment is one line, whoever decides at the same instant:
-- no money is posted twice.
CREATE TABLE transaction_payments (
    transaction_id uuid PRIMARY KEY,
    payment_id uuid NOT NULL UNIQUE,
    user_id uuid NOT NULL REFERENCES users,
    -- Reference, amount, currency and day: the same money, told by two sources. None where the bank gave no reference.
    fingerprint text CHECK (length(fingerprint) BETWEEN 1 AND 200),
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (user_id, fingerprint)
);
INSERT INTO transaction_payments (transaction_id, payment_id, user_id)
    SELECT transaction_id, payment_id, user_id FROM matches WHERE state = 'accepted' AND payment_id IS NOT NULL;

ALTER TABLE transactions
    ADD COLUMN duplicate_of uuid,
    DROP CONSTRAINT transactions_match_state_check,
    -- duplicate: another source told of it first. ignored: its owner says that it pays no invoice.
    ADD CONSTRAINT transactions_match_state_check CHECK (
        match_state IN ('none', 'proposed', 'accepted', 'duplicate', 'ignored')),
    ADD CONSTRAINT transactions_duplicate_of_another CHECK (
        (match_state = 'duplicate') = (duplicate_of IS NOT NULL) AND duplicate_of <> id);
CREATE INDEX transactions_unmatched ON transactions (user_id, occurred_at, id)
    WHERE match_state IN ('none', 'proposed') AND status = 'posted' AND amount > 0;

-- How the engine judged a line last: what waits in suspense is looked at again only when something changed.
CREATE TABLE judgements (
    transaction_id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users,
    tier text NOT NULL CHECK (tier IN ('sure', 'suggested', 'suspense')),
    weights_version text NOT NULL CHECK (length(weights_version) <= 40),
    alternatives jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(alternatives) = 'array'),
    judged_at timestamptz NOT NULL
);
CREATE INDEX judgements_user ON judgements (user_id, tier);

-- Whose lines are to be looked at. Only added to, so that nobody waits for anybody; who has looked deletes.
CREATE TABLE reconcile_requests (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id uuid NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX reconcile_requests_user ON reconcile_requests (user_id);

-- An invoice that becomes due may be what a line in suspense waits for.
CREATE FUNCTION ask_reconcile_rows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO reconcile_requests (user_id)
        SELECT DISTINCT seller_id FROM fresh WHERE status IN ('open', 'partial')
        AND EXISTS (SELECT FROM transactions WHERE transactions.user_id = fresh.seller_id
            AND match_state IN ('none', 'proposed') AND transactions.status = 'posted' AND amount > 0);
    RETURN NULL;
END $$;
CREATE TRIGGER invoices_ask_reconcile_new AFTER INSERT ON invoices REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION ask_reconcile_rows();
CREATE FUNCTION ask_reconcile_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM transactions WHERE user_id = NEW.seller_id
            AND match_state IN ('none', 'proposed') AND status = 'posted' AND amount > 0) THEN
        INSERT INTO reconcile_requests (user_id) VALUES (NEW.seller_id);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER invoices_ask_reconcile AFTER UPDATE OF status, total ON invoices FOR EACH ROW
    WHEN (NEW.status IN ('open', 'partial')
        AND (OLD.total <> NEW.total OR (OLD.status <> NEW.status AND OLD.status <> 'open')))
    EXECUTE FUNCTION ask_reconcile_row();

-- A line that its owner brought in a file is known by their word, and so is the payment that it is.
ALTER TABLE payments
    DROP CONSTRAINT IF EXISTS payments_by_hand_are_manual,
    ADD CONSTRAINT payments_by_hand_are_manual CHECK (
        CASE source WHEN 'gateway' THEN trust <> 'manual' WHEN 'bank' THEN true ELSE trust = 'manual' END);

-- By what a customer was known on lines that were decided. Accounts and addresses are kept as digests.
CREATE TABLE payer_identities (
    user_id uuid NOT NULL REFERENCES users,
    kind text NOT NULL CHECK (kind IN ('account', 'vpa', 'name')),
    value text NOT NULL CHECK (length(value) BETWEEN 1 AND 200),
    contact_id uuid NOT NULL REFERENCES contacts ON DELETE CASCADE,
    seen integer NOT NULL CHECK (seen >= 1),
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, kind, value, contact_id)
);

-- What people decided otherwise than the engine: labelled cases to measure a better one with.
CREATE TABLE reconciliation_cases (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users,
    kind text NOT NULL CHECK (kind IN ('rejected', 'chose_other', 'undone', 'ignored')),
    transaction_id uuid NOT NULL,
    line jsonb NOT NULL,
    proposed jsonb NOT NULL,
    decided jsonb NOT NULL,
    weights_version text NOT NULL,
    decided_by uuid REFERENCES users,
    at timestamptz NOT NULL
);
CREATE INDEX reconciliation_cases_user ON reconciliation_cases (user_id, id);
CREATE TRIGGER reconciliation_cases_append_only BEFORE UPDATE OR DELETE ON reconciliation_cases
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
"""


STATEMENTS = """
-- A bank account whose statements its owner brings: a connection of the connector 'statement', without secrets.
CREATE TABLE statement_accounts (
    connection_id uuid PRIMARY KEY REFERENCES connections,
    user_id uuid NOT NULL REFERENCES users,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    -- The last characters of its number, where a file said one.
    number_masked text CHECK (length(number_masked) <= 20),
    -- How its CSV files are read, so that the next one needs no questions.
    mapping jsonb,
    created_at timestamptz NOT NULL,
    UNIQUE (user_id, name)
);

-- A file that was brought, or a line typed by hand (which has no file).
CREATE TABLE statement_imports (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users,
    connection_id uuid REFERENCES statement_accounts,
    file_id uuid REFERENCES files,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 120),
    format text NOT NULL CHECK (format IN ('csv', 'ofx', 'camt053', 'mt940', 'hand')),
    -- asking: columns or account are not known yet; ready: read, nothing taken in; taking: being taken in.
    state text NOT NULL CHECK (state IN ('asking', 'ready', 'taking', 'done', 'undone')),
    mapping jsonb,
    -- What the file says of itself (account, balances), and what is wrong with it, line by line.
    said jsonb NOT NULL DEFAULT '{}',
    errors jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(errors) = 'array'),
    -- How many lines it has, and of these: new, known from an earlier file, told by another source.
    lines integer NOT NULL DEFAULT 0 CHECK (lines BETWEEN 0 AND 20000),
    fresh integer NOT NULL DEFAULT 0 CHECK (fresh >= 0),
    known integer NOT NULL DEFAULT 0 CHECK (known >= 0),
    doubled integer NOT NULL DEFAULT 0 CHECK (doubled >= 0),
    -- How many of them were taken in or passed over so far.
    taken integer NOT NULL DEFAULT 0 CHECK (taken BETWEEN 0 AND lines),
    created_at timestamptz NOT NULL,
    decided_at timestamptz,
    CHECK (fresh + known + doubled <= lines),
    CHECK (state = 'asking' OR connection_id IS NOT NULL),
    CHECK ((format = 'hand') = (file_id IS NULL)),
    CHECK (state <> 'done' OR taken = lines)
);
CREATE INDEX statement_imports_user ON statement_imports (user_id, id DESC);
CREATE INDEX statement_imports_taking ON statement_imports (id) WHERE state = 'taking';

-- The lines of an import in their order, and the transaction that each became or was found to be.
CREATE TABLE statement_lines (
    import_id uuid NOT NULL REFERENCES statement_imports ON DELETE CASCADE,
    position integer NOT NULL CHECK (position BETWEEN 1 AND 20000),
    -- Where it stands in the file; 0 where the format has no lines.
    row_number integer NOT NULL DEFAULT 0 CHECK (row_number >= 0),
    object_id text NOT NULL CHECK (length(object_id) BETWEEN 1 AND 200),
    amount bigint NOT NULL CHECK (amount <> 0),
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    booked_on date NOT NULL,
    valued_on date NOT NULL,
    narration text NOT NULL CHECK (length(narration) <= 1000),
    counterparty text CHECK (length(counterparty) <= 200),
    bank_reference text CHECK (length(bank_reference) <= 100),
    category text CHECK (length(category) <= 40),
    balance bigint,
    fate text NOT NULL CHECK (fate IN ('new', 'known', 'duplicate')),
    transaction_id uuid,
    PRIMARY KEY (import_id, position),
    UNIQUE (import_id, object_id)
);
CREATE INDEX statement_lines_transaction ON statement_lines (transaction_id) WHERE transaction_id IS NOT NULL;

-- Statement files are of many types and not all of them text in UTF-8: they are kept as the bytes they are.
ALTER TABLE files DROP CONSTRAINT files_media_type_check;
ALTER TABLE files ADD CONSTRAINT files_media_type_check CHECK (media_type IN (
    'application/pdf', 'image/png', 'image/jpeg', 'text/plain', 'text/csv', 'application/octet-stream'));

-- A line that its owner brought is as good as the owner's word: it is no hint, and no provider said it.
ALTER TABLE transactions DROP CONSTRAINT transactions_trust_check;
ALTER TABLE transactions ADD CONSTRAINT transactions_trust_check CHECK (
    trust IN ('signed', 'fetched', 'manual', 'hint'));
"""


def upgrade() -> None:
    """Create what is new."""
    # Straight to the driver: this script holds several statements and no parameters.
    op.get_bind().exec_driver_sql(TABLES.replace("%", "%%"))
    op.get_bind().exec_driver_sql(STATEMENTS.replace("%", "%%"))
