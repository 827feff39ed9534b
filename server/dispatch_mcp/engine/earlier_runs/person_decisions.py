"""Work that stood behind a decision which a person has refused, or still has to make, in another run of a workspace.

What work is, its files tell, or its command in whatever spelling, or its words where it names neither. A command that
is to prove other work is that work too. What a person has decided last about it counts: an approval lifts a refusal.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final, Literal, NamedTuple

from dispatch_mcp import model
from dispatch_mcp.engine.earlier_runs import blocked_work
from dispatch_mcp.model import TaskState, records, short_ids, transitions
from dispatch_mcp.planning import gated_work
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.text import path_globs
from dispatch_mcp.text.reading import command_words

REJECTED: Final = "rejected"
"""The cause of a decision that a person has refused."""

_OPEN: Final = (TaskState.BLOCKED, TaskState.READY, TaskState.RUNNING)


class _Mark(NamedTuple):
    """One thing by which work is known again."""

    kind: Literal["file", "command", "words"]
    text: str

    def meets(self, other: _Mark) -> bool:
        """Returns whether this may be of the work that the other is of."""
        if self.kind != other.kind:
            return False
        if self.kind == "command":
            return command_words.does(tuple(self.text.split("\0")), tuple(other.text.split("\0")))
        return path_globs.touch(self.text, other.text) if self.kind == "file" else self.text == other.text


class _Decision(NamedTuple):
    """A decision in a run, and by what the work behind it is known; no gate for one that a person has approved."""

    run_id: str
    gate: gated_work.EarlierGate | None
    marks: Collection[_Mark]


async def gates_before(
    store: sqlite_store.Store,
    principal: str,
    workspace: str,
    tasks: Sequence[model.Task],
    plan_id: str = "",
    *,
    is_harmless: Callable[[Sequence[str]], bool],
) -> dict[str, gated_work.EarlierGate]:
    """Returns which tasks are work that a person has not let go on in another run, by id, each with that decision.

    Open runs of the plan itself do not count: what may become of their work, edits say. Nobody is asked about a proof
    whose command `is_harmless`, nor about a part of a line that is.
    """
    decisions = await _decisions_around(store, principal, workspace, plan_id) if tasks else []
    if not decisions:
        return {}

    def read(argv: Sequence[str]) -> list[command_words.Call]:
        return command_words.calls(argv, is_harmless)

    marks = await _marks(workspace, tasks, read)
    for task in tasks:
        marks[task.id] += [mark for argv in gated_work.proofs(task) for mark in _commands(read(argv))]
    gates: dict[str, gated_work.EarlierGate] = {}
    for task in tasks:
        for mark in marks[task.id]:
            last = next((entry for entry in decisions if any(mark.meets(other) for other in entry.marks)), None)
            if last is not None and last.gate is not None:
                gates.setdefault(task.id, last.gate)
    return gates


async def refused_runs(store: sqlite_store.Store, principal: str, workspace: str) -> set[str]:
    """Returns the runs in and around a workspace in which a person has not let go on what nobody has approved since."""
    newer, run_ids = list[_Mark](), set[str]()
    for decision in await _decisions_around(store, principal, workspace):
        is_standing = any(not any(other.meets(mark) for other in newer) for mark in decision.marks)
        run_ids |= {decision.run_id} if decision.gate is not None and is_standing else set()
        newer += decision.marks
    return run_ids


async def _decisions_around(
    store: sqlite_store.Store, principal: str, workspace: str, plan_id: str = ""
) -> list[_Decision]:
    """Returns what people have decided in and around a workspace, or have to decide, the latest first."""
    names = await store.objected_workspaces(principal) if workspace else ()
    kin = await blocked_work.around(workspace, {*names, workspace}) if names else ()
    run_ids = await store.gated_runs(principal, kin) if kin else []
    return [decision for run_id in run_ids for decision in await _decisions(store, principal, run_id, plan_id)]


async def _decisions(store: sqlite_store.Store, principal: str, run_id: str, plan_id: str) -> list[_Decision]:
    """Returns what people have decided in a run, or have to decide."""
    run = await store.run(run_id, principal=principal)
    is_open = run.state not in model.RUN_FINAL
    if is_open and run.plan_id == plan_id:
        return []
    rows = {row.id: row for row in await store.tasks(run_id)}
    plan = await store.plan(run.plan_id, run.plan_version, principal=principal)
    gates = [task for task in plan.tasks if task.worker is model.WorkerKind.HUMAN and task.id in rows]
    marks = await _marks(run.workspace, filter(gated_work.acts, plan.tasks), gated_work.telling_calls)
    decisions: list[_Decision] = []
    for task in gates:
        row = rows[task.id]
        end = _end(row, is_open=is_open)
        if end or row.state is TaskState.SUCCEEDED:
            behind = gated_work.behind(task.id, plan.tasks)
            work = [mark for name in behind for mark in marks.get(name, ())]
            gate = gated_work.EarlierGate(short_ids.short(run_id), task.id, end) if end else None
            decisions.append(_Decision(run_id, gate, work))
    # Of two decisions about the same work in one run, the one that was not approved counts.
    return sorted(decisions, key=lambda decision: decision.gate is None)


def _end(row: records.TaskRecord, *, is_open: bool) -> Literal["refused", "open", "unanswered", ""]:
    """Returns what became of a decision that nobody has approved; empty for one that holds nothing back."""
    if row.state is TaskState.FAILED and row.cause == REJECTED:
        return "refused"
    if row.state is TaskState.CANCELLED and row.cause == transitions.UNANSWERED:
        return "unanswered"
    return "open" if is_open and row.state in _OPEN else ""


async def _marks(
    workspace: str, tasks: Iterable[model.Task], read: Callable[[Sequence[str]], Sequence[command_words.Call]]
) -> dict[str, list[_Mark]]:
    """Returns by what the work of tasks is known, by id; `read` tells it of a command."""
    work = list(tasks)
    places = await blocked_work.real_places([(task.id, workspace, task.files) for task in work])
    marks = {task.id: [_Mark("file", place) for place in places[task.id]] for task in work}
    for task in work:
        if task.command:
            marks[task.id] += _commands(read(task.command))
        elif not task.files:
            marks[task.id].append(_Mark("words", " ".join(task.goal.lower().split())))
    return marks


def _commands(calls: Iterable[command_words.Call]) -> list[_Mark]:
    return [_Mark("command", "\0".join(call)) for call in calls]
