"""What held before a task's first attempt: what was so already is not what the task has done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from dispatch_mcp import model
from dispatch_mcp.model import Receipt
from dispatch_mcp.planning.acceptance import Criterion
from dispatch_mcp.text import file_states, json_types, path_globs
from dispatch_mcp.workers import safe_look

LIMIT_S: Final = 3.0
"""What looking may take; whoever hands the task out waits for it."""

LOOKED_AT: Final = frozenset({"file", "absent", "glob"})
"""The kinds of criteria that looking decides."""

Look = Callable[[Path, Criterion, threading.Event], Receipt]
"""Returns the receipt of a criterion that looking decides."""


class FirstState(NamedTuple):
    """Which criteria held, by their text, each with the state of its file, empty for others; and which folders stood.

    `is_known` is False where nobody had looked.
    """

    standing: Mapping[str, str] = {}
    folders: tuple[str, ...] = ()
    is_known: bool = False

    def to_json(self) -> dict[str, model.Json]:
        """Returns the state as JSON; `from_json` reads it back."""
        return {"standing": dict(self.standing), "folders": list(self.folders)}

    def marked(self, root: Path, criterion: Criterion, receipt: Receipt) -> Receipt:
        """Returns a receipt that says whether its criterion held before; a file that was edited since is new proof."""
        state = self.standing.get(criterion.text)
        if state is None or not (receipt.ok and receipt.checked) or _was_edited(root, criterion, state):
            return receipt
        return receipt.model_copy(update={"earlier": True})

    def new_folders(self, root: Path, entries: Iterable[str]) -> list[str]:
        """Returns which of these normalised declarations are folders that did not stand before."""
        return [path for path in entries if self.is_known and path not in self.folders and _is_folder(root, path)]


def from_json(value: model.Json) -> FirstState:
    """Returns the state of a JSON value; an unknown one when it is none."""
    if not json_types.is_object(value) or not json_types.is_object(standing := value.get("standing")):
        return FirstState()
    folders = value.get("folders")
    names = tuple(map(str, folders)) if json_types.is_list(folders) else ()
    return FirstState({text: str(state) for text, state in standing.items()}, names, is_known=True)


def look(
    root: Path, criteria: Sequence[Criterion], entries: Iterable[str], receipt: Look, stop: threading.Event
) -> FirstState:
    """Returns what holds now of criteria that looking decides, and which of the normalised declarations are folders."""
    standing: dict[str, str] = {}
    for criterion in criteria:
        if criterion.kind in LOOKED_AT:
            evidence = receipt(root, criterion, stop)
            if evidence.ok and evidence.checked:
                standing[criterion.text] = _state(root, criterion)
    return FirstState(standing, tuple(path for path in entries if _is_folder(root, path)), is_known=True)


def _state(root: Path, criterion: Criterion) -> str:
    return safe_look.digest(root, criterion.subject) if criterion.kind == "file" else ""


def _was_edited(root: Path, criterion: Criterion, state: str) -> bool:
    now = _state(root, criterion) if state else ""
    is_same = not now or file_states.same(state, now)
    return not is_same and file_states.kind(state, now, criterion.subject) is file_states.Kind.EDITED


def _is_folder(root: Path, path: str) -> bool:
    return (
        bool(path)
        and not path_globs.WILD.search(path)
        and safe_look.lies_inside(root, path)
        and safe_look.is_folder(root, path)
    )
