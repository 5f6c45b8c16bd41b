"""Payments by hand, over several invoices, given back, and paid out together."""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

TABLES = """
ALTER TABLE payments
    -- Whose money it is, where a person said so: what pays nothing yet is this customer's credit.
    ADD COLUMN contact_id uuid REFERENCES contacts,
    ADD COLUMN created_by uuid REFERENCES users,
    ADD COLUMN deleted_at timestamptz,
    -- A person decided what it pays: its targets and nothing else, whatever its references name.
    ADD COLUMN decided boolean NOT NULL DEFAULT false,
    -- What of `refunded` was given back by hand: the sum of its manual_refunds.
    ADD COLUMN given_back bigint NOT NULL DEFAULT 0,
    DROP CONSTRAINT payments_source_check,
    ADD CONSTRAINT payments_source_check CHECK (source IN ('gateway', 'bank', 'manual', 'credit_note')),
    DROP CONSTRAINT payments_trust_check;
UPDATE payments SET trust = 'manual' WHERE source = 'manual';
ALTER TABLE payments
    ADD CONSTRAINT payments_trust_check CHECK (trust IN ('signed', 'fetched', 'hint', 'manual')),
    -- What a person says is known by their word alone, and nothing else is.
    ADD CONSTRAINT payments_by_hand_are_manual CHECK (
        (trust = 'manual') = (source IN ('manual', 'credit_note'))),
    ADD CONSTRAINT payments_decided_name_by_targets CHECK (NOT decided OR invoice_id IS NULL),
    ADD CONSTRAINT payments_given_back_is_refunded CHECK (
        given_back = 0 OR (given_back > 0 AND refunded >= least(given_back, amount - deducted))),
    ADD CONSTRAINT payments_deleted_are_cancelled CHECK (deleted_at IS NULL OR status = 'cancelled');
CREATE INDEX payments_contact ON payments (contact_id) WHERE contact_id IS NOT NULL;

-- What a payment is to pay, where a person decided: each invoice up to its amount, the first filled first.
CREATE TABLE payment_targets (
    payment_id uuid NOT NULL,
    invoice_id uuid NOT NULL REFERENCES invoices,
    position smallint NOT NULL CHECK (position BETWEEN 0 AND 99),
    amount bigint NOT NULL CHECK (amount > 0),
    -- What it pays of that invoice now: the sum of the allocations of the two.
    allocated bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (payment_id, invoice_id),
    UNIQUE (payment_id, position),
    CONSTRAINT payment_targets_bound_what_is_paid CHECK (allocated BETWEEN 0 AND amount)
);
CREATE INDEX payment_targets_invoice ON payment_targets (invoice_id);

-- Money that a person gave back outside of any gateway. One that was noted wrongly is taken back by a row that
-- names it and has the opposite amount.
CREATE TABLE manual_refunds (
    id uuid PRIMARY KEY,
    payment_id uuid NOT NULL,
    amount bigint NOT NULL CHECK (amount <> 0),
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    method text NOT NULL CHECK (length(method) BETWEEN 1 AND 40),
    refunded_at timestamptz NOT NULL,
    reference text NOT NULL DEFAULT '' CHECK (length(reference) <= 100),
    notes text NOT NULL DEFAULT '' CHECK (length(notes) <= 2000),
    reverses uuid UNIQUE REFERENCES manual_refunds,
    created_by uuid NOT NULL REFERENCES users,
    created_at timestamptz NOT NULL,
    CONSTRAINT manual_refunds_reverse_what_was_given CHECK ((reverses IS NULL) = (amount > 0))
);
CREATE INDEX manual_refunds_payment ON manual_refunds (payment_id, id);

ALTER TABLE payouts
    -- The line of a bank statement that it arrived as.
    ADD COLUMN transaction_id uuid,
    -- It went to somebody else, such as a supplier: no settlement of what was collected.
    ADD COLUMN to_third_party boolean NOT NULL DEFAULT false,
    -- What its lines do not explain of it, once they were looked for; minor units.
    ADD COLUMN unexplained bigint;
CREATE INDEX payouts_connection ON payouts (connection_id, occurred_at);
CREATE INDEX payouts_transaction ON payouts (transaction_id) WHERE transaction_id IS NOT NULL;

-- What a payout holds. A payment, refund or dispute is paid out once.
CREATE TABLE payout_lines (
    subject_id uuid PRIMARY KEY,
    payout_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('payment', 'refund', 'dispute')),
    -- What was collected; negative for what went back.
    amount bigint NOT NULL CHECK (amount <> 0),
    fee bigint NOT NULL DEFAULT 0,
    net bigint NOT NULL GENERATED ALWAYS AS (amount - fee) STORED,
    occurred_at timestamptz NOT NULL,
    CONSTRAINT payout_lines_have_their_sign CHECK ((kind = 'payment') = (amount > 0))
);
CREATE INDEX payout_lines_payout ON payout_lines (payout_id, occurred_at, subject_id);
"""

GUARDS = """
CREATE FUNCTION check_payment_targets() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    subject uuid;
    paying record;
    meant record;
BEGIN
    IF TG_ARGV[0] = 'payments' THEN subject := NEW.id;
    ELSIF TG_OP = 'DELETE' THEN subject := OLD.payment_id;
    ELSE subject := NEW.payment_id; END IF;
    SELECT decided, amount, allocated, trust INTO paying FROM payments WHERE id = subject;
    IF NOT FOUND THEN
        IF EXISTS (SELECT FROM payment_targets WHERE payment_id = subject) THEN
            RAISE EXCEPTION 'targets of payment %, which does not exist', subject
                USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'payment_targets_have_payments';
        END IF;
        RETURN NULL;
    END IF;
    SELECT count(*) AS many, coalesce(sum(amount), 0) AS amount, coalesce(sum(allocated), 0) AS allocated
        INTO meant FROM payment_targets WHERE payment_id = subject;
    IF meant.many > 0 AND NOT paying.decided THEN
        RAISE EXCEPTION 'payment % has targets that nobody decided on', subject
            USING ERRCODE = 'check_violation', CONSTRAINT = 'payment_targets_are_decided';
    END IF;
    -- Of a payment that a provider tells of later news may say less than its targets: its last ones then get less.
    IF meant.amount > paying.amount AND (TG_ARGV[0] <> 'payments' OR paying.trust = 'manual') THEN
        RAISE EXCEPTION 'payment % of % has targets of %', subject, paying.amount, meant.amount
            USING ERRCODE = 'check_violation', CONSTRAINT = 'payment_targets_within_amount';
    END IF;
    IF paying.decided AND meant.allocated <> paying.allocated THEN
        RAISE EXCEPTION 'payment % says % allocated, its targets say %', subject, paying.allocated, meant.allocated
            USING ERRCODE = 'check_violation', CONSTRAINT = 'payment_targets_are_what_is_allocated';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER payment_targets_fit AFTER INSERT OR UPDATE OF amount OR DELETE ON payment_targets
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_payment_targets('targets');
CREATE CONSTRAINT TRIGGER payments_fit_targets AFTER UPDATE OF amount, decided, allocated, trust ON payments
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.decided OR NEW.decided)
    EXECUTE FUNCTION check_payment_targets('payments');

CREATE FUNCTION check_target_sum() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    stored bigint;
    summed bigint;
BEGIN
    SELECT allocated INTO stored FROM payment_targets
        WHERE payment_id = NEW.payment_id AND invoice_id = NEW.invoice_id;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    SELECT coalesce(sum(amount), 0) INTO summed FROM allocations
        WHERE payment_id = NEW.payment_id AND invoice_id = NEW.invoice_id;
    IF stored <> summed THEN
        RAISE EXCEPTION 'payment % says % for invoice %, its allocations say %',
            NEW.payment_id, stored, NEW.invoice_id, summed
            USING ERRCODE = 'check_violation', CONSTRAINT = 'payment_targets_are_sums_of_allocations';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER payment_targets_are_sums AFTER INSERT OR UPDATE ON payment_targets
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_target_sum();

CREATE FUNCTION check_given_back() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    subject uuid;
    stored bigint;
    summed bigint;
BEGIN
    IF TG_ARGV[0] = 'payments' THEN subject := NEW.id; ELSE subject := NEW.payment_id; END IF;
    SELECT given_back INTO stored FROM payments WHERE id = subject;
    SELECT coalesce(sum(amount), 0) INTO summed FROM manual_refunds WHERE payment_id = subject;
    IF stored IS DISTINCT FROM summed THEN
        RAISE EXCEPTION 'payment % says % given back, its refunds say %', subject, stored, summed
            USING ERRCODE = 'check_violation', CONSTRAINT = 'payments_given_back_is_sum_of_refunds';
    END IF;
    IF EXISTS (SELECT FROM manual_refunds AS back JOIN manual_refunds AS given ON given.id = back.reverses
            WHERE back.payment_id = subject AND (given.payment_id, given.amount) <> (subject, -back.amount)) THEN
        RAISE EXCEPTION 'a refund of payment % is taken back by another amount', subject
            USING ERRCODE = 'check_violation', CONSTRAINT = 'manual_refunds_reverse_what_was_given';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER manual_refunds_fit AFTER INSERT ON manual_refunds
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_given_back('refunds');
CREATE CONSTRAINT TRIGGER payments_fit_refunds AFTER UPDATE OF given_back ON payments
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.given_back <> OLD.given_back)
    EXECUTE FUNCTION check_given_back('payments');
CREATE CONSTRAINT TRIGGER payments_new_fit_refunds AFTER INSERT ON payments
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.given_back <> 0)
    EXECUTE FUNCTION check_given_back('payments');
CREATE TRIGGER manual_refunds_append_only BEFORE UPDATE OR DELETE ON manual_refunds
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER allocations_not_truncated BEFORE TRUNCATE ON allocations
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER manual_refunds_not_truncated BEFORE TRUNCATE ON manual_refunds
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER payment_targets_not_truncated BEFORE TRUNCATE ON payment_targets
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- A payment that paid something stays, cancelled if need be: its allocations would speak of nothing.
CREATE FUNCTION keep_payment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM allocations WHERE payment_id = OLD.id) THEN
        RAISE EXCEPTION 'payment % has allocations and stays', OLD.id
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'payments_with_allocations_stay';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER payments_keep BEFORE DELETE ON payments FOR EACH ROW EXECUTE FUNCTION keep_payment();

-- The word of a seller repays no investor.
CREATE FUNCTION refuse_repayment_by_hand() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM payments WHERE id = NEW.payment_id AND trust = 'manual') THEN
        RAISE EXCEPTION 'payment % was noted by hand and repays no investor', NEW.payment_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'repayments_not_by_hand';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER repayments_not_by_hand BEFORE INSERT ON repayments
    FOR EACH ROW EXECUTE FUNCTION refuse_repayment_by_hand();
"""


def upgrade() -> None:
    """Create what is new."""
    # Straight to the driver: these scripts hold several statements and no parameters.
    for script in (TABLES, GUARDS):
        op.get_bind().exec_driver_sql(script.replace("%", "%%"))
