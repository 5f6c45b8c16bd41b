"""Connections only to addresses that may be connected to: a name is resolved once, checked, and that is used."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import requests
from requests.adapters import HTTPAdapter

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# Ranges that lead to private addresses in disguise, or that some Python releases call global.
_DISGUISES = tuple(
    ipaddress.ip_network(text)
    for text in (
        "192.0.0.0/24", "192.88.99.0/24",
        "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2001::/23", "2002::/16", "3fff::/20", "5f00::/16", "fec0::/10",
    )
)  # fmt: skip


def may_connect(address: IpAddress, *, allow_local: bool) -> bool:
    """Whether requests may go to this address: public ones, and with `allow_local` loopback and private ones."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if address.is_loopback:
        return allow_local
    if address.is_multicast or address.is_unspecified or address.is_link_local or address.is_reserved:
        return False
    if any(address in network for network in _DISGUISES if network.version == address.version):
        return False
    return address.is_global or (allow_local and address.is_private)


class PinnedAdapter(HTTPAdapter):
    """Resolves a name once, checks what came out, and connects to exactly that."""

    def __init__(self, *, allow_local: bool) -> None:
        self._allow_local = allow_local
        super().__init__(pool_connections=20, pool_maxsize=10)

    def build_connection_pool_key_attributes(  # type: ignore[override]  # The stubs' types are private.
        self,
        request: requests.PreparedRequest,
        verify: bool | str,  # noqa: FBT001  # The base class's signature.
        cert: str | tuple[str, str] | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Point the connection at a checked address; the certificate must still be the name's own."""
        hosted, pooled = super().build_connection_pool_key_attributes(request, verify, cert)
        host: dict[str, Any] = dict(hosted)
        pool: dict[str, Any] = dict(pooled)
        name, port = str(host["host"]), host["port"]
        bracketed = f"[{name}]" if ":" in name else name
        request.headers["Host"] = f"{bracketed}:{port}" if port else bracketed
        if host["scheme"] == "https":
            pool["assert_hostname"] = pool["server_hostname"] = name
        host["host"] = self._checked(name, port)
        return host, pool

    def _checked(self, name: str, port: int | None) -> str:
        try:
            found = socket.getaddrinfo(name, port or 443, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise requests.ConnectionError("the name cannot be resolved") from None
        # A scope (fe80::1%eth0) only stands on link-local addresses, which are refused anyway.
        addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
        if not all(may_connect(address, allow_local=self._allow_local) for address in addresses):
            raise Refused("its host is not a public address")
        # IPv4 first: many servers have no route for IPv6, and only one address is tried.
        chosen = min(addresses, key=lambda address: address.version)
        return f"[{chosen}]" if chosen.version == 6 else str(chosen)


class Refused(requests.RequestException):
    """The address may not be connected to."""
