"""Two schemes of one provider, of which the secret chooses and never the request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from connectors.base import Delivery, Signature, Signed, Symmetric, Verified
from connectors.signatures.parts import rejected
from core.errors import SignatureRejected


@dataclass(frozen=True, slots=True, kw_only=True)
class BySecret(Symmetric):
    """A secret that begins with `prefix` belongs to the scheme `prefixed`, without it; any other to `plain`.

    So whoever keeps the secret decides how it may be used. A secret of one scheme is never tried with the other:
    nothing that a sender leaves out or adds can bring a delivery down to the weaker one.
    """

    prefix: str
    prefixed: Signature
    plain: Signature

    def verify(self, delivery: Delivery, secrets: Sequence[str]) -> Verified:
        """Prove the delivery. Raises SignatureRejected."""
        refusal = rejected(usable=False)
        for index, secret in enumerate(secrets):
            scheme, own = self._scheme_of(secret)
            try:
                return replace(scheme.verify(delivery, [own]), secret_index=index)
            except SignatureRejected as error:
                refusal = error
        raise refusal

    def sign(self, body: bytes, secret: str, *, at: datetime, message_id: str, url: str = "") -> Signed:
        """The request a provider would send to `url`."""
        scheme, own = self._scheme_of(secret)
        return scheme.sign(body, own, at=at, message_id=message_id, url=url)

    def new_secret(self) -> str:
        """A fresh secret of the plain scheme."""
        return self.plain.new_secret()

    def check_secret(self, secret: str) -> None:
        """Raise Invalid where the secret cannot be used."""
        scheme, own = self._scheme_of(secret)
        scheme.check_secret(own)

    def _scheme_of(self, secret: str) -> tuple[Signature, str]:
        if secret.startswith(self.prefix):
            return self.prefixed, secret.removeprefix(self.prefix)
        return self.plain, secret
