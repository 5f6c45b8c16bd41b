"""Months of GSTR-1 that were filed, as they were filed, and indexes for lists and reports of a million invoices."""

from __future__ import annotations

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

TABLES = """
-- A month whose return the seller has filed. Months are filed one after the other, and only the newest is reopened:
-- what a later month corrected stays what it corrected.
CREATE TABLE tax_months (
    user_id uuid NOT NULL REFERENCES users,
    month date NOT NULL CHECK (extract(day FROM month) = 1),
    filed_at timestamptz NOT NULL,
    filed_by uuid NOT NULL REFERENCES users,
    PRIMARY KEY (user_id, month)
);

-- Each document of a filed month as it was filed; `was` is what an earlier month had filed of it, which it corrects.
CREATE TABLE tax_filed (
    user_id uuid NOT NULL,
    month date NOT NULL,
    document_id uuid NOT NULL,
    facts jsonb NOT NULL CHECK (jsonb_typeof(facts) = 'object'),
    was jsonb CHECK (jsonb_typeof(was) = 'object'),
    PRIMARY KEY (user_id, month, document_id),
    FOREIGN KEY (user_id, month) REFERENCES tax_months ON DELETE CASCADE
);
CREATE INDEX tax_filed_document ON tax_filed (document_id, month DESC);

CREATE FUNCTION check_tax_month() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    touched tax_months := CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
BEGIN
    -- Two at once take turns.
    PERFORM FROM users WHERE id = touched.user_id FOR NO KEY UPDATE;
    PERFORM FROM tax_months WHERE user_id = touched.user_id AND month > touched.month;
    IF FOUND THEN
        RAISE EXCEPTION 'a month after % is filed', touched.month
            USING ERRCODE = 'check_violation', CONSTRAINT = 'tax_months_one_after_the_other';
    END IF;
    RETURN touched;
END $$;
CREATE TRIGGER tax_months_one_after_the_other BEFORE INSERT OR DELETE ON tax_months
    FOR EACH ROW EXECUTE FUNCTION check_tax_month();
CREATE TRIGGER tax_months_stay BEFORE UPDATE ON tax_months FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER tax_filed_stays BEFORE UPDATE ON tax_filed FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- Documents that changed after their month was filed, or came into it: what the next return may have to correct.
CREATE TABLE tax_changed (
    user_id uuid NOT NULL,
    document_id uuid NOT NULL,
    PRIMARY KEY (user_id, document_id)
);
-- Whoever files a month holds the seller's row: a change waits for that, or is waited for, and is in one or the other.
CREATE FUNCTION tax_document_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM users WHERE id = NEW.seller_id FOR KEY SHARE;
    INSERT INTO tax_changed (user_id, document_id)
    SELECT NEW.seller_id, NEW.id WHERE EXISTS (SELECT FROM tax_filed WHERE document_id = NEW.id)
        OR EXISTS (SELECT FROM tax_months
                   WHERE user_id = NEW.seller_id AND month = date_trunc('month', NEW.issue_date)::date)
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER invoices_new_for_tax AFTER INSERT ON invoices
    FOR EACH ROW WHEN (NEW.status <> 'draft') EXECUTE FUNCTION tax_document_changed();
-- Payments change none of these.
CREATE TRIGGER invoices_changed_for_tax AFTER UPDATE ON invoices
    FOR EACH ROW WHEN ((OLD.status IN ('draft', 'void')) <> (NEW.status IN ('draft', 'void'))
        OR (OLD.number, OLD.issue_date, OLD.subtotal, OLD.total, OLD.cgst, OLD.sgst, OLD.igst, OLD.buyer_gstin,
            OLD.place_of_supply, OLD.reverse_charge, OLD.currency)
        IS DISTINCT FROM (NEW.number, NEW.issue_date, NEW.subtotal, NEW.total, NEW.cgst, NEW.sgst, NEW.igst,
            NEW.buyer_gstin, NEW.place_of_supply, NEW.reverse_charge, NEW.currency))
    EXECUTE FUNCTION tax_document_changed();
-- Lines are written anew when they are edited, also where the sums stay.
CREATE FUNCTION tax_lines_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM users WHERE id IN (
        SELECT seller_id FROM invoices WHERE id IN (SELECT invoice_id FROM written) AND status <> 'draft')
        ORDER BY id FOR KEY SHARE;
    INSERT INTO tax_changed (user_id, document_id)
    SELECT DISTINCT filed.user_id, filed.document_id FROM written
    JOIN tax_filed AS filed ON filed.document_id = written.invoice_id
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER invoice_items_changed_for_tax AFTER INSERT ON invoice_items
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION tax_lines_changed();
CREATE TRIGGER credit_notes_new_for_tax AFTER INSERT ON credit_notes
    FOR EACH ROW EXECUTE FUNCTION tax_document_changed();
CREATE TRIGGER credit_notes_changed_for_tax AFTER UPDATE OF status ON credit_notes
    FOR EACH ROW WHEN (OLD.status <> NEW.status) EXECUTE FUNCTION tax_document_changed();

-- What reports of a period add up, without reading the invoices themselves. The list finds a day by it, drafts too.
DROP INDEX invoices_issued;
CREATE INDEX invoices_issued ON invoices (seller_id, issue_date)
    INCLUDE (status, currency, contact_id, total, subtotal, rounding, tax);
-- The orders of the list, each by seller.
CREATE INDEX invoices_by_due ON invoices (seller_id, due_date, id);
CREATE INDEX invoices_by_total ON invoices (seller_id, total, id);
CREATE INDEX invoices_by_number ON invoices (seller_id, coalesce(number, ''), id);
CREATE INDEX invoices_by_status ON invoices (seller_id, status, id);
-- Few are in other money than most are; those of one who sells in another all the same.
CREATE INDEX invoices_by_currency ON invoices (seller_id, currency, id) WHERE currency <> 'INR';
CREATE INDEX contacts_by_name ON contacts (user_id, lower(name), id);
CREATE INDEX credit_notes_issued ON credit_notes (seller_id, issue_date) WHERE status = 'issued';
"""


def upgrade() -> None:
    """Create what is new."""
    # Straight to the driver: this script holds several statements and no parameters.
    op.get_bind().exec_driver_sql(TABLES.replace("%", "%%"))
