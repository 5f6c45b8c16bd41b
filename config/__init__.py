"""Settings, logging, embedded servers and process supervision. No business rules."""

__version__ = "0.1.0"
