"""What must be true of the sellers' books, as queries that find where it is not; run by the verifier of the ledger.

They share the columns of a position with the code that posts, and what an object is worth in the books. That the
receivable is what invoices say is due, and the credit what payments have left, is asked of these rows alone.
What waits to be posted (book_due) agrees once it is.
"""

from __future__ import annotations

from core.books.positions import COLUMNS, PLACE, WANTED
from core.ledger.checks import Check

_NEWEST = "SELECT DISTINCT ON (object_id) * FROM book_positions ORDER BY object_id, version DESC"
_WANTED = " UNION ALL ".join(f"({query})" for query in WANTED.values())
_LEGS = ", ".join(f"('{name}', said.{name})" for name in COLUMNS)
_OWNER = "CASE purpose WHEN 'clearing' THEN 'connection:' || connection_id ELSE 'books:' || user_id END"
_BUSY = """
    SELECT seller_id AS user_id FROM invoices JOIN book_due ON book_due.object_id = invoices.id
    UNION SELECT user_id FROM payments JOIN book_due ON book_due.object_id = payments.id
    UNION SELECT user_id FROM book_positions JOIN book_due USING (object_id)"""


def _differs(first: str, second: str) -> str:
    return " OR ".join(f"coalesce({first}.{name}, 0) <> coalesce({second}.{name}, 0)" for name in COLUMNS)


def _stands(purpose: str, said: str) -> str:
    """Books whose account of a purpose is not what `said` (user_id, currency, amount) comes to."""
    return f"""
        WITH busy AS ({_BUSY}), said AS ({said})
        SELECT coalesce(account.owner, 'books:' || said.user_id) AS subject,
               format('{purpose} in %s is %s, and should be %s', coalesce(account.currency, said.currency),
                      coalesce(account.balance, 0), coalesce(said.amount, 0)) AS message
        FROM (SELECT * FROM ledger_accounts WHERE purpose = '{purpose}') AS account
        FULL JOIN said ON account.owner = 'books:' || said.user_id AND account.currency = said.currency
        WHERE coalesce(account.balance, 0) <> coalesce(said.amount, 0)
            AND coalesce(account.owner, 'books:' || said.user_id) NOT IN (SELECT 'books:' || user_id FROM busy)"""


CHECKS: tuple[Check, ...] = (
    Check(
        "B1",
        "objects stand in the books as they are",
        f"""
        WITH wanted AS ({_WANTED}), stands AS ({_NEWEST})
        SELECT object_id AS subject,
               format('%s version %s does not stand in the books as it is', coalesce(wanted.kind, stands.kind),
                      coalesce(stands.version, 0)) AS message
        FROM wanted FULL JOIN stands USING (object_id)
        WHERE NOT EXISTS (SELECT FROM book_due WHERE book_due.object_id = coalesce(wanted.object_id, stands.object_id))
            AND ({_differs("wanted", "stands")} OR (wanted.kind IS NOT NULL AND stands.kind IS NOT NULL
                AND ({", ".join(f"wanted.{name}" for name in PLACE)})
                    IS DISTINCT FROM ({", ".join(f"stands.{name}" for name in PLACE)})))
        """,
    ),
    Check(
        "B2",
        "accounts of the books are sums of positions",
        f"""
        WITH said AS ({_NEWEST}), summed AS (
            SELECT {_OWNER} AS owner, purpose, currency, sum(amount) AS amount
            FROM said, LATERAL (VALUES {_LEGS}) AS leg (purpose, amount) WHERE amount <> 0 GROUP BY 1, 2, 3
        )
        SELECT coalesce(account.owner, summed.owner) AS subject,
               format('%s in %s is %s, its positions sum to %s', coalesce(account.purpose, summed.purpose),
                      coalesce(account.currency, summed.currency), balance, coalesce(summed.amount, 0)) AS message
        FROM (SELECT * FROM ledger_accounts WHERE purpose IN ({", ".join(f"'{name}'" for name in COLUMNS)})) AS account
        FULL JOIN summed ON summed.owner = account.owner AND summed.purpose = account.purpose
            AND summed.currency = account.currency
        WHERE coalesce(balance, 0) <> coalesce(summed.amount, 0)
        """,
    ),
    Check(
        "B3",
        "what is receivable is what invoices say is due",
        _stands(
            "receivable",
            "SELECT seller_id AS user_id, currency, -sum(total - amount_paid) AS amount FROM invoices "
            "WHERE status NOT IN ('draft', 'void') GROUP BY 1, 2",
        ),
    ),
    Check(
        "B4",
        "credit is what payments have left",
        _stands(
            "credit",
            "SELECT user_id, currency, sum(amount - refunded - deducted - allocated) AS amount FROM payments "
            "WHERE status = 'succeeded' AND trust <> 'hint' GROUP BY 1, 2",
        ),
    ),
    Check(
        "B5",
        "transfers of the books are explained",
        """
        SELECT transfer.id AS subject, 'no position says why it moved' AS message FROM ledger_transfers AS transfer
        WHERE kind = 'books.posted' AND NOT EXISTS (SELECT FROM book_positions WHERE transfer_id = transfer.id)
        """,
    ),
)
