"""Collects the receipts of an attempt: do files exist, do commands pass, what was really touched."""

from __future__ import annotations

import itertools
import secrets
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import anyio

from dispatch_mcp import model
from dispatch_mcp.model import AttemptState, Receipt, WorkerKind, ports, work_order
from dispatch_mcp.planning import acceptance
from dispatch_mcp.planning.acceptance import Criterion
from dispatch_mcp.runs import receipts
from dispatch_mcp.text import escape, json_types
from dispatch_mcp.workers import safe_look, workspace_snapshot

LIMIT_S = 45.0
"""What all checks of one attempt may take together; whoever reports waits for them."""

TAIL_CHARS = 700
_BEFORE = "before"


class ReceiptVerifier:
    """The witness of this machine. `commands` carries out criteria as it does tasks: same allow-list, same care."""

    def __init__(self, commands: ports.Worker, camera: workspace_snapshot.Camera, *, limit_s: float = LIMIT_S) -> None:
        self._commands = commands
        self._camera = camera
        self._limit_s = limit_s

    async def before(self, work: work_order.WorkOrder) -> Mapping[str, model.Json]:
        """Returns a snapshot for a task that declares files or asks for a diff, else nothing.

        A later attempt goes on with the first one's: what counts is what the task changed. In a worktree it does so
        only where that began from the same commit.
        """
        if not _needs_snapshot(work) or _blind(work):
            return {}
        kept = work.last_beat.get(_BEFORE)
        if work.base and workspace_snapshot.of(kept).head != work.base:
            kept = None
        return {_BEFORE: kept or (await self._camera.take(work.workspace, _declared(work))).wire()}

    async def receipts(
        self, work: work_order.WorkOrder, before: Mapping[str, model.Json], others: Collection[str]
    ) -> tuple[Receipt, ...]:
        """Returns one receipt per criterion, and what was touched if the task declares files."""
        criteria = acceptance.of(work.task, work.workspace)
        if work.worker is WorkerKind.SCRIPTED:
            return receipts.simulated(criteria)
        if blind := _blind(work):
            return tuple(receipts.unproven(one, blind) for one in criteria)
        touched = await self._touched(work, before, () if work.base else others)
        deadline = anyio.current_time() + self._limit_s
        found = [await self._receipt(work, one, touched, deadline) for one in criteria]
        return (*found, *(receipts.of_files(touched) if work.task.files else ()))

    async def _touched(
        self, work: work_order.WorkOrder, before: Mapping[str, model.Json], others: Collection[str]
    ) -> receipts.Touched:
        if not _needs_snapshot(work):
            return receipts.Touched()
        now, changed = await self._camera.changed(
            work.workspace, _declared(work), workspace_snapshot.of(before.get(_BEFORE))
        )
        if now.problem:
            return receipts.Touched(problem=now.problem)
        return receipts.touched(_declared(work), changed, others, workspace=work.workspace, everything=bool(now.head))

    async def _receipt(
        self, work: work_order.WorkOrder, one: Criterion, touched: receipts.Touched, deadline: float
    ) -> Receipt:
        left = deadline - anyio.current_time()
        if one.kind == "diff":
            return receipts.of_diff(one, touched)
        if one.kind == "command" and left > 0:
            return await self._command(work, one, left)
        with anyio.move_on_after(left):
            return await safe_look.in_thread(lambda stop: _looked(Path(work.workspace), one, stop))
        return receipts.unproven(one, f"not checked: the checks of one attempt together get {self._limit_s:g} s")

    async def _command(self, work: work_order.WorkOrder, one: Criterion, left: float) -> Receipt:
        name = f"{work.task.id} acceptance {secrets.token_hex(8)}"
        task = model.Task(id=name, do=one.text, command=one.argv)
        asked = replace(work, task=task, worker=WorkerKind.COMMAND, timeout_s=left)
        outcome = await self._commands.carry_out(_Aside(work.run_id, name, work.attempt), asked)
        ended = next((receipt for receipt in outcome.receipts if receipt.kind == "exit_code"), None)
        if ended is None or outcome.state is AttemptState.TIMED_OUT:
            return receipts.unproven(one, f"not checked: {outcome.error}")
        if ended.ok:
            return receipts.proven(one, ended.detail)
        return receipts.refuted(one, ended.detail + _tail(outcome.output))


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


class _NoBlobs:
    """Keeps nothing: of a check, its exit code and the end of its output count."""

    def put(self, data: bytes) -> str:
        """Returns an empty digest."""
        return data[:0].decode()

    def get(self, digest: str) -> bytes:
        """Returns nothing."""
        return digest[:0].encode()


def _needs_snapshot(work: work_order.WorkOrder) -> bool:
    if work.worker is WorkerKind.SCRIPTED:
        return False
    return bool(work.task.files) or any(one.kind == "diff" for one in acceptance.of(work.task, work.workspace))


def _declared(work: work_order.WorkOrder) -> tuple[str, ...]:
    asked = (one.subject for one in acceptance.of(work.task, work.workspace) if one.kind == "diff" and one.subject)
    return (*work.task.files, *asked)


def _blind(work: work_order.WorkOrder) -> str:
    """Returns why nothing can be looked at, or an empty string."""
    if work.task.isolation == "worktree" and not work.base:
        return "not checked: the task works in a worktree of its own, where this server does not look"
    if not work.workspace or not Path(work.workspace).is_dir():
        return f"not checked: the workspace {work.workspace!r} is not there"
    return ""


def _looked(root: Path, one: Criterion, stop: threading.Event) -> Receipt:
    """Returns the receipt of a criterion that looking decides."""
    try:
        if one.kind == "glob":
            return _glob(root, one, stop)
        return _absent(root, one) if one.kind == "absent" else _file(root, one)
    except safe_look.Unmeasured as why:
        return receipts.unproven(one, f"not checked: {why}")
    except OSError as error:
        return receipts.unproven(one, f"not checked: {error.strerror}")


def _file(root: Path, one: Criterion) -> Receipt:
    if one.kind == "words":
        return receipts.unproven(one, "")
    place = root / one.subject
    if not safe_look.holds(root, one.subject):
        return receipts.unproven(one, "not checked: it leads outside the workspace")
    if place.is_dir():
        return receipts.proven(one, "the folder exists")
    if one.subject.endswith("/"):
        return receipts.refuted(one, "there is no such folder")
    if not place.is_file():
        return receipts.refuted(one, "there is no such file")
    return receipts.proven(one, f"the file exists, {place.stat().st_size} bytes")


def _absent(root: Path, one: Criterion) -> Receipt:
    if not safe_look.lies_inside(root, one.subject):
        return receipts.unproven(one, "not checked: it leads outside the workspace")
    there = (root / one.subject).is_symlink() or (root / one.subject).exists()
    return receipts.refuted(one, "it exists") if there else receipts.proven(one, "there is nothing of that name")


def _glob(root: Path, one: Criterion, stop: threading.Event) -> Receipt:
    found = list(itertools.islice(safe_look.matching(root, one.subject, stop), one.least))
    if len(found) < one.least:
        return receipts.refuted(one, f"{len(found)} of {one.least} wanted files match" if found else "no file matches")
    return receipts.proven(one, f"{one.least} or more files match, `{found[0]}` among them")


def _tail(output: model.Json) -> str:
    """Returns the end of what a program printed."""
    if not json_types.is_object(output):
        return ""
    said = "\n".join(str(output.get(name, "")).strip() for name in ("stdout", "stderr")).strip()
    return f"; it ended with: {escape.one_line(said[-TAIL_CHARS:], limit=TAIL_CHARS)}" if said else ""
