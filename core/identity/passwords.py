"""Passwords: the rules and the hash (argon2id). Hashing takes tens of milliseconds of one core."""

from __future__ import annotations

from functools import lru_cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from core.errors import Invalid

MIN_LENGTH = 8
MAX_LENGTH = 128
# What the demo accounts use, printed in the README: nobody may keep it where it counts.
DEMO_PASSWORD = "password123"  # noqa: S105
_TOO_COMMON = frozenset({"password", "12345678", "123456789", "1234567890", "qwertyuiop", "11111111", "iloveyou"})

# OWASP's second recommendation: 19 MiB a hash, so that a burst of sign-ins does not swell the process.
_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)


def check(password: str, *, email: str = "", demo: bool = False) -> None:
    """Raise Invalid("password", …) where a new password is not good enough."""
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise Invalid("password", f"must have {MIN_LENGTH} to {MAX_LENGTH} characters")
    lowered = password.lower()
    if lowered in _TOO_COMMON or (email and lowered == email.lower()):
        raise Invalid("password", "is too easy to guess")
    if password == DEMO_PASSWORD and not demo:
        raise Invalid("password", "is the demo password; choose another")


def hash_password(password: str) -> str:
    """The argon2id hash of a password, with its own salt and parameters in it."""
    return _hasher.hash(password)


def verify(password_hash: str | None, password: str) -> bool:
    """Whether the password fits the hash. Without a hash (nobody has that e-mail) it takes as long."""
    try:
        _hasher.verify(password_hash or _nobody(), password)
    except (VerifyMismatchError, VerificationError, InvalidHashError):
        return False
    return password_hash is not None


@lru_cache(maxsize=1)
def _nobody() -> str:
    return _hasher.hash("nobody has this password")
