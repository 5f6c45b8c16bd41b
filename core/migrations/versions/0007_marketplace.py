"""Invoice finance: financings and their moves, slices, bids, repayments."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# The states of marketplace rules 2.1. core.marketplace.states holds the same table; a test compares them.
MOVES = {
    "pending_buyer_confirmation": ("confirmed", "rejected", "disputed", "expired", "withdrawn"),
    "rejected": (),
    "disputed": ("confirmed", "rejected", "expired", "withdrawn"),
    "confirmed": ("listed", "expired", "withdrawn"),
    "listed": ("partially_funded", "settlement_pending", "expired", "withdrawn"),
    "partially_funded": ("settlement_pending", "expired", "withdrawn"),
    "settlement_pending": ("funded", "listed", "withdrawn"),
    "funded": ("part_paid", "overdue", "repaid"),
    "part_paid": ("funded", "overdue", "repaid"),
    "overdue": ("funded", "part_paid", "defaulted", "repaid"),
    "defaulted": ("funded", "part_paid", "overdue", "repaid", "written_off"),
    "repaid": ("funded", "part_paid", "overdue", "defaulted"),
    "written_off": ("repaid",),
    "expired": (),
    "withdrawn": (),
}
_PAIRS = ", ".join(f"('{before}', '{after}')" for before, afters in MOVES.items() for after in afters)
_STATES = ", ".join(f"'{state}'" for state in MOVES)
# While a financing is in one of these, its invoice may not be financed anywhere else.
_ACTIVE = (
    "'confirmed', 'listed', 'partially_funded', 'settlement_pending', 'funded', 'part_paid', 'overdue', "
    "'defaulted', 'repaid', 'written_off'"
)

TABLES = f"""
CREATE TABLE financings (
    id uuid PRIMARY KEY,
    invoice_id uuid NOT NULL REFERENCES invoices,
    seller_id uuid NOT NULL REFERENCES users,
    buyer_id uuid REFERENCES users,
    buyer_email text NOT NULL CHECK (buyer_email = lower(buyer_email) AND length(buyer_email) BETWEEN 3 AND 254),
    state text NOT NULL CHECK (state IN ({_STATES})),
    version integer NOT NULL DEFAULT 1,
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{{3}}$'),
    -- The invoice's total when it was submitted, and what of it the buyer accepted to owe; minor units.
    face bigint NOT NULL CHECK (face > 0),
    confirmed_amount bigint CHECK (confirmed_amount > 0),
    -- Deductions that the seller declared: credit notes, retention, tax that the buyer withholds.
    deductions bigint NOT NULL DEFAULT 0 CHECK (deductions >= 0),
    due_date date NOT NULL,
    issue_date date NOT NULL,
    document jsonb NOT NULL DEFAULT '{{}}',
    fp_e1 bytea,
    fp_e2 bytea,
    fp_n1 bytea,
    number_groups text,
    file_hashes text[] NOT NULL DEFAULT '{{}}',
    document_references text[] NOT NULL DEFAULT '{{}}',
    submitted_at timestamptz NOT NULL,
    confirm_by timestamptz NOT NULL,
    confirmed_at timestamptz,
    reason_code text,

    -- Terms of the listing, fixed when it is listed. Rates are per cent a year.
    mode text CHECK (mode IN ('fixed', 'auction')),
    pricing text CHECK (pricing IN ('uniform', 'pay_as_bid')),
    haircut numeric(7, 4) CHECK (haircut >= 0 AND haircut < 100),
    rate numeric(12, 6) CHECK (rate >= 0),
    days integer CHECK (days >= 0),
    value_date date,
    -- The due date, moved to a working day.
    pay_date date,
    principal bigint CHECK (principal > 0),
    discount bigint CHECK (discount >= 0 AND discount < principal),
    outlay bigint GENERATED ALWAYS AS (principal - discount) STORED,
    min_slice bigint CHECK (min_slice > 0),
    fee_plan text CHECK (fee_plan IN ('standard', 'none')),
    fee bigint CHECK (fee >= 0),
    fee_tax bigint CHECK (fee_tax >= 0),
    recourse text CHECK (recourse IN ('none', 'reserve', 'full')),
    late_rate numeric(7, 4) CHECK (late_rate >= 0),
    listed_at timestamptz,
    closes_at timestamptz,

    -- What stands in it now: the sums of its investments.
    placed_principal bigint NOT NULL DEFAULT 0 CHECK (placed_principal >= 0),
    placed_outlay bigint NOT NULL DEFAULT 0 CHECK (placed_outlay >= 0),
    investors integer NOT NULL DEFAULT 0 CHECK (investors >= 0),
    settle_on date,
    funded_at timestamptz,
    -- What the buyer's payments brought, and where it went; minor units.
    collected bigint NOT NULL DEFAULT 0 CHECK (collected >= 0),
    repaid_principal bigint NOT NULL DEFAULT 0 CHECK (repaid_principal >= 0),
    repaid_interest bigint NOT NULL DEFAULT 0 CHECK (repaid_interest >= 0),
    seller_reserve_paid bigint NOT NULL DEFAULT 0 CHECK (seller_reserve_paid >= 0),
    surplus bigint NOT NULL DEFAULT 0 CHECK (surplus >= 0),
    -- When the clock looks at it next, if it does.
    due_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,

    CONSTRAINT financings_confirmed_within_face CHECK (confirmed_amount <= face - deductions),
    CONSTRAINT financings_principal_within_confirmed CHECK (principal <= confirmed_amount),
    CONSTRAINT financings_placed_within_principal CHECK (
        placed_principal <= coalesce(principal, 0) AND placed_outlay <= placed_principal),
    CONSTRAINT financings_funded_in_full CHECK (
        state NOT IN ('settlement_pending', 'funded', 'part_paid', 'overdue', 'defaulted', 'repaid', 'written_off')
        OR placed_principal = principal),
    CONSTRAINT financings_repaid_within_principal CHECK (repaid_principal <= coalesce(principal, 0)),
    CONSTRAINT financings_repaid_in_full CHECK (state <> 'repaid' OR repaid_principal = principal),
    CONSTRAINT financings_terms_when_listed CHECK (
        state NOT IN ('listed', 'partially_funded', 'settlement_pending', 'funded', 'part_paid', 'overdue',
                      'defaulted', 'repaid', 'written_off')
        OR (mode IS NOT NULL AND principal IS NOT NULL AND discount IS NOT NULL AND pay_date IS NOT NULL)),
    CONSTRAINT financings_buyer_is_not_seller CHECK (buyer_id <> seller_id),
    CONSTRAINT financings_confirmed_has_amount CHECK (
        state IN ('pending_buyer_confirmation', 'rejected', 'disputed', 'expired', 'withdrawn')
        OR confirmed_amount IS NOT NULL)
);
-- The last line against financing twice: whichever acceptance comes second cannot commit.
CREATE UNIQUE INDEX financings_active_e1 ON financings (fp_e1) WHERE fp_e1 IS NOT NULL AND state IN ({_ACTIVE});
CREATE UNIQUE INDEX financings_active_e2 ON financings (fp_e2) WHERE fp_e2 IS NOT NULL AND state IN ({_ACTIVE});
CREATE UNIQUE INDEX financings_one_open ON financings (invoice_id)
    WHERE state NOT IN ('rejected', 'expired', 'withdrawn');
CREATE INDEX financings_invoice ON financings (invoice_id, id DESC);
CREATE INDEX financings_seller ON financings (seller_id, id DESC);
CREATE INDEX financings_buyer ON financings (buyer_id, id DESC) WHERE buyer_id IS NOT NULL;
CREATE INDEX financings_waiting_buyer ON financings (buyer_email) WHERE buyer_id IS NULL;
CREATE INDEX financings_on_offer ON financings (listed_at DESC, id DESC) WHERE state IN ('listed', 'partially_funded');
CREATE INDEX financings_state ON financings (state, id DESC);
CREATE INDEX financings_due ON financings (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX financings_n1 ON financings (fp_n1) WHERE fp_n1 IS NOT NULL;

CREATE TABLE financing_transitions (before text NOT NULL, after text NOT NULL, PRIMARY KEY (before, after));
INSERT INTO financing_transitions (before, after) VALUES {_PAIRS};
CREATE TRIGGER financing_transitions_stay BEFORE INSERT OR UPDATE OR DELETE ON financing_transitions
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER financing_transitions_not_truncated BEFORE TRUNCATE ON financing_transitions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Every move of a state: who, why, and the ledger transfer that went with it.
CREATE TABLE financing_moves (
    id uuid PRIMARY KEY,
    financing_id uuid NOT NULL REFERENCES financings,
    version integer NOT NULL,
    before text,
    after text NOT NULL,
    actor_id uuid,
    reason text NOT NULL,
    transfer_id uuid,
    event_id uuid,
    data jsonb NOT NULL DEFAULT '{{}}',
    at timestamptz NOT NULL,
    UNIQUE (financing_id, version)
);
CREATE TRIGGER financing_moves_append_only BEFORE UPDATE OR DELETE ON financing_moves
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER financing_moves_not_truncated BEFORE TRUNCATE ON financing_moves
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE FUNCTION check_financing_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state IS DISTINCT FROM OLD.state THEN
        IF NOT EXISTS (SELECT FROM financing_transitions WHERE before = OLD.state AND after = NEW.state) THEN
            RAISE EXCEPTION 'a financing does not go from % to %', OLD.state, NEW.state
                USING ERRCODE = 'check_violation', CONSTRAINT = 'financings_move_is_allowed';
        END IF;
        IF NEW.version <> OLD.version + 1 THEN
            RAISE EXCEPTION 'a move of a financing raises its version by one'
                USING ERRCODE = 'check_violation', CONSTRAINT = 'financings_move_raises_version';
        END IF;
    ELSIF NEW.version <> OLD.version THEN
        RAISE EXCEPTION 'the version of a financing counts its moves'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'financings_move_raises_version';
    END IF;
    -- What was submitted, what its buyer accepted, and the price once money rests on it. An auction has its price
    -- when it closes.
    IF (NEW.id, NEW.invoice_id, NEW.seller_id, NEW.currency, NEW.face, NEW.deductions)
        IS DISTINCT FROM (OLD.id, OLD.invoice_id, OLD.seller_id, OLD.currency, OLD.face, OLD.deductions)
        OR (OLD.confirmed_amount IS NOT NULL AND NEW.confirmed_amount IS DISTINCT FROM OLD.confirmed_amount)
        OR (OLD.principal IS NOT NULL AND (OLD.mode = 'fixed' OR OLD.state NOT IN ('listed', 'partially_funded'))
            AND (NEW.principal, NEW.discount, NEW.fee, NEW.fee_tax, NEW.recourse, NEW.late_rate, NEW.pay_date)
            IS DISTINCT FROM (OLD.principal, OLD.discount, OLD.fee, OLD.fee_tax, OLD.recourse, OLD.late_rate,
                OLD.pay_date))
        OR (OLD.principal IS NOT NULL AND (NEW.principal, NEW.fee, NEW.fee_tax, NEW.recourse, NEW.late_rate)
            IS DISTINCT FROM (OLD.principal, OLD.fee, OLD.fee_tax, OLD.recourse, OLD.late_rate)) THEN
        RAISE EXCEPTION 'what financing % was agreed on does not change', OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER financings_move BEFORE UPDATE ON financings FOR EACH ROW EXECUTE FUNCTION check_financing_move();

CREATE FUNCTION check_financing_recorded() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM financing_moves WHERE financing_id = NEW.id AND version = NEW.version
                   AND after = NEW.state) THEN
        RAISE EXCEPTION 'a move of financing % is not recorded', NEW.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'financings_move_is_recorded';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER financings_new_recorded AFTER INSERT ON financings
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_financing_recorded();
CREATE CONSTRAINT TRIGGER financings_recorded AFTER UPDATE OF state, version ON financings
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.version <> OLD.version)
    EXECUTE FUNCTION check_financing_recorded();

-- L13: no money rests in escrow while the financing rests.
CREATE FUNCTION check_escrow_empty() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    left_over bigint;
BEGIN
    SELECT sum(abs(balance)) INTO left_over FROM ledger_accounts
        WHERE owner = 'financing:' || NEW.id AND purpose = 'escrow';
    IF left_over <> 0 THEN
        RAISE EXCEPTION 'the escrow of financing % holds % while it is %', NEW.id, left_over, NEW.state
            USING ERRCODE = 'check_violation', CONSTRAINT = 'financings_escrow_is_empty';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER financings_escrow AFTER INSERT OR UPDATE ON financings
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_escrow_empty();

-- The same from the ledger's side: also when nobody touches the financing.
CREATE FUNCTION check_escrow_rests() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM ledger_accounts WHERE id = NEW.id AND balance <> 0)
        AND EXISTS (SELECT FROM financings WHERE id = CASE WHEN NEW.owner ~ '^financing:[0-9a-f-]{{36}}$'
            THEN substring(NEW.owner FROM 11)::uuid END) THEN
        RAISE EXCEPTION 'money rests in the escrow of %', NEW.owner
            USING ERRCODE = 'check_violation', CONSTRAINT = 'financings_escrow_is_empty';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER ledger_escrow_rests AFTER UPDATE ON ledger_accounts
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.purpose = 'escrow' AND NEW.balance <> 0)
    EXECUTE FUNCTION check_escrow_rests();

CREATE TABLE bids (
    id uuid PRIMARY KEY,
    financing_id uuid NOT NULL REFERENCES financings,
    investor_id uuid NOT NULL REFERENCES users,
    -- The order of arrival as the server saw it, which decides between equal rates.
    sequence integer NOT NULL CHECK (sequence >= 1),
    rate numeric(12, 6) NOT NULL CHECK (rate >= 0),
    -- Principal bid for, and the outlay that is held for it at the bid's own rate.
    amount bigint NOT NULL CHECK (amount > 0),
    outlay bigint NOT NULL CHECK (outlay > 0 AND outlay <= amount),
    hold_id uuid NOT NULL UNIQUE,
    state text NOT NULL CHECK (state IN ('open', 'won', 'lost', 'withdrawn')),
    created_at timestamptz NOT NULL,
    decided_at timestamptz,
    UNIQUE (financing_id, sequence),
    CHECK ((state = 'open') = (decided_at IS NULL))
);
CREATE INDEX bids_investor ON bids (investor_id, id DESC);
-- A bid is decided once, and nothing else of it changes: an auction can be replayed.
CREATE FUNCTION keep_bid() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR OLD.state <> 'open'
        OR (to_jsonb(NEW) - 'state' - 'decided_at') <> (to_jsonb(OLD) - 'state' - 'decided_at') THEN
        RAISE EXCEPTION 'bids are append-only' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER bids_keep BEFORE UPDATE OR DELETE ON bids FOR EACH ROW EXECUTE FUNCTION keep_bid();
CREATE TRIGGER bids_not_truncated BEFORE TRUNCATE ON bids FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE investments (
    id uuid PRIMARY KEY,
    financing_id uuid NOT NULL REFERENCES financings,
    investor_id uuid NOT NULL REFERENCES users,
    sequence integer NOT NULL CHECK (sequence >= 1),
    bid_id uuid UNIQUE REFERENCES bids,
    -- What the investor pays, and the part of the principal it buys: what comes back.
    outlay bigint NOT NULL CHECK (outlay > 0),
    principal bigint NOT NULL CHECK (principal >= outlay),
    hold_id uuid UNIQUE,
    status text NOT NULL CHECK (status IN ('held', 'settled', 'repaid', 'voided')),
    repaid_principal bigint NOT NULL DEFAULT 0 CHECK (repaid_principal BETWEEN 0 AND principal),
    repaid_interest bigint NOT NULL DEFAULT 0 CHECK (repaid_interest >= 0),
    created_at timestamptz NOT NULL,
    settled_at timestamptz,
    closed_at timestamptz,
    UNIQUE (financing_id, sequence),
    CONSTRAINT investments_repaid_in_full CHECK (status <> 'repaid' OR repaid_principal = principal),
    CONSTRAINT investments_repaid_when_settled CHECK (
        (repaid_principal = 0 AND repaid_interest = 0) OR status IN ('settled', 'repaid'))
);
CREATE INDEX investments_investor ON investments (investor_id, id DESC);

-- L15: what stands in the financing is the sum of its investments, whoever wrote either.
CREATE FUNCTION check_investment_sum() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    subject uuid;
    stored record;
    summed record;
BEGIN
    IF TG_ARGV[0] = 'financings' THEN subject := NEW.id; ELSE subject := NEW.financing_id; END IF;
    SELECT placed_principal, placed_outlay, investors, repaid_principal, repaid_interest INTO stored
        FROM financings WHERE id = subject;
    SELECT coalesce(sum(principal), 0) AS placed_principal, coalesce(sum(outlay), 0) AS placed_outlay,
           count(DISTINCT investor_id) AS investors, coalesce(sum(repaid_principal), 0) AS repaid_principal,
           coalesce(sum(repaid_interest), 0) AS repaid_interest
        INTO summed FROM investments WHERE financing_id = subject AND status <> 'voided';
    IF (stored.placed_principal, stored.placed_outlay, stored.investors, stored.repaid_principal,
        stored.repaid_interest)
       IS DISTINCT FROM
       (summed.placed_principal::bigint, summed.placed_outlay::bigint, summed.investors::integer,
        summed.repaid_principal::bigint, summed.repaid_interest::bigint) THEN
        RAISE EXCEPTION 'financing % and its investments disagree', subject
            USING ERRCODE = 'check_violation', CONSTRAINT = 'financings_are_sum_of_investments';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER financings_are_sum AFTER UPDATE OF placed_principal, placed_outlay, investors,
    repaid_principal, repaid_interest ON financings
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_investment_sum('financings');
CREATE CONSTRAINT TRIGGER investments_fit AFTER INSERT OR UPDATE ON investments
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_investment_sum('investments');
CREATE FUNCTION refuse_investment_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'UPDATE' THEN
        RAISE EXCEPTION 'investments are not taken away' USING ERRCODE = 'restrict_violation';
    END IF;
    IF (NEW.id, NEW.financing_id, NEW.investor_id, NEW.sequence, NEW.bid_id, NEW.outlay, NEW.principal, NEW.hold_id,
        NEW.created_at) IS DISTINCT FROM
       (OLD.id, OLD.financing_id, OLD.investor_id, OLD.sequence, OLD.bid_id, OLD.outlay, OLD.principal, OLD.hold_id,
        OLD.created_at) THEN
        RAISE EXCEPTION 'what was invested does not change' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER investments_fixed BEFORE UPDATE OR DELETE ON investments
    FOR EACH ROW EXECUTE FUNCTION refuse_investment_change();
CREATE TRIGGER investments_not_truncated BEFORE TRUNCATE ON investments
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- One row a waterfall: a payment's money and where it went. A payment that changes is reversed, then run again.
CREATE TABLE repayments (
    id uuid PRIMARY KEY,
    financing_id uuid NOT NULL REFERENCES financings,
    payment_id uuid NOT NULL,
    sequence integer NOT NULL CHECK (sequence >= 1),
    amount bigint NOT NULL CHECK (amount > 0),
    currency text NOT NULL,
    interest bigint NOT NULL CHECK (interest >= 0),
    principal bigint NOT NULL CHECK (principal >= 0),
    seller bigint NOT NULL CHECK (seller >= 0),
    other bigint NOT NULL DEFAULT 0 CHECK (other >= 0),
    surplus bigint NOT NULL CHECK (surplus >= 0),
    transfer_id uuid NOT NULL UNIQUE,
    -- The transfer that took it back, when the payment was returned.
    reversed_by uuid UNIQUE,
    paid_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    UNIQUE (financing_id, sequence),
    CONSTRAINT repayments_split_adds_up CHECK (amount = interest + principal + seller + other + surplus)
);
-- A payment runs the waterfall once; only after it was taken back may it run again.
CREATE UNIQUE INDEX repayments_once ON repayments (payment_id, financing_id) WHERE reversed_by IS NULL;

CREATE TABLE repayment_shares (
    repayment_id uuid NOT NULL REFERENCES repayments,
    investment_id uuid NOT NULL REFERENCES investments,
    interest bigint NOT NULL CHECK (interest >= 0),
    principal bigint NOT NULL CHECK (principal >= 0),
    PRIMARY KEY (repayment_id, investment_id)
);
CREATE INDEX repayment_shares_investment ON repayment_shares (investment_id);
CREATE TRIGGER repayment_shares_append_only BEFORE UPDATE OR DELETE ON repayment_shares
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- The shares of a repayment arrive whole, in one statement, and are what it says went to the investors.
CREATE FUNCTION check_repayment_shares() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM (SELECT DISTINCT repayment_id FROM fresh) AS told JOIN repayments ON repayments.id = repayment_id
        WHERE (repayments.interest, repayments.principal) IS DISTINCT FROM
            (SELECT ROW(sum(shares.interest)::bigint, sum(shares.principal)::bigint) FROM repayment_shares AS shares
             WHERE shares.repayment_id = told.repayment_id)
    ) THEN
        RAISE EXCEPTION 'the shares of a repayment do not add up to it'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'repayment_shares_add_up';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER repayment_shares_sum AFTER INSERT ON repayment_shares REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION check_repayment_shares();

-- Of a repayment nothing changes but that it is taken back, once, by a reversal of its own transfer.
CREATE FUNCTION keep_repayment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.reversed_by IS NOT NULL OR NOT EXISTS (SELECT FROM ledger_transfers WHERE id = NEW.transfer_id) THEN
            RAISE EXCEPTION 'a repayment begins with its transfer' USING ERRCODE = 'check_violation',
                CONSTRAINT = 'repayments_have_transfers';
        END IF;
        RETURN NEW;
    END IF;
    IF TG_OP = 'DELETE' OR OLD.reversed_by IS NOT NULL
        OR (to_jsonb(NEW) - 'reversed_by') <> (to_jsonb(OLD) - 'reversed_by') THEN
        RAISE EXCEPTION 'repayments are append-only' USING ERRCODE = 'restrict_violation';
    END IF;
    IF NOT EXISTS (SELECT FROM ledger_reversals WHERE original = OLD.transfer_id AND transfer_id = NEW.reversed_by) THEN
        RAISE EXCEPTION 'a repayment is taken back by the reversal of its transfer' USING ERRCODE = 'check_violation',
            CONSTRAINT = 'repayments_have_transfers';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER repayments_keep BEFORE INSERT OR UPDATE OR DELETE ON repayments
    FOR EACH ROW EXECUTE FUNCTION keep_repayment();
CREATE TRIGGER repayments_not_truncated BEFORE TRUNCATE ON repayments
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER repayment_shares_not_truncated BEFORE TRUNCATE ON repayment_shares
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What a financing says came back is the sum of the repayments that stand, whoever wrote either.
CREATE FUNCTION check_repayment_sum() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    subject uuid;
    stored record;
    summed record;
BEGIN
    IF TG_ARGV[0] = 'financings' THEN subject := NEW.id; ELSE subject := NEW.financing_id; END IF;
    SELECT collected, repaid_principal, repaid_interest, seller_reserve_paid, surplus INTO stored
        FROM financings WHERE id = subject;
    SELECT coalesce(sum(amount) FILTER (WHERE payment_id <> subject), 0)::bigint AS collected,
           coalesce(sum(principal), 0)::bigint AS principal, coalesce(sum(interest), 0)::bigint AS interest,
           coalesce(sum(seller), 0)::bigint AS seller, coalesce(sum(repayments.surplus), 0)::bigint AS surplus
        INTO summed FROM repayments WHERE financing_id = subject AND reversed_by IS NULL;
    IF stored IS DISTINCT FROM summed THEN
        RAISE EXCEPTION 'financing % and its repayments disagree: % and %', subject, stored, summed
            USING ERRCODE = 'check_violation', CONSTRAINT = 'financings_are_sum_of_repayments';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER financings_repaid_is_sum AFTER UPDATE OF collected, repaid_principal, repaid_interest,
    seller_reserve_paid, surplus ON financings
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_repayment_sum('financings');
CREATE CONSTRAINT TRIGGER repayments_fit AFTER INSERT OR UPDATE ON repayments
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_repayment_sum('repayments');

-- What an investor allows themselves, in per cent of their money; none means the suggested caps, as warnings.
CREATE TABLE investor_limits (
    user_id uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    per_buyer numeric(5, 2) CHECK (per_buyer > 0 AND per_buyer <= 100),
    per_invoice numeric(5, 2) CHECK (per_invoice > 0 AND per_invoice <= 100),
    max_days integer CHECK (max_days > 0),
    updated_at timestamptz NOT NULL
);
"""


def upgrade() -> None:
    """Create what is new."""
    # Straight to the driver: this script holds several statements and no parameters.
    op.get_bind().exec_driver_sql(TABLES.replace("%", "%%"))
