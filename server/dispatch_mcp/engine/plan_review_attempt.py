"""Reviews of a plan's work as attempts: what the reviewer is shown of the work, and what its answer comes to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple, Protocol

import anyio.to_thread

from dispatch_mcp import errors, model
from dispatch_mcp.engine import briefing, claim_evidence, review_attempt, run_view, whole_files
from dispatch_mcp.git import merge_rules
from dispatch_mcp.model import AttemptState, WorkerKind, ports, records, run_refs, transitions, work_order
from dispatch_mcp.planning import acceptance
from dispatch_mcp.review import (
    answer_form,
    answer_parser,
    council_decision,
    diff_parts,
    finding_redaction,
    findings,
    plan_reviews,
    quotes,
    review_scope,
)
from dispatch_mcp.runs import receipts, task_isolation
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.text import fences, json_types, path_globs, secret_paths, unified_diff

SIMULATED: Final = "simulated"
"""The kind of the receipt of what was not done."""

MAX_SHOWN: Final = 4
"""Parts of a large change that one reviewer is shown (`diff_parts.LIMIT` characters each).

The rest is named, and no PASS counts for it.
"""

MAX_GOALS: Final = 60_000
MIN_GOAL: Final = 400
"""Characters of the goals that a reviewer is shown, and those of one of very many."""

MAX_DOUBTS: Final = 20
"""Doubts of the server's own that a reviewer is told."""


GONE: Final = "What was to be reviewed is gone: the workspace holds no change any more."
NOBODY: Final = "Its reviewer is simulated: nobody has looked at the work."
NO_LINE: Final = "No changed line was found: judge by the results below and by the workspace."

_BY_HOST: Final = "host"


class ChangeReader(Protocol):
    """Where changes come from. Every method raises DispatchError when there is nothing to be had."""

    async def of_range(self, workspace: str, git_range: str, /) -> review_scope.Change:
        """Returns what a git range changes."""
        ...

    async def of_tree(
        self, workspace: str, paths: Sequence[str] = (), base: str = "", leave_out: Collection[str] = ()
    ) -> review_scope.Change:
        """Returns what the working tree changes against a commit, the last one if none is given; new files too.

        Files to `leave_out` are not looked at.
        """
        ...


async def none_known(_workspace: str, _look: model.Json, /) -> list[str]:
    """Returns nothing: where nobody looks, nobody knows what is as it was."""
    return []


async def nobody_knows(_workspace: str, _files: Collection[str], _look: model.Json, /) -> bool:
    """Returns False: where nobody looks, nobody can say that a change is gone."""
    return False


async def none_changed(_workspace: str, _files: Collection[str], _look: model.Json, /) -> list[str]:
    """Returns nothing: where nobody looks, nobody knows what changed."""
    return []


@dataclass(frozen=True, slots=True)
class ReviewEvidence:
    """Where reviews of plans get what they show: changes, and what takes secrets out of them.

    `same_files` returns which files of a workspace are as they were at a look that an attempt's beat holds,
    `changed_files` which of them are not, with new ones below declared paths. `is_undone` returns whether all that
    these paths name is as it was at such a look. `states_of` has the states of files. `rules` are those of a council.
    """

    changes: ChangeReader
    clean: Callable[[str], str] = str
    same_files: Callable[[str, model.Json], Awaitable[Collection[str]]] = none_known
    rules: council_decision.CouncilRules = field(default_factory=council_decision.CouncilRules)
    is_undone: Callable[[str, Collection[str], model.Json], Awaitable[bool]] = nobody_knows
    changed_files: Callable[[str, Collection[str], model.Json], Awaitable[Collection[str]]] = none_changed
    states_of: ports.StatesOf = ports.no_states


class _Exhibit(NamedTuple):
    """What a reviewer is shown: the change as text, and the server's account of it. `unseen` is what it is not.

    `user_only` are files that are shown to nobody for what they are.
    """

    diff: str
    account: str
    unseen: tuple[str, ...] = ()
    user_only: tuple[str, ...] = ()


class Shown(NamedTuple):
    """What a reviewer was shown: the digest of the change, empty for none. `unseen` is what nobody was shown of it.

    `user_only` are files that are shown to nobody for what they are, so that a PASS leaves them to the user.
    """

    diff: str = ""
    unseen: tuple[str, ...] = ()
    user_only: tuple[str, ...] = ()

    @property
    def todos(self) -> tuple[str, ...]:
        """What a PASS leaves to do."""
        return whole_files.todos(self.user_only)


async def prepare(
    store: sqlite_store.Store, evidence: ReviewEvidence | None, work: work_order.WorkOrder
) -> briefing.BriefedOrder:
    """Returns a reviewer's order with the goals and the change of what it judges, and what it said of it before.

    An attempt that has begun is shown the same again, however the workspace is now.
    """
    view = await run_view.load(store, work.run_id, records.ANYBODY)
    attempts = await store.attempts(work.run_id, work.task.id)
    detail = work.last_beat.get(review_attempt.BEAT)
    exhibit = await _kept(store, detail, work.attempt)
    if exhibit is None:
        exhibit = await _exhibit(store, evidence, view, work.task)
        digest = await review_attempt.store_text(store, exhibit.diff)
        detail = {"attempt": work.attempt, "diff": digest, "account": exhibit.account, "unseen": [*exhibit.unseen]}
        detail |= {"user_only": [*exhibit.user_only]} if exhibit.user_only else {}
    order = replace(
        work,
        messages=(),
        news=(),
        last_beat={},
        last_error=_last_error(work, attempts),
        upstream=tuple(result for result in work.upstream if result.task_id in work.task.reviews),
        material=tuple([item async for item in _material(store, view, work.task, exhibit)]),
        answer_form=answer_form.FORM,
        schema=answer_form.SCHEMA,
        schema_form=answer_form.SCHEMA_FORM,
    )
    return briefing.BriefedOrder(order, {}, {review_attempt.BEAT: detail})


def _last_error(work: work_order.WorkOrder, attempts: Sequence[records.AttemptRecord]) -> str:
    """Returns why the last answer could not be used; that it blocked is no error, and is shown as what it was."""
    before = next((attempt for attempt in attempts if attempt.attempt == work.attempt - 1), None)
    is_verdict = before is not None and before.error_kind == transitions.NEEDS_CHANGES
    return "" if is_verdict else work.last_error


async def _kept(store: sqlite_store.Store, detail: model.Json, attempt: int) -> _Exhibit | None:
    if not json_types.is_object(detail) or detail.get("attempt") != attempt:
        return None
    text = await review_attempt.read_text(store, str(detail.get("diff")))
    return _Exhibit(text, str(detail.get("account")), _places(detail, "unseen"), _places(detail, "user_only"))


def _places(detail: Mapping[str, model.Json], name: str) -> tuple[str, ...]:
    places = detail.get(name)
    return tuple(map(str, places)) if json_types.is_list(places) else ()


async def _material(
    store: sqlite_store.Store, view: run_view.RunView, review: model.Task, exhibit: _Exhibit
) -> AsyncIterator[fences.Data]:
    yield fences.Data("account", "the server", exhibit.account)
    subjects = _subjects(view, review)
    room = max(MIN_GOAL, MAX_GOALS // max(1, len(subjects)))
    for subject in subjects:
        yield fences.Data("goal", f"task {subject.id}", _goal(subject, view.run.workspace)[:room])
    council = council_of(view.plan.tasks, review.id)
    attempts = await store.attempts(view.run.id, council.id if council else review.id)
    earlier = [attempt.error for attempt in attempts if attempt.error_kind == transitions.NEEDS_CHANGES]
    if earlier:
        note = "this is what you blocked last time, and the work was done again: say what of it still stands"
        yield fences.Data("earlier findings", "the round before", earlier[-1], note)
    if exhibit.diff:
        yield fences.Data("diff", "the change under review", exhibit.diff)


def _subjects(view: run_view.RunView, review: model.Task) -> list[model.Task]:
    return [task for task in view.plan.tasks if task.id in review.reviews]


def _goal(subject: model.Task, workspace: str) -> str:
    criteria = [acceptance.describe(criterion) for criterion in acceptance.criteria_of(subject, workspace)]
    lists = (("Constraints", subject.constraints), ("Output", subject.output), ("Done when", criteria))
    parts = [f"{name}:\n" + "\n".join(f"- {item}" for item in items) for name, items in lists if items]
    return "\n\n".join([subject.goal, *parts])


async def _exhibit(
    store: sqlite_store.Store, evidence: ReviewEvidence | None, view: run_view.RunView, review: model.Task
) -> _Exhibit:
    """Returns the change of what a review judges, without secrets and generated files, and the account of it."""
    names = ", ".join(review.reviews)
    subjects = _subjects(view, review)
    if evidence is None:
        return _Exhibit("", f"Work under review: {names}. No change can be shown here; look at the workspace.")
    files = await files_of(store, view, subjects)
    change = await _change(store, evidence, view, review, files)
    scope = review_scope.split_scope(unified_diff.parse(change.text))
    clean = finding_redaction.clean(scope.diff, evidence.clean)
    parts = diff_parts.split(clean.diff, max_parts=MAX_SHOWN)
    lines = [f"Work under review: {names}.", f"Shown: {change.about}.", *await _doubts(store, view, subjects)]
    if not parts.parts:
        is_lost = not scope.excluded and await _is_undone(store, evidence, view, subjects)
        lines.append(f"{GONE} Nobody can pass it." if is_lost else NO_LINE)
    if scope.excluded:
        lines.append(f"Not shown: {', '.join(f'{file.path} ({file.reason})' for file in scope.excluded[:60])}.")
    unseen = [span.label for span in parts.unseen[: whole_files.MAX_NAMED]]
    if parts.unseen:
        more = len(parts.unseen) - whole_files.MAX_NAMED
        unseen += [f"and {more} more"] * (more > 0)
        lines.append(f"Too long to show here, so nobody can pass it here; find what you can: {', '.join(unseen)}.")
    lines += whole_files.account(change)
    if clean.lines:
        lines.append(f"{clean.lines} lines hold something that looks like a secret; it reads [redacted:…] here.")
    text = "\n".join(part.text for part in parts.parts)
    return _Exhibit(text, "\n".join(lines), (*unseen, *change.unseen), change.user_only)


async def files_of(
    store: sqlite_store.Store, view: run_view.RunView, tasks: Sequence[model.Task]
) -> dict[str, tuple[str, ...]]:
    """Returns the files of tasks: each declares, says it changed, or changed although they judge it."""
    changes = {
        task_id: (*outcome.handoff.files_modified, *(path for receipt in outcome.receipts for path in receipt.suspects))
        for task_id, outcome in (await _results(store, view, tasks)).items()
    }
    return {task.id: tuple(dict.fromkeys((*task.files, *changes.get(task.id, ())))) for task in tasks}


async def _results(
    store: sqlite_store.Store, view: run_view.RunView, tasks: Sequence[model.Task]
) -> Mapping[str, model.Outcome]:
    ids = [task.id for task in tasks if task.id in view.rows and view.rows[task.id].result]
    return await store.outcomes(view.run.id, ids)


async def _doubts(store: sqlite_store.Store, view: run_view.RunView, tasks: Sequence[model.Task]) -> list[str]:
    """Returns what the server could not prove of work under review, one line a doubt; criteria in words are none."""
    results = await _results(store, view, tasks)
    doubts = [
        f"Not proven of {task_id}: {doubt}."
        for task_id, outcome in results.items()
        for doubt in receipts.doubts(outcome)
    ]
    return doubts[:MAX_DOUBTS]


async def _change(
    store: sqlite_store.Store,
    evidence: ReviewEvidence,
    view: run_view.RunView,
    review: model.Task,
    files: Mapping[str, Sequence[str]],
) -> review_scope.Change:
    """Returns what was changed: merged from worktrees, or in the workspace since the work began; else the files."""
    workers = {row.id: row.worker for row in view.tasks}
    subjects = _subjects(view, review)
    own = [subject.id for subject in subjects if task_isolation.is_own(subject, workers[subject.id])]
    beside = [subject.id for subject in subjects if subject.id not in own]
    changes: list[review_scope.Change] = []
    for names, read in ((own, _merged), (beside, in_workspace)):
        if names:
            changes.append(await read(store, evidence, view, {name: files[name] for name in names}))
    return review_scope.Change(
        "\n".join(change.text for change in changes),
        "; ".join(change.about for change in changes),
        unseen=tuple(place for change in changes for place in change.unseen),
        user_only=tuple(path for change in changes for path in change.user_only),
    )


async def _merged(
    _store: sqlite_store.Store, evidence: ReviewEvidence, view: run_view.RunView, files: Mapping[str, Sequence[str]]
) -> review_scope.Change:
    refs = run_refs.Refs(view.run.id)
    try:
        whole = await evidence.changes.of_range(view.run.workspace, f"{refs.base}..{refs.merged}")
    except errors.DispatchError as trouble:
        return review_scope.Change("", f"nothing that was merged from worktrees ({trouble})")
    patterns = [path_globs.normalise(path, view.run.workspace) for paths in files.values() for path in paths]
    parts = [
        unified_diff.render(file)
        for file in unified_diff.parse(whole.text).files
        if not patterns or any(path_globs.touch(pattern, file.path) for pattern in patterns)
    ]
    return review_scope.Change("\n".join(parts), f"what was merged from worktrees{whole.further}", unseen=whole.unseen)


async def in_workspace(
    store: sqlite_store.Store, evidence: ReviewEvidence, view: run_view.RunView, files: Mapping[str, Sequence[str]]
) -> review_scope.Change:
    """Returns what the workspace has that it had not when the first of the work began; files as they are without git.

    `files` are those of each task. A file that is as it was then is left out, whatever of it is not committed, also
    where there is no git. Where the work changed a file that somebody was changing already, both are shown: nobody can
    tell them apart. What the work changed and git does not show, as it ignores it, is shown whole.
    """
    workspace = view.run.workspace
    paths = _paths(files, workspace)
    look = await first_look(store, view.run.id, files)
    base = head_of(look)
    why, leave_out = "nothing has changed there", list[str]()
    try:
        leave_out = [*await evidence.same_files(workspace, look)] if look else []
        change = await evidence.changes.of_tree(workspace, paths, base, leave_out)
        own = await anyio.to_thread.run_sync(whole_files.in_workspace, workspace, [*_by_file(change.text)])
        whole = await _hidden(store, evidence, view, files, {*leave_out, *own})
        if change.text.strip() or any(whole):
            since = f"since the work began at commit {base[:12]}" if base else "since the last commit"
            return whole_files.beside(
                change._replace(about=f"changes in the workspace {since}, whoever made them{change.further}"), whole
            )
        return review_scope.Change("", f"no change in the workspace ({why})")
    except errors.DispatchError as trouble:
        why = str(trouble)
    plain_paths = [path for path in paths if not path_globs.WILD.search(path) and path not in leave_out]
    whole = (
        await anyio.to_thread.run_sync(whole_files.read, workspace, plain_paths)
        if workspace
        else whole_files.WholeFiles()
    )
    about = "no change, but the files as they are" if whole.text else "no change in the workspace"
    change = review_scope.Change(whole.text, f"{about} ({why})", unseen=whole.unseen, user_only=whole.user_only)
    return change._replace(in_workspace=True)


async def _hidden(
    store: sqlite_store.Store,
    evidence: ReviewEvidence,
    view: run_view.RunView,
    files: Mapping[str, Sequence[str]],
    settled_paths: Collection[str],
) -> whole_files.WholeFiles:
    """Returns what tasks changed of the files that they declare and git does not show, `settled_paths` aside."""
    workspace = view.run.workspace
    paths: set[str] = set()
    by_name: set[str] = set()
    for task_id, own in files.items():
        look = await first_look(store, view.run.id, [task_id])
        patterns = [path_globs.normalise(path, workspace) for path in own]
        by_name |= {pattern for pattern in patterns if not path_globs.WILD.search(pattern)}
        changed_paths = await evidence.changed_files(workspace, own, look) if look and own else ()
        paths |= {path for path in changed_paths if any(path_globs.touch(pattern, path) for pattern in patterns)}
    odd = {path for path in paths - by_name if not secret_paths.readable(path)}
    folders = {path for path in paths if path.endswith("/")}  # repositories of their own
    whole = await anyio.to_thread.run_sync(
        whole_files.read, workspace, sorted(paths - odd - folders - {*settled_paths})
    )
    user_only = {*whole.user_only, *(odd - folders - {*settled_paths})}
    return whole._replace(unseen=(*whole.unseen, *sorted(folders)), user_only=tuple(sorted(user_only)))


def _paths(files: Mapping[str, Sequence[str]], workspace: str) -> list[str]:
    """Returns where to look; nowhere in particular when one of the tasks names no file in the workspace."""
    by_task = [[path_globs.normalise(path, workspace) for path in own] for own in files.values()]
    inside = [[path for path in own if path and not path.startswith(("/", ".."))] for own in by_task]
    return sorted({path for own in inside for path in own}) if all(inside) else []


async def first_look(store: sqlite_store.Store, run_id: str, task_ids: Iterable[str]) -> model.Json:
    """Returns how the workspace was when the first attempt of these tasks began; None where nobody noted it."""
    firsts = [attempt for task_id in task_ids for attempt in (await store.attempts(run_id, task_id))[:1]]
    first = min(firsts, key=lambda attempt: attempt.started_at, default=None)
    return None if first is None else first.beat.get(ports.LOOK)


def head_of(look: model.Json) -> str:
    """Returns the commit of a look, or an empty string."""
    head = look.get("head") if json_types.is_object(look) else ""
    return head if isinstance(head, str) and merge_rules.is_object(head) else ""


def council_of(tasks: Sequence[model.Task], task_id: str) -> model.Task | None:
    """Returns the decision of the council of which a review is a seat; None for a review that decides by itself."""
    return next((task for task in tasks if task_id in task.joins), None)


async def judge(
    store: sqlite_store.Store, evidence: ReviewEvidence | None, claim: claim_evidence.Claim
) -> model.Outcome:
    """Returns a review's outcome by what it answers, whatever whoever reports it calls that.

    A review that blocks has failed with what it found as its error; so has one that cannot be used, which is asked
    once more. Trouble of the server's own workers stays what it was unless there is a usable answer all the same. What
    a seat of a council answers decides nothing by itself: one that can be used is done.
    """
    outcome, work = claim.outcome, claim.work
    if await is_simulation(store, work.run_id, work.task, work.worker):
        return outcome
    view = claim.view or await run_view.load(store, work.run_id, records.ANYBODY)
    answer, reviewer = answer_parser.answer_of(outcome), work.task.agent or "reviewer"
    where = await ground(store, claim.before)
    if council_of(view.plan.tasks, work.task.id):
        return await _of_seat(store, claim, plan_reviews.report(reviewer, answer, where), where)
    judgement = plan_reviews.judge(reviewer, answer, where)
    match judgement.ruling:
        case "pass":
            exhibit = exhibit_of(claim.before)
            if exhibit.unseen or await is_gone(store, evidence, view, work.task):
                return (
                    _passed_in_part(outcome, exhibit.unseen)
                    if exhibit.unseen
                    else review_attempt.inconclusive(outcome, GONE)
                )
            problem = review_attempt.reading_gap(judgement.report, where)
            if not problem and await has_moved(store, evidence, view, work.task, {exhibit.diff} - {""}):
                problem = _MOVED
            return unusable(outcome, problem) if problem else _passed(outcome, judgement, exhibit.todos)
        case "block":
            files = await files_of(store, view, _subjects(view, work.task))
            return _blocked(outcome, judgement, answer, plan_reviews.sends_back(judgement.report, files))
        case "unusable":
            return unusable(outcome, judgement.why)


_MOVED: Final = "the change has moved on since it was shown to its reviewer"


async def _of_seat(
    store: sqlite_store.Store, claim: claim_evidence.Claim, report: findings.ReviewReport, where: quotes.Ground | None
) -> model.Outcome:
    outcome, problem = claim.outcome, review_attempt.problem_of(report, where)
    if problem:
        return unusable(outcome, problem, report.verdict)
    if await review_attempt.takes_back(store, claim.work, report, claim.before):
        return review_attempt.inconclusive(outcome, review_attempt.TAKEN_BACK)
    count = len(report.findings)
    words = f"{report.verdict or 'no verdict'} with {count} finding{'s' * (count != 1)}"
    result = review_attempt.with_receipt(outcome, report)
    update = {"state": AttemptState.SUCCEEDED, "summary": words, "error_kind": "", "retryable": False}
    return result.model_copy(update={**update, "handoff": model.Handoff(completed_work=f"Reviewed: {words}.")})


async def has_moved(
    store: sqlite_store.Store,
    evidence: ReviewEvidence | None,
    view: run_view.RunView,
    review: model.Task,
    digests: Collection[str],
) -> bool:
    """Returns whether what reviewers were shown, by the digests of the changes, is not what stands there now.

    Where work declares no files, other files than those shown may be of anybody: only these count.
    """
    if evidence is None or not digests:
        return False
    now = _by_file((await _exhibit(store, evidence, view, review)).diff)
    is_declared = all(subject.files for subject in _subjects(view, review))
    for digest in digests:
        before = _by_file(await review_attempt.read_text(store, digest))
        if before != (now if is_declared else {path: text for path, text in now.items() if path in before}):
            return True
    return False


async def is_gone(
    store: sqlite_store.Store, evidence: ReviewEvidence | None, view: run_view.RunView, review: model.Task
) -> bool:
    """Returns whether work under review was accepted with a change of which nothing is left, so nobody can pass it.

    Work that has changed nothing is not gone, and neither is any of which nobody can tell.
    """
    if evidence is None or not await _is_undone(store, evidence, view, _subjects(view, review)):
        return False
    files = await files_of(store, view, _subjects(view, review))
    return not (await _change(store, evidence, view, review, files)).text.strip()


async def _is_undone(
    store: sqlite_store.Store, evidence: ReviewEvidence, view: run_view.RunView, subjects: Sequence[model.Task]
) -> bool:
    """Returns whether all that accepted work in the workspace has changed is as it was before the first of it."""
    workers = {row.id: row.worker for row in view.tasks}
    beside = [subject for subject in subjects if not task_isolation.is_own(subject, workers[subject.id])]
    results = await _results(store, view, beside)
    claims = {
        path for subject in beside if subject.id in results for path in _claimed_files(subject, results[subject.id])
    }
    if not claims:
        return False
    look = await first_look(store, view.run.id, [subject.id for subject in beside])
    return await evidence.is_undone(view.run.workspace, claims, look)


def _claimed_files(subject: model.Task, outcome: model.Outcome) -> tuple[str, ...]:
    """Returns the files that accepted work says it changed, and those that it declares if it changed any of them."""
    is_measured = any(receipt.kind == "diff" and receipt.ok for receipt in outcome.receipts)
    return (*outcome.handoff.files_modified, *(subject.files if is_measured else ()))


def _by_file(diff: str) -> dict[str, str]:
    texts: dict[str, str] = {}
    for file in unified_diff.parse(diff).files:
        texts[file.path] = texts.get(file.path, "") + unified_diff.render(file)
    return texts


async def is_simulation(store: sqlite_store.Store, run_id: str, review: model.Task, worker: WorkerKind) -> bool:
    """Returns whether nothing of what a review looks at was done: its run is simulated, or all of the work is."""
    if worker is not WorkerKind.SCRIPTED:
        return False
    if (await store.run(run_id, principal=records.ANYBODY)).dry_run:
        return True
    outcomes = (await store.outcomes(run_id, list(review.reviews))).values()
    return bool(outcomes) and all(
        any(receipt.kind == SIMULATED for receipt in outcome.receipts) for outcome in outcomes
    )


def exhibit_of(beat: Mapping[str, model.Json]) -> Shown:
    """Returns what an attempt's beat says that its reviewer was shown."""
    detail = beat.get(review_attempt.BEAT)
    if not json_types.is_object(detail):
        return Shown()
    digest = detail.get("diff")
    return Shown(digest if isinstance(digest, str) else "", _places(detail, "unseen"), _places(detail, "user_only"))


async def ground(store: sqlite_store.Store, beat: Mapping[str, model.Json]) -> quotes.Ground | None:
    """Returns the lines that the reviewer of an attempt with this beat was shown, None when nothing was."""
    digest = exhibit_of(beat).diff
    text = await review_attempt.read_text(store, digest) if digest else ""
    return quotes.ground(unified_diff.parse(text)) if text else None


def _passed(outcome: model.Outcome, judgement: plan_reviews.Judgement, more: Sequence[str]) -> model.Outcome:
    todos = [*plan_reviews.todos(judgement.report), *more]
    count = len(judgement.report.findings)
    return outcome.model_copy(
        update={
            "state": AttemptState.SUCCEEDED,
            "summary": f"PASS with {count} finding{'s' * (count != 1)}, none of them critical or high",
            "handoff": model.Handoff(completed_work="Reviewed: PASS.", open_questions=tuple(todos)),
            "error": "",
            "error_kind": "",
            "retryable": False,
            "unverified": False,
            "receipts": (*outcome.receipts, model.Receipt(kind="words", ok=True, detail=judgement.why)),
        }
    )


def _passed_in_part(outcome: model.Outcome, unseen: Sequence[str]) -> model.Outcome:
    """Returns a PASS of what was shown as what it is for the whole: no verdict, and asking again brings none."""
    why = (
        "It passes what it was shown, but not all of the change could be shown in one review, and nobody has seen "
        f"{', '.join(unseen)}. Have the change reviewed in parts by the council, or split the work into smaller tasks."
    )
    return review_attempt.inconclusive(outcome, why)


def _blocked(
    outcome: model.Outcome, judgement: plan_reviews.Judgement, answer: model.Json, targets: Sequence[str]
) -> model.Outcome:
    return outcome.model_copy(
        update={
            "state": AttemptState.FAILED,
            "summary": f"The review blocks: {judgement.why}.",
            "error": plan_reviews.feedback(judgement.report, answer),
            "error_kind": transitions.NEEDS_CHANGES,
            "retryable": False,
            "unverified": False,
            "sends_back": tuple(targets),
            "receipts": (*outcome.receipts, model.Receipt(kind="words", ok=False, detail=judgement.why)),
        }
    )


def unusable(outcome: model.Outcome, why: str, verdict: findings.Verdict | None = None) -> model.Outcome:
    """Returns the outcome of an answer that cannot be used; trouble of a worker stays what it was."""
    if outcome.state is AttemptState.CANCELLED:
        return outcome
    if outcome.state is not AttemptState.SUCCEEDED and outcome.error_kind not in (_BY_HOST, *transitions.UNUSABLES):
        return outcome
    return review_attempt.unusable(outcome, why, verdict)
