"""Contacts: kept, read, and their statements of account."""
