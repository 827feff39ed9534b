"""`dispatch-mcp demo`."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import anyio

from dispatch_mcp import configuration, errors, model
from dispatch_mcp.cli import console
from dispatch_mcp.cli.commands import trace
from dispatch_mcp.cli.demo import show

MOST_LINES = 40
"""Lines of the change that are printed."""

APPLIED = "Then `dispatch-mcp apply` took the change over into the demo's project:"
"""What stands above the change; no command to type, as the project is gone by then."""


def main(options: argparse.Namespace, _loaded: configuration.LoadedSettings) -> int:
    """Plays the demo; returns 0 when everything held."""
    repo = _repository(options.repo)
    with console.beside_json(options.json):
        facts = perform(repo)
    if options.json:
        console.emit(facts)
    return console.OK


def perform(repo: Path | None = None) -> dict[str, model.Json]:
    """Plays for whoever watches, and returns what held. Raises DispatchError when something did not."""
    began = time.monotonic()
    performance = play(repo)
    if not console.out.is_terminal:
        console.out.print(replace(performance.screen, sentences=[]))  # they were printed as they came
    page = str(trace.write_page(performance.picture)) if performance.picture else ""
    show_end(performance, page)
    return {**performance.facts, "page": page, "seconds": round(time.monotonic() - began, 2)}


def play(repo: Path | None = None) -> show.Show:
    """Returns a performance that is over; the folder that it played in is gone. Raises DispatchError."""
    with tempfile.TemporaryDirectory(prefix="dispatch-mcp-demo-", ignore_cleanup_errors=True) as folder:
        performance = show.Show(Path(folder), repo)
        _play(performance)
    return performance


def show_end(performance: show.Show, page: str = "") -> None:
    """Prints what was applied, where the page of the run is, and where to go from here."""
    console.say(f"\n{APPLIED}", style="bold")
    show_change(performance.diff)
    if page:
        console.say(f"\nThe same run as a page, for your browser: {page}")
    console.say(where_next())


def _play(performance: show.Show) -> None:
    """Plays. Raises DispatchError when it takes too long."""
    try:
        anyio.run(performance.perform)
    except* TimeoutError:
        raise errors.DispatchError(
            f"The demo did not end within {show.LIMIT_S:g} s.", hint="Try again when this machine has less to do."
        ) from None


def show_change(diff: str) -> None:
    """Prints the lines of a change that were added and taken out, file by file."""
    lines = [line for line in diff.splitlines() if not line.startswith(("diff ", "index ", "new file", "--- ", "@@"))]
    for line in lines[:MOST_LINES]:
        name = line.removeprefix("+++ b/")
        style = "bold" if name != line else {"+": "green", "-": "red"}.get(line[:1], "")
        console.say(name, style=style)
    if len(lines) > MOST_LINES:
        console.say(f"and {len(lines) - MOST_LINES} lines more")


def where_next() -> str:
    """Returns what to do after the demo."""
    name = _typed(sys.argv[0])
    return (
        f"\nNow with your own work: `{name} install` says which clients are here, `{name} install claude-code` "
        "registers it. Then ask your assistant: “Use dispatch: add payments to the shop, in parallel where you can.”"
    )


def _typed(program: str) -> str:
    """Returns what to type for a program that was started as that: its name only where the shell finds it by that."""
    path = Path(program)
    if path.name == "__main__.py":
        return "dispatch-mcp"
    at_name = shutil.which(path.name)
    if path.parent == Path() or (at_name and Path(at_name).resolve() == path.resolve()):
        return path.name
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _repository(repo: str | None) -> Path | None:
    """Returns the repository to copy, or None for the shop that the demo brings along."""
    if repo is None:
        return None
    folder = Path(repo).resolve()
    if not (folder / ".git").exists():
        raise errors.InputError(
            f"{str(folder)!r} is not a git repository.", hint="Leave --repo out: the demo brings a project along."
        )
    return folder
