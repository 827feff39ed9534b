"""The dashboard: one page for all runs of a principal, and what it asks for while it is open."""

from __future__ import annotations

import functools
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from dispatch_mcp import errors, model
from dispatch_mcp.mcp_server import lazy
from dispatch_mcp.mcp_server import server as mcp_server
from dispatch_mcp.model import records
from dispatch_mcp.pages import run_page

PATH: Final = "/"
"""Where the page is. It holds nothing of anybody's, so it needs no token; what it asks for does."""

LIMITS_PATH: Final = "/limits"
"""Where a person changes what a run may use; the page holds nothing of anybody's either."""

RUNS: Final = "/api/runs"

_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
MOST_DIGITS: Final = 15
MOST_BYTES: Final = 10_000
"""Bytes of a form: a few ceilings and a digest."""


class Pictures(Protocol):
    """What shows the runs of whose request it is."""

    async def runs(self, digest: str = "", cursor: str = "") -> dict[str, model.Json]:
        """Returns the runs, once they are others than those with the digest."""
        ...

    async def run(self, handle: str, after: int = 0, revision: int = -1) -> dict[str, model.Json]:
        """Returns a run once it is at another revision, with what came after an event. Raises UnknownHandle."""
        ...

    async def limits(self, handle: str) -> dict[str, model.Json]:
        """Returns the ceilings of a run. Raises UnknownHandle."""
        ...

    async def limit(self, handle: str, document: model.Json, by: str) -> dict[str, model.Json]:
        """Changes the ceilings of a run as a person asks; a raise is first returned as a question to them."""
        ...


def routes(pictures: Pictures, redact: Callable[[str], str]) -> list[Route]:
    """Returns the page and what it asks for; `redact` reads why something cannot be answered."""
    reply = functools.partial(_answered, redact)

    async def page(_request: Request) -> Response:
        policy = f"{run_page.parts('live').policy}; frame-ancestors 'none'"
        return HTMLResponse(run_page.html(None, "live"), headers={**_HEADERS, "Content-Security-Policy": policy})

    async def runs(request: Request) -> Response:
        query = request.query_params
        return await reply(request, lambda: pictures.runs(query.get("digest", ""), query.get("cursor", "")))

    async def run(request: Request) -> Response:
        query, handle = request.query_params, request.path_params["handle"]
        after, revision = _number(query, "after", 0), _number(query, "revision", -1)
        return await reply(request, lambda: pictures.run(handle, after, revision))

    async def limits_page(_request: Request) -> Response:
        text, rules = run_page.limits_page()
        return HTMLResponse(text, headers={**_HEADERS, "Content-Security-Policy": f"{rules}; frame-ancestors 'none'"})

    async def limits(request: Request) -> Response:
        handle = request.path_params["handle"]
        if request.method == "GET":
            return await reply(request, lambda: pictures.limits(handle))
        # A page in a browser always says where it comes from; what programs send is not a person's word.
        if "origin" not in request.headers:
            return JSONResponse({"error": "Only the dashboard, in a browser, changes ceilings here."}, 403, _HEADERS)
        by = f"{request.scope.get(mcp_server.PRINCIPAL, records.LOCAL)} at the dashboard"

        async def change() -> dict[str, model.Json]:
            return await pictures.limit(handle, await _document(request), by)

        return await reply(request, change)

    return [
        Route(PATH, page),
        Route(LIMITS_PATH, limits_page),
        Route(RUNS, runs),
        Route(f"{RUNS}/{{handle}}", run),
        Route(f"{RUNS}/{{handle}}/limits", limits, methods=["GET", "POST"]),
    ]


async def _document(request: Request) -> model.Json:
    """Returns the JSON that a request carries. Raises InputError for what is none, or for more than a form is."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise errors.InputError(f"More than {MOST_BYTES:,} bytes are no form.", hint="Send what the page sends.")
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise errors.InputError("That is no JSON.", hint="Send what the page sends.") from None


def _number(query: Mapping[str, str], name: str, otherwise: int) -> int:
    text = query.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS else otherwise


_STATUSES: Final[Mapping[type, int]] = {
    errors.UnknownHandle: 404,
    errors.StaleVersion: 409,
    errors.InputError: 400,
    errors.NotAllowed: 403,
    errors.DispatchError: 503,
}


async def _answered(
    redact: Callable[[str], str], request: Request, answer: Callable[[], Awaitable[dict[str, model.Json]]]
) -> Response:
    """Returns an answer for the principal of a request; what is not there or cannot be done says so."""
    token = lazy.principal.set(request.scope.get(mcp_server.PRINCIPAL, records.LOCAL))
    try:
        return JSONResponse(await answer(), headers=_HEADERS)
    except errors.DispatchError as trouble:
        status = next(_STATUSES[kind] for kind in type(trouble).__mro__ if kind in _STATUSES)
        return JSONResponse({"error": redact(trouble.message)}, status, _HEADERS)
    finally:
        lazy.principal.reset(token)
