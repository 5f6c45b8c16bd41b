"""Lists of invoices: searched, seen as somebody likes, and worked on many at once."""
