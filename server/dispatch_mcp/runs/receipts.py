"""What receipts say about claimed work: proven, shown to be false, or neither (principle: honest).

- What was checked and is not so fails the attempt, and another attempt is told what and why: a claim against evidence
  is no result, and whoever waits for it must not begin. That is a criterion that does not hold, declared files of which
  none was changed, an empty change where one was to be made, and a claim that names only files it did not change.
- What was so before the first attempt already proves nothing by itself: another criterion that was not, or a change of
  a declared file, proves the work.
- A change that shows no work, such as a file that was deleted, emptied or given other line ends, leaves it unverified.
- A criterion that nobody could check leaves the work unverified: the worker may well be right.
- Every criterion that the server can check holds, and there is at least one: verified, whoever did the work.
- What counts is what the task changed, since before its first attempt; where that cannot be told, nothing is refuted.
- Words prove nothing and refute nothing; changes that were not declared are shown, as they may be anybody's.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from dispatch_mcp import model
from dispatch_mcp.model import AttemptState, Receipt, failures, problems, transitions
from dispatch_mcp.planning import acceptance
from dispatch_mcp.planning.acceptance import Criterion
from dispatch_mcp.text import escape, file_states, languages, path_globs

ERROR_CHARS: Final = 4_000
REASON_CHARS: Final = 400

EARLIER: Final = "; it held before the first attempt too, so it proves nothing by itself"
NEVER_FAILED: Final = "; nobody has seen it fail before the work, so it proves nothing by itself"

_KINDS: Final[Mapping[acceptance.Kind, model.ReceiptKind]] = {"command": "exit_code", "diff": "diff", "words": "words"}
_SHOWN_ONLY: Final = frozenset({"touched", "words", "simulated", "usage"})
"""Kinds of receipts that say nothing against a task by themselves."""

_PATH_BEFORE = re.compile(r"[\w./-]$")
_PATH_BEHIND = re.compile(r"[\w/-]|\.\w")
_REFUSED = re.compile(r"^- `([^`\n]+)`: ", re.MULTILINE)
_REFUSAL: Final = "Claimed to be done, but the receipts say otherwise:"
"""How the server begins to say why it refused an attempt; other errors are the words of workers."""
MAX_CLAIMS: Final = 64
MAX_REASONS: Final = 3
"""Reasons that are told each; of more, one fewer, and how many there are besides."""
"""Files that a worker may say it changed and that are still looked up one by one."""


class FileChanges(NamedTuple):
    """What became of the files that a task declared, as paths relative to the workspace.

    `undeclared` is None where only declared files were looked at; `problem` says why nothing is known. `earlier` are
    declared files that the run had changed before the task began, for no task that declares them; `unclear` says why a
    file that looks untouched may have been changed after all. `kinds` says what became of changed files, where it is
    known; `removals` are paths that the task is to remove, `weaker_tests` files of tests that check less than before.
    `rivals` says who else may have changed a file; `states_before` has the states of changed files from before.
    `judges` are changed files that decide what a command checks, by its criterion; `earlier_judges` those that the run
    had changed before, each with the task that declares it, empty for none; `owners` names the tasks that declare files
    which were changed meanwhile. `old_judges` are files that decide a command and differed from the last commit before
    the task began.
    """

    changed: tuple[str, ...] = ()
    untouched: tuple[str, ...] = ()
    undeclared: tuple[str, ...] | None = ()
    problem: str = ""
    earlier: tuple[str, ...] = ()
    unclear: str = ""
    kinds: Mapping[str, file_states.Kind] = {}
    removals: tuple[str, ...] = ()
    weaker_tests: tuple[str, ...] = ()
    rivals: Mapping[str, str] = {}
    states_before: Mapping[str, str | None] = {}
    judges: Mapping[str, tuple[str, ...]] = {}
    earlier_judges: Mapping[str, str] = {}
    owners: Mapping[str, str] = {}
    old_judges: tuple[str, ...] = ()

    def shows_work(self, path: str) -> bool:
        """Returns whether the change of a file shows work: an edit, or a removal that was asked for."""
        kind = self.kinds.get(path, file_states.Kind.EDITED)
        if path in self.rivals:
            return False
        if kind is file_states.Kind.DELETED:
            return _in(self.removals, path)
        return kind in (file_states.Kind.EDITED, file_states.Kind.FOLDER)

    def of(self, entries: Collection[str]) -> FileChanges:
        """Returns what of the changes is of these declarations, normalised: criteria may ask for others too."""
        parts = {"changed": self.changed, "untouched": self.untouched, "earlier": self.earlier}
        return self._replace(
            **{name: tuple(path for path in paths if _in(entries, path)) for name, paths in parts.items()}
        )

    def describe(self, paths: Sequence[str]) -> str:
        """Returns what became of changed files, edits first."""
        by_kind: dict[file_states.Kind, list[str]] = {kind: [] for kind in file_states.Kind}
        for path in paths:
            by_kind[self.kinds.get(path, file_states.Kind.EDITED)].append(path)
        return "; ".join(f"{kind} {problems.in_backticks(names)}" for kind, names in by_kind.items() if names)

    def doubt(self, paths: Sequence[str]) -> str:
        """Returns why changes none of which shows work prove nothing, and how such work could be proven."""
        rival = next((f"; {self.rivals[path]}" for path in paths if path in self.rivals), "")
        if rival:
            return f"{self.describe(paths)}, which proves no work{rival}"
        lost_path = next((path for path in paths if self.kinds.get(path) is file_states.Kind.DELETED), "")
        way = f" (`absent:{lost_path}` in its acceptance proves a removal)" if lost_path else ""
        return f"{self.describe(paths)}, which proves no work{way}"

    def excuse(self, subject: str = "") -> str:
        """Returns why it is no proof of idleness that nothing changed in `subject`, or an empty string."""
        earlier = [path for path in self.earlier if not subject or path_globs.touch(subject, path)]
        if earlier:
            return f"{problems.in_backticks(earlier)} had been changed in this run before the task began"
        return self.unclear


def compare_changes(
    entries: Iterable[str],
    changed: Iterable[str],
    is_foreign: Callable[[str], bool],
    *,
    workspace: str = "",
    everything: bool,
) -> FileChanges:
    """Returns what the changed files say about the declared paths; what `is_foreign` is that of others.

    `everything` says whether all changes of the workspace are known, or those of declared files only.
    """
    own = tuple(path_globs.normalise(path, workspace) for path in entries)
    hits, rest = list[str](), list[str]()
    for path in sorted(changed):
        (hits if _in(own, path) else rest).append(path)
    strange = tuple(path for path in rest if not is_foreign(path)) if everything else ()
    idle = tuple(dict.fromkeys(entry for entry in own if not any(path_globs.touch(entry, path) for path in hits)))
    return FileChanges(tuple(hits), idle, strange if everything else None)


def without_links(files: FileChanges, links: Collection[str]) -> FileChanges:
    """Returns the changes without idle links: who writes through a link changes what it leads to and not the link."""
    return files._replace(untouched=tuple(path for path in files.untouched if path not in links))


def with_folders(files: FileChanges, folders: Sequence[str]) -> FileChanges:
    """Returns the changes with declared folders that were made, also empty ones, of which nobody else tells."""
    if not folders:
        return files
    kinds = {**files.kinds, **dict.fromkeys(folders, file_states.Kind.FOLDER)}
    idle = tuple(path for path in files.untouched if path not in folders)
    return files._replace(changed=(*files.changed, *folders), untouched=idle, kinds=kinds)


def _in(entries: Iterable[str], path: str) -> bool:
    return any(path_globs.touch(entry, path) for entry in entries)


def from_changes(files: FileChanges) -> tuple[Receipt, ...]:
    """Returns the receipts of a task that declared files: what it changed of them, and what else was changed."""
    if files.problem:
        return (Receipt(kind="diff", ok=False, checked=False, detail=f"changes were not measured: {files.problem}"),)
    receipts = [_of_declared(files)]
    if files.undeclared is None:
        detail = "there is no git here, so other changes were not looked for"
        receipts.append(Receipt(kind="touched", ok=False, checked=False, detail=detail))
    elif files.undeclared:
        names = problems.in_backticks(files.undeclared)
        receipts.append(
            Receipt(kind="touched", ok=True, detail=f"changed meanwhile too, by whoever works here: {names}")
        )
    return tuple(receipts)


def _of_declared(files: FileChanges) -> Receipt:
    rest = f"; untouched: {problems.in_backticks(files.untouched)}" if files.untouched else ""
    if any(map(files.shows_work, files.changed)):
        return Receipt(kind="diff", ok=True, detail=f"{files.describe(files.changed)}{rest}")
    if files.changed:
        return Receipt(kind="diff", ok=True, checked=False, detail=f"{files.doubt(files.changed)}{rest}")
    excuse = files.excuse()
    why = f", which proves nothing: {excuse}" if excuse else ""
    return Receipt(kind="diff", ok=False, checked=not excuse, detail=f"no declared file was changed{rest}{why}")


def from_diff(criterion: Criterion, files: FileChanges) -> Receipt:
    """Returns the receipt of a `diff` criterion."""
    if files.problem:
        return unproven(criterion, f"not measured: {files.problem}")
    hits = [path for path in files.changed if not criterion.subject or path_globs.touch(criterion.subject, path)]
    if any(map(files.shows_work, hits)):
        return proven(criterion, files.describe(hits))
    if hits:
        return unproven(criterion, files.doubt(hits))
    detail = f"nothing in `{criterion.subject}` changed" if criterion.subject else "nothing changed"
    excuse = files.excuse(criterion.subject)
    return unproven(criterion, f"{detail}, which proves nothing: {excuse}") if excuse else refuted(criterion, detail)


def from_command(
    criterion: Criterion, detail: str, files: FileChanges, entries: Collection[str], *, has_failed: bool
) -> Receipt:
    """Returns the receipt of a command that ended well after an agent's work.

    `entries` are the task's files, normalised: what decides the command counts as declared only by its own name.
    `has_failed` says that an earlier attempt was refused for it; else it may have ended well before the work too.
    """
    deciding = files.judges.get(criterion.text, None)
    if deciding is None:  # nobody could look further than at names
        deciding = _deciding((*files.changed, *(files.undeclared or ())), criterion.argv)
    open_judges = tuple(path for path in deciding if path not in entries and not files.owners.get(path))
    earlier = {path: task for path, task in files.earlier_judges.items() if path not in deciding}
    nobodys = tuple(path for path, task in earlier.items() if not task)
    why = ""
    if files.weaker_tests:
        why = f"there are fewer checks in {problems.in_backticks(files.weaker_tests)} than before the work"
    elif open_judges:
        names = problems.in_backticks(open_judges)
        why = f"{names}, which can decide what it checks, was changed and is not named in `files`"
    elif nobodys:
        names = problems.in_backticks(nobodys)
        why = f"{names}, which can decide what it checks, had been changed in this run by no task that declares it"
    if why:
        suspects = (*files.weaker_tests, *open_judges, *nobodys)[:MAX_CLAIMS]
        evidence = unproven(criterion, f"{detail}, which proves nothing: {why}")
        return evidence.model_copy(update={"suspects": suspects})
    by_whom = {path: files.owners.get(path, "") for path in deciding} | earlier
    authors = _authors(by_whom, entries)
    if old_judges := [path for path in files.old_judges if path not in by_whom]:
        names = problems.in_backticks(old_judges)
        authors += f"; {names}, which can decide what it checks, was not as committed when the task began"
    is_idle = not files.problem and files.undeclared == () and not files.changed
    if is_idle and has_failed:
        authors += "; nothing in the workspace differs from what it was when the task began"
    return proven(criterion, f"{detail}{authors}").model_copy(update={"earlier": is_idle or not has_failed})


def _deciding(paths: Sequence[str], argv: Sequence[str]) -> tuple[str, ...]:
    """Returns which changed files decide what a command checks: recipes, and the files and modules that it starts."""
    own = {path_globs.normalise(word.partition("::")[0]) for word in argv} - {""}
    modules = {word.replace(".", "/") for word in own}
    starts = own | {f"{word}{end}" for word in own | modules for end in (".py", "/__init__.py", "/__main__.py")}
    return tuple(path for path in paths if languages.is_recipe(path) or path in starts)


def _authors(by_whom: Mapping[str, str], entries: Collection[str]) -> str:
    """Returns the words on files that decide a command and were changed by whom they belong to."""
    changes: dict[str, list[str]] = {}
    for path, task in by_whom.items():
        changes.setdefault("the work" if path in entries else f"task `{task}`", []).append(path)
    return "".join(
        f"; {problems.in_backticks(paths)}, which can decide what it checks, was changed by {author}"
        for author, paths in changes.items()
    )


def from_claim(
    claims: Sequence[str], files: FileChanges, foreign_paths: Iterable[str], workspace: str = ""
) -> tuple[Receipt, ...]:
    """Returns a receipt against a worker that names the files it changed, if none of them is one; else nothing.

    `foreign_paths` are those that other tasks of the run declare, normalised. A name that means nothing to the server
    says nothing: only names of declared files count, the task's own that are untouched and those of others.
    """
    if not 0 < len(claims) <= MAX_CLAIMS or files.problem or files.excuse():
        return ()
    real = (*files.changed, *(files.undeclared or ()))
    calls = [functools.partial(_names, claim, workspace=workspace) for claim in claims]
    if any(names(path) for names in calls for path in real):
        return ()
    foreign = tuple(foreign_paths)
    idle: list[str] = []
    alien: list[str] = []
    for names in calls:
        own_path = next(filter(names, files.untouched), "")
        alien_path = "" if own_path else next(filter(names, foreign), "")
        if own_path:
            idle.append(own_path)
        elif alien_path:
            alien.append(alien_path)
        else:
            return ()
    reasons = [
        f"{problems.in_backticks(tuple(dict.fromkeys(paths)))} {standing}"
        for paths, standing in ((idle, "untouched"), (alien, "declared by other tasks"))
        if paths
    ]
    return (Receipt(kind="claim", ok=False, detail=f"of the files that it says it changed: {'; '.join(reasons)}"),)


def _names(claim: str, path: str, workspace: str) -> bool:
    """Returns whether words of a worker name a path: spelt in any way, by its end, or within a sentence."""
    if not path:
        return False
    own = path_globs.normalise(claim.strip("`'\" \t"), workspace)
    if own and (path_globs.touch(own, path) or path.endswith(f"/{own}") or own.endswith(f"/{path}")):
        return True
    before, match, behind = claim.partition(path)
    return bool(match) and not _PATH_BEFORE.search(before.removesuffix("./")) and not _PATH_BEHIND.match(behind)


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
    refutations = [receipt for receipt in every if is_refuted(receipt)]
    if refutations:
        return outcome.model_copy(update={**_refusal(refutations), "receipts": every})
    is_claim = outcome.unverified and (not _is_proof(receipts) or any(map(_is_hollow, receipts)))
    is_open = any(map(_is_open, receipts)) or is_claim
    return outcome.model_copy(update={"receipts": every, "unverified": is_open})


def _is_proof(receipts: Sequence[Receipt]) -> bool:
    """Returns whether a criterion holds that did not before, or one that did beside a change of a declared file."""
    holding = [receipt for receipt in receipts if receipt.ok and receipt.checked and receipt.criterion]
    is_changed = any(receipt.kind == "diff" and receipt.ok and receipt.checked for receipt in receipts)
    return any(is_changed or not receipt.earlier for receipt in holding)


def with_receipt(outcome: model.Outcome, receipt: Receipt) -> model.Outcome:
    """Returns the outcome with one receipt more."""
    return outcome.model_copy(update={"receipts": (*outcome.receipts, receipt)})


def as_failure(outcome: model.Outcome, kind: failures.FailureKind, error: str) -> model.Outcome:
    """Returns a claimed success as a failure; what it used is paid for all the same."""
    changes = {"state": AttemptState.FAILED, "error": error, "error_kind": kind, "unverified": False}
    return outcome.model_copy(update={**changes, "retryable": failures.is_retryable(kind)})


def nothing_changed(outcome: model.Outcome) -> model.Outcome:
    """Returns a claimed success of an attempt that was to change files and whose worktree is as it began."""
    return judge(outcome, [Receipt(kind="diff", ok=False, detail="nothing was changed in the task's worktree")])


def refused_criteria(last_error: str) -> tuple[str, ...]:
    """Returns the criteria that the server refused the last attempt for; none for what a worker says of its failure."""
    return tuple(dict.fromkeys(_REFUSED.findall(last_error))) if last_error.startswith(_REFUSAL) else ()


def of_edits(last_error: str, criteria: Collection[str]) -> tuple[Receipt, ...]:
    """Returns receipts that tell of criteria which the last attempt was refused for and which are none any more."""
    texts = [text for text in refused_criteria(last_error) if text not in criteria]
    why = "was taken out of its acceptance by an edit, after an attempt had been refused for it"
    return tuple(
        Receipt(kind="words", ok=False, checked=False, detail=f"`{text}` {why}") for text in texts[:MAX_CLAIMS]
    )


def is_refuted(receipt: Receipt) -> bool:
    """Returns whether it shows that a claim is not so: a criterion that does not hold, or nothing done."""
    is_verdict = bool(receipt.criterion) or receipt.kind not in _SHOWN_ONLY
    return is_verdict and receipt.checked and not receipt.ok


def reasons(outcome: model.Outcome, limit: int) -> str:
    """Returns why a claim was refuted, in about `limit` characters on one line; an empty string for other outcomes.

    Of many reasons the first few are told so that they can be read, and how many more there are.
    """
    if outcome.error_kind not in (*transitions.REFUTATIONS, transitions.LOST_EDITS):
        return ""
    refutations = [receipt for receipt in outcome.receipts if is_refuted(receipt)]
    size = len(refutations) if len(refutations) <= MAX_REASONS else MAX_REASONS - 1
    texts = [escape.one_line(_reason(receipt), limit=limit // size) for receipt in refutations[:size]]
    rest = [f"and {len(refutations) - size} more"] if len(refutations) > size else []
    return "; ".join([*texts, *rest, *_ways_out(outcome.error_kind)])


def beside_reasons(outcome: model.Outcome) -> tuple[Receipt, ...]:
    """Returns the receipts that `reasons` does not speak of, what is open first; claims are none."""
    rest = [receipt for receipt in outcome.receipts if receipt.kind != "claim" and not is_refuted(receipt)]
    rest = [receipt.model_copy(update={"suspects": ()}) for receipt in rest]  # `detail` names them
    return tuple(sorted(rest, key=lambda receipt: not (_is_open(receipt) or _is_hollow(receipt))))


def cut(receipt: Receipt, limit: int) -> Receipt:
    """Returns a receipt whose texts have at most `limit` characters each."""
    texts = {"detail": receipt.detail, "criterion": receipt.criterion}
    return receipt.model_copy(update={name: escape.one_line(text, limit=limit) for name, text in texts.items()})


def doubts(outcome: model.Outcome) -> tuple[str, ...]:
    """Returns why an outcome is unverified, one line a reason; nothing when nobody asked for proof."""
    open_ones = [receipt for receipt in outcome.receipts if _is_open(receipt)]
    if outcome.unverified and all(receipt.kind != "diff" for receipt in open_ones):
        open_ones += filter(_is_hollow, outcome.receipts)
    if outcome.unverified and not open_ones:
        open_ones += [receipt for receipt in outcome.receipts if receipt.earlier]
    return tuple(map(describe, open_ones))


def describe(receipt: Receipt, limit: int = REASON_CHARS) -> str:
    """Returns a receipt as one line of at most `limit` characters."""
    head = f"`{receipt.criterion}`: " if receipt.criterion else ""
    end = (NEVER_FAILED if receipt.kind == "exit_code" else EARLIER) if receipt.earlier else ""
    return f"{escape.one_line(f'{head}{receipt.detail}', limit=limit - len(end))}{end}"


def mark(receipt: Receipt) -> str:
    """Returns the word for what a receipt says."""
    if receipt.kind == "simulated":
        return "simulated"
    if receipt.kind == "usage":
        return "seen"
    if not receipt.checked:
        return "unproven"
    if receipt.kind == "touched":
        return "seen"
    return "ok" if receipt.ok else "not ok"


def _is_open(receipt: Receipt) -> bool:
    """Returns whether a receipt keeps the work from being verified without refuting it."""
    return receipt.kind not in {"words", "simulated", "usage"} and bool(receipt.criterion) and not receipt.checked


def _is_hollow(receipt: Receipt) -> bool:
    """Returns whether it shows that declared files were changed, but no work in them, or an end that shows nothing."""
    is_shown = receipt.kind in {"diff", "exit_code"} and not receipt.criterion
    return is_shown and receipt.ok and not receipt.checked


def _refusal(refutations: Sequence[Receipt]) -> dict[str, model.Json]:
    is_loss = any(receipt.kind == "loss" for receipt in refutations)
    kind = min(map(_kind_of_error, refutations), key=transitions.REFUTATIONS.index)
    kind = transitions.LOST_EDITS if is_loss else kind
    lines = (*map(_reason, refutations), *_ways_out(kind))
    error = "\n- ".join((_REFUSAL, *lines))
    return {
        "state": AttemptState.FAILED,
        "error": error if len(error) <= ERROR_CHARS else f"{error[:ERROR_CHARS]}…",
        "error_kind": kind,
        "retryable": not is_loss,  # it would be done again
        "unverified": False,
    }


def _ways_out(kind: str) -> tuple[str, ...]:
    """Returns what else can be done about a refuted claim than doing the work."""
    return ("if nothing is left to change, the task can be skipped",) if kind == transitions.NOTHING_CHANGED else ()


def _kind_of_error(receipt: Receipt) -> str:
    by_kind = {"diff": transitions.NOTHING_CHANGED, "claim": transitions.WRONG_CLAIM}
    return transitions.NOT_ACCEPTED if receipt.criterion else by_kind.get(receipt.kind, transitions.NOT_ACCEPTED)


def _reason(receipt: Receipt) -> str:
    return f"`{receipt.criterion}`: {receipt.detail}" if receipt.criterion else receipt.detail
