"""Secrets at rest: AES-256-GCM with the row's identity as associated data, under a ring of master keys.

A sealed value is: version (1 byte), length of the key id (1 byte), key id, nonce (12 bytes), ciphertext with
its tag. A value copied to another row does not open there.
"""

from __future__ import annotations

import base64
import binascii
import os
from dataclasses import dataclass, field
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import text
from sqlalchemy.orm import Session

from core.errors import PlatformError

_VERSION = 1
_NONCE_BYTES = 12
_KEY_BYTES = 32
_MAX_KEY_ID = 255
_PAGE = 500


class SealBroken(PlatformError):
    """A sealed value does not open: unknown key, altered bytes, or another row's value."""

    code = "seal_broken"


class InvalidKeyRing(PlatformError):
    """The master keys cannot be read."""

    code = "invalid_key_ring"


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Master keys by id, newest first. The first seals, all of them open."""

    keys: tuple[tuple[str, bytes], ...] = field(repr=False)

    @classmethod
    def parse(cls, spelled: str) -> KeyRing:
        """Read `id:base64` entries, comma-separated, newest first. Raises InvalidKeyRing, never showing a key."""
        found: list[tuple[str, bytes]] = []
        for place, entry in enumerate(spelled.split(","), start=1):
            key_id, _, encoded = entry.strip().partition(":")
            try:
                key = base64.b64decode(encoded, validate=True)
            except (binascii.Error, ValueError):
                key = b""
            if not key_id.isascii() or not 0 < len(key_id) <= _MAX_KEY_ID or len(key) != _KEY_BYTES:
                raise InvalidKeyRing(f"MASTER_KEYS: entry {place} must be id:base64 of {_KEY_BYTES} bytes")
            found.append((key_id, key))
        if len({key_id for key_id, _ in found}) != len(found):
            raise InvalidKeyRing("MASTER_KEYS: every key needs its own id")
        return cls(tuple(found))

    @property
    def newest(self) -> str:
        """Id of the key that seals."""
        return self.keys[0][0]

    def seal(self, secret: str, identity: str) -> bytes:
        """Seal text for the row that `identity` names."""
        return self.seal_bytes(secret.encode("utf-8"), identity)

    def seal_bytes(self, content: bytes, identity: str) -> bytes:
        """Seal bytes for what `identity` names."""
        key_id, key = self.keys[0]
        header = bytes([_VERSION, len(key_id)]) + key_id.encode("ascii")
        nonce = os.urandom(_NONCE_BYTES)
        return header + nonce + AESGCM(key).encrypt(nonce, content, header + identity.encode("utf-8"))

    def open(self, sealed: bytes, identity: str) -> str:
        """The text that was sealed for this row. Raises SealBroken."""
        return self.open_bytes(sealed, identity).decode("utf-8")

    def open_bytes(self, sealed: bytes, identity: str) -> bytes:
        """The bytes that were sealed for this. Raises SealBroken."""
        key_id, header_end = self._header(sealed)
        key = dict(self.keys).get(key_id)
        if key is None:
            raise SealBroken(f"sealed under key {key_id!r}, which is not in MASTER_KEYS")
        nonce_end = header_end + _NONCE_BYTES
        try:
            return AESGCM(key).decrypt(
                sealed[header_end:nonce_end], sealed[nonce_end:], sealed[:header_end] + identity.encode("utf-8")
            )
        except (InvalidTag, ValueError) as error:
            raise SealBroken("the sealed value was altered or belongs to another row") from error

    def is_newest(self, sealed: bytes) -> bool:
        """Whether a value is sealed under the newest key."""
        return self._header(sealed)[0] == self.newest

    @staticmethod
    def _header(sealed: bytes) -> tuple[str, int]:
        if len(sealed) < 2 or sealed[0] != _VERSION:
            raise SealBroken("not a sealed value of a known version")
        end = 2 + sealed[1]
        return sealed[2:end].decode("ascii", "replace"), end


def secret_identity(connection_id: UUID, name: str, row_id: UUID) -> str:
    """What a row of connection_secrets is called when its secret is sealed."""
    return f"connection_secrets:{connection_id}:{name}:{row_id}"


def answer_identity(user_id: UUID, key: str) -> str:
    """What a row of idempotency_keys is called when its answer is sealed."""
    return f"idempotency_keys:{user_id}:{key}"


def rotate(session: Session, ring: KeyRing) -> int:
    """Seal again, under the newest key, whatever is not; returns how many values were.

    Rows that are being changed at the moment are locked first. A repeat changes nothing. Run it once more
    after every process has the new ring, and before the old key is taken away.
    """
    return _rotate_secrets(session, ring) + _rotate_answers(session, ring)


def _rotate_secrets(session: Session, ring: KeyRing) -> int:
    changed, after = 0, UUID(int=0)
    while True:
        rows = session.execute(
            text(
                "SELECT id, connection_id, name, sealed FROM connection_secrets WHERE id > :after "
                "ORDER BY id LIMIT :page FOR UPDATE"
            ),
            {"after": after, "page": _PAGE},
        ).all()
        if not rows:
            return changed
        after = rows[-1].id
        stale = [row for row in rows if not ring.is_newest(row.sealed)]
        if stale:
            fresh = []
            for row in stale:
                identity = secret_identity(row.connection_id, row.name, row.id)
                fresh.append(ring.seal(ring.open(row.sealed, identity), identity))
            session.execute(
                text(
                    "UPDATE connection_secrets SET sealed = new.sealed FROM "
                    "unnest(CAST(:ids AS uuid[]), CAST(:sealed AS bytea[])) AS new (id, sealed) "
                    "WHERE connection_secrets.id = new.id"
                ),
                {"ids": [row.id for row in stale], "sealed": fresh},
            )
            changed += len(stale)


def _rotate_answers(session: Session, ring: KeyRing) -> int:
    # Only the answers of a day that held a secret: few.
    rows = session.execute(
        text(
            "SELECT user_id, key, response->>'sealed' AS sealed FROM idempotency_keys "
            "WHERE jsonb_typeof(response) = 'object' AND response ? 'sealed' FOR UPDATE"
        )
    ).all()
    stale = [row for row in rows if not ring.is_newest(base64.b64decode(row.sealed))]
    if stale:
        session.execute(
            text(
                "UPDATE idempotency_keys AS known SET response = jsonb_build_object('sealed', new.sealed) FROM "
                "unnest(CAST(:users AS uuid[]), CAST(:keys AS text[]), CAST(:sealed AS text[])) "
                "AS new (user_id, key, sealed) WHERE known.user_id = new.user_id AND known.key = new.key"
            ),
            {
                "users": [row.user_id for row in stale],
                "keys": [row.key for row in stale],
                "sealed": [
                    base64.b64encode(ring.seal(ring.open(base64.b64decode(row.sealed), identity), identity)).decode(
                        "ascii"
                    )
                    for row in stale
                    for identity in [answer_identity(row.user_id, row.key)]
                ],
            },
        )
    return len(stale)
