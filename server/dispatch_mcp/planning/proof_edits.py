"""What edits of a plan take out of what shows that its tasks are done, so that a run's end can tell of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from dispatch_mcp import model
from dispatch_mcp.model import transitions
from dispatch_mcp.planning import acceptance
from dispatch_mcp.text import languages, path_globs

Loosening = Mapping[str, Sequence[str]]
"""Criteria by the task that was to be shown to be done by them."""

FILES = "a change of its files"
"""What stands for declared files, of which one has to be changed."""

_INDEPENDENCE: Final = re.compile(r"(.+) outside of its files, as it decides .+")
"""What stands for a file that decides a command as long as the task may not change it."""


def losses(
    before: Iterable[model.Task], after: Iterable[model.Task], rows: Iterable[transitions.TaskRow]
) -> dict[str, tuple[str, ...]]:
    """Returns what one version of a plan asks of tasks and the next one does no more; `rows` are those of the run.

    A task that is taken out counts if it was tried and is not done: whatever comes in its place is asked anew.
    """
    now = {task.id: task for task in after}
    failed_ids = {row.id for row in rows if row.attempt and row.state not in model.TASK_DONE}
    own = [task for task in before if task.id in now or task.id in failed_ids]
    texts = {task.id: _missing(_proof(task), now.get(task.id)) for task in own}
    for task in own:
        if task.id in now and task.id in failed_ids:
            texts[task.id] += _own_judges(task, now[task.id])
    return {task_id: criteria for task_id, criteria in texts.items() if criteria}


def details(edit: Loosening) -> dict[str, model.Json]:
    """Returns what an edit takes out as details of its event; nothing where it takes nothing out."""
    return {transitions.PROOF_LOSSES: {task_id: list(texts) for task_id, texts in edit.items()}} if edit else {}


def still_missing(edits: Iterable[Loosening], plan: Iterable[model.Task]) -> dict[str, tuple[str, ...]]:
    """Returns what edits took out and the plan as it is now does not ask for again."""
    now = {task.id: task for task in plan}
    texts: dict[str, dict[str, None]] = {}
    for edit in edits:
        for task_id, criteria in edit.items():
            texts.setdefault(task_id, {}).update(dict.fromkeys(criteria))
    gaps = {task_id: _missing(criteria, now.get(task_id)) for task_id, criteria in texts.items()}
    return {task_id: criteria for task_id, criteria in gaps.items() if criteria}


def _proof(task: model.Task) -> tuple[str, ...]:
    return (*task.acceptance, *((FILES,) if task.files else ()))


def _missing(criteria: Iterable[str], task: model.Task | None) -> tuple[str, ...]:
    """Returns which of these criteria a task does not ask for, neither in these words nor by asking for more."""
    if task is None:
        return tuple(criteria)
    texts, own = _proof(task), acceptance.criteria_of(task)
    return tuple(
        text
        for text in criteria
        if text not in texts and not _is_covered(text, own) and not _is_independent(text, task)
    )


def _own_judges(before: model.Task, now: model.Task) -> tuple[str, ...]:
    """Returns a text for each file that decides a command of a task's proof and was made the task's own by an edit.

    That is one that the command names, or by whose name runners of tests and builds know that it is theirs.
    """
    old = [path_globs.normalise(path) for path in before.files]
    new = [path for path in map(path_globs.normalise, now.files) if path and not _is_of(old, path)]
    return tuple(
        f"{path} outside of its files, as it decides {criterion.text}"
        for criterion in acceptance.criteria_of(before)
        if criterion.kind == "command" and criterion.text in now.acceptance
        for path in _judges(criterion.argv, new)
    )


def _judges(argv: Sequence[str], entries: Sequence[str]) -> list[str]:
    """Returns which declarations name, or hold, a file that decides a command."""
    words = {path_globs.normalise(word.partition("::")[0]) for word in argv if not word.startswith("-")} - {""}
    names = {word for word in words if "." in word or "/" in word}
    return [
        *(entry for entry in entries if languages.is_recipe(entry)),
        *(name for name in sorted(names) if _is_of(entries, name) and not languages.is_recipe(name)),
    ]


def _is_of(entries: Sequence[str], path: str) -> bool:
    return any(path_globs.touch(entry, path) for entry in entries)


def _is_independent(text: str, task: model.Task) -> bool:
    """Returns whether a file is no longer the task's own which an edit had made so."""
    match = _INDEPENDENCE.fullmatch(text)
    return bool(match) and not _is_of([path_globs.normalise(path) for path in task.files], match[1])


def _is_covered(text: str, own: Sequence[acceptance.Criterion]) -> bool:
    criterion = acceptance.read(text)
    return isinstance(criterion, acceptance.Criterion) and any(
        (other.kind, other.subject, other.argv) == (criterion.kind, criterion.subject, criterion.argv)
        and other.least >= criterion.least
        for other in own
        if other.kind != "words"
    )
