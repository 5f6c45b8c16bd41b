"""RSA signatures: by a key that is pinned here, or by one in a certificate that proves whose it is."""

from __future__ import annotations

import base64
import json
import re
import secrets as entropy
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store

from connectors.base import Delivery, Request, Signed, Verified, Wanted
from connectors.payload import Payload
from connectors.signatures.parts import MAX_MESSAGE_ID, MAX_SECRET, check_age, one_header, rejected, unix_of
from core.errors import Invalid, MalformedPayload, SignatureRejected

# Bits of a key that is neither a toy nor made to cost us time.
_BITS = range(2048, 8193)
MAX_KEY_TEXT = 2048
MAX_CHAIN = 6
MAX_CERTIFICATES = 64_000
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----")
# The authorities that certificates are traced to: PEM, brought along with every certificate that `wants` asks for.
TRUST_ROOTS = "trust-roots"
# Where a simulated provider shows the authority that made its certificate. No real provider is believed that.
TRUST_ROOTS_PATH = "/.well-known/ledgerwire-trust-roots.pem"


@dataclass(frozen=True, slots=True, kw_only=True)
class RsaSha256:
    """PKCS#1 v1.5 with SHA-256 over the raw body, as base64 in one header, by a key that serves all customers.

    The receiving secret is the name of a key in `pinned`, or a public key as PEM. Nothing tells how old a delivery
    is. A good signature does not say that the event is meant for us.
    """

    header: str
    pinned: Mapping[str, str] = field(repr=False)

    def wants(self, delivery: Delivery, secrets: Sequence[str]) -> Wanted | None:
        """Nothing: the keys are known."""
        del delivery, secrets
        return None

    def verify(self, delivery: Delivery, secrets: Sequence[str]) -> Verified:
        """Prove the delivery. Raises SignatureRejected."""
        signature = _signature(one_header(delivery, self.header))
        usable = False
        for index, secret in enumerate(secrets):
            if (key := self._key(secret)) is None:
                continue
            usable = True
            if _proves(key, signature, delivery.body):
                return Verified(secret_index=index, for_us=False)
        raise rejected(usable=usable)

    def sign(self, body: bytes, secret: str, *, at: datetime, message_id: str, url: str = "") -> Signed:
        """The request a provider that holds this private key would send."""
        del at, message_id, url
        return Signed(headers={self.header: _seal(_private_key(secret), body)}, body=body)

    def new_secret(self) -> str:
        """A fresh private key as PEM."""
        return _pem(rsa.generate_private_key(65537, 2048))

    def receiving(self, secret: str) -> str:
        """The public key as PEM."""
        public = _private_key(secret).public_key()
        return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def check_secret(self, secret: str) -> None:
        """Raise Invalid where the secret cannot be used."""
        if self._key(secret) is None:
            raise Invalid("webhook_secret", f"must be {', '.join(self.pinned)} or an RSA public key as PEM")

    def _key(self, secret: str) -> rsa.RSAPublicKey | None:
        return _public_key(self.pinned.get(secret, secret))


@dataclass(frozen=True, slots=True, kw_only=True)
class RsaWithCertificate:
    """PKCS#1 v1.5 with SHA-256 by the key of a certificate that the request names, as PayPal has it.

    Signed is `transmission id|transmission time|webhook id|CRC-32 of the body`. The webhook id is not sent: it is the
    receiving secret. The certificate is taken only over https from below `domain`, must be traced to a known
    authority, be valid when the delivery arrived, and be made out to a name below `domain`.
    The CRC-32 does not prove the body against somebody who holds a genuine transmission: nothing in it may move money.
    No tolerance is documented: this one lets everything pass that the provider still lists and sends again by hand.
    """

    prefix: str
    domain: str
    algorithm: str = "SHA256withRSA"
    tolerance_seconds: float = 30 * 86_400
    fresh_seconds: int = 86_400

    def wants(self, delivery: Delivery, secrets: Sequence[str]) -> Wanted | None:
        """The certificate. Raises SignatureRejected where its address is not the provider's."""
        if not any(_is_name(secret) for secret in secrets):
            raise rejected(usable=False)
        address = self._address(delivery)
        request = Request(method="GET", url=address, headers={"Accept": "*/*"}, authorized=False)
        return Wanted(name=address, request=request, fresh_seconds=self.fresh_seconds, certificate=True)

    def verify(self, delivery: Delivery, secrets: Sequence[str]) -> Verified:
        """Prove the delivery. Raises SignatureRejected."""
        signature = _signature(one_header(delivery, f"{self.prefix}-Transmission-Sig"))
        if one_header(delivery, f"{self.prefix}-Auth-Algo") != self.algorithm:
            raise SignatureRejected(f"signed otherwise than by {self.algorithm}")
        transmission = one_header(delivery, f"{self.prefix}-Transmission-Id")
        time = one_header(delivery, f"{self.prefix}-Transmission-Time")
        if len(transmission) > MAX_MESSAGE_ID or "|" in transmission + time:
            raise SignatureRejected("the transmission's id or time is garbled or too long")
        check_age(delivery, unix_of(time), self.tolerance_seconds)
        usable = [(index, secret) for index, secret in enumerate(secrets) if _is_name(secret)]
        key = self._certified(delivery) if usable else None
        for index, secret in usable:
            if key and _proves(key, signature, signed_text(transmission, time, secret, delivery.body)):
                return Verified(secret_index=index, message_id=transmission)
        raise rejected(usable=bool(usable))

    def sign(self, body: bytes, secret: str, *, at: datetime, message_id: str, url: str = "") -> Signed:
        """The request a provider that holds this key and certificate would send."""
        del url
        held = _held(secret)
        time = f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        text = signed_text(message_id, time, held.text("webhook_id"), body)
        address = f"https://api{self.domain}/v1/notifications/certs/CERT-{held.text('webhook_id')}"
        headers = {
            f"{self.prefix}-Transmission-Id": message_id,
            f"{self.prefix}-Transmission-Time": time,
            f"{self.prefix}-Transmission-Sig": _seal(_private_key(held.text("key")), text),
            f"{self.prefix}-Cert-Url": address,
            f"{self.prefix}-Auth-Algo": self.algorithm,
        }
        documents = {address: held.text("certificate").encode(), TRUST_ROOTS: held.text("root").encode()}
        return Signed(headers=headers, body=body, documents=documents)

    def new_secret(self) -> str:
        """A webhook id, a key, its certificate and the authority that made it, as JSON."""
        return json.dumps(_make(f"messageverificationcerts{self.domain}"))

    def receiving(self, secret: str) -> str:
        """The webhook id."""
        return _held(secret).text("webhook_id")

    def check_secret(self, secret: str) -> None:
        """Raise Invalid where the secret cannot be used."""
        if not _is_name(secret):
            raise Invalid("webhook_secret", "must be the id of the webhook, without blanks")

    def _address(self, delivery: Delivery) -> str:
        address = one_header(delivery, f"{self.prefix}-Cert-Url")
        try:
            parts = urlsplit(address)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise SignatureRejected("the certificate's address cannot be read") from None
        # Spelled plainly or not at all: what one reader takes for the host, another might take for a password.
        plain = address == f"https://{host}{parts.path}" and ".." not in parts.path and "\\" not in address
        if not plain or port is not None or not host.endswith(self.domain) or len(address) > 500:
            raise SignatureRejected("the certificate's address is not the provider's")
        return address

    def _certified(self, delivery: Delivery) -> rsa.RSAPublicKey:
        """The key in the certificate, once it is known to be the provider's. Raises SignatureRejected."""
        document = delivery.documents.get(self._address(delivery))
        store = _store(delivery.documents.get(TRUST_ROOTS, b""))
        if document is None or store is None or len(document) > MAX_CERTIFICATES:
            raise SignatureRejected("the provider's certificate is not at hand")
        try:
            leaf, *between = x509.load_pem_x509_certificates(document)[: MAX_CHAIN + 1]
            names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            # The first that is the provider's; a wildcard is a name of no one in particular.
            name = next(
                one for one in names.get_values_for_type(x509.DNSName) if one.endswith(self.domain) and "*" not in one
            )
            key = leaf.public_key()
            builder = PolicyBuilder().store(store).time(delivery.received_at.astimezone(UTC).replace(tzinfo=None))
            builder.build_server_verifier(x509.DNSName(name)).verify(leaf, between)
        except Exception as error:  # noqa: BLE001  # Whatever is wrong with it, and each parser has its own errors.
            # Their words may quote what a stranger wrote.
            raise SignatureRejected(f"the certificate is not the provider's ({type(error).__name__})") from None
        if not isinstance(key, rsa.RSAPublicKey) or key.key_size not in _BITS:
            raise SignatureRejected("the certificate holds no RSA key of a usable size")
        return key


def signed_text(transmission: str, time: str, webhook_id: str, body: bytes) -> bytes:
    """What is signed. The checksum is unsigned: zlib gives it so, other libraries may not."""
    return f"{transmission}|{time}|{webhook_id}|{zlib.crc32(body)}".encode()


def _signature(text: str) -> bytes:
    """base64 in its one true spelling."""
    try:
        found = base64.b64decode(text, validate=True)
    except ValueError:
        found = b""
    if not found or base64.b64encode(found).decode() != text:
        raise SignatureRejected("the signature is no base64")
    return found


def _proves(key: rsa.RSAPublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    return True


def _seal(key: rsa.RSAPrivateKey, message: bytes) -> str:
    return base64.b64encode(key.sign(message, padding.PKCS1v15(), hashes.SHA256())).decode()


def _is_name(secret: str) -> bool:
    """An id as a provider shows it: no blank, and nothing that stands between the parts of the signed text."""
    return 0 < len(secret) <= MAX_SECRET and secret.isascii() and secret.isprintable() and not set(secret) & set(" |")


@lru_cache(maxsize=64)
def _public_key(text: str) -> rsa.RSAPublicKey | None:
    """The key that a PEM text holds, or None where it cannot be used."""
    if not 0 < len(text) <= MAX_KEY_TEXT or not text.isascii():
        return None
    try:
        key = load_pem_public_key(text.strip().encode())
    except Exception:  # noqa: BLE001  # ValueError, UnsupportedAlgorithm and others: all say that it is no key.
        return None
    return key if isinstance(key, rsa.RSAPublicKey) and key.key_size in _BITS else None


@lru_cache(maxsize=64)
def _private_key(text: str) -> rsa.RSAPrivateKey:
    try:
        key = load_pem_private_key(text.encode(), None)
    except (ValueError, TypeError) as error:
        raise Invalid("webhook_secret", "cannot sign") from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise Invalid("webhook_secret", "cannot sign")
    return key


@lru_cache(maxsize=64)
def _held(secret: str) -> Payload:
    try:
        return Payload.from_bytes(secret.encode())
    except MalformedPayload as error:
        raise Invalid("webhook_secret", "cannot sign") from error


@lru_cache(maxsize=8)
def _store(roots: bytes) -> Store | None:
    """The authorities of a PEM text. Read once: an installation has well over a hundred.

    One at a time: some of the world's old ones break a rule, and such a one is left out.
    """
    found = []
    for text in _CERTIFICATE.findall(roots):
        try:
            found.append(x509.load_pem_x509_certificate(text))
        except Exception:  # noqa: BLE001, S112  # Each parser has its own errors.
            continue
    return Store(found) if found else None


def _pem(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def issue(
    host: str,
    *,
    begins: datetime = datetime(2010, 1, 1, tzinfo=UTC),
    ends: datetime = datetime(2049, 12, 31, tzinfo=UTC),
) -> tuple[rsa.RSAPrivateKey, x509.Certificate, x509.Certificate]:
    """A key, a certificate for a host name, and the authority that was made to sign it: for simulation and tests."""
    key, issuer_key = rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Simulated authority {entropy.token_hex(8)}")])
    builder = x509.CertificateBuilder().issuer_name(issuer).not_valid_before(begins).not_valid_after(ends)
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only",
         "decipher_only"), False,
    )  # fmt: skip
    root = (
        builder.subject_name(issuer)
        .public_key(issuer_key.public_key())
        .serial_number(x509.random_serial_number())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=False, key_cert_sign=True, crl_sign=True, **usage), critical=True
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(issuer_key.public_key()), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    leaf = (
        builder.subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(
            x509.KeyUsage(digital_signature=True, key_cert_sign=False, crl_sign=False, **usage), critical=True
        )
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    return key, leaf, root


def _make(host: str) -> dict[str, str]:
    key, leaf, root = issue(host)
    return {
        "webhook_id": entropy.token_hex(9).upper()[:17],
        "key": _pem(key),
        "certificate": leaf.public_bytes(Encoding.PEM).decode(),
        "root": root.public_bytes(Encoding.PEM).decode(),
    }
