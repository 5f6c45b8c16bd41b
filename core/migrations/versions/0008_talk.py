"""Files, mail to send, what buyers confirmed, and comments on invoices."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TABLES = """
-- Papers that people handed in. The content lies sealed under DATA_DIR/files, named by its hash.
CREATE TABLE files (
    id uuid PRIMARY KEY,
    owner_id uuid NOT NULL REFERENCES users,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 120),
    media_type text NOT NULL CHECK (media_type IN ('application/pdf', 'image/png', 'image/jpeg', 'text/plain',
                                                   'text/csv')),
    size integer NOT NULL CHECK (size BETWEEN 1 AND 5242880),
    sha256 bytea NOT NULL CHECK (length(sha256) = 32),
    created_at timestamptz NOT NULL
);
CREATE INDEX files_owner ON files (owner_id, id DESC);
CREATE INDEX files_content ON files (sha256);

-- Mail to send. `due_at` is also the lease, and (attempts, claimed_at) the fencing token, as in event_queue.
CREATE TABLE mails (
    id uuid PRIMARY KEY,
    -- What makes a repeat of the same mail harmless; none for a mail that may be written twice.
    key text UNIQUE CHECK (length(key) BETWEEN 1 AND 200),
    to_address text NOT NULL CHECK (length(to_address) BETWEEN 3 AND 254),
    subject text NOT NULL CHECK (length(subject) BETWEEN 1 AND 200),
    text text NOT NULL CHECK (length(text) <= 20000),
    html text CHECK (length(html) <= 60000),
    -- queued; sent; failed for good; kept: there is no server to send by, it is shown in the mailbox.
    state text NOT NULL CHECK (state IN ('queued', 'sent', 'failed', 'kept')),
    attempts integer NOT NULL DEFAULT 0,
    claimed_at timestamptz,
    due_at timestamptz NOT NULL,
    error text,
    subject_kind text,
    subject_id uuid,
    created_at timestamptz NOT NULL,
    sent_at timestamptz,
    -- A mail may carry a link that acts for its reader: once it is sent, nothing here holds it any more.
    CONSTRAINT mails_sent_are_empty CHECK (state <> 'sent' OR (text = '' AND html IS NULL)),
    CHECK ((state IN ('sent', 'kept')) = (sent_at IS NOT NULL))
);
CREATE INDEX mails_due ON mails (due_at, id) WHERE state = 'queued';
CREATE INDEX mails_address ON mails (to_address, id DESC);
CREATE INDEX mails_subject ON mails (subject_id) WHERE subject_id IS NOT NULL;

-- The public keys under which confirmations were ever signed, so that old ones stay verifiable.
CREATE TABLE confirmation_keys (
    id text PRIMARY KEY CHECK (id ~ '^[0-9a-f]{16}$'),
    public_key bytea NOT NULL UNIQUE CHECK (length(public_key) = 32),
    created_at timestamptz NOT NULL
);

-- What a buyer accepted to owe: once, for ever, signed (docs/confirmation.md).
CREATE TABLE confirmations (
    id uuid PRIMARY KEY,
    financing_id uuid NOT NULL REFERENCES financings,
    invoice_id uuid NOT NULL REFERENCES invoices,
    -- Of the financing, when it was accepted.
    version integer NOT NULL CHECK (version >= 1),
    buyer_id uuid REFERENCES users,
    buyer_email text NOT NULL CHECK (buyer_email = lower(buyer_email) AND length(buyer_email) BETWEEN 3 AND 254),
    via text NOT NULL CHECK (via IN ('account', 'link')),
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    face bigint NOT NULL CHECK (face > 0),
    deductions bigint NOT NULL CHECK (deductions >= 0),
    amount bigint NOT NULL CHECK (amount > 0),
    due_date date NOT NULL,
    document jsonb NOT NULL,
    -- Of the request: keyed hashes, which compare and do not tell.
    evidence jsonb NOT NULL,
    -- The very text that is signed. The columns above are for queries; this is the record.
    canonical text NOT NULL,
    sha256 bytea NOT NULL,
    signature bytea NOT NULL CHECK (length(signature) = 64),
    key_id text NOT NULL REFERENCES confirmation_keys,
    accepted_at timestamptz NOT NULL,
    UNIQUE (financing_id, version),
    CONSTRAINT confirmations_within_face CHECK (amount <= face - deductions),
    CONSTRAINT confirmations_hash_is_of_text CHECK (sha256 = sha256(convert_to(canonical, 'UTF8')))
);
CREATE INDEX confirmations_invoice ON confirmations (invoice_id, id DESC);

-- Talk about an invoice between its parties.
CREATE TABLE comments (
    id uuid PRIMARY KEY,
    invoice_id uuid NOT NULL REFERENCES invoices,
    author_id uuid NOT NULL REFERENCES users,
    body text NOT NULL CHECK (length(body) BETWEEN 1 AND 4000),
    created_at timestamptz NOT NULL
);
CREATE INDEX comments_invoice ON comments (invoice_id, id DESC);

CREATE TABLE comment_mentions (
    comment_id uuid NOT NULL REFERENCES comments,
    user_id uuid NOT NULL REFERENCES users,
    PRIMARY KEY (comment_id, user_id)
);

-- A file that somebody brought to an invoice. Until it hangs on a comment only they know of it.
CREATE TABLE invoice_files (
    file_id uuid PRIMARY KEY REFERENCES files,
    invoice_id uuid NOT NULL REFERENCES invoices,
    owner_id uuid NOT NULL REFERENCES users,
    created_at timestamptz NOT NULL
);
CREATE INDEX invoice_files_invoice ON invoice_files (invoice_id);

CREATE TABLE comment_files (
    file_id uuid PRIMARY KEY REFERENCES invoice_files,
    comment_id uuid NOT NULL REFERENCES comments,
    position integer NOT NULL CHECK (position BETWEEN 0 AND 4),
    UNIQUE (comment_id, position)
);
"""
# These are added to, never changed.
APPEND_ONLY = ("confirmation_keys", "confirmations", "comments", "comment_mentions", "comment_files")


def upgrade() -> None:
    """Create what is new."""
    # Straight to the driver: this script holds several statements and no parameters.
    op.get_bind().exec_driver_sql(TABLES.replace("%", "%%"))
    for table in APPEND_ONLY:
        op.get_bind().exec_driver_sql(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION refuse_change(); "
            f"CREATE TRIGGER {table}_not_truncated BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
