"""`dispatch-mcp status [RUN]`: my runs, or where one stands."""

from __future__ import annotations

import argparse

import anyio

from dispatch_mcp import config
from dispatch_mcp.engine import answers
from dispatch_mcp.faces import build, console, shell


def main(options: argparse.Namespace, loaded: config.Loaded) -> int:
    """Prints the list of runs or one run's summary."""
    view = "all" if options.all else "summary"
    trace = anyio.run(build.trace, loaded.settings, options.run or "", view)
    if options.json:
        console.emit(shell.wire(trace))
    elif options.run:
        show_run(trace)
    else:
        _show_runs(trace)
    return console.OK


def _show_runs(trace: answers.Trace) -> None:
    rows = [(line.run_id, line.state.value, counts(line.counts), line.updated) for line in trace.runs]
    if rows:
        console.show(("run", "state", "tasks", "updated"), rows)
    else:
        console.say(shell.told(trace.next, trace.run_id))


def show_run(trace: answers.Trace) -> None:
    """Prints one run: state, tasks, why something waits, what next."""
    console.say(f"run {trace.run_id}: {trace.state}{' (simulated)' if trace.simulated else ''}", style="bold")
    rows = [
        (task.id, task.state, task.worker, task.agent, str(task.attempts), f"{task.seconds:.1f}", note_of(task, trace))
        for task in trace.tasks
    ]
    console.show(("task", "state", "worker", "agent", "tries", "s", ""), rows)
    console.say(shell.told(trace.next, trace.run_id))


def note_of(task: answers.TaskLine, trace: answers.Trace) -> str:
    """Returns why a task waits, that it was replayed, or its error."""
    return shell.told(trace.blocked.get(task.id, ""), trace.run_id) or ("replayed" if task.replayed else task.error)


def counts(found: dict[str, int]) -> str:
    """Returns `2 running, 1 ready`."""
    return ", ".join(f"{number} {state}" for state, number in sorted(found.items()) if number)
