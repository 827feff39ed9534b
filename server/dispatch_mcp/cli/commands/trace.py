"""`dispatch-mcp trace RUN`: events, results, to-do list or diagram of a run."""

from __future__ import annotations

import argparse

import anyio

from dispatch_mcp import configuration
from dispatch_mcp.cli import console, shell_wording
from dispatch_mcp.cli.commands import status
from dispatch_mcp.runs import receipts
from dispatch_mcp.service import answers, traces


def main(options: argparse.Namespace, setup: configuration.LoadedSettings) -> int:
    """Prints one view of the run."""
    trace = anyio.run(traces.read, setup.settings, options.run, options.view, options.task, options.cursor)
    if options.json:
        console.emit(trace.wire(shell_wording.words))
        return console.OK
    show(trace)
    whole_page = options.view in ("results", "artifacts") or len(trace.timeline) == traces.PAGE
    if trace.cursor and whole_page:
        console.note(f"more behind --cursor {trace.cursor}")
    return console.OK


def show(trace: answers.Trace) -> None:
    """Prints the one view that a trace has, or the run itself."""
    if trace.timeline or trace.results or trace.artifacts or trace.todo:
        status.show_proof(trace)
    if trace.timeline:
        show_timeline(trace)
    elif trace.results:
        _show_results(trace)
    elif trace.artifacts:
        _show_artifacts(trace)
    elif trace.todo:
        console.show(("status", "priority", "task"), [(i["status"], i["priority"], i["content"]) for i in trace.todo])
    elif trace.text:
        console.say(trace.text)
    else:
        status.show_run(trace)


def _show_results(trace: answers.Trace) -> None:
    for line in trace.results:
        console.say(f"{line.task_id}: {line.state}", style=console.STYLES.get(line.state, ""))
        console.say(line.capsule)
        for receipt in line.receipts:
            console.say(f"  {receipts.mark(receipt)}: {receipts.describe(receipt)}")


def _show_artifacts(trace: answers.Trace) -> None:
    for artifact in trace.artifacts:
        size = f"{artifact.size:,} bytes, {artifact.digest[:12]}" if artifact.digest else "not read"
        console.say(
            f"{artifact.task_id}: {artifact.path or artifact.name} ({size})", style="bold" if artifact.text else ""
        )
        if artifact.text:
            console.say(artifact.text)


def show_timeline(trace: answers.Trace) -> None:
    """Prints a page of events."""
    rows = [
        (f"{event.t:9.3f}", event.kind, event.task, str(event.attempt or ""), _data(event)) for event in trace.timeline
    ]
    console.show(("s", "event", "task", "try", ""), rows)


def _data(event: answers.EventLine) -> str:
    return " ".join(f"{key}={value}" for key, value in event.data.items())[:100]
