"""Next steps as a person at a shell takes them: commands to type, and what an assistant has to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from dispatch_mcp.next_steps import (
    NextStep,
    StepKind,
    Words,
    constant_words,
    counted,
    duration,
    ended_unread,
    have_been_out,
    in_words,
    names,
    places,
    sentences,
    settle_alike,
)
from dispatch_mcp.text import short_forms

MOST_TASKS: Final = 5
"""Tasks that a sentence names; the table above it lists all."""


def words(step: NextStep) -> str:
    """Returns a step as one or a few sentences that name the commands to type."""
    step = replace(step, run=short_forms.short(step.run), plan=short_forms.short(step.plan))
    beside = _carry_on(step) if step.ownerless and step.kind is not StepKind.CARRY_ON else ""
    return in_words(step, sentences(beside, _PHRASES[step.kind](step)), _messages(step), _changes(step))


def _carry_on(step: NextStep) -> str:
    return (
        f"No process is at work on {names(step.ownerless) or 'this run'}: `dispatch-mcp worker --idle 60` goes on with "
        f"it{places(step)}, and ends when there is nothing to do."
    )


def _command(action: str, step: NextStep, rest: str = "") -> str:
    return f"`dispatch-mcp {action} {step.run or 'RUN'}{rest and ' '}{rest}`"


def _task(step: NextStep) -> str:
    return step.tasks[0] if len(step.tasks) == 1 else "TASK"


def _messages(step: NextStep) -> str:
    pass_on = f"Your assistant has messages to pass on to {names(step.pass_on)}."
    unread = f"{ended_unread(step, 'a message')}."
    return sentences(pass_on if step.pass_on else "", unread if step.unread else "")


def _changes(step: NextStep) -> str:
    if not step.has_changes:
        return ""
    return f"What it changed comes into the checkout with {_command('apply', step)}, unless it is there by now."


def _decide(step: NextStep) -> str:
    return (
        f"A person has to decide: {', '.join(step.tasks[:MOST_TASKS])}. Say so with {_command('approve', step)} "
        "(or --reject)."
    )


def _fetch_assignments(step: NextStep) -> str:
    tasks = counted(step.count, "task")
    return f"{tasks} ready for an assistant: ask your assistant to dispatch run {step.run}."


def _finish_assignments(step: NextStep) -> str:
    out = counted(step.count, "assignment")
    since = f" for {duration(step.out_s)}" if step.out_s else ""
    return f"{out} out with your assistant{since}; it gets them again by dispatching run {step.run}."


def _raise_limit(step: NextStep) -> str:
    return (
        f"A ceiling of the run is reached and nothing more begins; {_command('status', step)} says which. "
        f"Raise it with {_command('limit', step, '…')}. If only a forecast does not fit, "
        f"{_command('limit', step, '--begin-anyway')} lets work begin with what is left, and stop there."
    )


def _agree_to_raise(step: NextStep) -> str:
    entries = ["--begin-anyway" if entry.startswith("beyond_forecast") else entry for entry in step.limits] or ["…"]
    command = _command("limit", step, " ".join((*entries, "--expect", step.digest or "DIGEST")))
    return f"A person who has read this says so with {command}, or is asked in a terminal."


def _settle_failures(step: NextStep) -> str:
    task = _task(step)
    look = f"Read {_command('trace', step, '--view results')}, then"
    skip = f" or {_command('steer skip', step, task)}" if step.tasks != step.no_skips or not step.tasks else ""
    return (
        f"{'When that is mended,' if settle_alike(step) else look} {_command('steer retry', step, task)}{skip}, "
        "task by task."
    )


def _waive(step: NextStep) -> str:
    return f"only a person can waive one: {_command('waive', step, 'FINDING --reason WHY')}"


def _settle_reviews(step: NextStep) -> str:
    return (
        f"Read {_command('trace', step, '--view results')}; {_command('steer retry', step, 'TASK')} has the work "
        f"mended and reviewed again; {_let_review_go(step)}"
    )


def _let_review_go(step: NextStep) -> str:
    review = step.tasks[0] if len(step.tasks) == 1 else "REVIEW"
    return f"{_command('steer skip', step, review)} lets the review go."


def _repeat_review(step: NextStep) -> str:
    return "Run `dispatch-mcp review` again to try anew" + (f", or {_waive(step)}." if step.has_findings else ".")


def _mend(step: NextStep) -> str:
    how = f"`dispatch-mcp run {step.plan}` has the owners mend the findings" if step.plan else "Blocked: have it mended"
    return f"{how}, then review the change again with --after {step.run!r}; {_waive(step)}."


def _begin_run(step: NextStep) -> str:
    if step.plan:
        return f"Plan {step.plan} has not been run yet: `dispatch-mcp run {step.plan}` starts it."
    return "`dispatch-mcp run FILE` runs a task document; `dispatch-mcp demo` shows how that looks."


def _refuse_added(step: NextStep) -> str:
    reviews = "DISPATCH_MCP_REVIEWS=none before the command leaves the reviews out."
    tasks = "A pattern's own tasks stay out of a plan that you write yourself: `dispatch-mcp plan FILE`."
    if not step.tasks and not step.advice:
        return "Plan the tasks without it."
    return sentences(reviews if set(step.tasks) - {*step.by_pattern} else "", tasks if step.by_pattern else "")


_NAME_WORKSPACE: Final = "Go to the folder of your project, or name it with `--workspace DIR`."

_PHRASES: Final[Mapping[StepKind, Words]] = {
    StepKind.DO_ASSIGNMENTS: lambda step: f"Your assistant has {counted(step.count, 'assignment')} to do now.",
    StepKind.FETCH_ASSIGNMENTS: _fetch_assignments,
    StepKind.FINISH_ASSIGNMENTS: _finish_assignments,
    StepKind.KEEP_ASSIGNMENTS: lambda step: (
        f"Nothing new: {counted(step.repeats, 'assignment')} {have_been_out(step, step.repeats)} with your assistant."
    ),
    StepKind.AWAIT_RETRY: constant_words("Nothing to do now. Look again in a while."),
    StepKind.CARRY_ON: _carry_on,
    StepKind.WATCH: constant_words("Working. Look again in a while."),
    StepKind.DECIDE: _decide,
    StepKind.RESUME: lambda step: f"Paused. Resume it with {_command('steer resume', step)}.",
    StepKind.RAISE_LIMIT: _raise_limit,
    StepKind.AGREE_TO_RAISE: _agree_to_raise,
    StepKind.READ_RESULTS: lambda step: f"Read {_command('trace', step, '--view results')}.",
    StepKind.SETTLE_FAILURES: _settle_failures,
    StepKind.SETTLE_REVIEWS: _settle_reviews,
    StepKind.READ_DECISION: lambda step: f"{_command('review --run', step)} has the decision and what follows.",
    StepKind.HAVE_REVIEWED: lambda step: f"{_command('review --run', step)} has that reviewed; a PASS frees the files.",
    StepKind.LET_REVIEW_GO: _let_review_go,
    StepKind.REOPEN: lambda step: f"{_command('steer retry', step, 'TASK')} reopens a task.",
    StepKind.WAITS_FOR_PERSON: lambda step: f"waits for a person: {_command('approve', step)}",
    StepKind.WAITS_FOR_ASSISTANT: lambda step: f"ready: your assistant gets it by dispatching run {step.run}",
    StepKind.LIST_RUNS: constant_words("`dispatch-mcp status --all` lists your runs."),
    StepKind.NAME_WORKSPACE: constant_words(_NAME_WORKSPACE),
    StepKind.HAND_IN_CHANGE: constant_words(
        f"{_NAME_WORKSPACE} A change that lies elsewhere: `dispatch-mcp review --diff FILE`."
    ),
    StepKind.BEGIN_RUN: _begin_run,
    StepKind.LIST_ALL_RUNS: lambda step: (
        f"No open runs. {_command('status', step)} says how the newest ended; `dispatch-mcp status --all` lists all."
    ),
    StepKind.READ_RUN: lambda step: (
        f"{_command('status', step)} says where it stands."
        if step.run
        else f"Read one with {_command('status', step)}."
    ),
    StepKind.LIST_TASKS: lambda step: f"{_command('status', step)} lists its tasks.",
    StepKind.AWAIT_RESULT: constant_words("Look again in a while."),
    StepKind.CHECK_INSTALLATION: constant_words("`dispatch-mcp doctor` says more."),
    StepKind.SHOW_SETTINGS: constant_words("`dispatch-mcp config` lists what is possible."),
    StepKind.LIST_WORKTREES: constant_words("`dispatch-mcp worktrees` lists what was left behind."),
    StepKind.MAKE_PLAN: constant_words("`dispatch-mcp plan FILE` makes one and prints its id."),
    StepKind.CORRECT_PLAN: constant_words("Fix all of them and try again."),
    StepKind.SPLIT_REQUEST: constant_words(
        'Split it in your own words: --pattern NAME --part "…" --part "…", or write tasks into a file for '
        "`dispatch-mcp plan FILE`; `--with api` or `--with claude` has a model write them."
    ),
    StepKind.REFUSE_ADDED: _refuse_added,
    StepKind.BEGIN_ANEW: lambda step: (
        f"`dispatch-mcp run {step.plan or 'FILE'} --reuse` starts a run of the new version and takes over the results "
        "that still hold."
    ),
    StepKind.LOOK_AT_CHANGE: lambda step: f"{_command('apply', step)} shows what has been merged by now.",
    StepKind.NAME_REVISION: lambda step: f"Look at it first, then give `--expect {step.revision[:12]}`.",
    StepKind.START_REVIEW: constant_words("`dispatch-mcp review` starts one; `dispatch-mcp status --all` lists runs."),
    StepKind.BEGIN_REVIEW: constant_words(
        "Nothing was stored or started: the same command without --choose starts it."
    ),
    StepKind.NAME_CHANGE: constant_words(
        "Name a change: a git range, --diff FILE or --run RUN; without any, what changed since the last commit."
    ),
    StepKind.DO_REVIEWS: lambda step: f"Your assistant has {counted(step.count, 'review')} to do now.",
    StepKind.WATCH_REVIEW: lambda step: f"Reviewers are at work: look at {_command('review --run', step)} in a while.",
    StepKind.FINISH_REVIEW: lambda step: f"Finish it first: {_command('review --run', step)} says where it stands.",
    StepKind.REPEAT_REVIEW: _repeat_review,
    StepKind.MEND: _mend,
    StepKind.LEAVE_TO_USER: lambda step: f"Decide what becomes of it; {_waive(step)}.",
    StepKind.SAY_PASSED: constant_words(
        "Passed. What is left to do is marked medium, and what was found besides is marked low."
    ),
}
