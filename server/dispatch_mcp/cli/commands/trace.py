"""`dispatch-mcp trace RUN`: events, results, to-do list or diagram of a run, or all of it as a page."""

from __future__ import annotations

import argparse
import sys
import tempfile
import webbrowser
from pathlib import Path

import anyio

from dispatch_mcp import configuration, errors
from dispatch_mcp.cli import clean_output, console, shell_wording
from dispatch_mcp.cli.commands import status
from dispatch_mcp.model import short_ids
from dispatch_mcp.pages import picture_loader, run_page, run_picture
from dispatch_mcp.process import private_files
from dispatch_mcp.runs import receipts
from dispatch_mcp.service import answers, traces
from dispatch_mcp.text import escape

MOST_DATA = 100
"""Characters of an event's data on its line."""
STDOUT = "-"
"""The name of a file that stands for stdout."""


def main(options: argparse.Namespace, setup: configuration.LoadedSettings) -> int:
    """Prints one view of the run, or writes its page."""
    if options.html or options.open:
        return _page(options, setup)
    trace = anyio.run(traces.read, setup.settings, options.run, options.view, options.task, options.cursor)
    if options.json:
        console.emit(trace.wire(shell_wording.words))
        return console.OK
    show(trace)
    if options.view == "report":
        console.say(
            f"### Next Steps\n\n- {shell_wording.words(trace.next) if trace.next else 'Nothing is left to do.'}"
        )
    whole_page = options.view not in ("summary", "timeline") or len(trace.timeline) == traces.PAGE
    if trace.cursor and whole_page:
        console.note(f"more behind --cursor {trace.cursor}")
    return console.OK


def _page(options: argparse.Namespace, setup: configuration.LoadedSettings) -> int:
    """Writes the run as a page, and shows it in the browser if that is asked for. Raises InputError."""
    _refuse_no_file(options)
    picture = anyio.run(picture_loader.read, setup.settings, options.run)
    if options.html == STDOUT:
        sys.stdout.buffer.write(_html(picture).encode())
        return console.OK
    path = write_page(picture, options.html)
    if options.json:
        console.emit({"run_id": short_ids.short(picture.run.run_id), "page": str(path)})
    else:
        console.say(f"The page of run {short_ids.short(picture.run.run_id)} is {str(path)!r}.")
    if options.open and not webbrowser.open(path.resolve().as_uri()):
        console.note("No browser could be started here: open the file yourself.")
    return console.OK


def _html(picture: run_picture.RunPicture) -> str:
    document = clean_output.document(picture.wire(shell_wording.words))
    return run_page.html(document, title=clean_output.text(picture.run.title or picture.run.run_id))


def write_page(picture: run_picture.RunPicture, name: str | None = None) -> Path:
    """Writes a run as a page for its owner's eyes, into a new folder where no file is named; returns where.

    Raises:
        InputError: it cannot be written there.
    """
    text = _html(picture)
    # Another user of the machine may read neither: the page holds everything of the run.
    path = Path(name) if name else Path(tempfile.mkdtemp(prefix="dispatch-mcp-")) / "run.html"
    try:
        private_files.write(path, text)
    except OSError as error:
        reason = private_files.refusal(error)
        raise errors.InputError(f"The page cannot be written: {reason}.", hint="Name another file.") from error
    return path


def _refuse_no_file(options: argparse.Namespace) -> None:
    """Raises InputError if the page can be written nowhere that is named."""
    name = options.html or ""
    if name == STDOUT and (options.json or options.open):
        wish = "--json" if options.json else "--open"
        raise errors.InputError(f"`--html -` writes to stdout, which leaves no room for {wish}.", hint="Name a file.")
    if name and name != STDOUT and Path(name).is_dir():
        raise errors.InputError(f"--html names {name!r}, which is a folder.", hint="Name a file in it.")


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
    elif trace.costs:
        _show_costs(trace)
    elif trace.messages:
        rows = [(line.sender, line.recipient, line.kind, escape.one_line(line.text)) for line in trace.messages]
        console.show(("from", "to", "kind", "message"), rows)
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


def _show_costs(trace: answers.Trace) -> None:
    rows = [
        (
            line.task_id,
            line.agent,
            str(line.attempts),
            f"{line.tokens:,}",
            "" if line.dollars is None else f"${line.dollars:.4f}",
            f"{line.seconds:.1f}",
        )
        for line in trace.costs
    ]
    console.show(("task", "agent", "attempts", "tokens", "dollars", "s"), rows)
    console.say("  ".join(f"{name.replace('_', ' ')}: {value:g}" for name, value in trace.figures.items()))


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
    words = " ".join(f"{key}={value}" for key, value in event.data.items() if value != "")
    return escape.one_line(words, limit=MOST_DATA)
