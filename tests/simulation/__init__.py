"""Months of business in seconds: a seeded simulation of the marketplace, its clock, its payers and its mishaps."""
