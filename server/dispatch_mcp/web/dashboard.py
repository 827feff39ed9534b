"""The dashboard: one page for all runs of a principal, and what it asks for while it is open."""

from __future__ import annotations

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


class Pictures(Protocol):
    """What shows the runs of whose request it is."""

    async def runs(self, digest: str = "", cursor: str = "") -> dict[str, model.Json]:
        """Returns the runs, once they are others than those with the digest."""
        ...

    async def run(self, handle: str, after: int = 0, revision: int = -1) -> dict[str, model.Json]:
        """Returns a run once it is at another revision, with what came after an event. Raises UnknownHandle."""
        ...


def routes(pictures: Pictures) -> list[Route]:
    """Returns the page and what it asks for."""

    async def page(_request: Request) -> Response:
        policy = f"{run_page.parts('live').policy}; frame-ancestors 'none'"
        return HTMLResponse(run_page.html(None, "live"), headers={**_HEADERS, "Content-Security-Policy": policy})

    async def runs(request: Request) -> Response:
        query = request.query_params
        return await _answered(request, lambda: pictures.runs(query.get("digest", ""), query.get("cursor", "")))

    async def run(request: Request) -> Response:
        query, handle = request.query_params, request.path_params["handle"]
        after, revision = _number(query, "after", 0), _number(query, "revision", -1)
        return await _answered(request, lambda: pictures.run(handle, after, revision))

    return [Route(PATH, page), Route(RUNS, runs), Route(f"{RUNS}/{{handle}}", run)]


def _number(query: Mapping[str, str], name: str, otherwise: int) -> int:
    text = query.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS else otherwise


async def _answered(request: Request, answer: Callable[[], Awaitable[dict[str, model.Json]]]) -> Response:
    """Returns an answer for the principal of a request; what is not there or cannot be done says so."""
    token = lazy.principal.set(request.scope.get(mcp_server.PRINCIPAL, records.LOCAL))
    try:
        return JSONResponse(await answer(), headers=_HEADERS)
    except errors.UnknownHandle as trouble:
        return JSONResponse({"error": trouble.message}, 404, _HEADERS)
    except errors.InputError as trouble:
        return JSONResponse({"error": trouble.message}, 400, _HEADERS)
    except errors.DispatchError as trouble:
        return JSONResponse({"error": trouble.message}, 503, _HEADERS)
    finally:
        lazy.principal.reset(token)
