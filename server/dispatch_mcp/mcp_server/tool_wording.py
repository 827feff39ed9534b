"""Next steps as an assistant takes them: calls of this server's tools, and what only the user can do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from dispatch_mcp.model import short_ids
from dispatch_mcp.next_steps import (
    NextStep,
    StepKind,
    Words,
    carried_on,
    constant_words,
    counted,
    duration,
    ended_unread,
    have_been_out,
    in_words,
    names,
    sentences,
    settle_alike,
)

MOST_TASKS: Final = 5
"""Tasks that a sentence names; the trace lists all."""


def words(step: NextStep) -> str:
    """Returns a step as one or a few sentences that name the tools to call."""
    step = replace(step, run=short_ids.short(step.run), plan=short_ids.short(step.plan))
    beside = _carry_on(step) if step.ownerless and step.kind is not StepKind.CARRY_ON else ""
    return in_words(step, sentences(beside, _PHRASES[step.kind](step)), _messages(step), _changes(step))


def _carry_on(step: NextStep) -> str:
    return carried_on(step, "`dispatch-mcp worker`, started by the user,")


def _run_id(step: NextStep) -> str:
    return f"run_id={step.run!r}" if step.run else "run_id=…"


def _messages(step: NextStep) -> str:
    pass_on = f"Pass `pass_on` on to {names(step.pass_on)} now; where you cannot, check the result against it."
    unread = f"{ended_unread(step, '`unread`')}: check the result, and have it changed if it matters."
    whole = "The resource `notes_at` has all of them whole." if step.notes_at else ""
    texts = f"Their words: {' and '.join(f'get_trace(view={view!r})' for view in step.whole_in)}."
    return sentences(
        pass_on if step.pass_on else "", unread if step.unread else "", whole, texts if step.whole_in else ""
    )


def _changes(step: NextStep) -> str:
    if not step.has_changes:
        return ""
    return (
        "What it changed comes into the checkout, unless it is there by now: steer_run(action='apply') asks the user, "
        f"or they run `dispatch-mcp apply {step.run or 'RUN'}`."
    )


def _decide(step: NextStep) -> str:
    return (
        f"A person has to decide: {', '.join(step.tasks[:MOST_TASKS])}. Call dispatch(run_id) to have the user asked "
        f"here, or let them run `dispatch-mcp approve {step.run or 'RUN'}`. Nobody else can approve."
    )


def _do_assignments(step: NextStep) -> str:
    rest = f"{step.repeats} more {have_been_out(step, step.repeats)}: do not start {_it(step.repeats)} again."
    if step.by_name:
        do = (
            f"Start {counted(step.count, 'assignment')} now, each `call` word for word, in one message: the name in "
            "`prompt` becomes the brief, and results are reported by themselves."
        )
    else:
        do = f"Do {counted(step.count, 'assignment')} now, in parallel if you can; send all results in one `report`."
    return sentences(do, rest if step.repeats else "")


def _it(number: int) -> str:
    return "it" if number == 1 else "them"


def _keep_assignments(step: NextStep) -> str:
    it = _it(step.repeats)
    if step.by_name:
        return (
            f"Nothing new: {counted(step.repeats, 'assignment')} {have_been_out(step, step.repeats)}. What no subagent "
            "does yet, start with its `call`; one that is done already is refused."
        )
    return (
        f"Nothing new: {counted(step.repeats, 'assignment')} {have_been_out(step, step.repeats)}; `report` {it} when "
        f"done, and start a `call` again only if its subagent is lost."
    )


def _fetch_assignments(step: NextStep) -> str:
    return f"{counted(step.count, 'task')} ready for you: call `dispatch` with this run_id to receive them."


def _finish_assignments(step: NextStep) -> str:
    since = f" for {duration(step.out_s)}" if step.out_s else ""
    return (
        f"{counted(step.count, 'assignment')} out with you{since}: finish and `report`; "
        "`dispatch` with this run_id repeats them if they were lost."
    )


def _do_reviews(step: NextStep) -> str:
    these = "these reviews" if step.count > 1 else "this review"
    return (
        f"Start {these} now, all in one message, each in a subagent of its own that sees nothing of the others; "
        "without resources it reads `briefs`/TASK-ATTEMPT.md. Send all answers whole in one `report`."
    )


def _waive(step: NextStep) -> str:
    return f"only a person can waive one: `dispatch-mcp waive {step.run or 'RUN'} FINDING --reason WHY`"


def _let_review_go(step: NextStep) -> str:
    review = step.tasks[0] if len(step.tasks) == 1 else "REVIEW"
    return f"only the user can let a review go: `dispatch-mcp steer skip {step.run or 'RUN'} {review}`"


def _settle_failures(step: NextStep) -> str:
    look = (
        "When that is mended," if settle_alike(step) and not step.whole_in else "Read get_trace(view='results'); then"
    )
    is_skippable = not {*step.tasks} or bool({*step.tasks}.difference(step.person_skips, step.no_skips))
    skip = " or action='skip'" if is_skippable else ""
    task = step.person_skips[0] if len(step.person_skips) == 1 else "TASK"
    person = (
        f" Only the user can let {names(step.person_skips)} go: `dispatch-mcp steer skip {step.run or 'RUN'} {task}`."
    )
    return f"{look} steer_run(action='retry'){skip}, task by task.{person if step.person_skips else ''}"


def _settle_reviews(step: NextStep) -> str:
    return (
        "Read get_trace(view='results'); steer_run(action='retry') on the work has it mended and reviewed again, on "
        f"the review asks once more; {_let_review_go(step)}."
    )


def _repeat_review(step: NextStep) -> str:
    return "Call review_council again to try anew" + (f", or {_waive(step)}." if step.has_findings else ".")


def _mend(step: NextStep) -> str:
    how = f"Dispatch plan {step.plan}: the owners mend the findings" if step.plan else "Blocked: have it mended"
    return f"{how}, then review the change again with after={step.run!r}; {_waive(step)}."


def _refuse_added(step: NextStep) -> str:
    edit = f"plan_dag(plan_id, base_version={step.version}, edits) with {{op: remove, id: {(*step.tasks, '')[0]}}}"
    return f"{edit} takes it out." if step.tasks else "Plan the tasks anew without it."


_NAME_WORKSPACE: Final = (
    "Give a workspace, or set DISPATCH_MCP_WORKSPACE to the absolute path of your project where the server is "
    "registered."
)

_PHRASES: Final[Mapping[StepKind, Words]] = {
    StepKind.DO_ASSIGNMENTS: _do_assignments,
    StepKind.FETCH_ASSIGNMENTS: _fetch_assignments,
    StepKind.FINISH_ASSIGNMENTS: _finish_assignments,
    StepKind.KEEP_ASSIGNMENTS: _keep_assignments,
    StepKind.AWAIT_RETRY: lambda step: f"Nothing to do now: wait with get_trace({_run_id(step)}, wait_s=45).",
    StepKind.CARRY_ON: _carry_on,
    StepKind.WATCH: constant_words("Working. Read `get_trace` with wait_s up to 45; do not dispatch again."),
    StepKind.DECIDE: _decide,
    StepKind.RESUME: constant_words("Paused. Resume it with steer_run(action='resume')."),
    StepKind.RAISE_LIMIT: constant_words(
        "A ceiling of the run is reached and nothing more begins; get_trace says which. "
        "dispatch(run_id, limits) asks the user to raise it."
    ),
    StepKind.AGREE_TO_RAISE: lambda step: (
        f"Ask the user to run `dispatch-mcp limit {step.run or 'RUN'} {' '.join(step.limits) or '…'}` in a terminal, "
        "which shows it again; or go on within what is left."
    ),
    StepKind.READ_RESULTS: constant_words("Read get_trace(view='results')."),
    StepKind.SETTLE_FAILURES: _settle_failures,
    StepKind.SETTLE_REVIEWS: _settle_reviews,
    StepKind.READ_DECISION: lambda step: f"review_council({_run_id(step)}) has the decision and what follows.",
    StepKind.HAVE_REVIEWED: lambda step: f"review_council({_run_id(step)}) has that reviewed; a PASS frees the files.",
    StepKind.LET_REVIEW_GO: lambda step: f"Have the work mended until it passes; {_let_review_go(step)}.",
    StepKind.REOPEN: constant_words("steer_run(action='retry') reopens a task."),
    StepKind.WAITS_FOR_PERSON: constant_words("waits for a person: `dispatch` with this run_id asks the user"),
    StepKind.WAITS_FOR_ASSISTANT: constant_words("ready: `dispatch` with this run_id hands it to you"),
    StepKind.LIST_RUNS: constant_words("`get_trace` without arguments lists your runs."),
    StepKind.LIST_ALL_RUNS: lambda step: (
        f"No open runs. get_trace({_run_id(step)}) says how the newest ended; get_trace(view='all') lists all."
    ),
    StepKind.READ_RUN: lambda step: (
        f"get_trace({_run_id(step)}) says where it stands." if step.run else "Read one with get_trace(run_id=…)."
    ),
    StepKind.LIST_TASKS: lambda step: f"get_trace({_run_id(step)}) lists its tasks.",
    StepKind.AWAIT_RESULT: lambda step: f"Wait with get_trace({_run_id(step)}, wait_s=45).",
    StepKind.CHECK_INSTALLATION: constant_words("The user can run `dispatch-mcp doctor`, which says more."),
    StepKind.SHOW_SETTINGS: constant_words("`dispatch-mcp config` lists what is possible."),
    StepKind.LIST_WORKTREES: constant_words("`dispatch-mcp worktrees` lists what was left behind."),
    StepKind.NAME_WORKSPACE: constant_words(_NAME_WORKSPACE),
    StepKind.HAND_IN_CHANGE: constant_words(f"Send the change as diff. {_NAME_WORKSPACE}"),
    StepKind.BEGIN_RUN: lambda step: (
        f"dispatch(plan_id={step.plan!r}) starts one."
        if step.plan
        else "`plan_dag` makes a plan, and `dispatch` starts it."
    ),
    StepKind.MAKE_PLAN: constant_words("`plan_dag` makes one and returns its id."),
    StepKind.CORRECT_PLAN: constant_words("Fix all of them and call plan_dag again."),
    StepKind.SPLIT_REQUEST: constant_words(
        "Split it in the request's own words: plan_dag(request, pattern, parts). Or send tasks. One part for one agent "
        "needs no plan."
    ),
    StepKind.REFUSE_ADDED: _refuse_added,
    StepKind.BEGIN_ANEW: lambda step: (
        f"dispatch(plan_id={step.plan or '…'!r}) starts a run of the new version and takes over the results that still "
        "hold."
    ),
    StepKind.LOOK_AT_CHANGE: lambda step: (
        f"steer_run(action='apply', {_run_id(step)}) without a task_id says what has been merged by now."
    ),
    StepKind.NAME_REVISION: lambda step: f"Call again with task_id={step.revision[:12]!r}; the user is asked then.",
    StepKind.START_REVIEW: constant_words("review_council starts one; get_trace without arguments lists runs."),
    StepKind.BEGIN_REVIEW: constant_words("Nothing was stored or started: review_council without dry_run starts it."),
    StepKind.NAME_CHANGE: constant_words(
        "Name a change: diff, a git range, or a run; without any, what changed since the last commit."
    ),
    StepKind.DO_REVIEWS: _do_reviews,
    StepKind.WATCH_REVIEW: lambda step: (
        f"Reviewers are at work: get_trace({_run_id(step)}, wait_s=45), then review_council with this run_id."
    ),
    StepKind.FINISH_REVIEW: lambda step: f"Finish it first: dispatch({_run_id(step)}).",
    StepKind.REPEAT_REVIEW: _repeat_review,
    StepKind.MEND: _mend,
    StepKind.LEAVE_TO_USER: lambda step: f"Ask the user what becomes of it; {_waive(step)}.",
    StepKind.SAY_PASSED: constant_words(
        "Passed. Tell the user what is left to do (medium) and what was found besides (low)."
    ),
}
