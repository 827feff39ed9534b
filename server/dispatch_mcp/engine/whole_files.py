"""Files shown whole as a change that adds them, where nothing says what of them changed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from dispatch_mcp import errors
from dispatch_mcp.context import safe_read
from dispatch_mcp.process import file_identity
from dispatch_mcp.review import review_scope
from dispatch_mcp.text import escape, secret_paths, unified_diff

MAX_NAMED: Final = 60
"""Places that nobody was shown which are named."""

MAX_WHOLE: Final = 200
MAX_WHOLE_BYTES: Final = 1 << 20
"""Files that are shown whole beside what git shows, and how large one of them may be."""


class WholeFiles(NamedTuple):
    """Files as a change that adds them; `unseen` cannot be read, `user_only` nobody sees, `missing` is not there."""

    text: str = ""
    unseen: tuple[str, ...] = ()
    user_only: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def read(workspace: str, paths: Sequence[str]) -> WholeFiles:
    """Returns files of the workspace, but no folders, as a change that adds them; what cannot be shown is named."""
    parts: list[str] = []
    unseen, user_only, missing = list[str](), list[str](), list[str]()
    if not paths:
        return WholeFiles()
    with safe_read.Root(Path(workspace)) as root:
        for path in paths:
            if not os.path.lexists(root.path / path):
                missing.append(path)
            elif secret_paths.secret(path):
                user_only.append(path)
            elif len(parts) < MAX_WHOLE and (part := _added(root, path)):
                parts.append(part)
            elif not (root.path / path).is_dir():
                unseen.append(path)
    return WholeFiles("\n".join(parts), tuple(unseen), tuple(user_only), tuple(missing))


def in_workspace(workspace: str, paths: Iterable[str]) -> frozenset[str]:
    """Returns paths of a workspace's repository as they are below the workspace, without any beside it."""
    root = Path(os.path.realpath(workspace))
    top = file_identity.repository_top(root) or root
    head = "" if top == root else f"{root.relative_to(top).as_posix()}/"
    return frozenset(path.removeprefix(head) for path in paths if path.startswith(head))


def _added(root: safe_read.Root, path: str) -> str | None:
    """Returns a file as a change that adds it, or that it is binary; None where it cannot be read."""
    try:
        content = root.read(path, limit=MAX_WHOLE_BYTES)
    except errors.DispatchError:
        return None
    if b"\0" in content.data[:8_000]:
        return unified_diff.render(unified_diff.FileChange(path, path, "new", binary=True))
    lines = tuple(f"+{line}" for line in content.text.removesuffix("\n").split("\n"))
    return unified_diff.render(unified_diff.FileChange(path, path, "new", (unified_diff.Hunk(0, 1, "", lines),)))


def beside(change: review_scope.Change, whole: WholeFiles) -> review_scope.Change:
    """Returns a change with the files beside it that are shown whole."""
    about = change.about
    if whole.text:
        about += "; whole, as they are now, files that the work changed and git does not show"
    if whole.missing:
        about += f"; removed where git does not look: {names(whole.missing)}"
    text = "\n".join(part for part in (change.text.rstrip("\n"), whole.text) if part)
    return change._replace(text=text, about=about, unseen=whole.unseen, user_only=whole.user_only)


def names(paths: Sequence[str]) -> str:
    """Returns paths in one line, untrusted as they are; of very many the first ones and how many more."""
    texts = [f"`{escape.one_line(path, limit=200)}`" for path in paths[:MAX_NAMED]]
    more = [f"and {len(paths) - MAX_NAMED} more"] * (len(paths) > MAX_NAMED)
    return ", ".join([*texts, *more])


def account(change: review_scope.Change) -> list[str]:
    """Returns what a reviewer is told of what a change does not show, one line each."""
    lines: list[str] = []
    if change.unseen:
        lines.append(f"Changed, but could not be shown here, so nobody can pass it here: {names(change.unseen)}.")
    if change.user_only:
        lines.append(f"Changed, but shown to nobody, so the user is asked to look: {names(change.user_only)}.")
    return lines


def todos(paths: Sequence[str]) -> tuple[str, ...]:
    """Returns what a PASS leaves to do where these files are shown to no reviewer."""
    return (f"Look at {names(paths)} yourself: changed by the work and shown to no reviewer.",) if paths else ()
