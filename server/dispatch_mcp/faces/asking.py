"""Asks the user, through the client, for the decision that a run waits for (MCP elicitation).

The question is put by the client to a person; a model cannot answer it, and no argument of a tool stands for it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from mcp.server.mcpserver import AcceptedElicitation, Context, Elicit, ElicitationResult, Resolve
from pydantic import BaseModel, Field

from dispatch_mcp import errors
from dispatch_mcp.engine import decisions, dispatcher
from dispatch_mcp.faces import entry


class Choice(BaseModel):
    """What a person says to a decision; `later` leaves the run waiting."""

    decision: Literal["approve", "reject", "later"] = Field(description="Shall the run go on as planned?")
    reason: str = Field(default="", description="Why, for the record.", max_length=2_000)


async def ask(run_id: str, ctx: Context[Any]) -> Choice | Elicit[Choice]:
    """Returns the question for the first decision that the run waits for; no question without one, or without a user.

    The text depends on the run's plan alone, because the client sends the same call again with the answer.
    """
    capabilities = ctx.client_capabilities
    if not run_id or capabilities is None or capabilities.elicitation is None:
        return Choice(decision="later")
    opening: entry.Opening = ctx.request_context.lifespan_context
    try:
        app = await opening.get()
        waiting = await app.decisions(run_id)
    except errors.DispatchError:
        return Choice(decision="later")
    if not waiting:
        return Choice(decision="later")
    return Elicit(f"{waiting[0].question} ({waiting[0].task_id}, run {waiting[0].run_id[:8]})", Choice)


Said = ElicitationResult[Choice] | None

ANSWER = Annotated[ElicitationResult[Choice], Resolve(ask)]
"""The parameter of a tool that asks first."""


async def settle(app: dispatcher.Dispatcher, run_id: str, answer: Said) -> None:
    """Records what the user said, if they said yes or no; who declines or cancels has not decided."""
    if not isinstance(answer, AcceptedElicitation):
        return
    choice = answer.data
    waiting = await app.decisions(run_id) if choice.decision != "later" else []
    if waiting:
        verdict = decisions.Verdict(choice.decision == "approve", "the user, asked by the client", choice.reason)
        await app.decide(run_id, waiting[0].task_id, verdict)
