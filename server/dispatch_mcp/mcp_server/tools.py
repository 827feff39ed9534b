"""What the eight tools do: one function a tool, from checked arguments to a small answer.

What only a person decides comes here with the person's decision; without one it is refused.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypedDict

from pydantic import BaseModel

from dispatch_mcp import errors, model
from dispatch_mcp.git import apply_rules
from dispatch_mcp.mcp_server import elicitation, tool_arguments, tool_wording
from dispatch_mcp.model import merge_offer, records
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.planning.drafts import patterns
from dispatch_mcp.review import council_decision
from dispatch_mcp.routing import route_answers, router
from dispatch_mcp.service import answers, approvals, dispatcher, plan_answers, review_answers, reviews
from dispatch_mcp.service.run_views import run_metadata, short_summary

Handler = Callable[[dispatcher.Dispatcher, Any], Awaitable[dict[str, model.Json]]]

HOW_TO_WAIVE = "Ask the user to run `dispatch-mcp waive RUN FINDING --reason WHY` in a terminal."
HOW_TO_APPLY = "Ask the user to run `dispatch-mcp apply RUN` in a terminal."
CHOOSE = "Choose one and name it as the task's agent in plan_dag; unsure: ask the user."


async def call(
    name: str,
    app: dispatcher.Dispatcher,
    args: tool_arguments.Args,
    decision: BaseModel | None,
    word: records.PersonWord | None = None,
) -> dict[str, model.Json]:
    """Carries out a call and returns its answer.

    `decision` is what the user has decided, None if nobody has; `word` is theirs on a raise of the run's ceilings.

    Raises:
        DispatchError: the call is refused.
    """
    if isinstance(args, tool_arguments.Dispatch):
        await _settle(app, args.run_id, decision)
        return await dispatch(app, args, word)
    if isinstance(args, tool_arguments.SteerRun) and args.action == "waive":
        return await _waive(app, args, decision)
    if isinstance(args, tool_arguments.SteerRun) and args.action == "apply":
        return await _apply(app, args, decision)
    return await HANDLERS[name](app, args)


async def decide(app: dispatcher.Dispatcher, run_id: str, task_id: str, decision: BaseModel) -> None:
    """Records what the user said to a decision that a run waits for. Raises InputError when it waits for none."""
    if isinstance(decision, elicitation.ApprovalAnswer) and decision.decision != "later":
        verdict = approvals.PersonVerdict(decision.decision == "approve", elicitation.BY_ELICITATION, decision.reason)
        await app.decide(run_id, task_id, verdict)


async def waivable(app: dispatcher.Dispatcher, run_id: str, finding_id: str) -> council_decision.MergedFinding | None:
    """Returns the finding of a review that a person could waive, or None. Raises DispatchError for no review."""
    findings = await app.council.waivable(run_id)
    return next((finding for finding in findings if finding.id == finding_id), None)


async def applicable(app: dispatcher.Dispatcher, run_id: str, revision: str) -> merge_offer.Offer | None:
    """Returns what a run has merged; None if the checkout has all of it.

    Raises:
        DispatchError: that is another revision, or the checkout is in no state for it.
    """
    offer = await app.offer(run_id)
    apply_rules.refuse(offer, revision)
    return None if offer.way == "nothing" else offer


async def raisable(
    app: dispatcher.Dispatcher, run_id: str, limits: Mapping[str, model.Json]
) -> approvals.RaiseOffer | None:
    """Returns what a person would have to agree to for a run to have these ceilings; None when nothing rises.

    Raises:
        DispatchError: these are no ceilings, or the configuration allows less.
    """
    return await app.offer_raise(run_id, plan_answers.read_limits(limits))


async def _settle(app: dispatcher.Dispatcher, run_id: str, decision: BaseModel | None) -> None:
    """Records what the user said to the first open decision of a run, if they said yes or no."""
    if not isinstance(decision, elicitation.ApprovalAnswer) or decision.decision == "later":
        return
    waiting = await app.decisions(run_id)
    if waiting:
        await decide(app, run_id, waiting[0].task_id, decision)


async def _waive(
    app: dispatcher.Dispatcher, args: tool_arguments.SteerRun, decision: BaseModel | None
) -> dict[str, model.Json]:
    """Records the user's waiver and returns where the review stands.

    Raises:
        NotAllowed: no user was asked, or the user keeps the finding.
        InputError: there is no such finding, or the user gave no reason.
    """
    if not isinstance(decision, elicitation.WaiverAnswer) or decision.decision != "waive":
        raise errors.NotAllowed(f"Finding {args.task_id!r} is not waived: no user said so.", hint=HOW_TO_WAIVE)
    return _wire(await app.council.waive(args.run_id, args.task_id, decision.reason, elicitation.BY_ELICITATION))


async def _apply(
    app: dispatcher.Dispatcher, args: tool_arguments.SteerRun, decision: BaseModel | None
) -> dict[str, model.Json]:
    """Applies the revision if the user said so, and returns what was done.

    Raises:
        NotAllowed: no user was asked, or the user keeps the checkout as it is; or the checkout is in no state for it.
        InputError: the run has merged something else, or nothing.
    """
    revision = args.task_id
    offer = await app.offer(args.run_id)
    if not revision:
        if offer.way != "nothing" and (why := apply_rules.obstacle(offer)):
            raise errors.NotAllowed(f"{apply_rules.describe_offer(offer)} {why[0]}", hint=why[1])
        raise errors.InputError(
            f"Say which revision: {apply_rules.describe_offer(offer)}",
            hint=NextStep(StepKind.NAME_REVISION, offer.run_id, revision=offer.revision),
        )
    apply_rules.refuse(offer, revision)
    if offer.way != "nothing":
        if not isinstance(decision, elicitation.ApplyAnswer) or decision.decision != "apply":
            raise errors.NotAllowed(f"Revision {revision!r} is not applied: no user said so.", hint=HOW_TO_APPLY)
        offer = await app.offer(args.run_id, revision)
    answer: dict[str, model.Json] = offer.model_dump(mode="json", exclude_defaults=True)
    return {**answer, "next": apply_rules.describe_offer(offer)}


def _wire(answer: answers.Answer) -> dict[str, model.Json]:
    return answer.wire(tool_wording.words)


async def route_task(app: dispatcher.Dispatcher, args: tool_arguments.RouteTask) -> dict[str, model.Json]:
    """Answers who should do a task, or whom to choose from."""
    hints = router.Hints(urgency=args.urgency, files=tuple(args.files))
    route = app.route(args.task, roster=args.roster, hints=hints)
    return route_answers.answer(route, args.view, then=CHOOSE)


async def plan_dag(app: dispatcher.Dispatcher, args: tool_arguments.PlanDag) -> dict[str, model.Json]:
    """Answers with a checked plan, with everything that is wrong with it, or with what is offered for a request."""
    if args.edits or args.plan_id:
        proposal = await app.plans.edit(args.plan_id, args.base_version, args.edits, roster=args.roster)
    elif args.tasks and not args.parts:
        proposal = await app.plans.plan(args.tasks, pattern=args.pattern, **_plan_settings(args))
    elif args.parts:
        _refuse_parts(args)
        proposal = await app.plans.plan_parts(args.parts, args.pattern, **_plan_settings(args))
    else:
        offer = app.plans.offer(args.request, args.pattern, roster=args.roster)
        return plan_answers.offer_answer(offer, tool_wording.words)
    return plan_answers.plan_answer(proposal, tool_wording.words, diagram=args.diagram)


class _PlanSettings(TypedDict):
    request: str
    title: str
    max_parallel: int | None
    on_conflict: model.Conflict
    roster: str


def _plan_settings(args: tool_arguments.PlanDag) -> _PlanSettings:
    return {
        "request": args.request,
        "title": args.title,
        "max_parallel": args.max_parallel,
        "on_conflict": args.on_conflict,
        "roster": args.roster,
    }


def _refuse_parts(args: tool_arguments.PlanDag) -> None:
    if args.tasks:
        raise errors.InputError(
            f"Both {len(args.tasks)} tasks and {len(args.parts)} parts are given.",
            hint="Send parts with a pattern, or tasks.",
        )
    if not args.pattern:
        names = ", ".join(shape.name for shape in patterns.SHAPES)
        raise errors.InputError("Parts need a pattern (got '').", hint=f"Choose one: {names}.")


async def dispatch(
    app: dispatcher.Dispatcher, args: tool_arguments.Dispatch, word: records.PersonWord | None = None
) -> dict[str, model.Json]:
    """Starts or continues a run; with the word of a person it may use more than before."""
    progress = await app.dispatch(
        plan_id=args.plan_id,
        run_id=args.run_id,
        worker=args.worker,
        request_key=args.request_key,
        dry_run=args.dry_run,
        fresh=args.fresh,
        roster=args.roster,
        limits=plan_answers.read_limits(args.limits),
        word=word,
    )
    return _wire(progress)


async def report(app: dispatcher.Dispatcher, args: tool_arguments.Report) -> dict[str, model.Json]:
    """Accepts results of the host."""
    progress = await app.report(args.run_id, args.results)
    answer = _wire(progress)
    review = await app.council.look(progress.run_id) if progress.state in model.RUN_FINAL else None
    if review is not None:
        decision = _wire(review)
        answer |= {"decision": decision, "next": decision.get("next", "")}
    return answer


async def review_council(app: dispatcher.Dispatcher, args: tool_arguments.ReviewCouncil) -> dict[str, model.Json]:
    """Starts a round of the council, or answers where one stands."""
    change = reviews.ReviewRequest(
        diff=args.diff,
        range=args.range,
        run_id=args.run_id,
        after=args.after,
        reviewers=tuple(args.reviewers),
        dry_run=args.dry_run,
    )
    return _wire(review_answers.in_short(await app.council.review(change)))


async def get_trace(app: dispatcher.Dispatcher, args: tool_arguments.GetTrace) -> dict[str, model.Json]:
    """Answers with a view of a run."""
    trace = await app.trace(
        run_id=args.run_id, task_id=args.task_id, view=args.view, cursor=args.cursor, wait_s=args.wait_s
    )
    answer = _wire(trace if args.task_id else run_metadata.shown(trace, args.view))
    if trace.is_review and args.view in ("summary", "council") and not (args.task_id or args.cursor):
        whole = await app.council.trace_summary(trace.run_id, tool_wording.words)
        answer |= whole if args.view == "council" else run_metadata.in_short(whole)
    if trace.run_id and args.view == "summary" and not args.task_id:
        return short_summary.fit(answer)
    if args.view == "report":
        answer["text"] = f"{trace.text}### Next Steps\n\n- {answer.get('next', 'Nothing is left to do.')}\n"
    return answer


async def steer_run(app: dispatcher.Dispatcher, args: tool_arguments.SteerRun) -> dict[str, model.Json]:
    """Steers a run. WaiverAnswer and applying do not come here: a person decides on them first."""
    if args.action == "waive":
        raise errors.NotAllowed("Only a person can waive a finding.", hint=HOW_TO_WAIVE)
    if args.action == "apply":
        raise errors.NotAllowed("Only a person can change the checkout.", hint=HOW_TO_APPLY)
    return _wire(await app.steer(args.run_id, args.action, args.task_id, args.reason))


async def message_agents(app: dispatcher.Dispatcher, args: tool_arguments.MessageAgents) -> dict[str, model.Json]:
    """Sends a message or reads an inbox."""
    if args.action == "inbox":
        return _wire(await app.inbox(args.run_id, args.recipient))
    if not args.text.strip():
        raise errors.InputError("The message has no text.", hint="Say in a sentence what the recipient should know.")
    message = model.Message(
        run_id=args.run_id, sender=args.sender, recipient=args.recipient, kind=args.kind, text=args.text
    )
    return _wire(await app.send(message))


HANDLERS: dict[str, Handler] = {
    "route_task": route_task,
    "plan_dag": plan_dag,
    "dispatch": dispatch,
    "report": report,
    "review_council": review_council,
    "get_trace": get_trace,
    "steer_run": steer_run,
    "message_agents": message_agents,
}
