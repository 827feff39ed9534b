"""What the eight tools do: one function a tool, from checked arguments to a small answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from dispatch_mcp import errors, model
from dispatch_mcp.mcp_server import elicit_apply, elicitation, tool_arguments
from dispatch_mcp.routing import router
from dispatch_mcp.service import dispatcher, plan_answers, reviews

Handler = Callable[[dispatcher.Dispatcher, Any], Awaitable[dict[str, model.Json]]]


async def route_task(app: dispatcher.Dispatcher, args: tool_arguments.RouteTask) -> dict[str, model.Json]:
    """Answers who should do a task."""
    hints = router.Hints(urgency=args.urgency, files=tuple(args.files))
    return plan_answers.route_answer(app.route(args.task, roster=args.roster, hints=hints))


async def plan_dag(app: dispatcher.Dispatcher, args: tool_arguments.PlanDag) -> dict[str, model.Json]:
    """Answers with a checked plan, or with everything that is wrong with it."""
    if args.edits or args.plan_id:
        planned = await app.plans.edit(args.plan_id, args.base_version, args.edits)
    elif args.tasks:
        planned = await app.plans.plan(
            args.tasks, request=args.request, max_parallel=args.max_parallel, on_conflict=args.on_conflict
        )
    else:
        return plan_answers.draft_answer(app.plans.draft(args.request), diagram=args.diagram)
    return plan_answers.plan_answer(planned, diagram=args.diagram)


async def dispatch(app: dispatcher.Dispatcher, args: tool_arguments.Dispatch) -> dict[str, model.Json]:
    """Starts or continues a run."""
    progress = await app.dispatch(
        plan_id=args.plan_id,
        run_id=args.run_id,
        worker=args.worker,
        request_key=args.request_key,
        dry_run=args.dry_run,
        fresh=args.fresh,
        limits=plan_answers.read_limits(args.limits),
    )
    return progress.wire()


async def report(app: dispatcher.Dispatcher, args: tool_arguments.Report) -> dict[str, model.Json]:
    """Accepts results of the host."""
    reported = await app.report(args.run_id, args.results)
    answer = reported.wire()
    if reported.state in model.RUN_FINAL:
        decided = await app.council.look(reported.run_id)
        answer |= {"decision": decided.wire(), "next": decided.next} if decided else {}
    return answer


async def review_council(app: dispatcher.Dispatcher, args: tool_arguments.ReviewCouncil) -> dict[str, model.Json]:
    """Starts a round of the council, or answers where one stands."""
    asked = reviews.Asked(
        diff=args.diff, range=args.range, run_id=args.run_id, after=args.after, reviewers=tuple(args.reviewers)
    )
    return (await app.council.review(asked)).wire()


async def get_trace(app: dispatcher.Dispatcher, args: tool_arguments.GetTrace) -> dict[str, model.Json]:
    """Answers with a view of a run."""
    trace = await app.trace(
        run_id=args.run_id, task_id=args.task_id, view=args.view, cursor=args.cursor, wait_s=args.wait_s
    )
    shown = trace.wire()
    if trace.run_id and args.view == "summary" and not args.task_id:
        shown |= await app.council.trace_summary(trace.run_id)
    return shown


async def steer_run(app: dispatcher.Dispatcher, args: tool_arguments.SteerRun) -> dict[str, model.Json]:
    """Steers a run. Waiving does not come here: `asking.waive` asks a person first."""
    if args.action == "waive":
        raise errors.NotAllowed("Only a person can waive a finding.", hint=elicitation.HOW_TO_WAIVE)
    if args.action == "apply":
        raise errors.NotAllowed("Only a person can change the checkout.", hint=elicit_apply.HOW_TO_APPLY)
    return (await app.steer(args.run_id, args.action, args.task_id, args.reason)).wire()


async def message_agents(app: dispatcher.Dispatcher, args: tool_arguments.MessageAgents) -> dict[str, model.Json]:
    """Sends a message or reads an inbox."""
    if args.action == "inbox":
        return (await app.inbox(args.run_id, args.recipient)).wire()
    if not args.text.strip():
        raise errors.InputError("The message has no text.", hint="Say in a sentence what the recipient should know.")
    message = model.Message(
        run_id=args.run_id, sender=args.sender, recipient=args.recipient, kind=args.kind, text=args.text
    )
    return (await app.send(message)).wire()


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
