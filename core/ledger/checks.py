"""What must be true of the books, as queries that find where it is not. Each row is a subject and a message.

They use nothing but the rows themselves, so that they are independent of the code that posts and of the guards of the
database. Shared by the verifier, the tests and the planted defects.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.ledger.accounts import BOOKS

_BOOKS = ", ".join(f"'{purpose.value}'" for purpose in BOOKS)


@dataclass(frozen=True, slots=True)
class Check:
    """An invariant of marketplace rules 3.1, and a query for what breaks it."""

    invariant: str
    name: str
    query: str


CHECKS: tuple[Check, ...] = (
    Check(
        "L1",
        "transfers balance",
        """
        SELECT coalesce(transfer.id, summed.transfer_id) AS subject,
               format('has %s entries in %s currencies that sum to %s', legs, currencies, total) AS message
        FROM ledger_transfers AS transfer FULL JOIN (
            SELECT transfer_id, count(*) AS legs, sum(amount) AS total, count(DISTINCT currency) AS currencies
            FROM ledger_entries GROUP BY transfer_id
        ) AS summed ON summed.transfer_id = transfer.id
        WHERE transfer.id IS NULL OR summed.transfer_id IS NULL OR legs < 2 OR total <> 0 OR currencies <> 1
        """,
    ),
    Check(
        "L2",
        "debits are credits",
        """
        SELECT currency AS subject, format('all balances sum to %s', sum(balance)) AS message
        FROM ledger_accounts GROUP BY currency HAVING sum(balance) <> 0
        """,
    ),
    Check(
        "L3",
        "balances are sums of entries",
        """
        SELECT account.id AS subject,
               format('says %s, its entries sum to %s', balance, coalesce(summed.total, 0)) AS message
        FROM ledger_accounts AS account FULL JOIN (
            SELECT account_id, sum(amount) AS total FROM ledger_entries GROUP BY account_id
        ) AS summed ON summed.account_id = account.id
        WHERE account.id IS NULL OR balance <> coalesce(summed.total, 0)
        """,
    ),
    Check(
        "L3",
        "entries continue each other",
        """
        SELECT account_id AS subject, format('entry %s goes from %s to %s by %s, the one before it left %s',
               sequence, balance_before, balance_after, amount, previous) AS message
        FROM (SELECT *, lag(balance_after, 1, 0::bigint) OVER (PARTITION BY account_id ORDER BY sequence) AS previous
              FROM ledger_entries) AS entry
        WHERE balance_before <> previous OR balance_after <> balance_before + amount
        """,
    ),
    Check(
        "L4",
        "nobody spends what they do not have",
        """
        SELECT id AS subject, format('%s of %s has %s and holds %s', purpose, owner, balance, held) AS message
        FROM ledger_accounts
        WHERE balance - held < 0 AND NOT overdraft
            AND purpose NOT IN ('issuance', 'outside', 'recoverable', """
        f"""{_BOOKS})
        """,
    ),
    Check(
        "L4",
        "held is the sum of open holds",
        """
        SELECT account.id AS subject, format('says %s held, its open holds say %s', held, coalesce(total, 0)) AS message
        FROM ledger_accounts AS account FULL JOIN (
            SELECT account_id, sum(amount) AS total FROM ledger_holds
            WHERE NOT EXISTS (SELECT FROM ledger_resolutions WHERE hold_id = ledger_holds.id) GROUP BY account_id
        ) AS summed ON summed.account_id = account.id
        WHERE account.id IS NULL OR held <> coalesce(total, 0)
        """,
    ),
    Check(
        "L6",
        "a hold ends once",
        """
        SELECT coalesce(hold.id, hold_id) AS subject,
               format('open is %s, and %s resolutions took %s of %s', open, ends, taken, amount) AS message
        FROM ledger_holds AS hold FULL JOIN (
            SELECT hold_id, count(*) AS ends, sum(amount) AS taken FROM ledger_resolutions GROUP BY hold_id
        ) AS ended ON hold_id = hold.id
        WHERE hold.id IS NULL OR open <> (ends IS NULL) OR ends > 1 OR taken > amount
        """,
    ),
    Check(
        "L6",
        "what holds posted was moved",
        """
        SELECT promised.transfer_id AS subject,
               format('posted %s of holds of account %s and moved %s', taken, promised.account_id, moved) AS message
        FROM (
            SELECT transfer_id, account_id, sum(ended.amount) AS taken
            FROM ledger_resolutions AS ended JOIN ledger_holds AS hold ON hold.id = hold_id
            WHERE outcome = 'posted' GROUP BY transfer_id, account_id
        ) AS promised LEFT JOIN (
            SELECT transfer_id, account_id, -sum(amount) AS moved FROM ledger_entries WHERE amount < 0
            GROUP BY transfer_id, account_id
        ) AS entry ON entry.transfer_id = promised.transfer_id AND entry.account_id = promised.account_id
        WHERE coalesce(moved, 0) < taken
        """,
    ),
    Check(
        "L7",
        "keys lead to what they stand for",
        """
        SELECT coalesce(subject.key, known.key) AS subject,
               format('leads to %s, and %s stands under it', subject_id, subject.id) AS message
        FROM (SELECT * FROM ledger_keys WHERE outcome = 'applied') AS known
        FULL JOIN (SELECT key, id FROM ledger_transfers UNION ALL SELECT key, id FROM ledger_holds) AS subject
            ON subject.key = known.key
        WHERE subject.id IS DISTINCT FROM subject_id
        """,
    ),
    Check(
        "L9",
        "sequences have no gap",
        """
        SELECT coalesce(account.id, account_id) AS subject,
               format('says %s, has %s entries numbered %s to %s', sequence, many, lowest, highest) AS message
        FROM ledger_accounts AS account FULL JOIN (
            SELECT account_id, count(*) AS many, count(DISTINCT sequence) AS different, min(sequence) AS lowest,
                   max(sequence) AS highest
            FROM ledger_entries GROUP BY account_id
        ) AS numbered ON account_id = account.id
        WHERE account.id IS NULL OR sequence <> coalesce(highest, 0) OR many <> highest OR different <> many
            OR lowest <> 1
        """,
    ),
    Check(
        "L9",
        "ids and recorded times rise",
        """
        SELECT account_id AS subject, format('entry %s came before the one before it', sequence) AS message
        FROM (SELECT account_id, sequence, id, recorded_at, lag(id) OVER numbered AS earlier,
                     lag(recorded_at) OVER numbered AS recorded_before
              FROM ledger_entries WINDOW numbered AS (PARTITION BY account_id ORDER BY sequence)) AS entry
        WHERE earlier >= id OR recorded_before > recorded_at
        """,
    ),
    Check(
        "L10",
        "entries are sealed or wait for it",
        """
        SELECT entry.id AS subject, 'is not in the chain and does not wait for it' AS message
        FROM ledger_entries AS entry
        LEFT JOIN ledger_chain AS chain ON chain.account_id = entry.account_id AND chain.sequence = entry.sequence
        LEFT JOIN ledger_unsealed AS due ON due.entry_id = entry.id
        WHERE (chain.position IS NULL) = (due.entry_id IS NULL)
        """,
    ),
    Check(
        "L11",
        "currencies do not mix",
        """
        SELECT moved.account_id AS subject,
               format('is in %s and has %s', account.currency, moved.currency) AS message
        FROM (SELECT DISTINCT account_id, currency FROM ledger_entries
              UNION SELECT account_id, currency FROM ledger_holds
              UNION SELECT to_account_id, currency FROM ledger_holds) AS moved
        LEFT JOIN ledger_accounts AS account ON account.id = moved.account_id
        WHERE account.currency IS DISTINCT FROM moved.currency
        """,
    ),
    Check(
        "L12",
        "reversals undo, once",
        """
        SELECT original AS subject, format('is undone by %s, by other amounts', string_agg(undo::text, ', ')) AS message
        FROM (
            SELECT original, ledger_reversals.transfer_id AS undo, account_id, amount
            FROM ledger_reversals
            JOIN ledger_entries ON ledger_entries.transfer_id IN (original, ledger_reversals.transfer_id)
        ) AS both_ways
        GROUP BY original, account_id HAVING sum(amount) <> 0 OR count(DISTINCT undo) > 1
        """,
    ),
    Check(
        "L14",
        "all money was issued or came in",
        """
        SELECT id AS subject, format('%s of %s is at %s', purpose, owner, balance) AS message
        FROM ledger_accounts
        WHERE balance < 0 AND purpose NOT IN ('issuance', 'outside', 'recoverable', 'scratch', """
        f"""{_BOOKS})
        """,
    ),
    Check(
        "L14",
        "the books of sellers balance in themselves",
        f"""
        SELECT currency AS subject, format('all sellers'' books sum to %s', sum(balance)) AS message
        FROM ledger_accounts WHERE purpose IN ({_BOOKS}) GROUP BY currency HAVING sum(balance) <> 0
        """,
    ),
)
