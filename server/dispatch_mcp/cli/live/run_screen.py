"""A run as one screen of a terminal: a lane for each task, what it has cost, what waits, and the keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import rich.console
import rich.text

from dispatch_mcp import model
from dispatch_mcp.cli import console, help_pages, shell_wording
from dispatch_mcp.cli.commands import status
from dispatch_mcp.engine import run_view
from dispatch_mcp.model import TaskState, records, short_ids
from dispatch_mcp.service import answers

WIDE: Final = 60
"""Columns from which on a lane has a bar: a narrower terminal shows a mark instead."""

BAR: Final = 14
"""Columns of a bar."""

SPARK: Final = 4
"""Columns of a bar that move while a task is at work: how long it takes is not known, so nothing pretends to fill."""

MOST_NAME: Final = 28
KEYS: Final = "c cancel · ↑↓ choose · d details"
KEYS_OF_LEAVER: Final = f"{KEYS} · q leave"
"""What the last line says of keys, behind the one that pauses."""

LEAST_ROWS: Final = 3
WORDS: Final[Mapping[TaskState, str]] = {
    TaskState.BLOCKED: "waits",
    TaskState.READY: "next",
    TaskState.RUNNING: "at work",
    TaskState.SUCCEEDED: "done",
    TaskState.UNVERIFIED: "unproven",
}
_MARKS: Final[Mapping[TaskState, str]] = {
    TaskState.BLOCKED: "·",
    TaskState.READY: "○",
    TaskState.RUNNING: "◐",
    TaskState.SUCCEEDED: "●",
    TaskState.UNVERIFIED: "◌",
}
_OTHER_MARK: Final = "✗"


@dataclass(slots=True)
class RunScreen:
    """What is seen of a run at one moment; `now` is in seconds since the epoch, `place` the row that is chosen."""

    view: run_view.RunView
    trace: answers.Trace
    attempts: Sequence[records.AttemptRecord]
    now: float
    place: int | None = None
    is_detailed: bool = False
    keys: str = ""
    question: str = ""
    _last: dict[str, records.AttemptRecord] = field(init=False)

    def __post_init__(self) -> None:
        self._last = {attempt.task_id: attempt for attempt in self.attempts}

    @property
    def cursor(self) -> int:
        """The row that is chosen: by a key, else the first that is not over."""
        if self.place is not None:
            return max(0, min(self.place, len(self.view.tasks) - 1))
        open_rows = (row for row, task in enumerate(self.view.tasks) if task.state not in model.TASK_FINAL)
        return next(open_rows, max(0, len(self.view.tasks) - 1))

    def __rich_console__(
        self,
        console: rich.console.Console,  # named as rich names it
        options: rich.console.ConsoleOptions,
    ) -> rich.console.RenderResult:
        yield from self.lines(options.max_width, options.height or console.size.height)

    def lines(self, width: int, height: int) -> list[rich.text.Text]:
        """Returns the screen: at most so many lines of at most so many columns."""
        head, foot = [*self._head(width)], [*self._foot(width)]
        rows = max(LEAST_ROWS, height - len(head) - len(foot) - 1)
        whole = [*head, *self._lanes(width, rows), *foot]
        if len(whole) > height > 1:
            whole = [*whole[: height - 1], whole[-1]]
        for line in whole:
            line.truncate(width, overflow="ellipsis")
        return whole

    def _head(self, width: int) -> Iterator[rich.text.Text]:
        run = self.view.run
        ends = sum(task.state in model.TASK_FINAL for task in self.view.tasks)
        name = short_ids.short(run.id)
        yield console.plain(f"{self.trace.title or name}", "bold")
        seconds = (run.finished_at or self.now) - run.created_at
        yield console.plain(f"{name} · {run.state.value} · {ends} of {len(self.view.tasks)} · {_clock(seconds)}")
        for text in status.money(self.trace):
            for line in help_pages.in_columns(text, width).split("\n"):
                yield console.plain(line, "yellow" if self.trace.held else "dim")
        yield rich.text.Text()

    def _lanes(self, width: int, rows: int) -> Iterator[rich.text.Text]:
        tasks = self.view.tasks
        details = self._details(width) if self.is_detailed and tasks else []
        rows = max(1, rows - len(details))
        is_cut = len(tasks) > rows
        room = max(1, rows - 1) if is_cut else rows
        first = max(0, min(self.cursor - room // 3, len(tasks) - room)) if is_cut else 0
        name = min(MOST_NAME, max((len(task.id) for task in tasks[first : first + room]), default=0))
        for row, task in enumerate(tasks[first : first + room], first):
            yield self._lane(task, name, width, is_cursor=self.place is not None and row == self.cursor)
            if row == self.cursor:
                yield from details
        if is_cut:
            yield console.plain(f"  {first + 1}-{min(first + room, len(tasks))} of {len(tasks)} tasks", "dim")

    def _lane(self, task: records.TaskRecord, name: int, width: int, *, is_cursor: bool) -> rich.text.Text:
        colour = console.STYLES.get(task.state, "dim")
        line = rich.text.Text("> " if is_cursor else "  ")
        line.append(f"{console.plain(task.id).plain[:name]:<{name}} ", "bold" if is_cursor else "")
        line.append_text(self._bar(task.state) if width >= WIDE else _mark(task.state))
        line.append(f" {WORDS.get(task.state, task.state.value):<9}", colour)
        line.append_text(console.plain(self._note(task), "dim"))
        return line

    def _bar(self, state: TaskState) -> rich.text.Text:
        if state is not TaskState.RUNNING:
            full = BAR if state in model.TASK_FINAL else 0
            return rich.text.Text.assemble(("━" * full, console.STYLES.get(state, "dim")), ("╌" * (BAR - full), "dim"))
        start = int(self.now * 8) % (BAR - SPARK + 1)
        rest = BAR - SPARK - start
        return rich.text.Text.assemble(("━" * start, "dim"), ("━" * SPARK, "bold cyan"), ("━" * rest, "dim"))

    def _note(self, task: records.TaskRecord) -> str:
        """Returns who does a task, for how long, which try it is, and why it waits or failed."""
        attempt = self._last.get(task.id)
        parts = [task.worker.value if task.state is TaskState.RUNNING else ""]
        if attempt is not None:
            end = attempt.ended_at or (self.now if task.state is TaskState.RUNNING else attempt.started_at)
            parts.append(_clock(max(0.0, end - attempt.started_at)))
        parts.append(f"try {task.attempt}" if task.attempt > 1 else "")
        parts.append(self._reason(task, attempt))
        return " · ".join(filter(None, parts))

    def _reason(self, task: records.TaskRecord, attempt: records.AttemptRecord | None) -> str:
        reason = self.trace.blocked.get(task.id, "")
        words = reason if isinstance(reason, str) else shell_wording.words(reason)
        if words or task.state is TaskState.SUCCEEDED or attempt is None:
            return words or ("taken over" if task.cause == "replayed" else "")
        return attempt.error_kind

    def _details(self, width: int) -> list[rich.text.Text]:
        """Returns what is to be said of the chosen task: what it shall do, by whom, and how its tries ended."""
        task = self.view.tasks[self.cursor]
        spec = self.view.specs.get(task.id)
        texts = [spec.goal, f"agent {self.view.agent_of(task) or '-'}; worker {task.worker.value}"] if spec else []
        texts += [
            f"try {attempt.attempt}: {attempt.state.value}{f', {attempt.error}' if attempt.error else ''}"
            for attempt in self.attempts
            if attempt.task_id == task.id
        ]
        lines = [line for text in texts for line in help_pages.in_columns(text[:400], max(10, width - 6)).split("\n")]
        return [console.plain(f"      {line}", "dim") for line in lines[:8]]

    def _foot(self, width: int) -> Iterator[rich.text.Text]:
        yield rich.text.Text()
        words = self.question or (shell_wording.words(self.trace.next) if self.trace.next else "")
        for line in help_pages.in_columns(words, width).split("\n")[:4]:
            yield console.plain(line, "yellow" if self.question else "")
        if self.keys:
            pause = "p resume" if self.view.run.paused else "p pause"
            yield console.plain(f"{pause} · {self.keys}", "dim")


def _mark(state: TaskState) -> rich.text.Text:
    return console.plain(_MARKS.get(state, _OTHER_MARK), console.STYLES.get(state, "dim"))


def _clock(seconds: float) -> str:
    """Returns a time as people read it: `7 s`, `3:05`, `1:02:00`."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
