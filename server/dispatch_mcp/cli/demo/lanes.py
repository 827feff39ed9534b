"""The picture of the demo: one screen of lanes that fill, what it has cost, and a few sentences; 80 columns will do."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import rich.console
import rich.text

from dispatch_mcp import model
from dispatch_mcp.cli import console, help_pages

BAR: Final = 18
"""Columns of a lane."""
SHORT_BAR: Final = 6
"""The same on a screen with less than `WIDTH` columns."""

WIDTH: Final = 80
_COLOURS: Final = {"succeeded": "green", "PASS": "green", "running": "cyan", "failed": "red", "ready": "blue"}
_WORDS: Final = {"succeeded": "done", "running": "at work", "blocked": "waits", "ready": "next"}


@dataclass(slots=True)
class Lane:
    """One task: its state, how long it usually takes in seconds, since when it runs, and what is to be said of it."""

    name: str
    usual_s: float
    state: str = "blocked"
    since: float = 0.0
    note: str = ""

    def move(self, state: str, now: float) -> None:
        """Takes the state that the server tells; `now` is on a clock of seconds."""
        if state == "running" and self.state != "running":
            self.since = now
        self.state = state

    def share(self, now: float) -> float:
        """Returns how full the lane is, from 0 to 1; one that runs is never quite full."""
        if self.state in ("succeeded", "PASS"):
            return 1.0
        return min(0.95, (now - self.since) / self.usual_s) if self.state == "running" else 0.0


@dataclass(slots=True)
class Screen:
    """All that is seen at one time; `real` and `script_part` say what of it is which."""

    title: str
    real: str
    script_part: str
    lanes: Mapping[str, Lane]
    sentences: list[str] = field(default_factory=list[str])
    began: float = field(default_factory=time.monotonic)
    end_at: float | None = None

    def take(self, trace: Mapping[str, model.Json]) -> None:
        """Takes the states of tasks from a trace."""
        for task in trace["tasks"]:
            if task["id"] in self.lanes:
                self.lanes[task["id"]].move(task["state"], time.monotonic())

    def __rich_console__(
        self, _console: rich.console.Console, options: rich.console.ConsoleOptions
    ) -> Iterator[rich.text.Text]:
        yield from self._lines(min(WIDTH, options.max_width))

    def _lines(self, columns: int) -> Iterator[rich.text.Text]:
        now = time.monotonic() if self.end_at is None else self.end_at
        head = console.plain("dispatch-mcp demo", "bold")
        clock = f"{now - self.began:.0f} s · $0.00, no model was asked"
        room = columns - len(head)
        head.append(f"{clock:>{room}}" if len(clock) < room else f"\n{clock}", "dim")
        yield head
        yield console.plain(help_pages.in_columns(self.title, columns))
        for label, text in (("real   ", self.real), ("played ", self.script_part)):
            yield console.plain(f"{label}{_hanging(text, columns, len(label))}", "dim")
        yield rich.text.Text()
        for lane in self.lanes.values():
            yield _line(lane, now, columns)
        if self.sentences:
            yield rich.text.Text()
        for number, sentence in enumerate(self.sentences, 1):
            yield console.plain(f"{number}  {_hanging(sentence, columns, 3)}")


def _hanging(text: str, columns: int, indent: int) -> str:
    """Returns a text in lines that stand below the first one, behind so many columns."""
    return help_pages.in_columns(text, columns - indent).replace("\n", "\n" + " " * indent)


def _line(lane: Lane, now: float, columns: int) -> rich.text.Text:
    bar = BAR if columns == WIDTH else SHORT_BAR
    full = round(bar * lane.share(now))
    colour = _COLOURS.get(lane.state, "dim")
    line = console.plain(f"  {lane.name:<8} ")
    line.append("━" * full, colour)
    line.append("╌" * (bar - full), "dim")
    line.append(f"  {_WORDS.get(lane.state, lane.state):<8}", colour)
    line.append(f"  {lane.note}" if lane.note else "")
    line.truncate(columns, overflow="ellipsis")
    return line
