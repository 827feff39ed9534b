"""`dispatch-mcp review [RANGE]`: a round of the council here and now, as a gate for scripts and CI."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Final

import anyio

import dispatch_mcp
from dispatch_mcp import composition, configuration, errors
from dispatch_mcp.cli import console, input_files, logs, shell_wording
from dispatch_mcp.model import WorkerKind
from dispatch_mcp.review import sarif
from dispatch_mcp.service import dispatcher, review_answers, reviews

PASSED: Final = console.OK
BLOCKED: Final = console.FAILED
INCONCLUSIVE: Final = console.INCONCLUSIVE

MAX_BYTES: Final = 20 << 20
STYLES: Final = {"PASS": "green", "BLOCK": "red", "INCONCLUSIVE": "yellow", review_answers.NOTHING: "yellow"}
NOBODY: Final = (
    "Nobody here can review: set ANTHROPIC_API_KEY, install Claude Code, or ask your assistant to call review_council. "
    "Nothing was reviewed, so nothing has passed."
)


def main(options: argparse.Namespace, loaded: configuration.Loaded) -> int:
    """Reviews, prints the decision, and returns 0 for what does not block, 1 for BLOCK, 3 for inconclusive."""
    try:
        return anyio.run(_main, options, loaded)
    except KeyboardInterrupt:
        console.note("Finished reviews are kept: the same command goes on with them.", style="yellow")
        raise


async def _main(options: argparse.Namespace, loaded: configuration.Loaded) -> int:
    redactor = logs.to_stderr(loaded)
    async with composition.open_dispatcher(loaded.settings, redactor=redactor, chat=False) as app:
        worker = _worker(app, options.worker)
        if worker is None and not options.run:
            console.note(NOBODY, style="yellow")
            if options.json:
                console.emit({"outcome": "INCONCLUSIVE", "blocks": True, "why": NOBODY})
            return INCONCLUSIVE
        found = await _reviewed(app, options, worker.value if worker else "auto")
        if options.sarif:
            await _write_sarif(app, found, options.sarif)
        if options.json:
            console.emit(found.wire(shell_wording.words))
        elif options.sarif != "-":
            show(found)
        return exit_code(found)


def _worker(app: dispatcher.Dispatcher, asked: str) -> WorkerKind | None:
    """Returns who reviews from a shell; None when nobody can."""
    if asked != "auto":
        return WorkerKind(asked)
    able = (app.available_workers.pick().kind, WorkerKind.API, WorkerKind.CLAUDE)
    return next((kind for kind in able if kind in able[1:] and not app.available_workers.missing(kind)), None)


async def _reviewed(app: dispatcher.Dispatcher, options: argparse.Namespace, worker: str) -> review_answers.Reviewed:
    """Returns where the round stands once nobody here is at work any more."""
    council = reviews.Council(app)
    asked = reviews.Asked(
        diff=input_files.text(options.diff, limit=MAX_BYTES) if options.diff else "",
        range=options.range or "",
        run_id=options.run or "",
        after=options.after or "",
        reviewers=tuple(options.reviewer or ()),
        worker=worker,
        fresh=options.fresh,
    )
    found = await council.review(asked)
    if not found.run_id or found.outcome:
        return found
    if not options.json and options.sarif != "-":
        names = ", ".join(line.name for line in found.reviewers)
        console.note(f"review {found.run_id}: {names} look at {found.of}", style="bold")
    async for _ in app.engine.events(found.run_id):
        pass
    return await council.look(found.run_id) or found


def exit_code(found: review_answers.Reviewed) -> int:
    """Returns the exit code of a decision; what has none yet is inconclusive."""
    if found.outcome == "BLOCK":
        return BLOCKED
    return PASSED if found.outcome == "PASS" or found.blocks is False else INCONCLUSIVE


async def _write_sarif(app: dispatcher.Dispatcher, found: review_answers.Reviewed, name: str) -> None:
    """Writes the decision as SARIF into a file, or to stdout for `-`. Raises InputError when there is none."""
    decision = await reviews.Council(app).decided(found.run_id) if found.run_id else None
    if decision is None:
        raise errors.InputError(f"There is no decision to write: {found.why or found.state}", hint="Review first.")
    document = sarif.document(decision, version=dispatch_mcp.__version__, about=found.of)
    if name == "-":
        console.emit(document)
    else:
        await anyio.Path(name).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def show(found: review_answers.Reviewed) -> None:
    """Prints where a round stands."""
    console.say(f"{found.outcome or 'not decided yet'}: {found.why}", style=STYLES.get(found.outcome, ""))
    for line in found.findings:
        _show_finding(line)
    for reviewer in found.reviewers:
        judged = reviewer.verdict or "waiting"
        console.say(f"  {reviewer.name}: {judged}" + (f" ({reviewer.problem})" if reviewer.problem else ""))
    _show_coverage(found.coverage)
    for flag in found.flags:
        console.say(f"  flagged: {flag}", style="yellow")
    console.say(f"  rules: {found.rules}")
    if found.next:
        console.note(shell_wording.words(found.next))


def _show_finding(line: review_answers.FindingLine) -> None:
    style = "red" if line.standing == "open" else "yellow" if line.standing == "todo" else ""
    console.say(f"{line.severity} {line.standing} [{line.id}] {line.place}: {line.claim}", style=style)
    for label, text in (("says", line.quote), ("evidence", line.evidence), ("fix", line.fix), ("waived", line.waived)):
        if text:
            console.say(f"    {label}: {text}")
    console.say(f"    found by {', '.join(line.reviewers)}" + _marks(line.marks))


def _marks(marks: Sequence[str]) -> str:
    return f"; {'; '.join(marks)}" if marks else ""


def _show_coverage(seen: review_answers.Coverage) -> None:
    console.say(f"  seen: {seen.lines} changed lines of {seen.files} files in {seen.parts} parts, {seen.places} places")
    for label, listed in (("left out", seen.excluded), ("not seen", seen.unseen), ("cut", seen.cut)):
        if listed:
            console.say(f"  {label}: {', '.join(listed)}", style="yellow" if label == "not seen" else "")
