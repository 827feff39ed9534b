"""The one way out to a terminal: everything is escaped here (S12), JSON is not; neither holds secrets (S10)."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager

import rich.console
import rich.table
import rich.text

from dispatch_mcp import model
from dispatch_mcp.cli import clean_output
from dispatch_mcp.text import escape

OK, FAILED, USAGE, INCONCLUSIVE, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit codes of every command."""

STYLES = {
    "succeeded": "green",
    "unverified": "yellow",
    "running": "cyan",
    "ready": "blue",
    "failed": "red",
    "skipped": "magenta",
    "cancelled": "magenta",
    "✓": "green",
    "!": "yellow",
    "✗": "red",
}
PIPE_WIDTH = 2_000
"""Columns of a table that goes to a pipe: so wide that no row is wrapped, for `grep` and `cut` read lines."""


class Console(rich.console.Console):
    """A terminal whose closed pipe is raised like any other, so that one place answers it."""

    def on_broken_pipe(self) -> None:
        """Raises the BrokenPipeError that is being handled."""
        raise  # noqa: PLE0704  # rich calls this while it handles one


out = Console(highlight=False, markup=False, emoji=False)
err = Console(highlight=False, markup=False, emoji=False, stderr=True)


def say(text: str, *, style: str = "") -> None:
    """Prints a line for people."""
    out.print(plain(text, style), soft_wrap=True)


@contextmanager
def beside_json(as_json: bool) -> Generator[None]:  # noqa: FBT001  # reads as a sentence
    """Sends what is said in this block to stderr, when stdout is for a JSON document."""
    out.stderr = as_json
    try:
        yield
    finally:
        out.stderr = False


def note(text: str, *, style: str = "") -> None:
    """Prints a line beside the result, to stderr."""
    err.print(plain(text, style), soft_wrap=True)


def plain(text: str, style: str = "") -> rich.text.Text:
    """Returns text that can carry neither a control sequence nor a secret."""
    return rich.text.Text(clean_output.text(escape.terminal(text)), style=style)


def emit(value: model.Json) -> None:
    """Prints one JSON document."""
    sys.stdout.write(json.dumps(clean_output.document(value), ensure_ascii=_ascii(), indent=2) + "\n")


def line(value: model.Json) -> None:
    """Prints one JSON line."""
    sys.stdout.write(json.dumps(clean_output.document(value), ensure_ascii=_ascii(), separators=(",", ":")) + "\n")


def _ascii() -> bool:
    """Returns whether JSON has to be written in ASCII, because stdout takes nothing else."""
    return (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, title: str = "") -> rich.table.Table:
    """Returns a table of escaped cells; a cell that is a state gets its colour."""
    grid = rich.table.Table(title=plain(title) if title else None, title_justify="left", box=None, pad_edge=False)
    for column in columns:
        grid.add_column(plain(column, "bold"), overflow="fold")
    for row in rows:
        grid.add_row(*(plain(cell, STYLES.get(cell, "")) for cell in row))
    return grid


def show(columns: Sequence[str], rows: Sequence[Sequence[str]], *, title: str = "") -> None:
    """Prints a table; a pipe gets each row on one line, however long it is."""
    wide = out if out.is_terminal else Console(file=out.file, width=PIPE_WIDTH, highlight=False, emoji=False)
    wide.print(table(columns, rows, title=title))
