"""Asks the user, through the client, whether what a run has merged may come into the checkout (MCP elicitation)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from mcp.server.mcpserver import AcceptedElicitation, Context, Elicit, ElicitationResult, Resolve

from dispatch_mcp import errors, model
from dispatch_mcp.mcp_server import elicitation, lazy
from dispatch_mcp.text import escape

if TYPE_CHECKING:
    from dispatch_mcp.service import dispatcher

HOW_TO_APPLY = "Ask the user to run `dispatch-mcp apply RUN` in a terminal."


async def ask(
    run_id: str, action: str, task_id: str, ctx: Context[Any]
) -> elicitation.Taking | Elicit[elicitation.Taking]:
    """Returns the question about the revision `task_id` of a run; no question when it could not be applied anyway."""
    keep, capabilities = elicitation.Taking(decision="keep"), ctx.client_capabilities
    if action != "apply" or not task_id or capabilities is None or capabilities.elicitation is None:
        return keep
    opening: lazy.Opening = ctx.request_context.lifespan_context
    try:
        offer = await (await opening.get()).offer(run_id)
        lazy.offers().refuse(offer, task_id)
    except errors.DispatchError:
        return keep
    if offer.way == "nothing":
        return keep
    files = escape.one_line(", ".join(offer.files[:8]), limit=400)
    more = f" and {len(offer.files) - 8} more" if len(offer.files) > 8 else ""
    question = f"Apply {offer.revision[:12]} of run {offer.run_id[:8]} to {offer.branch!r}? It changes {files}{more}."
    return Elicit(question, elicitation.Taking)


TAKING = Annotated[ElicitationResult[elicitation.Taking], Resolve(ask)]
"""The parameter of a tool that asks whether a run's changes shall be applied."""


async def apply(
    app: dispatcher.Dispatcher, run_id: str, revision: str, answer: elicitation.Said
) -> dict[str, model.Json]:
    """Applies the revision if the user said so, and returns what was done.

    Raises:
        NotAllowed: no user was asked, or the user keeps the checkout as it is; or the checkout is in no state for it.
        InputError: the run has merged something else, or nothing.
    """
    offer = await app.offer(run_id)
    if not revision:
        raise errors.InputError(
            f"Say which revision: {lazy.offers().told(offer)}",
            hint=f"Call again with task_id={offer.revision[:12]!r}; the user is asked then.",
        )
    lazy.offers().refuse(offer, revision)
    if offer.way != "nothing":
        taking = answer.data if isinstance(answer, AcceptedElicitation) else None
        if not isinstance(taking, elicitation.Taking) or taking.decision != "apply":
            raise errors.NotAllowed(f"Revision {revision!r} is not applied: no user said so.", hint=HOW_TO_APPLY)
        offer = await app.offer(run_id, revision)
    done: dict[str, model.Json] = offer.model_dump(mode="json", exclude_defaults=True)
    return {**done, "next": lazy.offers().told(offer)}
