"""Who is let in over HTTP: the address that was meant, the token, and how often.

Every request has to name a host that is served, and an origin that is, if it names one: a page in the user's browser
can send requests to this machine, but cannot choose these (DNS rebinding, spec: transports, security warning).
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from mcp.server.auth.middleware import bearer_auth
from mcp.server.auth.provider import AccessToken
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from dispatch_mcp import errors
from dispatch_mcp.mcp_server import server

OPEN_PATHS: Final = frozenset({"/", "/limits", "/health", "/ready", "/.well-known/agent-card.json"})
"""Paths that say nothing of what is done here, and so need no token: the first two are pages without data."""

SCHEME: Final = "bearer"


@dataclass(frozen=True, slots=True)
class Rate:
    """How many requests a second, and how many at once after a pause."""

    per_second: float
    burst: float


_AUTHORIZATION: Final = b"authorization"

CALLS: Final = Rate(100, 400)
"""Of one token: a client that works with forty subagents sends a few a second."""

REFUSALS: Final = Rate(0.5, 20)
"""Of one address without a token that is known: guessing is hopeless anyway, this keeps it cheap."""

MAX_SOURCES: Final = 10_000
"""Sources that are counted at once; the one that was longest silent is forgotten."""


@dataclass(slots=True)
class RateLimit:
    """Lets each source send so many requests; `clock` returns seconds."""

    rate: Rate
    clock: Callable[[], float] = time.monotonic
    _credits: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict[str, tuple[float, float]])

    def wait(self, source: str) -> float:
        """Returns how many seconds a source has to wait, 0 when it may send now, which counts."""
        now = self.clock()
        credit, since = self._credits.pop(source, (self.rate.burst, now))
        credit = min(self.rate.burst, credit + (now - since) * self.rate.per_second)
        wait = 0.0 if credit >= 1 else (1 - credit) / self.rate.per_second
        self._credits[source] = (credit if wait else credit - 1, now)
        if len(self._credits) > MAX_SOURCES:
            self._credits.popitem(last=False)
        return wait


class Addresses(Protocol):
    """Which values of the headers Host and Origin are served."""

    def is_host(self, value: str) -> bool:
        """Returns whether this is a host that clients may name."""
        ...

    def is_origin(self, value: str) -> bool:
        """Returns whether a page from there may send requests."""
        ...


class Guard:
    """An ASGI application that hands on to another one what may come in."""

    def __init__(
        self,
        app: ASGIApp,
        owner: Callable[[str], str],
        addresses: Addresses,
        *,
        calls: RateLimit | None = None,
        refusals: RateLimit | None = None,
    ) -> None:
        """`owner` returns whose token a token is, empty for nobody's."""
        self._app = app
        self._owner = owner
        self._addresses = addresses
        self._calls = calls or RateLimit(CALLS)
        self._refusals = refusals or RateLimit(REFUSALS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request that may not come in, and hands on every other one."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        refusal = self._refusal(Request(scope))
        # Nothing behind knows the token, and so nothing can hand it on (S2).
        scope["headers"] = [(name, value) for name, value in scope["headers"] if name.lower() != _AUTHORIZATION]
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, request: Request) -> Response | None:
        hosts, origins = request.headers.getlist("host"), request.headers.getlist("origin")
        if len(hosts) != 1 or not self._addresses.is_host(hosts[0]):
            return _problem(421, "This server is not served under that name.", {})
        if not all(map(self._addresses.is_origin, origins)):
            return _problem(403, "Pages of that origin may not use this server.", {})
        return None if request.scope["path"] in OPEN_PATHS else self._refusal_of_token(request)

    def _refusal_of_token(self, request: Request) -> Response | None:
        try:
            name = self._owner(_token(request.headers))
        except errors.DispatchError as trouble:
            return _problem(503, trouble.message, {})
        source = name or (request.client.host if request.client else "")
        if wait := (self._calls if name else self._refusals).wait(source):
            return _problem(429, "Too many requests.", {"Retry-After": str(int(wait) + 1)})
        if not name:
            hint = "Send the header `Authorization: Bearer TOKEN` with a token of this server."
            return _problem(401, f"No known token came with this request. {hint}", {"WWW-Authenticate": "Bearer"})
        request.scope[server.PRINCIPAL] = name
        # The SDK lets nobody else into a session that this user has opened.
        request.scope["user"] = bearer_auth.AuthenticatedUser(AccessToken(token="", client_id=name, scopes=[]))
        return None


def _token(headers: Mapping[str, str]) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == SCHEME else ""


def _problem(status: int, message: str, headers: Mapping[str, str]) -> Response:
    return JSONResponse({"error": message}, status, headers)
