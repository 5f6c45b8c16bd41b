"""Signature schemes in parts. A scheme verifies raw bytes against any live secret, and signs for simulation.

Whatever a stranger sends ends in SignatureRejected and in no other exception. A live secret that is itself
unusable is passed over while the others are tried. Age is judged against the moment the delivery arrived.
"""

from connectors.signatures.canonical import CanonicalHmac
from connectors.signatures.chosen import BySecret
from connectors.signatures.forms import FormHmac, form_field
from connectors.signatures.hmac import BODY, TIMESTAMP, URL, Hmac, TimestampedHmac
from connectors.signatures.items import ItemHmac
from connectors.signatures.jose import DetachedJws, JwtOverBodyHash
from connectors.signatures.parts import hex_key, text_key
from connectors.signatures.plain import StaticSecret, Unsigned
from connectors.signatures.rsa import TRUST_ROOTS, TRUST_ROOTS_PATH, RsaSha256, RsaWithCertificate
from connectors.signatures.standard import StandardWebhooks, public_key_of

__all__ = [
    "BODY",
    "TIMESTAMP",
    "TRUST_ROOTS",
    "TRUST_ROOTS_PATH",
    "URL",
    "BySecret",
    "CanonicalHmac",
    "DetachedJws",
    "FormHmac",
    "Hmac",
    "ItemHmac",
    "JwtOverBodyHash",
    "RsaSha256",
    "RsaWithCertificate",
    "StandardWebhooks",
    "StaticSecret",
    "TimestampedHmac",
    "Unsigned",
    "form_field",
    "hex_key",
    "public_key_of",
    "text_key",
]
