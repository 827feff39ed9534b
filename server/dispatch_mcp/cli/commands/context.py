"""`dispatch-mcp context TEXT`: what a worker on that task would be given to read, and what was left out."""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pydantic

from dispatch_mcp import configuration, errors, model
from dispatch_mcp.cli import console, input_files, run_list
from dispatch_mcp.context import git_log, pack_gatherer, packs, search_scope
from dispatch_mcp.store.looks import listed_runs

MAX_TEXT = 200_000
_MAX_HISTORY = 1 << 28
"""Characters of an unpacked history: what a small gzip file may unfold to."""
_STRINGS = pydantic.TypeAdapter(tuple[str, ...])
_TEXTS = ("full", "text", "title")


@dataclass(frozen=True, slots=True)
class PackSession:
    """Packs of one workspace, one budget and one scope; `history` replaces the workspace's own if it is given."""

    gatherer: pack_gatherer.Gatherer
    workspace: Path
    budget: int
    scope: search_scope.SearchScope
    history: pack_gatherer.PastCommits | None = None

    def pack(self, text: str, keys: Sequence[str] = (), *, before: int | None = None, but: str = "") -> packs.Pack:
        """Returns the pack of a task; of a history that was handed in, commits before `before` and not `but` count.

        Raises:
            NotAllowed: the workspace cannot be read.
        """
        history = self.history.until(before, but) if self.history else None
        return self.gatherer.pack(
            self.workspace, text, keys, budget=self.budget, scope=self.scope, past_commits=history
        )


@contextmanager
def open_session(
    settings: configuration.Settings,
    *,
    budget: int,
    scope: search_scope.SearchScope,
    commits: Sequence[git_log.Commit] | None = None,
) -> Generator[PackSession]:
    """Yields the session for the settings' workspace."""
    with ExitStack() as stack:
        gatherer = stack.enter_context(pack_gatherer.Gatherer(settings.home))
        history = stack.enter_context(closing(pack_gatherer.PastCommits(commits))) if commits is not None else None
        yield PackSession(gatherer, settings.workspace, budget, scope, history)


def main(options: argparse.Namespace, setup: configuration.LoadedSettings) -> int:
    """Prints the pack of one task, or a JSON line for each case of a batch."""
    scope = _scope(options.receives or (), options.excludes or ())
    commits = _history(options.history) if options.history else None
    with open_session(setup.settings, budget=_budget(options.budget), scope=scope, commits=commits) as session:
        if options.batch is not None:
            if options.text:
                raise errors.InputError(
                    f"Both a task and --batch {options.batch!r} are given.", hint="Leave one of them out."
                )
            for case in input_files.cases(options.batch, _TEXTS):
                console.line(_answer(session, case))
            return console.OK
        text = _text(options.text)
        pack = session.pack(text, options.need or ())
    if options.json:
        console.emit({**pack.wire(), "text": pack.text})
    else:
        _show(pack)
    return console.OK


def _budget(budget: int) -> int:
    if not packs.LEAST_BUDGET <= budget <= packs.MOST_BUDGET:
        raise errors.InputError(
            f"--budget is {budget}.", hint=f"Use {packs.LEAST_BUDGET} to {packs.MOST_BUDGET:,} tokens."
        )
    return budget


def _scope(receives: Sequence[str], excludes: Sequence[str]) -> search_scope.SearchScope:
    wrong = search_scope.unknown([*receives, *excludes])
    if wrong:
        raise errors.InputError(
            f"{wrong[0]!r} is no part of a project.",
            hint=f"Name one of {', '.join(search_scope.FACETS)}, or write a glob.",
        )
    return search_scope.SearchScope(tuple(receives), tuple(excludes))


def _text(words: Sequence[str]) -> str:
    text = " ".join(words) or ("" if sys.stdin.isatty() else input_files.text("-", limit=MAX_TEXT))
    if not text.strip():
        raise errors.InputError(
            "There is no task to gather for.",
            hint='Say in a sentence or two what is to be done: dispatch-mcp context "…".',
        )
    return text[:MAX_TEXT]


def _show(pack: packs.Pack) -> None:
    console.say(pack.text)
    comparison = run_list.comparison(listed_runs.saving(pack.tokens, pack.whole))
    console.note(f"{pack.tokens:,} of {pack.budget:,} tokens{comparison}")


def _answer(session: PackSession, case: dict[str, model.Json]) -> dict[str, model.Json]:
    """Returns one case's answer: ranked paths, spans in the order in which they were chosen, and what they cost."""
    text = next(case[key] for key in _TEXTS if isinstance(case.get(key), str))
    keys = _STRINGS.validate_python(case.get("context") or ())
    start = time.perf_counter()
    date, commit = case.get("date"), case.get("commit")
    pack = session.pack(
        text[:MAX_TEXT],
        keys,
        before=int(date) if isinstance(date, int | float) else None,
        but=commit if isinstance(commit, str) else "",
    )
    spans = [[item.path, item.first, item.last] for item in pack.chosen if item.first]
    paths = list(pack.ranked)
    return {
        "id": case["id"],
        "ranked": paths,
        "pack": spans,
        "also": list(pack.also),
        "files": paths,
        "snippets": spans,
        "named": list(pack.also),
        "left_out": [item.key for item in pack.left_out],
        "withheld": list(pack.withheld),
        "unresolved": [item.key for item in pack.unresolved],
        "tokens": pack.tokens,
        "ms": round(1000 * (time.perf_counter() - start), 1),
    }


def _history(name: str) -> list[git_log.Commit]:
    """Returns the commits of a (gzipped) JSONL file of [id, time, subject, files]."""
    try:
        data = Path(name).read_bytes()
        text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8", "replace")
        if len(text) > _MAX_HISTORY:
            raise errors.InputError(f"{name!r} is too large.", hint="Keep the newest commits.")
        rows: list[model.Json] = [json.loads(line) for line in text.splitlines() if line.strip()]
        return [git_log.Commit(str(row[0]), int(row[1]), str(row[2]), tuple(map(str, row[3]))) for row in rows]
    except (OSError, EOFError, ValueError, TypeError, LookupError, RecursionError) as wrong:
        raise errors.InputError(
            f"{name!r} is no history: {wrong}.",
            hint='A line looks like ["0a1b2c3d4e5f", 1700000000, "Subject", ["path"]].',
        ) from wrong
