"""Asks the user, through the client, for what only a person decides (MCP elicitation).

The client puts the question to a person; a model cannot answer it, and no argument of a tool stands for the answer.
Each question depends on stored state alone, because the client sends the same call again with the answer.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Generator, Hashable
from typing import Annotated, Any, Final, Literal, Protocol

from mcp.server.mcpserver import AcceptedElicitation, Context, Elicit, ElicitationResult, Resolve
from pydantic import BaseModel, Field

from dispatch_mcp import errors
from dispatch_mcp.mcp_server import client_roots, lazy
from dispatch_mcp.model import records, short_ids
from dispatch_mcp.text import escape

BY_ELICITATION = "the user, asked by the client"
"""Who has decided, for the record."""

MOST_FILES = 8
"""Files that a question names."""

_MAY_ASK: Final = contextvars.ContextVar("may_ask", default=True)


class ApprovalAnswer(BaseModel):
    """What a person says to a decision; `later` leaves the run waiting."""

    decision: Literal["approve", "reject", "later"] = Field(description="Shall the run go on as planned?")
    reason: str = Field(default="", description="Why, for the record.", max_length=2_000)


class WaiverAnswer(BaseModel):
    """What a person says about a finding that blocks; `keep` leaves it."""

    decision: Literal["waive", "keep"] = Field(description="Shall this finding no longer block the change?")
    reason: str = Field(default="", description="Why it may stay, for the record.", max_length=2_000)


class ApplyAnswer(BaseModel):
    """What a person says to what a run has merged; `keep` leaves the checkout as it is."""

    decision: Literal["apply", "keep"] = Field(description="Bring these changes into the checkout?")


class RaiseAnswer(BaseModel):
    """What a person says to higher ceilings for a run; `keep` leaves them as they are."""

    decision: Literal["raise", "keep"] = Field(description="May this run of this plan use so much more?")


class Raise(Protocol):
    """What a person would agree to, as one question."""

    @property
    def question(self) -> str:
        """What the person is asked."""
        ...

    @property
    def subject(self) -> Hashable:
        """What tells it from another raise, however much is spent meanwhile."""
        ...

    def word(self, by: str) -> records.PersonWord:
        """Returns the word of a person who has seen this and agrees."""
        ...


UserAnswer = ElicitationResult[ApprovalAnswer] | ElicitationResult[WaiverAnswer] | ElicitationResult[ApplyAnswer] | None


def decision(answer: UserAnswer) -> BaseModel | None:
    """Returns what the user has decided; who declines or cancels has not decided."""
    return answer.data if isinstance(answer, AcceptedElicitation) else None


async def ask(run_id: str, ctx: Context[Any]) -> ApprovalAnswer | Elicit[ApprovalAnswer]:
    """Returns the question for the first decision that a run waits for; no question without one, or without a user."""
    if not run_id or not _can_ask(ctx):
        return ApprovalAnswer(decision="later")
    try:
        app = await _opening(ctx).get()
        waiting = await app.decisions(run_id)
    except errors.DispatchError:
        return ApprovalAnswer(decision="later")
    if not waiting:
        return ApprovalAnswer(decision="later")
    return Elicit(
        f"{waiting[0].question} ({waiting[0].task_id}, run {short_ids.short(waiting[0].run_id)})", ApprovalAnswer
    )


async def ask_waiver(run_id: str, action: str, task_id: str, ctx: Context[Any]) -> WaiverAnswer | Elicit[WaiverAnswer]:
    """Returns the question about the finding that shall be waived; no question without one, or without a user."""
    if action != "waive" or not _can_ask(ctx):
        return WaiverAnswer(decision="keep")
    opening = _opening(ctx)
    try:
        finding = await opening.loaders.tools().waivable(await opening.get(), run_id, task_id)
    except errors.DispatchError:
        return WaiverAnswer(decision="keep")
    if finding is None:
        return WaiverAnswer(decision="keep")
    claim = escape.one_line(finding.claims[0].claim, limit=300)
    place = escape.one_line(f"{finding.file}:{finding.line}", limit=200)
    return Elicit(f"Waive finding {finding.id}? {finding.severity}, {place}: {claim}", WaiverAnswer)


async def ask_to_apply(run_id: str, action: str, task_id: str, ctx: Context[Any]) -> ApplyAnswer | Elicit[ApplyAnswer]:
    """Returns the question about the revision `task_id` of a run; no question when it could not be applied anyway."""
    if action != "apply" or not task_id or not _can_ask(ctx):
        return ApplyAnswer(decision="keep")
    opening = _opening(ctx)
    try:
        offer = await opening.loaders.tools().applicable(await opening.get(), run_id, task_id)
    except errors.DispatchError:
        return ApplyAnswer(decision="keep")
    if offer is None:
        return ApplyAnswer(decision="keep")
    files = escape.one_line(", ".join(offer.files[:MOST_FILES]), limit=400)
    more = f" and {len(offer.files) - MOST_FILES} more" if len(offer.files) > MOST_FILES else ""
    run = short_ids.short(offer.run_id)
    question = f"Apply {offer.revision[:12]} of run {run} to {offer.branch!r}? It changes {files}{more}."
    return Elicit(question, ApplyAnswer)


async def offer_raise(run_id: str, limits: dict[str, Any], ctx: Context[Any]) -> Raise | None:
    """Returns the raise that a call asks for; None when nothing rises, or nobody can be asked.

    What is spent moves on while a person reads, and a question of other words would be asked again: so it keeps the
    words with which it was asked first, for the same raise of the same plan.
    """
    if not run_id or not limits or not _can_ask(ctx):
        return None
    opening = _opening(ctx)
    try:
        offer: Raise | None = await opening.loaders.tools().raisable(await opening.get(), run_id, limits)
    except errors.DispatchError:
        return None
    return None if offer is None else opening.first_asked(offer.subject, offer)


async def ask_to_raise(
    offer: Annotated[Raise | None, Resolve(offer_raise)],
) -> RaiseAnswer | Elicit[RaiseAnswer]:
    """Returns the question about a raise; no question without one."""
    return RaiseAnswer(decision="keep") if offer is None else Elicit(offer.question, RaiseAnswer)


_BY_HAND: Final = {
    "dispatch": "`dispatch-mcp approve RUN` or `dispatch-mcp limit RUN NAME=NUMBER`",
    "steer_run": "`dispatch-mcp waive RUN FINDING --reason WHY` or `dispatch-mcp apply RUN`",
}
"""What a user runs instead, for the tools that ask them."""


def unreadable(tool: str) -> str:
    """Returns what a model is told when the client's answer to a question of `tool` has not the form asked for."""
    by_hand = f"; if that fails again, let the user run {_BY_HAND[tool]} in a terminal" if tool in _BY_HAND else ""
    return f"The client's answer to the question has not the form asked for: nothing is decided. Call again{by_hand}."


def word(offer: Raise | None, answer: ElicitationResult[RaiseAnswer] | None) -> records.PersonWord | None:
    """Returns the word of the person who was asked about a raise, None if they have not agreed."""
    is_yes = isinstance(answer, AcceptedElicitation) and answer.data.decision == "raise"
    return offer.word(BY_ELICITATION) if offer is not None and is_yes else None


APPROVAL = Annotated[ElicitationResult[ApprovalAnswer], Resolve(ask)]
"""The parameter of a tool that asks for a decision first."""

WAIVER = Annotated[ElicitationResult[WaiverAnswer], Resolve(ask_waiver)]
"""The parameter of a tool that asks whether a finding shall be waived."""

APPLYING = Annotated[ElicitationResult[ApplyAnswer], Resolve(ask_to_apply)]
"""The parameter of a tool that asks whether a run's changes shall be applied."""

RAISE = Annotated[Raise | None, Resolve(offer_raise)]
"""The parameter of a tool that holds the raise about which the user is asked."""

RAISING = Annotated[ElicitationResult[RaiseAnswer], Resolve(ask_to_raise)]
"""The parameter of a tool that asks whether a run may use more."""


def asks_meanwhile(ctx: Context[Any]) -> bool:
    """Returns whether the client of this call is asked by a request of its own, to which it can answer an error."""
    return ctx.request_context.protocol_version < client_roots.NEWER


@contextlib.contextmanager
def unasked() -> Generator[None]:
    """Puts no questions meanwhile, as to a client that cannot ask."""
    token = _MAY_ASK.set(False)
    try:
        yield
    finally:
        _MAY_ASK.reset(token)


def _can_ask(ctx: Context[Any]) -> bool:
    """Returns whether the client can show its user a form; one that names only addresses to open cannot."""
    capabilities = ctx.client_capabilities
    forms = capabilities.elicitation if capabilities is not None else None
    return _MAY_ASK.get() and forms is not None and (forms.form is not None or forms.url is None)


def _opening(ctx: Context[Any]) -> lazy.Opening:
    opening: lazy.Opening = ctx.request_context.lifespan_context
    return opening
