"""Addresses on the web that a user has named: which of them may be called, and where they lead.

A name is looked up once and every address that it has is judged; who calls it connects to one of those, so that what a
name leads to cannot change between the look and the call.
"""

from __future__ import annotations

import ipaddress
import socket
import urllib.parse
from dataclasses import dataclass
from typing import Final

from dispatch_mcp import errors

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
"""Names of this machine itself: only they may be called without TLS, and only they may lead to it."""

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


class Unreachable(errors.DispatchError):
    """An address that cannot be called now; another try may succeed."""


class ForbiddenAddress(errors.DispatchError):
    """An address that must not be called."""


@dataclass(frozen=True, slots=True)
class WebAddress:
    """A URL in parts; `path` has its query."""

    host: str
    port: int
    path: str
    is_secure: bool

    @property
    def is_loopback(self) -> bool:
        """Whether it names this machine."""
        return self.host in LOOPBACK


def fault(url: str) -> str:
    """Returns why a URL must not be called, as a clause; empty where it may."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname or "", parts.port
        host.encode("idna")  # as a look-up does, which has no other way to say that a label is empty or too long
    except ValueError as error:
        return f"it is no URL ({error})"
    if parts.scheme not in ("https", "http") or not host or not url.isascii() or not url.isprintable() or " " in url:
        return "it has to be an https URL, such as https://example.com/hook"
    if parts.username is not None or parts.fragment:
        return "it must hold no user name, password or fragment"
    if parts.scheme == "http" and host not in LOOPBACK:
        return f"http reaches only this machine ({', '.join(sorted(LOOPBACK))}); everything else needs https"
    if port == 0:
        return "port 0 is none"
    literal = _literal(host)
    return "" if literal is None or host in LOOPBACK else _refusal(literal)


LEAST_SECRET: Final = 16
"""Characters behind the host from which on they are taken for a secret: chat services let in whoever knows them."""


def secret_part(url: str) -> str:
    """Returns what of a URL lets in whoever knows it, empty where that can be nothing; `url` has no fault."""
    parts = urllib.parse.urlsplit(url)
    behind = urllib.parse.urlunsplit(("", "", parts.path, parts.query, ""))
    return behind if len(behind) >= LEAST_SECRET else ""


def parse(url: str) -> WebAddress:
    """Returns a URL in parts. Raises ForbiddenAddress."""
    reason = fault(url)
    if reason:
        raise ForbiddenAddress(f"{url[:100]!r} must not be called: {reason}.", hint="Set `notify_url` to another one.")
    parts = urllib.parse.urlsplit(url)
    is_secure = parts.scheme == "https"
    path = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
    return WebAddress(parts.hostname or "", parts.port or (443 if is_secure else 80), path, is_secure)


def _literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _refusal(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """Returns why an address must not be called, as a clause: it is not one of the public network."""
    inner = address
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or address
        inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else inner
    is_public = address.is_global and inner.is_global and not (address.is_multicast or inner.is_multicast)
    return "" if is_public else f"{address} is no public address"


def addresses(target: WebAddress) -> list[str]:
    """Returns the IP addresses of a target, all of which may be called.

    Raises:
        ForbiddenAddress: one of them is of a private network, or of this machine where another is named.
        Unreachable: the name cannot be looked up.
    """
    try:
        rows = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Unreachable(f"{target.host!r} cannot be looked up: {error}.") from error
    hosts = list(dict.fromkeys(str(row[4][0]).partition("%")[0] for row in rows))
    for host in hosts:
        address = ipaddress.ip_address(host)
        refusal = (
            ("" if address.is_loopback else f"{host} is another machine") if target.is_loopback else _refusal(address)
        )
        if refusal:
            raise ForbiddenAddress(
                f"{target.host!r} must not be called: {refusal}.", hint="Name a receiver in the public network."
            )
    return hosts
