"""Work in a workspace that a review has blocked: it stays so in every later plan, whatever became of the run.

What is blocked are the files that the reviewers were shown, or those that the work declares where nobody was shown all
of it. A later review that passes a file frees it, and so does a person who lets such a review go; a block ends when all
of its files are free. A round of the council frees what the server read from the workspace for it, and a change that
was handed in only if it is the very change that was blocked. What else changes in the workspace is not concerned.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import anyio.to_thread

from dispatch_mcp import errors, model
from dispatch_mcp.engine import plan_review_attempt, review_attempt
from dispatch_mcp.model import records, transitions
from dispatch_mcp.process import file_identity
from dispatch_mcp.review import review_tasks
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.text import path_globs, unified_diff

_BLOCKS: Final = frozenset({transitions.NEEDS_CHANGES, transitions.INCONCLUSIVE})
_PAGE: Final = 100
_TELLING: Final = 4
"""Letters and digits of a line from which on it is known again."""

_MOST_BYTES: Final = 1 << 22
"""Bytes of a file that are searched for what of a blocked change still stands."""


class Block(NamedTuple):
    """A review that has blocked work, and the real paths of the files that are blocked.

    `texts` has what its reviewers were shown of a file, and `states` how the blocked work left it, by its real path;
    `base` is the commit at which that work began, empty where nobody knows it.
    """

    run_id: str
    review: str
    places: tuple[str, ...]
    texts: Mapping[str, str] = {}
    states: Mapping[str, str] = {}
    base: str = ""


class _Exhibits(NamedTuple):
    """What reviewers were shown of each file, by its real path; whether that was all of the change."""

    texts: Mapping[str, str]
    is_whole: bool


class _Reviewed(NamedTuple):
    """A run as its reviews left it: its plan, the reviews whose word counts, and their rows by id."""

    plan: model.Plan
    reviews: Sequence[model.Task]
    rows: Mapping[str, records.TaskRecord]


@dataclass(frozen=True, slots=True)
class _Past:
    """The runs in and around a workspace, each read once however many blocks are looked into."""

    store: sqlite_store.Store
    principal: str
    workspace: str
    runs: list[records.RunRecord] = field(default_factory=list[records.RunRecord])
    reviewed_runs: dict[str, _Reviewed] = field(default_factory=dict[str, _Reviewed])
    passes: dict[str, Mapping[str, str | None]] = field(default_factory=dict[str, Mapping[str, str | None]])

    async def reviewed(self, run: records.RunRecord) -> _Reviewed:
        """Returns a run as its reviews left it."""
        if run.id not in self.reviewed_runs:
            plan = await self.store.plan(run.plan_id, run.plan_version, principal=self.principal)
            reviews = _deciding(plan.tasks)
            rows = {task.id: task for task in await self.store.tasks(run.id)} if reviews else {}
            self.reviewed_runs[run.id] = _Reviewed(plan, [task for task in reviews if task.id in rows], rows)
        return self.reviewed_runs[run.id]

    async def blocks(self, run_id: str) -> list[Block]:
        """Returns what the reviews of a run block."""
        run = await self.store.run(run_id, principal=self.principal)
        past = await self.reviewed(run)
        blocks: list[Block] = []
        for review in past.reviews:
            if _is_blocking(records.row_of(past.rows[review.id])):
                exhibits = await self._exhibits(run, review)
                places = tuple(exhibits.texts) if exhibits.is_whole else await self._subjects(run, past.plan, review)
                names = tuple({**dict.fromkeys(places), **exhibits.texts})
                states = await self._left(run, review)
                base = plan_review_attempt.head_of(
                    await plan_review_attempt.first_look(self.store, run_id, review.reviews)
                )
                blocks.append(Block(run_id, review.id, names, exhibits.texts, states, base))
        return blocks

    async def _left(self, run: records.RunRecord, review: model.Task) -> dict[str, str]:
        """Returns how the work under a review has left its files, by their real paths."""
        outcomes = await self.store.outcomes(run.id, [*review.reviews])
        states = {
            path: print_of.after for outcome in outcomes.values() for path, print_of in outcome.footprints.items()
        }
        return {place: states[path] for place, path in (await _real_paths(run.workspace, states)).items()}

    async def _exhibits(self, run: records.RunRecord, review: model.Task) -> _Exhibits:
        """Returns what the reviewers of a review, or the seats of a council, were shown last; none if it is lost."""
        names, last = {review.id, *review.joins}, dict[str, plan_review_attempt.Shown]()
        for attempt in await self.store.attempts(run.id):
            exhibit = plan_review_attempt.exhibit_of(attempt.beat)
            if attempt.task_id in names and exhibit != plan_review_attempt.Shown():
                last[attempt.task_id] = exhibit
        texts: dict[str, str] = {}
        for digest in {exhibit.diff for exhibit in last.values()} - {""}:
            try:
                text = await review_attempt.read_text(self.store, digest)
            except (errors.UnknownHandle, errors.StoreDamaged):
                return _Exhibits({}, is_whole=False)
            texts |= await _real_texts(run.workspace, text)
        return _Exhibits(texts, bool(texts) and not any(exhibit.unseen for exhibit in last.values()))

    async def _subjects(self, run: records.RunRecord, plan: model.Plan, review: model.Task) -> tuple[str, ...]:
        """Returns the real paths of what the work under a review declares, and says it changed."""
        files = {path for task in plan.tasks if task.id in review.reviews for path in task.files}
        outcomes = await self.store.outcomes(run.id, [*review.reviews])
        files |= {path for outcome in outcomes.values() for path in outcome.handoff.files_modified}
        return (await _places([(review.id, run.workspace, sorted(files))]))[review.id]

    async def standing(self, block: Block) -> Block:
        """Returns a block without the files that a review of a later run has passed, or a person has let go."""
        rest = dict.fromkeys(block.places)
        for run in await self._later(block.run_id):
            if not rest:
                break
            passes = {**await self._passed(run), **await self._passed_by_round(run, block)}
            rest = {place: None for place in rest if not await _is_freed(block, place, passes, self.workspace)}
        return block._replace(places=tuple(rest))

    async def _later(self, run_id: str) -> list[records.RunRecord]:
        """Returns the runs in and around the workspace that began after another, latest first."""
        at, is_end = 0, False
        while not is_end:
            if at == len(self.runs):
                page = await self.store.runs(self.principal, limit=_PAGE, after=self.runs[-1].id if self.runs else "")
                self.runs.extend(page)
            is_end = at == len(self.runs) or self.runs[at].id == run_id
            at += not is_end
        kin = await around(self.workspace, {run.workspace for run in self.runs[:at]})
        return [run for run in self.runs[:at] if run.workspace in kin]

    async def _passed(self, run: records.RunRecord) -> Mapping[str, str | None]:
        """Returns the places about which the reviews of a run have decided for good, with what they were shown there.

        None is a person's word, which needs no look. What a simulation passes, nobody has looked at.
        """
        if run.dry_run:
            return {}
        if run.id not in self.passes:
            plan, reviews, rows = await self.reviewed(run)
            places: dict[str, str | None] = {}
            for review in (task for task in reviews if _has_passed(rows[task.id])):
                exhibits = await self._exhibits(run, review)
                is_let_go = rows[review.id].state is model.TaskState.SKIPPED
                places |= dict.fromkeys(exhibits.texts) if is_let_go else exhibits.texts
                places |= dict.fromkeys(await self._subjects(run, plan, review)) if is_let_go else {}
            self.passes[run.id] = places
        return self.passes[run.id]

    async def _passed_by_round(self, run: records.RunRecord, block: Block) -> Mapping[str, str]:
        """Returns the blocked places that a round of the council has passed, with what it was shown; none otherwise.

        What the blocked work had left and stands there again was not passed with anything else.
        """
        if run.dry_run or run.state is not model.RunState.SUCCEEDED:
            return {}
        place = review_tasks.assignment_of(next(iter((await self.reviewed(run)).plan.tasks)))
        if place is None:
            return {}
        try:
            manifest = await review_attempt.read_manifest(self.store, place.manifest)
            texts = await _real_texts(run.workspace, await review_attempt.read_text(self.store, manifest.diff))
        except (errors.UnknownHandle, errors.StoreDamaged, ValueError):
            return {}
        own = await _real_paths(run.workspace, manifest.states)
        now = await anyio.to_thread.run_sync(self.store.states_of, run.workspace, [*own.values()])
        passes = {
            place
            for place, path in own.items()
            if manifest.states[path] == now.get(path) or now.get(path) != block.states.get(place)
        }
        return {place: text for place, text in texts.items() if place in passes or block.texts.get(place) == text}


async def around(workspace: str, folders: Collection[str]) -> Collection[str]:
    """Returns those folders that a workspace is, lies in or holds, also by a link or as a working tree."""

    def look() -> frozenset[str]:
        own = file_identity.common_place(Path(workspace))
        return frozenset(other for other in folders if path_globs.touch(file_identity.common_place(Path(other)), own))

    return await anyio.to_thread.run_sync(look)


async def _objections(store: sqlite_store.Store, principal: str, workspace: str) -> list[str]:
    """Returns the newest runs in and around a workspace in which a review has blocked work, latest first."""
    names = await store.objected_workspaces(principal) if workspace else ()
    kin = await around(workspace, names) if names else ()
    return await store.objected_runs(principal, kin) if kin else []


async def touched(
    store: sqlite_store.Store, principal: str, workspace: str, tasks: Iterable[model.Task]
) -> dict[str, Block]:
    """Returns which tasks of a workspace declare files of work that is blocked, by id, each with the newest block."""
    declarations = [(task.id, workspace, task.files) for task in tasks if task.files]
    run_ids = await _objections(store, principal, workspace) if declarations else []
    blocks: dict[str, Block] = {}
    if not run_ids:
        return blocks
    own_places, past = await _places(declarations), _Past(store, principal, workspace)
    for run_id in run_ids:
        for block in await past.blocks(run_id):
            names = [name for name, places in own_places.items() if name not in blocks and _meet(places, block.places)]
            rest = await past.standing(block) if names else block
            blocks |= {name: rest for name in names if _meet(own_places[name], rest.places)}
    return blocks


async def open_blocks(store: sqlite_store.Store, principal: str, workspace: str) -> list[Block]:
    """Returns what is blocked in and around a workspace, the newest first."""
    past, blocks = _Past(store, principal, workspace), list[Block]()
    for run_id in await _objections(store, principal, workspace):
        blocks += [await past.standing(block) for block in await past.blocks(run_id)]
    return [block for block in blocks if block.places]


async def block_of(store: sqlite_store.Store, principal: str, workspace: str, places: Sequence[str]) -> Block | None:
    """Returns the newest block of one of these real paths that stands; None for none."""
    blocks = await open_blocks(store, principal, workspace)
    return next((block for block in blocks if _meet(places, block.places)), None)


def _deciding(tasks: Sequence[model.Task]) -> list[model.Task]:
    """Returns the reviews whose word counts: councils in place of their seats."""
    seats = {seat for task in tasks for seat in task.joins}
    return [task for task in tasks if task.reviews and task.id not in seats]


def _is_blocking(row: transitions.TaskRow) -> bool:
    return (row.rounds > 0 or row.cause in _BLOCKS) and transitions.stands_against(row)


def _has_passed(task: records.TaskRecord) -> bool:
    is_let_go = task.state is model.TaskState.SKIPPED and task.cause == transitions.BY_USER
    return is_let_go or (task.state is model.TaskState.SUCCEEDED and task.worker is not model.WorkerKind.SCRIPTED)


async def _real_paths(workspace: str, paths: Collection[str]) -> Mapping[str, str]:
    """Returns paths of a workspace by their real places."""
    return await anyio.to_thread.run_sync(
        lambda: {file_identity.common_place(Path(workspace), path): path for path in paths}
    )


async def _real_texts(workspace: str, diff: str) -> dict[str, str]:
    """Returns what a change does to each file, by the file's real path."""
    texts: dict[str, str] = {}
    for file in unified_diff.parse(diff).files:
        for path in {file.path, file.old_path}:
            texts[path] = texts.get(path, "") + unified_diff.render(file)
    return {place: texts[path] for place, path in (await _real_paths(workspace, texts)).items()}


async def _places(declarations: Sequence[tuple[str, str, Sequence[str]]]) -> Mapping[str, tuple[str, ...]]:
    """Returns the real paths of files of workspaces, by name."""

    def real() -> dict[str, tuple[str, ...]]:
        return {
            name: tuple(
                file_identity.common_place(Path(workspace), path_globs.normalise(path, workspace)) for path in files
            )
            for name, workspace, files in declarations
        }

    return await anyio.to_thread.run_sync(real)


def _meet(first: Sequence[str], second: Sequence[str]) -> bool:
    return any(path_globs.touch(one_path, other_path) for one_path in first for other_path in second)


async def _is_freed(block: Block, place: str, passes: Mapping[str, str | None], workspace: str) -> bool:
    """Returns whether all of a place is passed by somebody who was shown what of its blocked change still stands.

    A pattern covers itself only, as nobody knows what else it may name.
    """
    texts = [text for other, text in passes.items() if place == other or path_globs.contains(other, place)]
    if None in texts or not texts:
        return bool(texts)
    blocked_text = block.texts.get(place, "")
    exhibit = frozenset(_words(line[1:]) for text in texts for line in _lines(text or ""))
    rest = [line for line in _lines(blocked_text) if line[0] in "+-" and _words(line[1:]) not in exhibit]
    if not rest:
        return True
    now = await anyio.to_thread.run_sync(_words_of_file, place, workspace)
    return now is not None and not any((_words(line[1:]) in now) == (line[0] == "+") for line in rest)


def _lines(diff: str) -> list[str]:
    """Returns the lines of a change that say something: those of a bracket alone stand everywhere."""
    lines = [line for file in unified_diff.parse(diff).files for hunk in file.hunks for line in hunk.lines]
    return [line for line in lines if sum(map(str.isalnum, line)) >= _TELLING]


def _words(line: str) -> str:
    return " ".join(line.split())


def _words_of_file(place: str, workspace: str) -> frozenset[str] | None:
    """Returns the lines of a file, as it is in a workspace if that holds it.

    None where it cannot be read or is too large: it may hold anything then.
    """
    top = file_identity.common_place(Path(workspace)).rstrip("/")
    path = Path(workspace, place[len(top) + 1 :]) if place.startswith(f"{top}/") else Path(place)
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()
    except OSError:
        return None
    return frozenset(map(_words, text.decode("utf-8", "replace").split("\n"))) if len(text) <= _MOST_BYTES else None
