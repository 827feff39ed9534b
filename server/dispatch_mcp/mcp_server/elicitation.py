"""Asks the user, through the client, for the decision that a run waits for (MCP elicitation).

The question is put by the client to a person; a model cannot answer it, and no argument of a tool stands for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from mcp.server.mcpserver import AcceptedElicitation, Context, Elicit, ElicitationResult, Resolve
from pydantic import BaseModel, Field

from dispatch_mcp import errors, model
from dispatch_mcp.mcp_server import lazy
from dispatch_mcp.text import escape

if TYPE_CHECKING:
    from dispatch_mcp.service import dispatcher


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
    opening: lazy.Opening = ctx.request_context.lifespan_context
    try:
        app = await opening.get()
        waiting = await app.decisions(run_id)
    except errors.DispatchError:
        return Choice(decision="later")
    if not waiting:
        return Choice(decision="later")
    return Elicit(f"{waiting[0].question} ({waiting[0].task_id}, run {waiting[0].run_id[:8]})", Choice)


class Waiving(BaseModel):
    """What a person says about a finding that blocks; `keep` leaves it."""

    decision: Literal["waive", "keep"] = Field(description="Shall this finding no longer block the change?")
    reason: str = Field(default="", description="Why it may stay, for the record.", max_length=2_000)


class Taking(BaseModel):
    """What a person says to what a run has merged; `keep` leaves the checkout as it is."""

    decision: Literal["apply", "keep"] = Field(description="Bring these changes into the checkout?")


HOW_TO_WAIVE = "Ask the user to run `dispatch-mcp waive RUN FINDING --reason WHY` in a terminal."


async def ask_waiver(run_id: str, action: str, task_id: str, ctx: Context[Any]) -> Waiving | Elicit[Waiving]:
    """Returns the question about the finding that shall be waived; no question without one, or without a user."""
    capabilities = ctx.client_capabilities
    if action != "waive" or capabilities is None or capabilities.elicitation is None:
        return Waiving(decision="keep")
    opening: lazy.Opening = ctx.request_context.lifespan_context
    try:
        found = await (await opening.get()).council.waivable(run_id)
    except errors.DispatchError:
        return Waiving(decision="keep")
    asked = next((one for one in found if one.id == task_id), None)
    if asked is None:
        return Waiving(decision="keep")
    claim = escape.one_line(asked.claims[0].claim, limit=300)
    place = escape.one_line(f"{asked.file}:{asked.line}", limit=200)
    return Elicit(f"Waive finding {asked.id}? {asked.severity}, {place}: {claim}", Waiving)


WAIVER = Annotated[ElicitationResult[Waiving], Resolve(ask_waiver)]
"""The parameter of a tool that asks whether a finding shall be waived."""


Said = ElicitationResult[Choice] | ElicitationResult[Waiving] | ElicitationResult[Taking] | None


async def waive(app: dispatcher.Dispatcher, run_id: str, finding: str, answer: Said) -> dict[str, model.Json]:
    """Records the user's waiver and returns where the review stands.

    Raises:
        NotAllowed: no user was asked, or the user keeps the finding.
        InputError: there is no such finding, or the user gave no reason.
    """
    waiving = answer.data if isinstance(answer, AcceptedElicitation) else None
    if not isinstance(waiving, Waiving) or waiving.decision != "waive":
        raise errors.NotAllowed(f"Finding {finding!r} is not waived: no user said so.", hint=HOW_TO_WAIVE)
    said = "the user, asked by the client"
    found: dict[str, model.Json] = (await app.council.waive(run_id, finding, waiving.reason, said)).wire()
    return found


ANSWER = Annotated[ElicitationResult[Choice], Resolve(ask)]
"""The parameter of a tool that asks first."""


async def settle(app: dispatcher.Dispatcher, run_id: str, answer: Said) -> None:
    """Records what the user said, if they said yes or no; who declines or cancels has not decided."""
    if not isinstance(answer, AcceptedElicitation) or not isinstance(answer.data, Choice):
        return
    choice = answer.data
    waiting = await app.decisions(run_id) if choice.decision != "later" else []
    if waiting:
        verdict = lazy.deciding().Verdict(choice.decision == "approve", "the user, asked by the client", choice.reason)
        await app.decide(run_id, waiting[0].task_id, verdict)
