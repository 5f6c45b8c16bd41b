"""What investors have no claim on may be settled by the seller's word, and nothing else of what they financed."""

from __future__ import annotations

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

GUARDS = """
-- While investors wait for their principal, a seller's word (trust 'manual': a payment by hand, withheld tax, a credit
-- note) settles at most what they have no claim on: the part of the invoice that its buyer did not confirm. Looked at
-- when the transaction ends: what a payment brings reaches the financing after the invoice.
CREATE FUNCTION check_words_of_financed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    free bigint;
    words bigint;
BEGIN
    SELECT face - confirmed_amount INTO free FROM financings
        WHERE invoice_id = NEW.invoice_id AND repaid_principal < principal
          AND state IN ('funded', 'part_paid', 'overdue', 'defaulted', 'repaid', 'written_off');
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    SELECT coalesce(sum(allocations.amount), 0) INTO words FROM allocations
        JOIN payments ON payments.id = allocations.payment_id
        WHERE allocations.invoice_id = NEW.invoice_id AND payments.trust = 'manual';
    IF words > free THEN
        RAISE EXCEPTION 'investors wait for invoice %: its seller''s word settles % of the % that are free',
            NEW.invoice_id, words, free
            USING ERRCODE = 'check_violation', CONSTRAINT = 'words_leave_investors_alone';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER allocations_leave_investors_alone AFTER INSERT ON allocations
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_words_of_financed();
CREATE CONSTRAINT TRIGGER financings_leave_words_alone AFTER UPDATE OF state, repaid_principal ON financings
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.state IS DISTINCT FROM OLD.state OR NEW.repaid_principal < OLD.repaid_principal)
    EXECUTE FUNCTION check_words_of_financed();

-- Money that a bank tells of is no word: a line is not linked to what its seller noted for a financed invoice, or its
-- investors would never see it.
CREATE FUNCTION refuse_line_of_a_word() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- One of the two is just being written, and its own table does not have it yet.
    IF EXISTS (SELECT FROM payments WHERE id = NEW.payment_id AND source = 'manual')
       AND (TG_ARGV[0] = 'line' OR EXISTS (SELECT FROM transaction_payments WHERE payment_id = NEW.payment_id))
       AND EXISTS (
           SELECT FROM financings WHERE invoice_id = ANY (CASE TG_ARGV[0]
               WHEN 'line' THEN ARRAY(SELECT invoice_id FROM payment_targets WHERE payment_id = NEW.payment_id)
               ELSE ARRAY[(to_jsonb(NEW) ->> 'invoice_id')::uuid] END)
             AND state IN ('funded', 'part_paid', 'overdue', 'defaulted', 'repaid', 'written_off')) THEN
        RAISE EXCEPTION 'payment % was noted by hand for a financed invoice and is no line of a bank', NEW.payment_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'lines_are_no_words_of_financed';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER lines_are_no_words_of_financed BEFORE INSERT ON transaction_payments
    FOR EACH ROW EXECUTE FUNCTION refuse_line_of_a_word('line');
CREATE TRIGGER words_of_financed_are_no_lines BEFORE INSERT ON payment_targets
    FOR EACH ROW EXECUTE FUNCTION refuse_line_of_a_word('target');

-- Of two lines that tell of the same money the bank's counts and never the uploaded one: as the duplicate of a word the
-- bank's line would be lost to investors, and to everybody else who asks how the money is known.
UPDATE transactions SET match_state = 'none', duplicate_of = NULL FROM transactions AS other
    WHERE transactions.duplicate_of = other.id AND other.trust = 'manual' AND transactions.trust <> 'manual';
INSERT INTO reconcile_requests (user_id) SELECT DISTINCT user_id FROM transactions WHERE trust = 'manual';
CREATE FUNCTION refuse_duplicate_of_a_word() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM transactions WHERE id = NEW.duplicate_of AND trust = 'manual') THEN
        RAISE EXCEPTION 'line % is a bank''s own and no duplicate of %, which was uploaded', NEW.id, NEW.duplicate_of
            USING ERRCODE = 'check_violation', CONSTRAINT = 'banks_lines_are_no_duplicates_of_words';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER banks_lines_are_no_duplicates_of_words BEFORE INSERT OR UPDATE OF duplicate_of, trust ON transactions
    FOR EACH ROW WHEN (NEW.duplicate_of IS NOT NULL AND NEW.trust <> 'manual')
    EXECUTE FUNCTION refuse_duplicate_of_a_word();
"""


def upgrade() -> None:
    """Create the guards."""
    # Straight to the driver: the script holds several statements and no parameters.
    op.get_bind().exec_driver_sql(GUARDS.replace("%", "%%"))
