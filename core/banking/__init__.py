"""Bank accounts and transactions, and how they are matched with invoices."""
