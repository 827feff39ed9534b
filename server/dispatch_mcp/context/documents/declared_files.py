"""Files that a plan names and that are not in the workspace, though one of nearly the same name is."""

from __future__ import annotations

import difflib
import functools
import itertools
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

from dispatch_mcp import model
from dispatch_mcp.context import requirements
from dispatch_mcp.context.documents import file_mentions
from dispatch_mcp.model import problems
from dispatch_mcp.process import safe_paths
from dispatch_mcp.text import path_globs

MAX_NAMES: Final = 5_000
"""Names that are looked at in one folder."""
MAX_PATHS: Final = 400
"""Paths of one plan that are looked up."""
MAX_NOTICES: Final = 10
_ALIKE: Final = 0.8
"""From which share of equal letters on a file that has to be there was misspelt."""


def notices(workspace: str, tasks: Sequence[model.Task]) -> list[problems.Notice]:
    """Returns a notice for each path that was probably meant to be another one, with the tasks that name it.

    A file that a task changes may be new: it is only another one's where the two are the same document by name. One
    that a task reads has to be there, unless a task makes it.
    """
    root = Path(os.path.realpath(workspace)) if workspace else None
    if root is None:
        return []
    look = functools.cache(_files_below)  # most paths of a plan lie in few folders
    outputs = {path for task in tasks for path in task.files}
    users: dict[tuple[str, str], list[str]] = {}
    for task in tasks:
        for path, is_read in itertools.islice(_paths(task, workspace), MAX_PATHS):
            if path in outputs and is_read:
                continue
            near = nearest(root, path, misspelt=is_read, look=look)
            if near and task.id not in users.setdefault((path, near), []):
                users[path, near].append(task.id)
    return [
        problems.Notice(
            code="near_file",
            tasks=tuple(ids),
            message=f"`{path}` is not there, `{near}` is: name that one if you mean it. Its text is in the brief.",
        )
        for (path, near), ids in itertools.islice(users.items(), MAX_NOTICES)
    ]


def without_links(
    workspace: str, tasks: Sequence[model.Task], final_ids: Collection[str] = ()
) -> tuple[list[model.Task], list[problems.Notice]]:
    """Returns the tasks with the real paths of files that they name through links, and a notice for each such path.

    Two names of one file would be two claims on it. A link that is named itself stays declared beside what it leads to:
    the work may be to replace it. What leads out of the workspace stays as it is, and so do tasks that are final.
    """
    root = Path(os.path.realpath(workspace))
    inside: dict[str, str] = {}
    links: dict[str, str] = {}
    for path in dict.fromkeys(path for task in tasks if task.id not in final_ids for path in task.files):
        name = path_globs.normalise(path, workspace)
        place = _place(root, name)
        if name and not name.startswith(("/", "..")) and name != place and not place.startswith("/"):
            inside[path] = place
            if (root / name).is_symlink():
                folder, _, last = name.rpartition("/")
                links[path] = f"{_place(root, folder)}/{last}" if folder else last
    users: dict[str, list[str]] = {}
    out: list[model.Task] = []
    for task in tasks:
        names = [] if task.id in final_ids else [path for path in task.files if path in inside]
        for path in names:
            users.setdefault(path, []).append(task.id)
        pairs = [(links.get(path, ""), inside.get(path, path)) for path in task.files]
        files = tuple(dict.fromkeys(place for places in pairs for place in places if place))
        out.append(task.model_copy(update={"files": files}) if names else task)
    how = {True: "too", False: "in its place"}
    return out, [
        problems.Notice(
            code="linked_file",
            tasks=tuple(ids),
            message=f"`{path}` leads to `{inside[path]}`, which is declared {how[path in links]}.",
        )
        for path, ids in itertools.islice(users.items(), MAX_NOTICES)
    ]


def _place(root: Path, name: str) -> str:
    """Returns the real path of a name below a folder, from there on; whole where it leads out."""
    return safe_paths.real_place(root, name).removeprefix(f"{root.as_posix().rstrip('/')}/")


def _paths(task: model.Task, workspace: str) -> Iterator[tuple[str, bool]]:
    """Yields the paths that a task names, each with whether the file has to be there."""
    for path in task.files:
        yield path, False
    for mention in file_mentions.of(task.goal, (workspace,)):
        if "." in mention.path or "/" in mention.path:
            yield mention.path, False
    for path in task.reads:
        yield requirements.parse(f"file:{path}").subject, True
    for requirement in requirements.parse_all(task.context):
        if requirement.kind == "file" and (path := file_mentions.inside(requirement.subject, (workspace,))):
            yield path, True


def _files_below(root: Path, folder: str) -> list[str]:
    """Returns the names of the files in a folder below another one; none of a folder that really lies elsewhere."""
    if not safe_paths.holds(root, folder):
        return []
    try:
        with os.scandir(root / folder) as entries:
            return sorted(
                entry.name for entry in itertools.islice(entries, MAX_NAMES) if entry.is_file(follow_symlinks=False)
            )
    except (OSError, ValueError):
        return []


def nearest(
    root: Path, path: str, *, misspelt: bool = False, look: Callable[[Path, str], Sequence[str]] = _files_below
) -> str:
    """Returns the file of the same folder that was meant by one that is not there, empty for none.

    Lines or a definition behind a name belong to no name. With `misspelt` also one whose name differs in a few letters.
    `look` returns the files in a folder below `root`.
    """
    if not path or path_globs.WILD.search(path) or path.startswith(("/", "~", "../")) or not safe_paths.sayable(path):
        return ""
    if os.path.lexists(root / path):
        return ""
    place = requirements.parse(f"file:{path}").subject
    if place != path and place.rpartition("/")[2] in look(root, place.rpartition("/")[0]):
        return place
    folder, _, name = path.rpartition("/")
    names = look(root, folder)
    near = file_mentions.nearest(name, names)
    if not near and misspelt:
        near = next(iter(difflib.get_close_matches(name, names, n=1, cutoff=_ALIKE)), "")
    return f"{folder}/{near}" if folder and near else near
