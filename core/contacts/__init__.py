"""Contacts: the customers of a seller, what they owe, and how they pay."""
