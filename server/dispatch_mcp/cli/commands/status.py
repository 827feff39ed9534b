"""`dispatch-mcp status [RUN]`: my runs, or where one stands."""

from __future__ import annotations

import argparse

import anyio

from dispatch_mcp import configuration, next_steps
from dispatch_mcp.cli import console, run_list, shell_wording
from dispatch_mcp.model import short_ids
from dispatch_mcp.next_steps import NextStep
from dispatch_mcp.planning import forecast
from dispatch_mcp.runs import budget
from dispatch_mcp.service import answers, traces
from dispatch_mcp.text import escape


def main(options: argparse.Namespace, setup: configuration.LoadedSettings) -> int:
    """Prints the list of runs or one run's summary."""
    view = "all" if options.all else "summary"
    trace = anyio.run(traces.read, setup.settings, options.run or "", view)
    if options.json:
        console.emit(trace.wire(shell_wording.words))
    elif options.run:
        show_run(trace)
    else:
        _show_runs(trace)
    return console.OK


def _show_runs(trace: answers.Trace) -> None:
    rows = [
        run_list.ListLine(
            line.run_id,
            line.title,
            line.state.value,
            line.progress,
            line.age,
            line.waits,
            line.workspace,
            line.ownerless,
        )
        for line in trace.runs
    ]
    run_list.show(rows, _advice(trace.next), trace.context)


def show_steered(answer: answers.SteeringAnswer, *, as_json: bool) -> None:
    """Prints where a run stands after somebody has steered it."""
    if as_json:
        console.emit(answer.wire(shell_wording.words))
        return
    console.say(f"run {short_ids.short(answer.run_id)}: {answer.state.value} ({counts(answer.counts)})", style="bold")
    console.say(next_steps.sentences(answer.note, _advice(answer.next)))


def show_run(trace: answers.Trace) -> None:
    """Prints one run: state, tasks, why something waits, what next."""
    show_proof(trace)
    name = short_ids.short(trace.run_id)
    console.say(f"run {name}: {trace.state}{' (simulated)' if trace.simulated else ''}", style="bold")
    console.say("; ".join(filter(None, (trace.title, f"begun {trace.age} ago", trace.workspace))))
    rows = [
        (task.id, task.state, task.worker, task.agent, str(task.attempts), f"{task.seconds:.1f}", note_of(task, trace))
        for task in trace.tasks
    ]
    console.show(("task", "state", "worker", "agent", "tries", "s", ""), rows)
    for line in money(trace):
        console.say(line, style="yellow" if trace.held else "")
    for line in (*trace.losses, *messages(trace)):
        console.say(line, style="yellow")
    console.say(_advice(trace.next))


def show_proof(trace: answers.Trace) -> None:
    """Prints what is gone and how much is proven of a run that is over, before everything else, unless all of it is."""
    loss = next_steps.loss_sentence(trace.next) if trace.next else ""
    if loss:
        console.say(loss, style="bold yellow")
    proof = next_steps.proof(trace.next) if trace.next else ""
    if proof:
        console.say(proof, style="bold yellow")


def messages(trace: answers.Trace) -> list[str]:
    """Returns the messages that tasks at work have yet to be told of, and those that came too late."""
    kinds = (("to pass on to", trace.pass_on), ("not read by", trace.unread))
    return [
        f"{line.kind} from {line.sender}, {fate} {', '.join(line.to)}: {escape.one_line(line.text, limit=200)}"
        for fate, lines in kinds
        for line in lines
    ]


def money(trace: answers.Trace) -> list[str]:
    """Returns what the run has used, what its ceilings leave, and which of them holds it."""
    lines: list[str] = []
    spend = trace.spend
    if spend is not None and not budget.is_silent(spend):
        dollars = "" if spend.cost_usd is None else f", ${spend.cost_usd:.2f}"
        lines.append(f"used {forecast.counted_tokens(spend):,} tokens{dollars}")
    if trace.context:
        lines.append(f"context: {trace.context['sent']:,.0f} tokens given{run_list.comparison(trace.context)}")
    if trace.limits:
        shares = [
            f"{name} {trace.left[name]:g} of {most:g}" for name, most in trace.limits.items() if name in trace.left
        ]
        ceilings = [f"{name} at most {most:g}" for name, most in trace.limits.items() if name not in trace.left]
        lines.append(f"left: {', '.join([*shares, *ceilings])}")
    return [*lines, f"held: {trace.held}"] if trace.held else lines


def _advice(step: NextStep | None) -> str:
    return shell_wording.words(step) if step else ""


def note_of(task: answers.TaskLine, trace: answers.Trace) -> str:
    """Returns why a task waits, that it was replayed, or its error."""
    reason = trace.blocked.get(task.id, "")
    waits = reason if isinstance(reason, str) else shell_wording.words(reason)
    return waits or ("replayed" if task.replayed else task.error)


def counts(numbers: dict[str, int]) -> str:
    """Returns `2 running, 1 ready`."""
    return ", ".join(f"{number} {state}" for state, number in sorted(numbers.items()) if number)
