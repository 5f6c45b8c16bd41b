"""Users' links to accounts at providers, and the secrets that prove them."""
