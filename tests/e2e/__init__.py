"""A real browser against the real processes."""
