"""Every deliberate error of the platform. `webapp` maps each to an HTTP status in one table."""

from __future__ import annotations


class PlatformError(Exception):
    """Base of every deliberate error. `code` is stable and may be shown to clients."""

    code = "platform_error"


class NotFound(PlatformError):
    """The thing does not exist, or the asker may not know that it does."""

    code = "not_found"

    def __init__(self, what: str, key: object = "") -> None:
        super().__init__(f"{what} {key} does not exist".replace("  ", " "))
        self.what, self.key = what, key


class Forbidden(PlatformError):
    """The actor is known and may not do this."""

    code = "forbidden"


class Conflict(PlatformError):
    """The request fights with the present state (wrong state, stale version, already there)."""

    code = "conflict"


class Invalid(PlatformError):
    """A value is not acceptable. `field` is its path, such as items.0.quantity."""

    code = "invalid"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field, self.message = field, message


class AuthenticationFailed(PlatformError):
    """Who asks is not known: wrong password, bad, expired or reused token."""

    code = "authentication_failed"


class CurrencyMismatch(PlatformError):
    """Two amounts of different currencies were brought together."""

    code = "currency_mismatch"


class SignatureRejected(PlatformError):
    """A delivery is not proven to come from the provider. `reason` is for operators, never the sender."""

    code = "signature_rejected"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class MalformedPayload(PlatformError):
    """A body does not have the documented shape. `path` is the place that failed."""

    code = "malformed_payload"

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path, self.message = path, message


class Transient(PlatformError):
    """Something outside failed that may work later: the caller tries again, boundedly."""

    code = "transient"

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Permanent(PlatformError):
    """Something outside failed in a way that trying again does not mend (a 4xx of a provider's API)."""

    code = "permanent"


class CredentialsRefused(Permanent):
    """The provider does not take the credentials of a connection, or they are missing: its owner must act."""

    code = "credentials_refused"
