"""Settings of a test's installation."""

from __future__ import annotations

import base64
from pathlib import Path

from config.settings import Settings, from_environment

SECRET_KEY = "a secret key of the tests, long enough"
MASTER_KEY = "k1:" + base64.b64encode(b"\x01" * 32).decode()


def settings_for(database_url: str, folder: Path, **more: str) -> Settings:
    return from_environment(
        {
            "DATABASE_URL": database_url,
            "DATA_DIR": str(folder),
            "SECRET_KEY": SECRET_KEY,
            "MASTER_KEYS": MASTER_KEY,
            "DATABASE_POOL_SIZE": "5",
            **more,
        }
    )
