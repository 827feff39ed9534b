"""`dispatch-mcp trace RUN`: events, results, to-do list or diagram of a run."""

from __future__ import annotations

import argparse

import anyio

from dispatch_mcp import composition, configuration
from dispatch_mcp.cli import console, shell_wording
from dispatch_mcp.cli.commands import status
from dispatch_mcp.runs import receipts
from dispatch_mcp.service import answers, traces


def main(options: argparse.Namespace, loaded: configuration.Loaded) -> int:
    """Prints one view of the run."""
    found = anyio.run(composition.trace, loaded.settings, options.run, options.view, options.task, options.cursor)
    if options.json:
        console.emit(found.wire(shell_wording.words))
        return console.OK
    _show(found)
    whole_page = options.view in ("results", "artifacts") or len(found.timeline) == traces.PAGE
    if found.cursor and whole_page:
        console.note(f"more behind --cursor {found.cursor}")
    return console.OK


def _show(found: answers.Trace) -> None:
    if found.timeline:
        show_timeline(found)
    elif found.results:
        _show_results(found)
    elif found.artifacts:
        _show_artifacts(found)
    elif found.todo:
        console.show(("status", "priority", "task"), [(i["status"], i["priority"], i["content"]) for i in found.todo])
    elif found.text:
        console.say(found.text)
    else:
        status.show_run(found)


def _show_results(found: answers.Trace) -> None:
    for line in found.results:
        console.say(f"{line.task_id}: {line.state}", style=console.STYLES.get(line.state, ""))
        console.say(line.capsule)
        for receipt in line.receipts:
            console.say(f"  {receipts.mark(receipt)}: {receipts.said(receipt)}")


def _show_artifacts(found: answers.Trace) -> None:
    for one in found.artifacts:
        size = f"{one.size:,} bytes, {one.digest[:12]}" if one.digest else "not read"
        console.say(f"{one.task_id}: {one.path or one.name} ({size})", style="bold" if one.text else "")
        if one.text:
            console.say(one.text)


def show_timeline(found: answers.Trace) -> None:
    """Prints a page of events."""
    rows = [
        (f"{event.t:9.3f}", event.kind, event.task, str(event.attempt or ""), _data(event)) for event in found.timeline
    ]
    console.show(("s", "event", "task", "try", ""), rows)


def _data(event: answers.EventLine) -> str:
    return " ".join(f"{key}={value}" for key, value in event.data.items())[:100]
