"""Attempts by name: `dispatch RUN/TASK/ATTEMPT`, as a host writes it instead of a brief, and as a brief is marked.

Only the standard library is imported: hooks read these names at every turn of a session.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from dispatch_mcp.text import short_forms
from dispatch_mcp.text.reading import excerpts

# A run's id or its beginning, a task's id (`model.TASK_ID`), a number from 1 on.
_NAME: Final = r"dispatch ([A-Za-z0-9][A-Za-z0-9._-]{0,99})/([A-Za-z0-9][A-Za-z0-9._-]{0,63})/([1-9][0-9]{0,8})"
_CALL: Final = re.compile(rf"\s{{0,20}}{_NAME}\s{{0,20}}")
_MARK: Final = re.compile(rf"\[{_NAME}\]")
"""Characters that a name may stand in."""


class AttemptName(NamedTuple):
    """An attempt of a task of a run; `run` is an id or the beginning of one."""

    run: str
    task: str
    attempt: int

    def __str__(self) -> str:
        return f"dispatch {self.run}/{self.task}/{self.attempt}"

    @property
    def mark(self) -> str:
        """The line that a brief begins with, by which the transcript of its subagent is recognised."""
        return f"[{self}]"


def short(run_id: str, task_id: str, attempt: int) -> AttemptName:
    """Returns the name by which a host begins an attempt, with the run's short id."""
    return AttemptName(short_forms.short(run_id), task_id, attempt)


def called(prompt: str) -> AttemptName | None:
    """Returns the attempt that a prompt asks for and nothing else, or None."""
    return _named(_CALL.fullmatch(prompt)) if len(prompt) <= excerpts.PROMPT.chars else None


def marked(prompt: str) -> AttemptName | None:
    """Returns the attempt whose brief a prompt is, or None."""
    return _named(_MARK.match(excerpts.PROMPT.of(prompt)))


def begun(prompt: str) -> AttemptName | None:
    """Returns the attempt that a subagent was called for, by its brief or by its name alone, or None."""
    return marked(prompt) or called(prompt)


def _named(match: re.Match[str] | None) -> AttemptName | None:
    return AttemptName(match[1], match[2], int(match[3])) if match else None
