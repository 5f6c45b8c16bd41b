"""Credit notes, recurring invoices and exchange rates."""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

TABLES = """
CREATE INDEX contacts_name ON contacts (user_id, lower(name), id);
CREATE INDEX invoices_contact ON invoices (contact_id, id DESC);

-- What a seller takes back of an invoice. Its effect on what is owed is a payment of the source 'credit_note'.
CREATE TABLE credit_notes (
    id uuid PRIMARY KEY,
    seller_id uuid NOT NULL REFERENCES users,
    contact_id uuid NOT NULL REFERENCES contacts,
    invoice_id uuid NOT NULL REFERENCES invoices,
    payment_id uuid UNIQUE,
    number text NOT NULL,
    series text NOT NULL CHECK (series ~ '^[A-Z0-9]{1,5}$'),
    year integer NOT NULL,
    sequence integer NOT NULL CHECK (sequence >= 1),
    status text NOT NULL CHECK (status IN ('issued', 'void')),
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    issue_date date NOT NULL,
    reason text NOT NULL CHECK (length(reason) BETWEEN 1 AND 500),
    notes text NOT NULL DEFAULT '' CHECK (length(notes) <= 5000),
    -- As they stood on the invoice.
    tax_regime text NOT NULL CHECK (tax_regime IN ('plain', 'gst')),
    supplier_gstin text CHECK (supplier_gstin ~ '^[0-9A-Z]{15}$'),
    buyer_gstin text CHECK (buyer_gstin ~ '^[0-9A-Z]{15}$'),
    supplier_state text CHECK (supplier_state ~ '^[0-9]{2}$'),
    place_of_supply text CHECK (place_of_supply ~ '^[0-9]{2}$'),
    reverse_charge boolean NOT NULL DEFAULT false,
    subtotal bigint NOT NULL CHECK (subtotal >= 0),
    discount bigint NOT NULL DEFAULT 0 CHECK (discount >= 0),
    tax bigint NOT NULL CHECK (tax >= 0),
    cgst bigint NOT NULL DEFAULT 0 CHECK (cgst >= 0),
    sgst bigint NOT NULL DEFAULT 0 CHECK (sgst >= 0),
    igst bigint NOT NULL DEFAULT 0 CHECK (igst >= 0),
    rounding bigint NOT NULL DEFAULT 0 CHECK (rounding BETWEEN -9900 AND 9900),
    total bigint NOT NULL,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    voided_at timestamptz,
    updated_at timestamptz NOT NULL,
    UNIQUE (seller_id, number),
    UNIQUE (seller_id, series, year, sequence),
    CONSTRAINT credit_notes_total_adds_up CHECK (total = subtotal + tax + rounding AND total > 0),
    CONSTRAINT credit_notes_gst_adds_up CHECK (CASE tax_regime
        WHEN 'gst' THEN tax = CASE WHEN reverse_charge THEN 0 ELSE cgst + sgst + igst END
            AND supplier_state IS NOT NULL AND place_of_supply IS NOT NULL AND cgst = sgst
            AND CASE WHEN supplier_state = place_of_supply THEN igst = 0 ELSE cgst = 0 END
        ELSE cgst = 0 AND igst = 0 AND sgst = 0 AND NOT reverse_charge END),
    CHECK ((status = 'void') = (voided_at IS NOT NULL))
);
CREATE INDEX credit_notes_seller ON credit_notes (seller_id, id DESC);
CREATE INDEX credit_notes_invoice ON credit_notes (invoice_id);
CREATE INDEX credit_notes_contact ON credit_notes (contact_id, id DESC);

CREATE TABLE credit_note_items (
    credit_note_id uuid NOT NULL REFERENCES credit_notes,
    position integer NOT NULL CHECK (position >= 0),
    description text NOT NULL CHECK (length(description) BETWEEN 1 AND 500),
    quantity numeric(18, 6) NOT NULL CHECK (quantity > 0),
    unit text NOT NULL DEFAULT '' CHECK (length(unit) <= 20),
    unit_price bigint NOT NULL CHECK (unit_price >= 0),
    hsn text NOT NULL DEFAULT '' CHECK (hsn ~ '^([0-9]{4,8})?$'),
    discount_rate numeric(7, 4) NOT NULL DEFAULT 0 CHECK (discount_rate BETWEEN 0 AND 100),
    discount bigint NOT NULL DEFAULT 0 CHECK (discount >= 0),
    tax_rate numeric(7, 4) NOT NULL DEFAULT 0 CHECK (tax_rate BETWEEN 0 AND 100),
    net bigint NOT NULL CHECK (net >= 0),
    tax bigint NOT NULL CHECK (tax >= 0),
    cgst bigint NOT NULL DEFAULT 0 CHECK (cgst >= 0),
    sgst bigint NOT NULL DEFAULT 0 CHECK (sgst >= 0),
    igst bigint NOT NULL DEFAULT 0 CHECK (igst >= 0),
    PRIMARY KEY (credit_note_id, position)
);
CREATE TRIGGER credit_note_items_append_only BEFORE UPDATE OR DELETE ON credit_note_items
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER credit_notes_stay BEFORE DELETE ON credit_notes FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- No invoice is credited for more than it says. Who credits holds the invoice, so that two of them take turns.
CREATE FUNCTION check_credit_within_invoice() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    credited record;
    already bigint;
BEGIN
    SELECT seller_id, contact_id, currency, status, total INTO credited
        FROM invoices WHERE id = NEW.invoice_id FOR NO KEY UPDATE;
    IF (credited.seller_id, credited.contact_id, credited.currency)
            IS DISTINCT FROM (NEW.seller_id, NEW.contact_id, NEW.currency) OR credited.status IN ('draft', 'void') THEN
        RAISE EXCEPTION 'this invoice is not credited by this note'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'credit_notes_fit_invoice';
    END IF;
    SELECT coalesce(sum(total), 0) INTO already
        FROM credit_notes WHERE invoice_id = NEW.invoice_id AND status = 'issued';
    IF already + NEW.total > credited.total THEN
        RAISE EXCEPTION 'credit notes of % are more than the invoice''s total of %', already + NEW.total, credited.total
            USING ERRCODE = 'check_violation', CONSTRAINT = 'credit_notes_within_invoice';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER credit_notes_within_invoice BEFORE INSERT ON credit_notes
    FOR EACH ROW EXECUTE FUNCTION check_credit_within_invoice();

-- The other side: what is credited already is not edited away, and nobody keeps a credit for what is void.
CREATE FUNCTION check_invoice_holds_credit() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    already bigint;
BEGIN
    SELECT coalesce(sum(total), 0) INTO already FROM credit_notes WHERE invoice_id = NEW.id AND status = 'issued';
    IF already > 0 AND (already > NEW.total OR NEW.status IN ('draft', 'void')) THEN
        RAISE EXCEPTION 'credit notes of % stand against this invoice', already
            USING ERRCODE = 'check_violation', CONSTRAINT = 'invoices_hold_credit';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER invoices_hold_credit AFTER UPDATE OF total, status ON invoices
    FOR EACH ROW WHEN (NEW.total < OLD.total OR (NEW.status IN ('draft', 'void') AND NEW.status <> OLD.status))
    EXECUTE FUNCTION check_invoice_holds_credit();

-- What was issued stays as it is; it can be taken back, once.
CREATE FUNCTION check_credit_note_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    may text[] := ARRAY['status', 'voided_at', 'version', 'updated_at', 'payment_id'];
BEGIN
    IF to_jsonb(OLD) - may <> to_jsonb(NEW) - may OR (OLD.status = 'void' AND NEW.status <> 'void')
            OR (OLD.payment_id IS NOT NULL AND NEW.payment_id IS DISTINCT FROM OLD.payment_id) THEN
        RAISE EXCEPTION 'a credit note does not change once it is issued' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER credit_notes_do_not_change BEFORE UPDATE ON credit_notes
    FOR EACH ROW EXECUTE FUNCTION check_credit_note_change();

-- At commit an issued note has brought its credit, whole, and a void one none. What of a credit is given back to the
-- customer as money was theirs all the same.
CREATE FUNCTION check_credit_note_paid() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    note record;
    brought bigint;
BEGIN
    IF TG_ARGV[0] = 'payments' THEN
        SELECT status, total, currency, payment_id INTO note FROM credit_notes WHERE payment_id = NEW.id;
    ELSE
        SELECT status, total, currency, payment_id INTO note FROM credit_notes WHERE id = NEW.id;
    END IF;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    SELECT amount INTO brought FROM payments WHERE id = note.payment_id AND source = 'credit_note'
        AND currency = note.currency AND status = 'succeeded';
    IF coalesce(brought, 0) <> (CASE note.status WHEN 'issued' THEN note.total ELSE 0 END) THEN
        RAISE EXCEPTION 'the credit of this note is %', coalesce(brought, 0)
            USING ERRCODE = 'check_violation', CONSTRAINT = 'credit_notes_bring_their_total';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER credit_notes_bring_their_total AFTER INSERT OR UPDATE ON credit_notes
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_credit_note_paid('notes');
CREATE CONSTRAINT TRIGGER payments_are_what_notes_bring AFTER UPDATE OF status, amount, currency ON payments
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.source = 'credit_note')
    EXECUTE FUNCTION check_credit_note_paid('payments');

-- Invoices that are made again and again.
CREATE TABLE recurring_invoices (
    id uuid PRIMARY KEY,
    seller_id uuid NOT NULL REFERENCES users,
    contact_id uuid NOT NULL REFERENCES contacts,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    -- Lines and words, as core.invoicing.recurring writes them.
    template jsonb NOT NULL,
    frequency text NOT NULL CHECK (frequency IN ('day', 'week', 'month', 'quarter', 'year')),
    every integer NOT NULL CHECK (every BETWEEN 1 AND 366),
    starts_on date NOT NULL,
    -- The last day on which one may be made, or how many in all; neither: until it is stopped.
    ends_on date,
    most_runs integer CHECK (most_runs BETWEEN 1 AND 10000),
    -- Which occurrence comes next, counted from 0 at `starts_on`, and its day; none when all were made.
    occurrence integer NOT NULL DEFAULT 0 CHECK (occurrence >= 0),
    next_on date,
    -- Those that were skipped while it was paused are counted in `occurrence` alone.
    runs integer NOT NULL DEFAULT 0 CHECK (runs >= 0),
    -- Days to pay; those of the contact or the seller where it is empty.
    payment_days integer CHECK (payment_days BETWEEN 0 AND 365),
    auto_issue boolean NOT NULL DEFAULT true,
    auto_send boolean NOT NULL DEFAULT false,
    paused_at timestamptz,
    -- Why it paused itself: the words of the last refusal.
    trouble text CHECK (length(trouble) <= 500),
    ended_at timestamptz,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CHECK (ends_on >= starts_on),
    CHECK (ends_on IS NULL OR most_runs IS NULL),
    CONSTRAINT recurring_within_count CHECK (runs <= most_runs),
    CHECK (auto_issue OR NOT auto_send),
    CHECK (trouble IS NULL OR paused_at IS NOT NULL),
    CHECK (ended_at IS NULL OR next_on IS NULL)
);
CREATE INDEX recurring_invoices_seller ON recurring_invoices (seller_id, id DESC);
CREATE INDEX recurring_invoices_due ON recurring_invoices (next_on, id) WHERE next_on IS NOT NULL AND paused_at IS NULL;

-- An occurrence is made once, whoever looks and however often. A draft that was made may be deleted.
CREATE TABLE recurring_runs (
    recurring_id uuid NOT NULL REFERENCES recurring_invoices,
    occurs_on date NOT NULL,
    invoice_id uuid UNIQUE REFERENCES invoices ON DELETE SET NULL,
    made_at timestamptz NOT NULL,
    -- Whether the mail to the customer is still to be written.
    send_pending boolean NOT NULL DEFAULT false,
    PRIMARY KEY (recurring_id, occurs_on)
);
CREATE INDEX recurring_runs_to_send ON recurring_runs (made_at) WHERE send_pending;
ALTER TABLE invoices ADD CONSTRAINT invoices_recurring FOREIGN KEY (recurring_id) REFERENCES recurring_invoices;
CREATE INDEX invoices_by_recurring ON invoices (recurring_id) WHERE recurring_id IS NOT NULL;

-- How many units of `home` one unit of `currency` was worth on a day.
CREATE TABLE exchange_rates (
    user_id uuid NOT NULL REFERENCES users,
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    home text NOT NULL CHECK (home ~ '^[A-Z]{3}$'),
    day date NOT NULL CHECK (day BETWEEN '1990-01-01' AND '2199-12-31'),
    rate numeric(24, 12) NOT NULL CHECK (rate > 0),
    source text NOT NULL CHECK (source IN ('hand', 'csv', 'provider')),
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, currency, home, day),
    CHECK (currency <> home)
);
CREATE INDEX exchange_rates_recent ON exchange_rates (user_id, day DESC, currency, home);
"""


def upgrade() -> None:
    """Create what is new."""
    # Straight to the driver: this script holds several statements and no parameters.
    op.get_bind().exec_driver_sql(TABLES.replace("%", "%%"))
