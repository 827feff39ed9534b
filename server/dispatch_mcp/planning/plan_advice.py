"""Advice about a plan that is correct: what users would otherwise find out while it runs."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, Literal

from dispatch_mcp import model
from dispatch_mcp.model import problems
from dispatch_mcp.planning import acceptance, conflicts, schedule
from dispatch_mcp.text import escape, path_globs
from dispatch_mcp.text.reading import excerpts

GROWTH: Final = 1.25
"""Makespan after serialising over makespan before, above which worktrees are proposed."""

_LISTED = 20
_WRITING_VERBS = """
add build change code connect convert create delete develop extend extract fix generate implement integrate
introduce migrate modify optimise optimize patch port refactor remove rename replace rewrite scaffold update
upgrade wire write
"""
_WRITING = frozenset(_WRITING_VERBS.split())
_MENDING = frozenset(
    {"adapt", "adjust", "amend", "apply", "correct", "edit", "improve", "make", "mend", "move", "repair", "set"}
)
_THINKING_VERBS = """
analyse analyze assess audit benchmark check compare debug describe design diagnose evaluate explain explore
find inspect investigate list measure monitor plan profile report research review run study summarise
summarize test trace validate verify
"""
_THINKING = frozenset(_THINKING_VERBS.split())
_TELLING_VERBS = """
brainstorm collect compare count describe design document draft estimate explain list map measure monitor name
outline plan prioritise prioritize propose rank report sort suggest summarise summarize triage
"""
_TELLING = frozenset(_TELLING_VERBS.split())
_SEEKING_VERBS = """
analyse analyze assess audit debug diagnose evaluate explore find hunt identify inspect investigate look profile
read reproduce research review scan search study survey trace
"""
_SEEKING = frozenset(_SEEKING_VERBS.split())
_ASSESSING = frozenset({"assess", "audit", "evaluate", "inspect", "review"})
_ASKING = frozenset({"how", "when", "where", "which", "who", "whose", "why"})  # "what is wrong" may judge
_JUDGING_VERBS = "approve check confirm decide ensure is judge prove say test validate verdict verify"
_JUDGING = frozenset(_JUDGING_VERBS.split())
_WORD = re.compile(r"\w+")
_HOT_NAMES = frozenset(
    {
        "__init__.py",
        "build.gradle",
        "Cargo.toml",
        "composer.json",
        "Gemfile",
        "go.mod",
        "go.sum",
        "package-lock.json",
        "package.json",
        "pnpm-lock.yaml",
        "pom.xml",
        "pyproject.toml",
        "requirements.txt",
        "setup.cfg",
        "setup.py",
    }
)
_HOT_FOLDERS = ("migrations/", "migrate/", "alembic/")
_HOT_ENDS = (".lock", "migrations")
_IN_CHECKOUT = frozenset({model.WorkerKind.HOST, model.WorkerKind.HUMAN})
_INSIDE = (
    "`{0}` is a repository of its own: a worktree has only its empty folder, and work inside is kept and never merged. "
    "Plan such work with that folder as the workspace; a task here may only move a submodule to another commit."
)
_HOT_MARKS = (*_HOT_NAMES, *_HOT_FOLDERS, *_HOT_ENDS)


def of_plan(
    tasks: Sequence[model.Task], settlement: conflicts.Settlement, first: schedule.Outlook, last: schedule.Outlook
) -> Iterator[problems.Notice]:
    """Yields all advice about a plan, as it was sent and as its write conflicts were settled."""
    distinct = first.plan.deps
    duplicates = [task.id for task, deps in zip(tasks, distinct, strict=True) if len(task.deps) != len(deps)]
    if duplicates:
        yield _about("duplicate_dependency", duplicates, "Repeated dependencies dropped.")
    yield from of_tasks(tasks)
    yield from settlement.notices
    yield from _slower(first.makespan, last.makespan)
    yield from _of_paths(tasks, settlement.paths)
    yield from _of_reads(tasks, settlement)
    yield from _of_shape(tasks, serial=sum(last.at.minutes), critical=last.at.critical)


def of_tasks(tasks: Sequence[model.Task]) -> Iterator[problems.Notice]:
    """Yields what single tasks show: too big, only a folder, no files declared."""
    big = [task.id for task in tasks if task.effort is model.Effort.XL]
    if big:
        yield _about("oversized", big, "XL: split, so that parts can run at once and be verified.")
    hollow = [task.id for task in tasks if _makes_folder(task)]
    if hollow:
        yield _about("empty_folder", hollow, "git keeps no empty folder: have a file such as `.gitkeep` made in it.")
    if len(tasks) > 1:
        silent = [task.id for task in tasks if not (task.files or task.joins or task.reviews) and says_to_write(task)]
        if silent:
            yield _about("no_files_declared", silent, "Write conflicts go unseen.")


def _slower(before: float, after: float) -> Iterator[problems.Notice]:
    if after > before * GROWTH:
        message = (
            f"Ordering tasks that write the same files takes the plan from {before:.0f} to {after:.0f} minutes; "
            "on_conflict `worktree` avoids it."
        )
        yield problems.Notice(code="serialized_slow", message=message)


def _of_paths(tasks: Sequence[model.Task], paths: conflicts.NodePaths) -> Iterator[problems.Notice]:
    """Yields what the declared paths show: files that others tend to change too, and too many globs."""
    hot = _hot(paths.writes) if len(tasks) > 1 else []
    if hot:
        yield _about(
            "hot_file",
            [tasks[node].id for node in hot],
            "Writes a manifest, lock file, migration or `__init__`; others often do too.",
        )
    if not paths.exact:
        yield problems.Notice(
            code="too_many_globs", message="Each glob was taken for the whole folder it starts in; name files instead."
        )


def _of_reads(tasks: Sequence[model.Task], settlement: conflicts.Settlement) -> Iterator[problems.Notice]:
    """Yields one notice if tasks read what a task without a path to them writes."""
    pairs, total = settlement.late_reads, settlement.late_read_count
    if pairs:
        sentence = [
            f"`{tasks[reader].id}` reads {_path(settlement.paths, reader, writer)}, which `{tasks[writer].id}` writes"
            for reader, writer in pairs[:3]
        ]
        more = f" (and {total - 3} more)" if total > 3 else ""
        readers = [tasks[reader].id for reader, _ in pairs]
        yield _about("read_after_write_unordered", readers, f"{'; '.join(sentence)}{more}; add a dep if order matters.")


def of_inner_folders(
    tasks: Sequence[model.Task], folders: Collection[str], workspace: str
) -> Iterator[problems.Notice]:
    """Yields one notice for each submodule, or other repository in the workspace, that declared files lie in.

    `folders` are these, relative to the workspace. What the assistant or a person does is done in the checkout itself.
    """
    ids_by_folder: dict[str, list[str]] = {}
    for task in tasks if folders else ():
        paths = [] if task.worker in _IN_CHECKOUT else [path_globs.normalise(path, workspace) for path in task.files]
        for folder in filter(None, folders):  # an empty one is the workspace itself
            if any(path == folder or path.startswith(f"{folder}/") for path in paths):
                ids_by_folder.setdefault(folder, []).append(task.id)
    for folder, ids in ids_by_folder.items():
        yield _about("inside_submodule", ids, _INSIDE.format(escape.one_line(folder, limit=120)))


def _of_shape(tasks: Sequence[model.Task], *, serial: float, critical: float) -> Iterator[problems.Notice]:
    """Yields advice against plans that gain nothing from being plans (docs/rules.md#when-a-plan-pays)."""
    if len(tasks) <= 2:
        yield problems.Notice(code="trivial_plan", message="One or two tasks: calling the agent directly is simpler.")
    elif serial > 0 and critical >= serial:
        yield problems.Notice(code="single_chain", message="Nothing runs in parallel: one agent could do it all.")


def _makes_folder(task: model.Task) -> bool:
    """Returns whether a task declares a folder, is done when that stands, and says nothing of what is in it."""
    folders = {path_globs.normalise(path) for path in task.files if path[-1:] == "/"}
    if not folders:
        return False
    criteria = acceptance.criteria_of(task)
    subjects = {criterion.subject.rstrip("/") for criterion in criteria if criterion.subject.endswith("/")}
    rest = [criterion.subject for criterion in criteria if not criterion.subject.endswith("/")]
    rest += [path for path in task.files if not path.endswith("/")]
    return any(not any(path.startswith(f"{folder}/") for path in rest) for folder in folders & subjects)


def _about(code: str, tasks: Sequence[str], message: str) -> problems.Notice:
    distinct = list(dict.fromkeys(tasks))
    more = f" ({len(distinct)} tasks)" if len(distinct) > _LISTED else ""
    return problems.Notice(code=code, tasks=tuple(distinct[:_LISTED]), message=message + more)


def _hot(writes: Mapping[int, Sequence[str]]) -> list[int]:
    """Returns the nodes that write a hot file; one search in all names first, because there rarely are any."""
    text = "\n".join(["\n".join(files) for files in writes.values()])
    if not any(mark in text for mark in _HOT_MARKS):
        return []
    return [node for node, files in writes.items() if any(map(_is_hot, files))]


def _is_hot(path: str) -> bool:
    name = path[path.rfind("/") + 1 :]
    return name in _HOT_NAMES or name.endswith(_HOT_ENDS) or any(part in path for part in _HOT_FOLDERS)


def _path(paths: conflicts.NodePaths, reader: int, writer: int) -> str:
    return f"`{paths.touching.shared(paths.reads[reader], paths.writes[writer])}`"


def only_looks(task: model.Task) -> bool:
    """Returns whether the first telling verb of the goal is one of finding out, such as `investigate`."""
    words = _WORD.findall(excerpts.GOAL.of(task.goal).lower())
    return next((word in _THINKING for word in words if word in _WRITING or word in _THINKING), False)


def names_no_change(task: model.Task) -> bool:
    """Returns whether a task declares no files, and its goal only finds out: no verb of it means a change."""
    words = {*_WORD.findall(task.goal.lower())}
    return not task.files and only_looks(task) and words.isdisjoint(_WRITING | _MENDING)


def asks_for(task: model.Task) -> Literal["account", "answer", "search", "judgement"]:
    """Returns what a goal that declares no change asks for, by its first telling word.

    An account of something names what is grave without judging it, and a search is to find just that. One that goes on
    with an open question ("investigate why") is to answer that, and judges no work, whatever came before it.
    """
    words = _WORD.findall(excerpts.GOAL.of(task.goal).lower())
    for at, word in enumerate(words):
        if word in _JUDGING:
            return "judgement"
        if word in _TELLING:
            return "account"
        if word in _SEEKING:
            return "answer" if word not in _ASSESSING and _is_question(words[at + 1 :]) else "search"
    return "judgement"


def _is_question(words: Sequence[str]) -> bool:
    """Returns whether words begin with an open question, of which the first may be a particle ("find out why")."""
    return not _ASKING.isdisjoint(words[:1] if words[:1] != ["out"] else words[1:2])


def says_to_write(task: model.Task) -> bool:
    """Returns whether the first telling verb of the goal is one of writing."""
    words = [] if task.command else _WORD.findall(excerpts.GOAL.of(task.goal).lower())
    return next((word in _WRITING for word in words if word in _WRITING or word in _THINKING), False)


def writes_besides(task: model.Task) -> bool:
    """Returns whether a goal goes on with a verb of writing after "and" or "then"."""
    words = _WORD.findall(task.goal.lower())
    return any(joint in ("and", "then") and verb in _WRITING | _MENDING for joint, verb in itertools.pairwise(words))
