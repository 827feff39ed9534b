"""Asks a client which folders are open in it, where the server was started in none that could be a workspace.

Clients of the newer protocol are asked in the answer to a call, which they then send again; those of the older ones are
asked meanwhile, and not for long.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import anyio
from mcp import MCPError
from mcp.server.mcpserver import Context, ListRoots, Resolve
from mcp.shared.message import ServerMessageMetadata
from mcp.types import ListRootsRequest, ListRootsResult

from dispatch_mcp.mcp_server import lazy

PATIENCE_S: Final = 2.0
"""Seconds that an older client has to name its roots."""
NEWER: Final = "2026-07-28"
NOTHING: Final = ListRootsResult(roots=[])


async def ask(ctx: Context[Any]) -> ListRootsResult | ListRoots:
    """Returns the roots of the client, or the question for them; none if a workspace is there or nobody can say."""
    opening: lazy.Opening = ctx.request_context.lifespan_context
    capabilities = ctx.client_capabilities
    if not opening.wants_roots or capabilities is None or capabilities.roots is None:
        return NOTHING
    return ListRoots() if ctx.request_context.protocol_version >= NEWER else await _asked_meanwhile(ctx)


async def _asked_meanwhile(ctx: Context[Any]) -> ListRootsResult:
    try:
        with anyio.move_on_after(PATIENCE_S):
            # Beside the call, as the SDK asks its own questions: a client may listen to no other stream yet.
            beside = ServerMessageMetadata(related_request_id=ctx.request_id)
            return await ctx.session.send_request(ListRootsRequest(), ListRootsResult, metadata=beside)
    except MCPError:  # it says that it has roots and does not name them
        return NOTHING
    return NOTHING


ROOTS = Annotated[ListRootsResult, Resolve(ask)]
"""The parameter of a tool whose work has a workspace."""
