"""What receipts say about claimed work: proven, shown to be false, or neither (principle: honest).

- A criterion that was shown to be false fails the attempt, and another attempt is told which one and why: a claim
  against evidence is no result, and whoever waits for it must not begin.
- A criterion that nobody could check leaves the work unverified: the worker may well be right.
- Every criterion that the server can check holds, and there is at least one: verified, whoever did the work.
- A task that declared files and changed none of them is not proven, whatever else holds.
- Words prove nothing and refute nothing; changes that were not declared are shown, as they may be somebody else's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from dispatch_mcp import model
from dispatch_mcp.model import AttemptState, Receipt, problems
from dispatch_mcp.planning import acceptance
from dispatch_mcp.planning.acceptance import Criterion
from dispatch_mcp.text import escape, path_globs

NOT_ACCEPTED: Final = "not_accepted"
"""The kind of error of an attempt whose claim was shown to be false."""

ERROR_CHARS: Final = 4_000
REASON_CHARS: Final = 400

_KINDS: Final[Mapping[acceptance.Kind, model.ReceiptKind]] = {"command": "exit_code", "diff": "diff", "words": "words"}


class FileChanges(NamedTuple):
    """What became of the files that a task declared, as paths relative to the workspace.

    `undeclared` is None where only declared files were looked at; `problem` says why nothing is known.
    """

    changed: tuple[str, ...] = ()
    untouched: tuple[str, ...] = ()
    undeclared: tuple[str, ...] | None = ()
    problem: str = ""


def compare_changes(
    entries: Iterable[str], changed: Iterable[str], others: Iterable[str], *, workspace: str = "", everything: bool
) -> FileChanges:
    """Returns what the changed files say about the declared paths; what `others` declared is theirs.

    `everything` says whether all changes of the workspace are known, or those of declared files only.
    """
    own = [path_globs.normalise(path, workspace) for path in entries]
    foreign = [path_globs.normalise(path, workspace) for path in others]
    paths = sorted(changed)
    hits = [path for path in paths if _in(own, path)]
    strange = tuple(path for path in paths if not _in(own, path) and not _in(foreign, path))
    idle = tuple(dict.fromkeys(entry for entry in own if not any(path_globs.touch(entry, path) for path in hits)))
    return FileChanges(tuple(hits), idle, strange if everything else None)


def _in(entries: Iterable[str], path: str) -> bool:
    return any(path_globs.touch(entry, path) for entry in entries)


def from_changes(files: FileChanges) -> tuple[Receipt, ...]:
    """Returns the receipts of a task that declared files: what it changed of them, and what else was changed."""
    if files.problem:
        return (Receipt(kind="diff", ok=False, checked=False, detail=f"changes were not measured: {files.problem}"),)
    rest = f"; untouched: {problems.in_backticks(files.untouched)}" if files.untouched else ""
    head = f"changed {problems.in_backticks(files.changed)}" if files.changed else "no declared file was changed"
    receipts = [Receipt(kind="diff", ok=bool(files.changed), detail=head + rest)]
    if files.undeclared is None:
        detail = "there is no git here, so other changes were not looked for"
        receipts.append(Receipt(kind="touched", ok=False, checked=False, detail=detail))
    elif files.undeclared:
        names = problems.in_backticks(files.undeclared)
        detail = f"changed meanwhile, by this task or somebody else, and not declared: {names}"
        receipts.append(Receipt(kind="touched", ok=False, detail=detail))
    return tuple(receipts)


def from_diff(criterion: Criterion, files: FileChanges) -> Receipt:
    """Returns the receipt of a `diff` criterion."""
    if files.problem:
        return unproven(criterion, f"not measured: {files.problem}")
    hits = [path for path in files.changed if not criterion.subject or path_globs.touch(criterion.subject, path)]
    if hits:
        return proven(criterion, f"changed {problems.in_backticks(hits)}")
    return refuted(criterion, f"nothing in `{criterion.subject}` changed" if criterion.subject else "nothing changed")


def proven(criterion: Criterion, detail: str) -> Receipt:
    """Returns the receipt of a criterion that holds."""
    return Receipt(kind=_KINDS.get(criterion.kind, "file"), ok=True, detail=detail, criterion=criterion.text)


def refuted(criterion: Criterion, detail: str) -> Receipt:
    """Returns the receipt of a criterion that was shown to be false."""
    return Receipt(kind=_KINDS.get(criterion.kind, "file"), ok=False, detail=detail, criterion=criterion.text)


def unproven(criterion: Criterion, why: str) -> Receipt:
    """Returns the receipt of a criterion that nobody could check."""
    why = "in words: for whoever reviews it" if criterion.kind == "words" else why
    return Receipt(
        kind=_KINDS.get(criterion.kind, "file"), ok=False, checked=False, detail=why, criterion=criterion.text
    )


def simulated(criteria: Collection[Criterion]) -> tuple[Receipt, ...]:
    """Returns the receipts of criteria in a run in which nothing is done."""
    detail = "nothing was done, so nothing was checked"
    return tuple(
        Receipt(kind="simulated", ok=False, checked=False, detail=detail, criterion=criterion.text)
        for criterion in criteria
    )


def judge(outcome: model.Outcome, receipts: Sequence[Receipt]) -> model.Outcome:
    """Returns a claimed success with its receipts as what they make of it; any other outcome as it is."""
    if outcome.state is not AttemptState.SUCCEEDED:
        return outcome
    every = (*outcome.receipts, *receipts)
    refutations = [receipt for receipt in receipts if is_refuted(receipt)]
    if refutations:
        return outcome.model_copy(update={**_refusal(refutations), "receipts": every})
    proven = any(receipt.ok and receipt.checked and receipt.criterion for receipt in receipts)
    is_open = any(map(_is_open, receipts)) or (outcome.unverified and not proven)
    return outcome.model_copy(update={"receipts": every, "unverified": is_open})


def is_refuted(receipt: Receipt) -> bool:
    """Returns whether it shows that a criterion does not hold."""
    return bool(receipt.criterion) and receipt.checked and not receipt.ok


def doubts(outcome: model.Outcome) -> tuple[str, ...]:
    """Returns why an outcome is unverified, one line a reason; nothing when nobody asked for proof."""
    return tuple(describe(receipt) for receipt in outcome.receipts if _is_open(receipt))


def describe(receipt: Receipt, limit: int = REASON_CHARS) -> str:
    """Returns a receipt as one line of at most `limit` characters."""
    head = f"`{receipt.criterion}`: " if receipt.criterion else ""
    return escape.one_line(f"{head}{receipt.detail}", limit=limit)


def mark(receipt: Receipt) -> str:
    """Returns the word for what a receipt says."""
    if receipt.kind == "simulated":
        return "simulated"
    if not receipt.checked:
        return "unproven"
    return "ok" if receipt.ok else "not ok"


def _is_open(receipt: Receipt) -> bool:
    """Returns whether a receipt keeps the work from being verified without refuting it."""
    if receipt.kind in {"words", "simulated"}:
        return False
    unproven_criterion = bool(receipt.criterion) and not receipt.checked
    empty = receipt.kind == "diff" and not receipt.criterion and receipt.checked and not receipt.ok
    return unproven_criterion or empty


def _refusal(refutations: Iterable[Receipt]) -> dict[str, model.Json]:
    reasons = "\n".join(f"- `{receipt.criterion}`: {receipt.detail}" for receipt in refutations)
    error = f"Claimed to be done, but its acceptance says otherwise:\n{reasons}"
    return {
        "state": AttemptState.FAILED,
        "error": error if len(error) <= ERROR_CHARS else f"{error[:ERROR_CHARS]}…",
        "error_kind": NOT_ACCEPTED,
        "retryable": True,
        "unverified": False,
    }
