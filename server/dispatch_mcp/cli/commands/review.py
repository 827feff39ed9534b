"""`dispatch-mcp review [RANGE]`: a round of the council here and now, as a gate for scripts and CI."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Final

import anyio

import dispatch_mcp
from dispatch_mcp import composition, configuration, errors, next_steps
from dispatch_mcp.cli import clean_output, console, input_files, logs, shell_wording
from dispatch_mcp.model import WorkerKind, short_ids
from dispatch_mcp.review import sarif
from dispatch_mcp.service import dispatcher, review_answers, reviews

PASSED: Final = console.OK
BLOCKED: Final = console.FAILED
INCONCLUSIVE: Final = console.INCONCLUSIVE

MAX_BYTES: Final = 20 << 20
"""Bytes of a diff; larger ones are refused before anything is paid for."""
STYLES: Final = {"PASS": "green", "BLOCK": "red", "INCONCLUSIVE": "yellow", review_answers.NOTHING: "yellow"}
NOBODY: Final = (
    "Nobody here can review: set ANTHROPIC_API_KEY, install Claude Code, or ask your assistant for a review. "
    "Nothing was reviewed, so nothing has passed."
)


def main(options: argparse.Namespace, setup: configuration.LoadedSettings) -> int:
    """Reviews, prints the decision, and returns 0 for what does not block, 1 for BLOCK, 3 for inconclusive."""
    try:
        return anyio.run(_main, options, setup)
    except KeyboardInterrupt:
        console.note("Finished reviews are kept: the same command goes on with them.", style="yellow")
        raise


async def _main(options: argparse.Namespace, setup: configuration.LoadedSettings) -> int:
    redactor = logs.to_stderr(setup)
    purpose = composition.Purpose(begins=not (options.choose or options.run or options.after))
    async with composition.open_dispatcher(setup.settings, redactor=redactor, chat=False, purpose=purpose) as app:
        worker = _worker(app, options.worker)
        subject = _subject(options, worker.value if worker else "auto")
        if options.choose or worker is None:
            choice = await app.council.review(subject._replace(dry_run=True))
            if options.choose or choice.outcome or choice.run_id:
                return _choice(choice, options)
            console.note(NOBODY, style="yellow")
            if options.json:
                console.emit({"outcome": "INCONCLUSIVE", "blocks": True, "why": NOBODY})
            return INCONCLUSIVE
        review = await _reviewed(app, options, subject)
        if options.sarif:
            await _write_sarif(app, review, options.sarif)
        if options.json:
            console.emit(review.wire(shell_wording.words))
        elif options.sarif != "-":
            show(review)
        return exit_code(review)


def _subject(options: argparse.Namespace, worker: str) -> reviews.ReviewRequest:
    """Returns what is to be reviewed; an empty word stands for an empty change, and never for another one."""
    return reviews.ReviewRequest(
        diff=None if options.diff is None else input_files.diff(options.diff, limit=MAX_BYTES),
        range=options.range,
        run_id=options.run,
        after=options.after or "",
        reviewers=tuple(options.reviewer or ()),
        worker=worker,
        fresh=options.fresh,
    )


def _choice(choice: review_answers.ReviewAnswer, options: argparse.Namespace) -> int:
    """Prints who would review what, and returns 0; 3 when there is nothing to review or a round has decided."""
    if options.json:
        console.emit(choice.wire(shell_wording.words))
    elif choice.outcome or choice.run_id:
        show(choice)
    else:
        show_choice(choice)
    return exit_code(choice) if choice.outcome else PASSED


def _worker(app: dispatcher.Dispatcher, name: str) -> WorkerKind | None:
    """Returns who reviews from a shell; None when nobody can."""
    if name != "auto":
        return WorkerKind(name)
    able = (app.available_workers.pick().kind, WorkerKind.API, WorkerKind.CLAUDE)
    return next((kind for kind in able if kind in able[1:] and not app.available_workers.missing(kind)), None)


async def _reviewed(
    app: dispatcher.Dispatcher, options: argparse.Namespace, subject: reviews.ReviewRequest
) -> review_answers.ReviewAnswer:
    """Returns where the round stands once nobody here is at work any more."""
    council = app.council
    review = await council.review(subject)
    if not review.run_id or review.outcome:
        return review
    if not options.json and options.sarif != "-":
        names = ", ".join(line.name for line in review.reviewers)
        console.note(f"review {short_ids.short(review.run_id)}: {names} look at {review.of}", style="bold")
    async for _ in app.engine.events(review.run_id):
        pass
    return await council.look(review.run_id) or review


def exit_code(review: review_answers.ReviewAnswer) -> int:
    """Returns the exit code of a decision; what has none yet is inconclusive."""
    if review.outcome == "BLOCK":
        return BLOCKED
    return PASSED if review.outcome == "PASS" or review.blocks is False else INCONCLUSIVE


async def _write_sarif(app: dispatcher.Dispatcher, review: review_answers.ReviewAnswer, name: str) -> None:
    """Writes the decision as SARIF into a file, or to stdout for `-`. Raises InputError when there is none."""
    decision = await app.council.decision(review.run_id) if review.run_id else None
    if decision is None:
        raise errors.InputError(f"There is no decision to write: {review.why or review.state}", hint="Review first.")
    document = sarif.document(decision, version=dispatch_mcp.__version__, about=review.of)
    if name == "-":
        console.emit(document)
    else:
        await anyio.Path(name).write_text(
            json.dumps(clean_output.document(document), indent=2) + "\n", encoding="utf-8"
        )


def show(review: review_answers.ReviewAnswer) -> None:
    """Prints where a round stands."""
    console.say(f"{review.outcome or 'not decided yet'}: {review.why}", style=STYLES.get(review.outcome, ""))
    for line in review.findings:
        _show_finding(line)
    for reviewer in review.reviewers:
        verdict = reviewer.verdict or "waiting"
        console.say(f"  {reviewer.name}: {verdict}" + (f" ({reviewer.problem})" if reviewer.problem else ""))
    _show_coverage(review.coverage)
    for flag in review.flags:
        console.say(f"  flagged: {flag}", style="yellow")
    console.say(f"  rules: {review.rules}")
    if review.next:
        console.note(shell_wording.words(review.next))


def show_choice(choice: review_answers.ReviewAnswer) -> None:
    """Prints who would review which change, and why."""
    console.say(choice.why, style="bold")
    for reviewer in choice.reviewers:
        own = " (your own)" if reviewer.own else ""
        score = f" [{reviewer.score}]" if reviewer.score else ""
        console.say(f"  {reviewer.name}{own}{score}: {'; '.join(reviewer.why)}")
    if choice.not_chosen:
        scores = ", ".join(f"{name} [{round(score, 1)}]" for name, score in choice.not_chosen.items())
        console.say(f"  not chosen: {scores}")
    for line in choice.files:
        console.say(f"  {line}")
    _show_coverage(choice.coverage)
    for flag in choice.flags:
        console.say(f"  flagged: {flag}", style="yellow")
    if choice.next:
        console.note(shell_wording.words(choice.next))


def _show_finding(line: review_answers.FindingLine) -> None:
    style = "red" if line.standing == "open" else "yellow" if line.standing == "todo" else ""
    console.say(f"{line.severity} {line.standing} [{line.id}] {line.place}: {line.claim}", style=style)
    for label, text in (("says", line.quote), ("evidence", line.evidence), ("fix", line.fix), ("waived", line.waived)):
        if text:
            console.say(f"    {label}: {text}")
    console.say(f"    found by {', '.join(line.reviewers)}" + _marks(line.marks))


def _marks(marks: Sequence[str]) -> str:
    return f"; {'; '.join(marks)}" if marks else ""


def _show_coverage(coverage: review_answers.Coverage) -> None:
    lines = f"{next_steps.counted(coverage.lines, 'changed line')} of {next_steps.counted(coverage.files, 'file')}"
    parts = f"{next_steps.counted(coverage.parts, 'part')}, {next_steps.counted(coverage.places, 'place')}"
    console.say(f"  seen: {lines} in {parts}")
    for label, items in (("left out", coverage.excluded), ("not seen", coverage.unseen)):
        if items:
            console.say(f"  {label}: {', '.join(items)}", style="yellow" if label == "not seen" else "")
