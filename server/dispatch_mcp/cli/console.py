"""The one way out to a terminal: everything is escaped here (S12), JSON is not; neither holds secrets (S10)."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager

import rich.cells
import rich.console
import rich.table
import rich.text

from dispatch_mcp.cli import clean_output, help_pages
from dispatch_mcp.text import escape
from dispatch_mcp.text.json_types import Json

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
GAP = 2
"""Columns between those of a table."""
NARROWEST = 16
"""Columns that a column with longer cells has at least."""
NARROWEST_HEADING = 2
"""Characters of a heading below which its column holds marks or numbers."""
SHORT = 24
"""Characters of a cell up to which it stands beside others where rows are blocks of lines."""


class Console(rich.console.Console):
    """A terminal whose closed pipe is raised like any other, so that one place answers it."""

    def on_broken_pipe(self) -> None:
        """Raises the BrokenPipeError that is being handled."""
        raise  # noqa: PLE0704  # rich calls this while it handles one


out = Console(highlight=False, markup=False, emoji=False)
err = Console(highlight=False, markup=False, emoji=False, stderr=True)


def say(text: str, *, style: str = "") -> None:
    """Prints a line for people, on a terminal in lines of whole words."""
    out.print(plain(_folded(text, out), style), soft_wrap=True)


def _folded(text: str, console: Console) -> str:
    """Returns a text in lines of whole words, where a terminal would break it anywhere."""
    if not console.is_terminal:
        return text
    return "\n".join(help_pages.in_columns(line, console.width) for line in text.split("\n"))


@contextmanager
def beside_json(as_json: bool) -> Generator[None]:  # noqa: FBT001  # reads as a sentence
    """Sends what is said in this block to stderr, when stdout is for a JSON document."""
    out.stderr = as_json
    try:
        yield
    finally:
        out.stderr = False


def size(count: int) -> str:
    """Returns a number of bytes as people read it: `912 bytes`, `4.1 kB`, `1.3 GB`."""
    amount = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if amount < 1_000 or unit == "GB":
            break
        amount /= 1_000
    return f"{amount:.0f} {unit}" if unit == "bytes" or amount >= 100 else f"{amount:.1f} {unit}"


def note(text: str, *, style: str = "") -> None:
    """Prints a line beside the result, to stderr."""
    err.print(plain(_folded(text, err), style), soft_wrap=True)


def plain(text: str, style: str = "") -> rich.text.Text:
    """Returns text that can carry neither a control sequence nor a secret."""
    return rich.text.Text(clean_output.text(escape.terminal(text)), style=style)


def emit(value: Json) -> None:
    """Prints one JSON document."""
    sys.stdout.write(json.dumps(clean_output.document(value), ensure_ascii=_ascii(), indent=2) + "\n")


def line(value: Json) -> None:
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
    """Prints a table; a pipe gets each row on one line, a terminal whole words.

    Where the columns do not fit beside each other, those that are empty are left out; if that is not enough, each row
    is a block of lines.
    """
    if not out.is_terminal:
        for text in _piped(columns, rows, title):
            out.print(text, soft_wrap=True)
        return
    widths = _widths(columns, rows, out.width)
    if widths is None:
        places = [place for place in range(len(columns)) if place == 0 or any(row[place] for row in rows)]
        columns = [columns[place] for place in places]
        rows = [[row[place] for place in places] for row in rows]
        widths = _widths(columns, rows, out.width)
    if widths is None:
        _show_blocks(columns, rows, title)
        return
    grid = table(columns, rows, title=title)
    for column, size in zip(grid.columns, widths, strict=True):
        column.width = size
    out.print(grid)


def _piped(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> Iterator[rich.text.Text]:
    """Yields a table as lines of text without blanks at their ends; `grep` and `cut` read lines."""
    if title:
        yield plain(title)
    cells = [[plain(" ".join(cell.split("\n"))) for cell in row] for row in (columns, *rows)]
    widths = [max(text.cell_len for text in column) for column in zip(*cells, strict=True)]
    for row in cells:
        line = rich.text.Text()
        for text, width in zip(row, widths, strict=True):
            line.append_text(text)
            line.append(" " * (width - text.cell_len + GAP))
        line.rstrip()
        yield line


def _widths(columns: Sequence[str], rows: Sequence[Sequence[str]], room: int) -> list[int] | None:
    """Returns how wide each column is, the first ones as wide as they like; None where they do not fit.

    Every word is whole, and no column is narrower than `NARROWEST`, in which a sentence would be a pile of words.
    """
    texts = [[plain(cell).plain for cell in column] for column in zip(columns, *rows, strict=True)]
    wishes = [max(rich.cells.cell_len(line) for cell in column for line in cell.split("\n")) for column in texts]
    longest = [max([1, *(rich.cells.cell_len(word) for cell in column for word in cell.split())]) for column in texts]
    widths = [max(word, min(wish, NARROWEST)) for word, wish in zip(longest, wishes, strict=True)]
    rest = room - sum(widths) - GAP * (len(widths) - 1)
    if rest < 0:
        return None
    for at, wish in enumerate(wishes):
        share = max(0, min(wish - widths[at], rest))
        widths[at] += share
        rest -= share
    return widths


def _show_blocks(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> None:
    """Prints each row as lines: its first cell, and below it what the others say, short ones beside each other."""
    if title:
        say(title)
    # A mark or a number alone is no heading: what is marked stands beside it.
    lead = 2 if len(columns) > 1 and len(columns[0]) < NARROWEST_HEADING else 1
    for row in rows:
        say(" ".join(filter(None, (cell.strip() for cell in row[:lead]))), style=STYLES.get(row[0], "bold"))
        facts = [(column, cell) for column, cell in zip(columns[lead:], row[lead:], strict=True) if cell]
        for is_short, group in itertools.groupby(facts, key=lambda fact: len(fact[1]) <= SHORT):
            lines = [(f"  {column}: {cell}" if column else f"  {cell}", STYLES.get(cell, "")) for column, cell in group]
            for text, style in _joined(lines) if is_short else lines:
                say(text, style=style)


def _joined(lines: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yields short lines joined to such as fit, each in the first of their styles."""
    text, style = lines[0]
    for other, its_style in lines[1:]:
        longer = f"{text} · {other.lstrip()}"
        if len(longer) > out.width:
            yield text, style
            text, style = other, its_style
        else:
            text, style = longer, style or its_style
    yield text, style
