"""Invoices as they are made and sent: a seller's business, GST, discounts, numbering series, stages."""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TABLES = """
-- What stands on a seller's invoices, and how they are made.
CREATE TABLE business_profiles (
    user_id uuid PRIMARY KEY REFERENCES users,
    legal_name text NOT NULL DEFAULT '' CHECK (length(legal_name) <= 200),
    address text NOT NULL DEFAULT '' CHECK (length(address) <= 1000),
    tax_regime text NOT NULL DEFAULT 'plain' CHECK (tax_regime IN ('plain', 'gst')),
    gstin text CHECK (gstin ~ '^[0-9A-Z]{15}$'),
    state_code text CHECK (state_code ~ '^[0-9]{2}$'),
    -- Digits of an HSN code that the seller's turnover asks for (marketplace rules 2.10).
    hsn_digits smallint NOT NULL DEFAULT 4 CHECK (hsn_digits IN (4, 6)),
    home_currency text NOT NULL DEFAULT 'INR' CHECK (home_currency ~ '^[A-Z]{3}$'),
    payment_days integer NOT NULL DEFAULT 30 CHECK (payment_days BETWEEN 0 AND 365),
    default_terms text NOT NULL DEFAULT '' CHECK (length(default_terms) <= 5000),
    default_notes text NOT NULL DEFAULT '' CHECK (length(default_notes) <= 5000),
    bank_name text NOT NULL DEFAULT '' CHECK (length(bank_name) <= 100),
    bank_account text NOT NULL DEFAULT '' CHECK (length(bank_account) <= 40),
    bank_code text NOT NULL DEFAULT '' CHECK (length(bank_code) <= 20),
    upi_id text NOT NULL DEFAULT '' CHECK (length(upi_id) <= 100),
    -- Whether totals are rounded to whole units of currency, with a line that says by how much.
    round_total boolean NOT NULL DEFAULT false,
    -- Whether matches that are sure by margin are accepted without being asked.
    match_automatically boolean NOT NULL DEFAULT true,
    version integer NOT NULL DEFAULT 1,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CHECK (tax_regime <> 'gst' OR (gstin IS NOT NULL AND state_code IS NOT NULL))
);

ALTER TABLE contacts
    ADD COLUMN legal_name text NOT NULL DEFAULT '' CHECK (length(legal_name) <= 200),
    ADD COLUMN address text NOT NULL DEFAULT '' CHECK (length(address) <= 1000),
    ADD COLUMN phone text NOT NULL DEFAULT '' CHECK (length(phone) <= 40),
    ADD COLUMN gstin text CHECK (gstin ~ '^[0-9A-Z]{15}$'),
    ADD COLUMN state_code text CHECK (state_code ~ '^[0-9]{2}$'),
    ADD COLUMN currency text CHECK (currency ~ '^[A-Z]{3}$'),
    -- Days to pay; the seller's own where it is empty.
    ADD COLUMN payment_days integer CHECK (payment_days BETWEEN 0 AND 365),
    -- What this customer keeps back as tax, in per cent; none where it is not known.
    ADD COLUMN tds_rate numeric(7, 4) CHECK (tds_rate > 0 AND tds_rate < 100),
    ADD COLUMN reminders boolean NOT NULL DEFAULT true,
    ADD COLUMN notes text NOT NULL DEFAULT '' CHECK (length(notes) <= 5000),
    ADD COLUMN archived_at timestamptz,
    ADD COLUMN version integer NOT NULL DEFAULT 1,
    ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now();

-- A run of numbers of one seller. Its counters are those of invoice_counters, one a year.
CREATE TABLE invoice_series (
    seller_id uuid NOT NULL REFERENCES users,
    kind text NOT NULL CHECK (kind IN ('invoice', 'credit_note')),
    -- Stands before year and number: INV in INV-2026-00001.
    prefix text NOT NULL CHECK (prefix ~ '^[A-Z0-9]{1,5}$'),
    year_kind text NOT NULL CHECK (year_kind IN ('calendar', 'financial')),
    is_default boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (seller_id, prefix)
);
CREATE UNIQUE INDEX invoice_series_default ON invoice_series (seller_id, kind) WHERE is_default;

ALTER TABLE invoice_counters ADD COLUMN series text NOT NULL DEFAULT 'INV' CHECK (series ~ '^[A-Z0-9]{1,5}$');
ALTER TABLE invoice_counters DROP CONSTRAINT invoice_counters_pkey;
ALTER TABLE invoice_counters ADD PRIMARY KEY (seller_id, series, year);

ALTER TABLE invoices
    ADD COLUMN series text NOT NULL DEFAULT 'INV' CHECK (series ~ '^[A-Z0-9]{1,5}$'),
    ADD COLUMN tax_regime text NOT NULL DEFAULT 'plain' CHECK (tax_regime IN ('plain', 'gst')),
    ADD COLUMN supplier_gstin text CHECK (supplier_gstin ~ '^[0-9A-Z]{15}$'),
    ADD COLUMN buyer_gstin text CHECK (buyer_gstin ~ '^[0-9A-Z]{15}$'),
    ADD COLUMN supplier_state text CHECK (supplier_state ~ '^[0-9]{2}$'),
    ADD COLUMN place_of_supply text CHECK (place_of_supply ~ '^[0-9]{2}$'),
    -- The buyer pays the tax to the state: it is shown and not charged.
    ADD COLUMN reverse_charge boolean NOT NULL DEFAULT false,
    ADD COLUMN cgst bigint NOT NULL DEFAULT 0 CHECK (cgst >= 0),
    ADD COLUMN sgst bigint NOT NULL DEFAULT 0 CHECK (sgst >= 0),
    ADD COLUMN igst bigint NOT NULL DEFAULT 0 CHECK (igst >= 0),
    -- What was taken off the lines; `subtotal` is what is left of them before tax.
    ADD COLUMN discount bigint NOT NULL DEFAULT 0 CHECK (discount >= 0),
    ADD COLUMN rounding bigint NOT NULL DEFAULT 0 CHECK (rounding BETWEEN -9900 AND 9900),
    -- The buyer's own word for it, such as an order number.
    ADD COLUMN reference text NOT NULL DEFAULT '' CHECK (length(reference) <= 100),
    ADD COLUMN delivery_address text NOT NULL DEFAULT '' CHECK (length(delivery_address) <= 1000),
    ADD COLUMN issued_at timestamptz,
    ADD COLUMN sent_at timestamptz,
    ADD COLUMN viewed_at timestamptz,
    ADD COLUMN reminders boolean NOT NULL DEFAULT true,
    ADD COLUMN recurring_id uuid,
    -- Both sides as they stand on the document: written down when it is issued, empty while it is a draft.
    ADD COLUMN supplier jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(supplier) = 'object'),
    ADD COLUMN customer jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(customer) = 'object'),
    -- Raised to make every link to this invoice that was given out invalid.
    ADD COLUMN link_version integer NOT NULL DEFAULT 1,
    ALTER COLUMN number DROP NOT NULL,
    ALTER COLUMN number_key DROP NOT NULL,
    ALTER COLUMN sequence DROP NOT NULL,
    DROP CONSTRAINT invoices_seller_id_year_sequence_key,
    ADD UNIQUE (seller_id, series, year, sequence),
    DROP CONSTRAINT invoices_total_adds_up,
    ADD CONSTRAINT invoices_total_adds_up CHECK (total = subtotal + tax + rounding AND total > 0),
    ADD CONSTRAINT invoices_gst_adds_up CHECK (CASE tax_regime
        WHEN 'gst' THEN tax = CASE WHEN reverse_charge THEN 0 ELSE cgst + sgst + igst END
            AND supplier_state IS NOT NULL AND place_of_supply IS NOT NULL AND cgst = sgst
            AND CASE WHEN supplier_state = place_of_supply THEN igst = 0 ELSE cgst = 0 END
        ELSE cgst = 0 AND igst = 0 AND sgst = 0 AND NOT reverse_charge END),
    -- A draft gets its number when it is issued, so that deleting one leaves no gap.
    ADD CONSTRAINT invoices_issued_have_numbers CHECK (
        status = 'draft' OR (number IS NOT NULL AND number_key IS NOT NULL)),
    ADD CONSTRAINT invoices_number_has_key CHECK ((number IS NULL) = (number_key IS NULL));
UPDATE invoices SET issued_at = created_at WHERE status <> 'draft';

ALTER TABLE invoice_items
    ADD COLUMN unit text NOT NULL DEFAULT '' CHECK (length(unit) <= 20),
    ADD COLUMN hsn text NOT NULL DEFAULT '' CHECK (hsn ~ '^([0-9]{4,8})?$'),
    ADD COLUMN discount_rate numeric(7, 4) NOT NULL DEFAULT 0 CHECK (discount_rate BETWEEN 0 AND 100),
    -- What was taken off this line; `net` is what is left.
    ADD COLUMN discount bigint NOT NULL DEFAULT 0 CHECK (discount >= 0),
    ADD COLUMN cgst bigint NOT NULL DEFAULT 0 CHECK (cgst >= 0),
    ADD COLUMN sgst bigint NOT NULL DEFAULT 0 CHECK (sgst >= 0),
    ADD COLUMN igst bigint NOT NULL DEFAULT 0 CHECK (igst >= 0);

-- An invoice that was issued is taken back by voiding it: the numbers stay without gaps.
CREATE FUNCTION check_invoice_is_draft() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status <> 'draft' OR OLD.number IS NOT NULL THEN
        RAISE EXCEPTION 'invoice % was issued and stays', OLD.number
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'invoices_issued_stay';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER invoices_issued_stay BEFORE DELETE ON invoices
    FOR EACH ROW EXECUTE FUNCTION check_invoice_is_draft();

-- What somebody paid towards, or buys on the marketplace, is not changed under them.
CREATE FUNCTION check_invoice_sum_may_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.amount_paid <> 0 THEN
        RAISE EXCEPTION 'money was paid towards invoice %', OLD.number
            USING ERRCODE = 'check_violation', CONSTRAINT = 'invoices_sum_stays';
    END IF;
    PERFORM FROM financings WHERE invoice_id = NEW.id AND state NOT IN ('rejected', 'expired', 'withdrawn');
    IF FOUND THEN
        RAISE EXCEPTION 'invoice % is being financed', OLD.number
            USING ERRCODE = 'check_violation', CONSTRAINT = 'invoices_sum_stays';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER invoices_sum_stays AFTER UPDATE OF total, currency ON invoices
    FOR EACH ROW WHEN (NEW.total <> OLD.total OR NEW.currency <> OLD.currency)
    EXECUTE FUNCTION check_invoice_sum_may_change();
"""


def upgrade() -> None:
    """Add what is new."""
    # Straight to the driver: this script holds several statements and no parameters.
    op.get_bind().exec_driver_sql(TABLES.replace("%", "%%"))
