"""Whether finished work still stands: the files that it changed, or judged, are as it left them.

Later work of the same plan may have gone on from there. A file that is none of this was undone or changed by somebody,
and then the work is no longer what its result says. Writers of the store wait meanwhile: what was too much to look at,
or would be looked at after `LOOK_S`, does not stand either.
"""

from __future__ import annotations

import itertools
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from pydantic import TypeAdapter

from dispatch_mcp import errors, model
from dispatch_mcp.model import ports
from dispatch_mcp.store import blobs, codec
from dispatch_mcp.text import file_states

ReadFootprints = Callable[[int], Mapping[str, model.Footprint]]
"""Returns what the result of that number has left. Raises DispatchError where its stored bytes are lost or damaged."""

LOOK_S: Final = 1.0
"""Seconds that looking at files may take in one step of a run."""

_CHANGED: Final = "`{}` is no longer as it was left"
_UNREAD: Final = "`{}` was too much to look at, so nobody knows whether it is as it was left"

_FORM: Final = TypeAdapter(dict[str, model.Footprint])
_FOOTPRINTS = "SELECT json_extract(body, '$.footprints'), blob FROM result WHERE no = ?"


class StandingCheck:
    """One look at the results of a plan, whose numbers are `numbers`; it asks once for each of them and each file."""

    def __init__(
        self,
        states_of: ports.StatesOf,
        workspace: str,
        read: ReadFootprints,
        numbers: Iterable[int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._states_of = states_of
        self._workspace = workspace
        self._read = read
        self._numbers = numbers
        self._clock = clock
        self._seconds = 0.0
        self._states: dict[str, str] = {}
        self._steps: dict[str, list[tuple[int, model.Footprint]]] | None = None

    def is_lost(self, number: int) -> bool:
        """Returns whether a stored result can no longer be read, so that nobody can take it over."""
        try:
            self._read(number)
        except errors.DispatchError:
            return True
        return False

    def gap(self, number: int) -> str:
        """Returns why a result does not stand, by the first file that is not as it or later work left it; else empty.

        Of a file that nobody could look at it says just that.
        """
        footprints = self._read(number)
        new_paths = footprints.keys() - self._states.keys()
        if new_paths and self._workspace:
            self._states.update(self._look(sorted(new_paths)))
        for path, footprint in footprints.items():
            state = self._states.get(path, footprint.after)
            if file_states.same(state, footprint.after) or self._leads_on(number, path, footprint.after, state):
                continue
            return _UNREAD.format(path) if file_states.UNREAD in (state, footprint.after) else _CHANGED.format(path)
        return ""

    def _look(self, paths: Sequence[str]) -> Mapping[str, str]:
        if self._seconds > LOOK_S:
            return dict.fromkeys(paths, file_states.UNREAD)
        start = self._clock()
        states = self._states_of(self._workspace, paths)
        self._seconds += self._clock() - start
        return states

    def _leads_on(self, number: int, path: str, state: str, now: str) -> bool:
        """Returns whether finished work has changed a file from one state to another, one after the other.

        Where nobody knows from which state later work went on, it may have been any.
        """
        if self._steps is None:
            self._steps = {}
            for other in itertools.filterfalse(self.is_lost, self._numbers):
                for name, step in self._read(other).items():
                    self._steps.setdefault(name, []).append((other, step))
        rest, states = list(self._steps.get(path, ())), [state]
        for place in states:
            follow = [pair for pair in rest if _goes_on(*pair, number, place)]
            if any(file_states.same(step.after, now) for _, step in follow):
                return True
            rest = [pair for pair in rest if pair not in follow]
            states += [step.after for _, step in follow]
        return False


def _goes_on(other: int, step: model.Footprint, number: int, state: str) -> bool:
    return other > number if step.before is None else file_states.same(step.before, state)


def footprints_of(conn: sqlite3.Connection, archive: blobs.FileBlobs, number: int) -> Mapping[str, model.Footprint]:
    """Returns what a result has left; nothing where its build noted nothing.

    Raises:
        DispatchError: its stored bytes are lost or damaged.
    """
    text, blob = conn.execute(_FOOTPRINTS, (number,)).fetchone() or (None, None)
    if blob is not None:
        return codec.load(model.Outcome, archive.get(blob)).footprints
    return _FORM.validate_json(text) if text else {}
