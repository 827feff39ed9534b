"""Work in a workspace that a review has blocked: it stays so in every later plan, whatever became of the run.

What is blocked are the files that the reviewers were shown, or those that the work declares where nobody was shown all
of it. A later review that passes a file frees it, and so does a person who lets such a review go; a block ends when all
of its files are free. A round of the council frees what the server read from the workspace for it, and a change that
was handed in only if it is the very change that was blocked. What else changes in the workspace is not concerned.

A workspace is the same also under another path: as a folder that was renamed, or as a clone. What tells it is the
commit at which the blocked work began. So is a file that was renamed since, as git tells it or by what stands in it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import anyio.to_thread

from dispatch_mcp import errors, model
from dispatch_mcp.engine import plan_review_attempt, review_attempt
from dispatch_mcp.engine.earlier_runs import kindred_repositories
from dispatch_mcp.git import git_process
from dispatch_mcp.model import records, transitions
from dispatch_mcp.process import child_environment, file_identity
from dispatch_mcp.review import review_tasks
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.text import file_states, path_globs, unified_diff

_Value = TypeVar("_Value")
_BLOCKS: Final = frozenset({transitions.NEEDS_CHANGES, transitions.INCONCLUSIVE})
_PAGE: Final = 100
_TELLING: Final = 4
"""Letters and digits of a line from which on it is known again."""

_MOST_NEW_FILES: Final = 500
"""Files that were not there before, of which one may be a blocked one under another name."""

_MOST_BYTES: Final = 1 << 22
"""Bytes of a file that are searched for what of a blocked change still stands."""


class Block(NamedTuple):
    """A review that has blocked work, and the real paths of the files that are blocked.

    `texts` has what its reviewers were shown of a file, and `states` how the blocked work left it, by its real path;
    `base` is the commit at which that work began, empty where nobody knows it. `origins` has the earlier paths of those
    that were renamed since.
    """

    run_id: str
    review: str
    places: tuple[str, ...]
    texts: Mapping[str, str] = {}
    states: Mapping[str, str] = {}
    base: str = ""
    origins: Mapping[str, str] = {}


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
    moves: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    """Of workspaces that are this one's repository elsewhere: where that begins there, and where here."""
    changes: dict[str, tuple[Sequence[tuple[str, str]], Mapping[str, str]]] = field(
        default_factory=dict[str, tuple[Sequence[tuple[str, str]], Mapping[str, str]]]
    )
    """Of commits: what was renamed since, and how the files are that are new since."""
    histories: dict[str, kindred_repositories.RepositoryHistory | None] = field(
        default_factory=dict[str, kindred_repositories.RepositoryHistory | None]
    )
    """The repository of the workspace by that, once it was looked for."""

    async def objections(self) -> list[str]:
        """Returns the newest runs in and around the workspace in which a review has blocked work, latest first.

        Behind them come those of the same repository under other paths.
        """
        names = await self.store.objected_workspaces(self.principal) if self.workspace else ()
        kin = await around(self.workspace, names) if names else ()
        run_ids = await self.store.objected_runs(self.principal, kin) if kin else []
        return [*run_ids, *await self._moved(sorted(set(names).difference(kin)))]

    async def _moved(self, workspaces: Sequence[str]) -> list[str]:
        """Returns the runs with blocked work of those workspaces that are this repository under another path."""
        history = await self._history() if workspaces else None
        if history is None:
            return []
        run_ids = {name: await self.store.objected_runs(self.principal, [name]) for name in workspaces}
        bases = {run_id: await self._bases(run_id) for names in run_ids.values() for run_id in names}
        commits = await history.commits({base for names in bases.values() for base in names})
        here = await anyio.to_thread.run_sync(file_identity.common_place, history.top)
        result: list[str] = []
        for name, runs in run_ids.items():
            pairs = [(run_id, base) for run_id in runs for base in bases[run_id] if base in commits]
            if pairs:
                self.moves[name] = (await self._begin(history, name, *pairs[0]), here)
                result += runs
        return result

    async def _history(self) -> kindred_repositories.RepositoryHistory | None:
        if self.workspace not in self.histories:
            top = await anyio.to_thread.run_sync(file_identity.repository_top, Path(self.workspace))
            git = git_process.Git(self.store.home, child_environment.ChildPolicy(os.environ))
            self.histories[self.workspace] = top and kindred_repositories.RepositoryHistory(git, top)
        return self.histories[self.workspace]

    async def _bases(self, run_id: str) -> list[str]:
        """Returns the commits at which the work of a run began that its reviews block."""
        past = await self.reviewed(await self.store.run(run_id, principal=self.principal))
        bases = [
            await self._base(run_id, review)
            for review in past.reviews
            if _is_blocking(records.row_of(past.rows[review.id]))
        ]
        return [base for base in bases if base]

    async def _base(self, run_id: str, review: model.Task) -> str:
        return plan_review_attempt.head_of(await plan_review_attempt.first_look(self.store, run_id, review.reviews))

    async def _begin(
        self, history: kindred_repositories.RepositoryHistory, workspace: str, run_id: str, base: str
    ) -> str:
        """Returns the folder in which the repository began that a workspace was in.

        Of one that is gone, its files tell: those that were blocked lie below it as they do in the commit.
        """
        top = await anyio.to_thread.run_sync(file_identity.repository_top, Path(workspace))
        if top is not None and await anyio.Path(workspace).is_dir():
            return await anyio.to_thread.run_sync(file_identity.common_place, top)
        places = [place for block in await self.blocks(run_id) for place in block.places]
        folder = Path(await anyio.to_thread.run_sync(file_identity.common_place, Path(workspace)))
        for candidate in (folder, *folder.parents):
            paths = [place.removeprefix(f"{candidate}/") for place in places if place.startswith(f"{candidate}/")]
            if await history.files(base, paths):
                return candidate.as_posix()
        return folder.as_posix()

    def _here(self, workspace: str, places: Mapping[str, _Value]) -> dict[str, _Value]:
        """Returns what is known of places of a workspace under the paths that they have here."""
        begin, here = self.moves.get(workspace, ("", ""))
        return {
            f"{here}{place[len(begin) :]}" if begin and place.startswith(f"{begin}/") else place: value
            for place, value in places.items()
        }

    async def open(self, block: Block) -> Block:
        """Returns a block as it stands, with the files under the names that they have now."""
        rest = await self._standing(block)
        block_now = await self._with_renamed(rest) if rest.places else rest
        return await self._standing(block_now) if block_now.origins else rest

    async def _with_renamed(self, block: Block) -> Block:
        """Returns a block with the files, too, that those which it blocks have become since in this repository."""
        history = await self._history() if block.base else None
        if history is None:
            return block
        top = await anyio.to_thread.run_sync(file_identity.common_place, history.top)
        paths = {place[len(top) + 1 :]: place for place in block.places if place.startswith(f"{top}/")}
        states = await anyio.to_thread.run_sync(self.store.states_of, history.top.as_posix(), [*paths])
        absences = {
            path: place
            for path, place in paths.items()
            if not states.get(path) or (place in block.states and states[path] != block.states[place])
        }
        names = await self._renames(history, block, absences) if absences else {}
        origins = {f"{top}/{new}": absences[old] for new, old in names.items() if f"{top}/{new}" not in block.places}

        def with_origins(values: Mapping[str, _Value]) -> dict[str, _Value]:
            return {**values, **{name: values[place] for name, place in origins.items() if place in values}}

        return block._replace(
            places=(*block.places, *origins),
            texts=with_origins(block.texts),
            states=with_origins(block.states),
            origins=origins,
        )

    async def _renames(
        self, history: kindred_repositories.RepositoryHistory, block: Block, absences: Mapping[str, str]
    ) -> dict[str, str]:
        """Returns the earlier paths of files that were renamed since, of those that are gone from theirs."""
        renames, new_states = await self._changes(history, block.base)
        earlier = {path: path for path in absences}
        for old, new in renames:
            origin = earlier.get(old) or next((path for path in absences if path_globs.contains(path, old)), None)
            if origin is not None:
                earlier[new] = origin
        contents = {block.states[place]: path for path, place in absences.items() if block.states.get(place)}
        for path, state in new_states.items():
            origin = next((old for content, old in contents.items() if file_states.same(content, state)), None)
            if origin is not None:
                earlier.setdefault(path, origin)
        return {new: old for new, old in earlier.items() if new != old}

    async def reviewed(self, run: records.RunRecord) -> _Reviewed:
        """Returns a run as its reviews left it."""
        if run.id not in self.reviewed_runs:
            plan = await self.store.plan(run.plan_id, run.plan_version, principal=self.principal)
            reviews = _deciding(plan.tasks)
            rows = {task.id: task for task in await self.store.tasks(run.id)} if reviews else {}
            self.reviewed_runs[run.id] = _Reviewed(plan, [task for task in reviews if task.id in rows], rows)
        return self.reviewed_runs[run.id]

    async def _changes(
        self, history: kindred_repositories.RepositoryHistory, commit: str
    ) -> tuple[Sequence[tuple[str, str]], Mapping[str, str]]:
        """Returns what was renamed since a commit, the earliest first, and how files are that are new since."""
        if commit not in self.changes:
            renames = await history.renames(commit)
            paths = (await history.new_files(commit))[:_MOST_NEW_FILES]
            states = await anyio.to_thread.run_sync(self.store.states_of, history.top.as_posix(), paths)
            self.changes[commit] = renames, states
        return self.changes[commit]

    async def blocks(self, run_id: str) -> list[Block]:
        """Returns what the reviews of a run block."""
        run = await self.store.run(run_id, principal=self.principal)
        past = await self.reviewed(run)
        blocks: list[Block] = []
        for review in past.reviews:
            if _is_blocking(records.row_of(past.rows[review.id])):
                exhibits = await self._exhibits(run, review)
                places = tuple(exhibits.texts) if exhibits.is_whole else await self._subjects(run, past.plan, review)
                places = tuple(self._here(run.workspace, dict.fromkeys((*places, *exhibits.texts))))
                texts = self._here(run.workspace, exhibits.texts)
                states = self._here(run.workspace, await self._left(run, review))
                blocks.append(Block(run_id, review.id, places, texts, states, await self._base(run_id, review)))
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
        return (await real_places([(review.id, run.workspace, sorted(files))]))[review.id]

    async def _standing(self, block: Block) -> Block:
        """Returns a block without the files that a review of a later run has passed, or a person has let go."""
        rest = dict.fromkeys(block.places)
        for run in await self._later(block.run_id):
            if not rest:
                break
            passes = {**await self._passed(run), **await self._passed_by_round(run, block)}
            rest = {place: None for place in rest if not await _is_freed(block, place, passes, self.workspace)}
        return block._replace(places=tuple(place for place in rest if block.origins.get(place, place) in rest))

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
        return [run for run in self.runs[:at] if run.workspace in kin or run.workspace in self.moves]

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
            self.passes[run.id] = self._here(run.workspace, places)
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
            diff = await review_attempt.read_text(self.store, manifest.diff)
        except (errors.UnknownHandle, errors.StoreDamaged, ValueError):
            return {}
        texts = self._here(run.workspace, await _real_texts(run.workspace, diff))
        own = self._here(run.workspace, await _real_paths(run.workspace, manifest.states))
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


async def touched(
    store: sqlite_store.Store, principal: str, workspace: str, tasks: Iterable[model.Task]
) -> dict[str, Block]:
    """Returns which tasks of a workspace declare files of work that is blocked, by id, each with the newest block."""
    declarations = [(task.id, workspace, task.files) for task in tasks if task.files]
    past, blocks = _Past(store, principal, workspace), dict[str, Block]()
    run_ids = await past.objections() if declarations else []
    if not run_ids:
        return blocks
    own_places = await real_places(declarations)
    for run_id in run_ids:
        for block in [await past.open(block) for block in await past.blocks(run_id)]:
            names = [name for name, places in own_places.items() if name not in blocks and _meet(places, block.places)]
            blocks |= dict.fromkeys(names, block)
    return blocks


async def open_blocks(store: sqlite_store.Store, principal: str, workspace: str) -> list[Block]:
    """Returns what is blocked in and around a workspace, the newest first."""
    past, blocks = _Past(store, principal, workspace), list[Block]()
    for run_id in await past.objections():
        blocks += [await past.open(block) for block in await past.blocks(run_id)]
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


async def real_places(declarations: Sequence[tuple[str, str, Sequence[str]]]) -> Mapping[str, tuple[str, ...]]:
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
