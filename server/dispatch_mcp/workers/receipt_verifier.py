"""Collects the receipts of an attempt: do files exist, do commands pass, what was really touched."""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import os
import secrets
import threading
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import anyio

from dispatch_mcp import model
from dispatch_mcp.model import AttemptState, Receipt, WorkerKind, ports, work_order
from dispatch_mcp.planning import acceptance, plan_advice
from dispatch_mcp.planning.acceptance import Criterion
from dispatch_mcp.process import safe_paths
from dispatch_mcp.review import rounds
from dispatch_mcp.runs import receipts
from dispatch_mcp.text import escape, json_types, path_globs, redaction
from dispatch_mcp.workers import first_state, judging_files, safe_look, workspace_snapshot

log = logging.getLogger(__name__)

LIMIT_S = 45.0
"""What all checks of one attempt may take together; whoever reports waits for them."""

FOLDER_S = 30.0
"""What a workspace may take to say whether it is there, as one on a network that is gone never does."""

JUDGES_S = 5.0
"""What looking for the files that decide commands may take, before the work and after it."""

MAX_FOOTPRINTS = 256
"""Files by which one result is recognised later."""

TAIL_CHARS = 700
_MENDS = "a finding of a review that is wrong is to be left as it is"
_TOO_LATE = "nobody had looked before the first attempt, which may have changed it"


class ReceiptVerifier:
    """The witness of this machine. `commands` carries out criteria as it does tasks: same allow-list, same care."""

    def __init__(
        self, commands: ports.Worker, snapshotter: workspace_snapshot.Snapshotter, *, limit_s: float = LIMIT_S
    ) -> None:
        self._commands = commands
        self._snapshotter = snapshotter
        self._limit_s = limit_s

    async def before(self, work: work_order.WorkOrder) -> Mapping[str, model.Json]:
        """Returns what holds of the criteria, and a snapshot for a task that declares files or asks for a diff.

        A later attempt goes on with the first one's: what counts is what the task changed, and an attempt that finds
        the work done is not refuted for it. In a worktree it does so with a snapshot only if that is of its commit.
        """
        if work.worker is WorkerKind.SCRIPTED or _works_elsewhere(work) or not work.workspace:
            return {}
        look = await self._snapshot(work)  # first: those who begin together share what git says
        state = await self._first_state(work)
        return {} if state is None else {**state, **look}

    async def _first_state(self, work: work_order.WorkOrder) -> Mapping[str, model.Json] | None:
        """Returns what held of the criteria; nothing where nobody looked in time, None where there is no workspace."""
        root, entries = Path(work.workspace), _entries(work)
        earlier = work.last_beat.get(ports.HELD)
        criteria = () if earlier or work.attempt > 1 else _criteria(work)

        def look(stop: threading.Event) -> first_state.FirstState | None:
            return first_state.look(root, criteria, entries, _look, stop) if root.is_dir() else None

        state: first_state.FirstState | None = first_state.FirstState()
        with anyio.move_on_after(first_state.LIMIT_S):
            state = await safe_look.in_thread(look)
        if state is None:
            return None
        if earlier or work.attempt > 1:
            return {ports.HELD: earlier} if earlier else {}
        return {ports.HELD: state.to_json()} if state.is_known else {}

    async def _snapshot(self, work: work_order.WorkOrder) -> Mapping[str, model.Json]:
        if not _needs_snapshot(work):
            return {}
        earlier = work.last_beat.get(ports.LOOK)
        if earlier and work.base in ("", workspace_snapshot.from_json(earlier).head):
            return {ports.LOOK: earlier}
        look = await self._snapshotter.take(work.workspace, _files_of_interest(work))
        if work.attempt > 1 and not work.base:
            look = look._replace(unclear=_TOO_LATE)
        else:
            looks = await self._judges(work)
            states = {path: state for judges in looks.values() for path, state in judges.states.items()}
            look = look._replace(judges=states if looks else None)
        return {ports.LOOK: look.to_json()}

    async def _judges(self, work: work_order.WorkOrder) -> Mapping[str, judging_files.Judges]:
        """Returns what decides each command of the criteria; nothing where that could not be looked up in time."""
        commands = [criterion for criterion in _criteria(work) if criterion.kind == "command"]
        if not commands or plan_advice.names_no_change(work.task):
            return {}
        root, entries = Path(work.workspace), _entries(work)

        def look(stop: threading.Event) -> dict[str, judging_files.Judges]:
            return {
                criterion.text: judging_files.look(root, criterion.argv, entries, hidden_paths, stop)
                for criterion in commands
            }

        with contextlib.suppress(safe_look.Unmeasured, OSError), anyio.move_on_after(JUDGES_S):
            hidden_paths = await self._snapshotter.hidden_recipes(work.workspace)
            return await safe_look.in_thread(look)
        return {}

    async def receipts(
        self, work: work_order.WorkOrder, before: Mapping[str, model.Json], around: ports.Surroundings
    ) -> ports.Evidence:
        """Returns one receipt per criterion, and for declared files what was touched and whether the claim fits."""
        criteria = _criteria(work)
        if work.worker is WorkerKind.SCRIPTED:
            return ports.Evidence(receipts.simulated(criteria))
        if blind := await _blind(work):
            return ports.Evidence(tuple(receipts.unproven(criterion, blind) for criterion in criteria))
        changes = await self._changes(work, before, around)
        deadline = anyio.current_time() + self._limit_s
        first, root = first_state.from_json(before.get(ports.HELD)), Path(work.workspace)
        if changes.untouched:
            changes = await safe_look.in_thread(lambda _stop: _with_places(changes, root, first))
        proofs = [await self._proof(work, criterion, changes, (first, deadline)) for criterion in criteria]
        footprints = await self._footprints(work, changes, around.claims)
        if not work.task.files:
            return ports.Evidence(tuple(proofs), footprints)
        foreign = around.declarations.names(but=work.task.id)
        lies = receipts.from_claim(around.claims, changes, foreign, work.workspace)
        return ports.Evidence((*proofs, *receipts.from_changes(changes.of(_entries(work))), *lies), footprints)

    async def _footprints(
        self, work: work_order.WorkOrder, changes: receipts.FileChanges, claims: Sequence[str]
    ) -> dict[str, model.Footprint]:
        """Returns what the work has left of the files that it changed, says it changed, or is proven by.

        Where it declares and names none, it has left whatever changed meanwhile. Whatever the trouble, the receipts
        that were collected before count: without footprints the work is not recognised, and no more.
        """
        try:
            return await self._states_left(work, changes, claims)
        except Exception:
            log.exception("what %s/%s has left could not be looked at", work.run_id, work.task.id)
            return {}

    async def _states_left(
        self, work: work_order.WorkOrder, changes: receipts.FileChanges, claims: Sequence[str]
    ) -> dict[str, model.Footprint]:
        subjects = [criterion.subject for criterion in _criteria(work) if criterion.kind in ("file", "absent")]
        names = (path_globs.normalise(path, work.workspace) for path in (*claims[: receipts.MAX_CLAIMS], *subjects))
        paths = {path for path in names if path and workspace_snapshot.is_inside(path) and safe_paths.sayable(path)}
        paths |= {*changes.changed}
        paths |= {*(changes.undeclared or ())} if not paths and not work.task.files else set()
        few = sorted(paths)[:MAX_FOOTPRINTS]
        states = await safe_look.in_thread(lambda _stop: safe_look.states(work.workspace, few, safe_look.PATIENT_S))
        return {path: model.Footprint(changes.states_before.get(path), state) for path, state in states.items()}

    async def _changes(
        self, work: work_order.WorkOrder, before: Mapping[str, model.Json], around: ports.Surroundings
    ) -> receipts.FileChanges:
        if not _needs_snapshot(work):
            return receipts.FileChanges()
        files = _files_of_interest(work)
        look = workspace_snapshot.from_json(before.get(ports.LOOK))
        now, paths = await self._snapshotter.changed(work.workspace, files, look)
        if now.problem:
            return receipts.FileChanges(problem=now.problem)

        def is_foreign(path: str) -> bool:
            # What changes in a worktree of its own is nobody else's.
            return not work.base and around.active.touch(path, but=work.task.id)

        changes = receipts.compare_changes(
            files, paths, is_foreign, workspace=work.workspace, everything=bool(now.head)
        )
        mends = _MENDS if rounds.is_mend(work.task) else ""
        changes = changes._replace(unclear=look.unclear or now.unclear or mends)
        fates = await self._snapshotter.fates(work.workspace, changes.changed, look, now)
        changes = changes._replace(
            kinds={path: fate.kind for path, fate in fates.items()},
            states_before={path: fate.before for path, fate in fates.items()},
            removals=tuple(criterion.subject for criterion in _criteria(work) if criterion.kind == "absent"),
            weaker_tests=await self._snapshotter.weaker_tests(
                work.workspace, (*changes.changed, *(changes.undeclared or ())), look, now
            ),
        )
        meanwhile = _Meanwhile(paths, around, functools.partial(self._changed_in_run, work, around, look))
        changes = await self._with_judges(work, changes, look, meanwhile)
        if changes.changed:
            changes = changes._replace(rivals=await _claimants(work, changes.changed, around))
        if changes.changed and not _asks_for_certain_changes(work):
            return changes
        return changes._replace(earlier=_changed_earlier(work, around, await meanwhile.in_run()))

    async def _with_judges(
        self,
        work: work_order.WorkOrder,
        changes: receipts.FileChanges,
        look: workspace_snapshot.WorkspaceSnapshot,
        meanwhile: _Meanwhile,
    ) -> receipts.FileChanges:
        """Returns the changes with those of what decides the commands."""
        paths, around = meanwhile.paths, meanwhile.around
        looks = await self._judges(work)
        if not looks:
            return changes
        root, entries = Path(work.workspace), _entries(work)
        deciding = {
            text: tuple(judging_files.changed_judges(root, look.judges, judges, paths, entries))
            for text, judges in looks.items()
        }
        earlier = await meanwhile.in_run()
        first = workspace_snapshot.from_json((await around.first_look()).get(ports.LOOK))
        now = workspace_snapshot.WorkspaceSnapshot(head=first.head)
        weaker = await self._snapshotter.weaker_tests(work.workspace, earlier, first, now)
        rest = earlier.difference(paths)
        old_judges = {
            path
            for judges in looks.values()
            for path in judging_files.changed_judges(root, None, judges, rest, entries)
        }
        dirty = {path for path in look.files if look.head and not any(path_globs.touch(own, path) for own in entries)}
        owners = {
            path: "" if work.base else around.active.owner(path, but=work.task.id)
            for path in {*old_judges, *weaker, *(path for names in deciding.values() for path in names)}
        }
        return changes._replace(
            judges=deciding,
            old_judges=tuple(sorted(path for path in dirty if any(path in judges.states for judges in looks.values()))),
            owners={path: owner for path, owner in owners.items() if owner},
            earlier_judges={
                path: owners[path] for path in sorted({*old_judges, *weaker} - {*paths}) if path not in entries
            },
        )

    async def _changed_in_run(
        self, work: work_order.WorkOrder, around: ports.Surroundings, look: workspace_snapshot.WorkspaceSnapshot
    ) -> set[str]:
        """Returns the files that differ from what they were when the run began; nothing where nobody had looked."""
        first = workspace_snapshot.from_json((await around.first_look()).get(ports.LOOK))
        if not first.head or first._replace(judges=None) == look._replace(judges=None):
            return set()
        return (await self._snapshotter.changed(work.workspace, (), first))[1]

    async def _proof(
        self,
        work: work_order.WorkOrder,
        criterion: Criterion,
        changes: receipts.FileChanges,
        before: tuple[first_state.FirstState, float],
    ) -> Receipt:
        """Returns the receipt of a criterion, which says whether that held `before`; the number is its deadline."""
        first, deadline = before
        receipt = await self._receipt(work, criterion, changes, deadline)
        if criterion.text not in first.standing:
            return receipt
        return await safe_look.in_thread(lambda _stop: first.marked(Path(work.workspace), criterion, receipt))

    async def _receipt(
        self, work: work_order.WorkOrder, criterion: Criterion, changes: receipts.FileChanges, deadline: float
    ) -> Receipt:
        seconds = deadline - anyio.current_time()
        if criterion.kind == "diff":
            return receipts.from_diff(criterion, changes)
        if criterion.kind == "command" and seconds > 0:
            return await self._command(work, criterion, changes, seconds)
        with anyio.move_on_after(seconds):
            return await safe_look.in_thread(lambda stop: _look(Path(work.workspace), criterion, stop))
        return receipts.unproven(criterion, f"not checked: the checks of one attempt together get {self._limit_s:g} s")

    async def _command(
        self, work: work_order.WorkOrder, criterion: Criterion, changes: receipts.FileChanges, seconds: float
    ) -> Receipt:
        name = f"{work.task.id} acceptance {secrets.token_hex(8)}"
        task = model.Task(id=name, do=criterion.text, command=criterion.argv)
        order = replace(work, task=task, worker=WorkerKind.COMMAND, timeout_s=seconds)
        outcome = await self._commands.carry_out(_Aside(work.run_id, name, work.attempt), order)
        exit_receipt = next((receipt for receipt in outcome.receipts if receipt.kind == "exit_code"), None)
        if exit_receipt is None or outcome.state is AttemptState.TIMED_OUT:
            return receipts.unproven(criterion, f"not checked: {outcome.error}")
        if not exit_receipt.ok:
            return receipts.refuted(criterion, exit_receipt.detail + _tail(outcome.output))
        if outcome.state is AttemptState.FAILED:  # it took something of the user's from the checkout
            return Receipt(kind="loss", ok=False, detail=outcome.error, criterion=criterion.text)
        if not exit_receipt.checked:
            return receipts.unproven(criterion, exit_receipt.detail)
        if work.task.command or plan_advice.names_no_change(work.task):
            return receipts.proven(criterion, exit_receipt.detail)
        has_failed = criterion.text in receipts.refused_criteria(work.last_error)
        return receipts.from_command(criterion, exit_receipt.detail, changes, _entries(work), has_failed=has_failed)


@dataclass(slots=True)
class _Meanwhile:
    """What changed during an attempt and beside whom; `read` asks git for what differs since the run began."""

    paths: Collection[str]
    around: ports.Surroundings
    read: Callable[[], Awaitable[set[str]]]
    _in_run: set[str] | None = None

    async def in_run(self) -> set[str]:
        """Returns the files that differ from what they were when the run began, for which git is asked once."""
        if self._in_run is None:
            self._in_run = await self.read()
        return self._in_run


@dataclass(frozen=True, slots=True)
class _Aside:
    """The context of a check: it leaves nothing behind."""

    run_id: str
    task_id: str
    attempt: int

    @property
    def last_beat(self) -> Mapping[str, model.Json]:
        return {}

    @property
    def blobs(self) -> ports.Blobs:
        return _NoBlobs()

    def beat(self, **details: model.Json) -> None:
        """Does nothing."""

    async def mail(self) -> tuple[model.Message, ...]:
        """Returns nothing: nobody writes to a check."""
        return ()


class _NoBlobs:
    """Keeps nothing: of a check, its exit code and the end of its output count."""

    def put(self, data: bytes) -> str:
        """Returns an empty digest."""
        return data[:0].decode()

    def get(self, digest: str) -> bytes:
        """Returns nothing."""
        return digest[:0].encode()


def _changed_earlier(work: work_order.WorkOrder, around: ports.Surroundings, paths: Collection[str]) -> tuple[str, ...]:
    """Returns files of the task that the run had changed before the task began, but for no task that declares them.

    A task that finds its work done by another one, which should not have touched it, is not refuted for that.
    """
    own = receipts.compare_changes(
        _files_of_interest(work), paths, lambda _: False, workspace=work.workspace, everything=True
    )
    return tuple(path for path in own.changed if not around.active.touch(path, but=work.task.id))


async def _claimants(work: work_order.WorkOrder, paths: Sequence[str], around: ports.Surroundings) -> dict[str, str]:
    """Returns why nobody can tell that changed files of a task are its own work, by their paths."""
    root, rivals = Path(work.workspace), await around.rivals()

    def reasons(_: threading.Event) -> dict[str, str]:
        foreign_paths = () if work.base else around.active.names(but=work.task.id)
        return {**_doubles(root, paths, foreign_paths), **(_rivals(root, paths, rivals) if rivals else {})}

    return await safe_look.in_thread(reasons)


def _rivals(root: Path, paths: Sequence[str], rivals: Sequence[ports.Rival]) -> dict[str, str]:
    """Returns who else may have changed files of a task: who is at work on them, or was and has left them as they are.

    What was changed after the other's attempt had ended is not its change. One file is one whatever it is called.
    """
    reasons: dict[str, str] = {}
    places = [(rival, _real_places(rival.workspace or str(root), rival.files)) for rival in rivals]
    for path in paths:
        place = safe_paths.real_place(root, path)
        for rival, entries in places:
            if path not in reasons and any(path_globs.touch(entry, place) for entry in entries):
                if rival.ended_at is None:
                    reasons[path] = f"{rival.name} is at work on `{path}` too, so nobody can tell whose change it is"
                elif safe_look.changed_at(root, path) <= rival.ended_at:
                    reasons[path] = f"`{path}` is as {rival.name} has left it"
    return reasons


def _real_places(workspace: str, entries: Iterable[str]) -> tuple[str, ...]:
    """Returns the real places of declared paths."""
    names = (path_globs.normalise(entry, workspace) for entry in entries)
    return tuple(dict.fromkeys(safe_paths.real_place(Path(workspace), name) for name in names))


def _doubles(root: Path, paths: Sequence[str], foreign_paths: Iterable[str]) -> dict[str, str]:
    """Returns which files that are reached through links other tasks of the run declare too, by their real names."""
    top = os.path.realpath(root)
    places = {path: safe_paths.real_place(root, path) for path in paths}
    aliases = {path: place for path, place in places.items() if place != f"{top}/{path}"}
    claims = _real_places(str(root), foreign_paths) if aliases else ()
    return {
        path: f"`{path}` is `{place.removeprefix(f'{top}/')}`, which another task of the run declares"
        for path, place in aliases.items()
        if any(path_globs.touch(entry, place) for entry in claims)
    }


def _criteria(work: work_order.WorkOrder) -> tuple[Criterion, ...]:
    return acceptance.criteria_of(work.task, work.workspace)


def _entries(work: work_order.WorkOrder) -> tuple[str, ...]:
    """Returns the declarations of the task, normalised."""
    return tuple(path_globs.normalise(path, work.workspace) for path in work.task.files)


def _needs_snapshot(work: work_order.WorkOrder) -> bool:
    if work.worker is WorkerKind.SCRIPTED:
        return False
    return bool(work.task.files) or any(criterion.kind in ("command", "diff") for criterion in _criteria(work))


def _files_of_interest(work: work_order.WorkOrder) -> tuple[str, ...]:
    subjects = (criterion.subject for criterion in _criteria(work) if criterion.kind == "diff" and criterion.subject)
    return (*work.task.files, *subjects)


def _asks_for_certain_changes(work: work_order.WorkOrder) -> bool:
    return any(criterion.kind == "diff" and criterion.subject for criterion in _criteria(work))


def _works_elsewhere(work: work_order.WorkOrder) -> bool:
    return work.task.isolation == "worktree" and not work.base


async def _blind(work: work_order.WorkOrder) -> str:
    """Returns why nothing can be looked at, or an empty string."""
    if _works_elsewhere(work):
        return "not checked: the task works in a worktree of its own, where this server does not look"
    if not work.workspace:
        return f"not checked: the workspace {work.workspace!r} is not there"
    with anyio.move_on_after(FOLDER_S):
        is_there = await safe_look.in_thread(lambda _stop: Path(work.workspace).is_dir())
        return "" if is_there else f"not checked: the workspace {work.workspace!r} is not there"
    return f"not checked: the workspace {work.workspace!r} gave no answer within {FOLDER_S:g} s"


def _with_places(changes: receipts.FileChanges, root: Path, first: first_state.FirstState) -> receipts.FileChanges:
    """Returns changes with the folders that are new, and without declared links beside what they lead to."""
    changes = receipts.with_folders(changes, first.new_folders(root, changes.untouched))
    return receipts.without_links(changes, safe_paths.links_to(root, changes.untouched, changes.changed))


def _look(root: Path, criterion: Criterion, stop: threading.Event) -> Receipt:
    """Returns the receipt of a criterion that looking decides."""
    if criterion.kind in ("file", "absent") and safe_look.leads_into_git(root, f"{criterion.subject.rstrip('/')}/any"):
        return receipts.unproven(criterion, "not checked: it is git's own")
    try:
        if criterion.kind == "glob":
            return _glob(root, criterion, stop)
        return _absent(root, criterion) if criterion.kind == "absent" else _file(root, criterion)
    except safe_look.Unmeasured as why:
        return receipts.unproven(criterion, f"not checked: {why}")
    except OSError as error:
        return receipts.unproven(criterion, f"not checked: {error.strerror}")


def _file(root: Path, criterion: Criterion) -> Receipt:
    if criterion.kind == "words":
        return receipts.unproven(criterion, "")
    path = root / criterion.subject
    if not safe_paths.holds(root, criterion.subject):
        return receipts.unproven(criterion, "not checked: it leads outside the workspace")
    if path.is_dir():
        return receipts.proven(criterion, "the folder exists")
    if criterion.subject.endswith("/"):
        return receipts.refuted(criterion, "there is no such folder")
    if not path.is_file():
        return receipts.refuted(criterion, "there is no such file")
    return receipts.proven(criterion, f"the file exists, {path.stat().st_size} bytes")


def _absent(root: Path, criterion: Criterion) -> Receipt:
    if not safe_look.lies_inside(root, criterion.subject):
        return receipts.unproven(criterion, "not checked: it leads outside the workspace")
    present = (root / criterion.subject).is_symlink() or (root / criterion.subject).exists()
    return (
        receipts.refuted(criterion, "it exists")
        if present
        else receipts.proven(criterion, "there is nothing of that name")
    )


def _glob(root: Path, criterion: Criterion, stop: threading.Event) -> Receipt:
    matches = list(itertools.islice(safe_look.matching(root, criterion.subject, stop), criterion.least))
    if len(matches) < criterion.least:
        return receipts.refuted(
            criterion, f"{len(matches)} of {criterion.least} wanted files match" if matches else "no file matches"
        )
    return receipts.proven(criterion, f"{criterion.least} or more files match, `{matches[0]}` among them")


def _tail(output: model.Json) -> str:
    """Returns the end of what a program printed."""
    text = "\n".join(part.strip() for part in _streams(output)).strip()
    return f"; it ended with: {escape.one_line(redaction.ending(text, TAIL_CHARS), limit=TAIL_CHARS)}" if text else ""


def _streams(output: model.Json) -> tuple[str, str]:
    """Returns what a program printed, and its complaints."""
    return (str(output.get("stdout", "")), str(output.get("stderr", ""))) if json_types.is_object(output) else ("", "")
