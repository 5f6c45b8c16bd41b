"""Real PostgreSQL and Valkey from wheels, for a laptop and for tests.

`ledgerwire up` and the tests start them the same way. Nothing outside the data folder is touched, no system
user is made, and a server that already runs on the data is taken over instead of started twice.
"""

from config.embedded.errors import EmbeddedServerError
from config.embedded.postgres import binaries as postgres_binaries
from config.embedded.postgres import start_postgres
from config.embedded.server import Server
from config.embedded.valkey import binary as valkey_binary
from config.embedded.valkey import start_valkey

__all__ = [
    "EmbeddedServerError",
    "Server",
    "postgres_binaries",
    "start_postgres",
    "start_valkey",
    "valkey_binary",
]
