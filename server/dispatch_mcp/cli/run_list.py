"""The list of runs as people read it, whoever has read it from the store."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from dispatch_mcp import errors
from dispatch_mcp.cli import clean_output, console, shell_wording
from dispatch_mcp.hooks import hook_program
from dispatch_mcp.next_steps import NextStep, StepKind, age, who_is_waited_for
from dispatch_mcp.process import child_environment, private_files
from dispatch_mcp.store import health
from dispatch_mcp.store.looks import listed_runs
from dispatch_mcp.text import redaction, short_forms

if TYPE_CHECKING:
    from dispatch_mcp import configuration

HOME: Final = "DISPATCH_MCP_HOME"
_PROJECT: Final = "CLAUDE_PROJECT_DIR"
_VARIABLES: Final = frozenset("$%{}\0")
"""What a path has in it that somebody has not filled in."""


class ListLine(NamedTuple):
    """A run as the list shows it."""

    run_id: str
    title: str
    state: str
    progress: str
    age: str
    waits: Sequence[str]
    workspace: str
    is_ownerless: bool


def show(rows: Sequence[ListLine], advice: str, context: Mapping[str, float]) -> None:
    """Prints runs, what comes next where there are none, and what choosing context has saved."""
    cells = [
        (
            short_forms.short(row.run_id),
            row.title,
            f"{row.state}, nobody carries it on" if row.is_ownerless else row.state,
            row.progress,
            row.age,
            "; ".join(row.waits),
            row.workspace,
        )
        for row in rows
    ]
    if cells:
        console.show(("run", "title", "state", "done", "age", "waits for", "workspace"), cells)
    else:
        console.say(advice)
    if context:
        console.say(f"all runs, context: {context['sent']:,.0f} tokens given{comparison(context)}")


def comparison(context: Mapping[str, float]) -> str:
    """Returns how chosen context compares with the whole files that tasks name; empty where they name none."""
    if not context:
        return ""
    share = f"{context['saved']:.0%} fewer" if "saved" in context else f"{context['tokens_more']:,.0f} more"
    return f", {share} than the files that tasks name have whole ({context['named_files']:,.0f})"


def main(options: argparse.Namespace, setup: configuration.LoadedSettings) -> int | None:
    """Prints the list of runs by one look at the store; returns None where that is not asked for, or not enough."""
    if options.run or options.json:
        return None
    is_done = show_by_look(setup.settings.home, setup.secrets, time.time(), every=options.all)
    return console.OK if is_done else None


def show_at_once(env: Mapping[str, str], now: float, *, every: bool) -> bool:
    """Prints the list without reading any settings, and returns whether it did: only where there are none to read."""
    home = plain_home(env)
    return home is not None and show_by_look(home, child_environment.secret_values(env), now, every=every)


def show_by_look(home: Path, secrets: Collection[str], now: float, *, every: bool) -> bool:
    """Prints the list by one look at the store and nothing else, and returns whether it did.

    Where nothing was ever kept it says so, and makes nothing. Where anything is out of the ordinary it prints nothing:
    a store that is not there, has no run, is of another schema, or in trouble. Then only the whole program can say
    what there is.
    """
    if not os.path.lexists(home) and not private_files.obstacle(home):
        console.say(shell_wording.words(NextStep(StepKind.BEGIN_RUN, advice="There are no runs yet.")))
        return True
    try:
        answer = health.look(home, partial(listed_runs.read, home=home, every=every))
    except (errors.DispatchError, OSError):
        return False
    if answer is None or not answer.newest:
        return False
    clean_output.use(redaction.Redactor(secrets))
    advice = "" if answer.runs else shell_wording.words(NextStep(StepKind.LIST_ALL_RUNS, run=answer.newest))
    try:
        show([_line(run, now) for run in answer.runs], advice, listed_runs.saving(answer.tokens, answer.whole))
        sys.stdout.flush()
    except BrokenPipeError:
        clean_output.silence(sys.stdout)
    return True


def _line(run: listed_runs.ListedRun, now: float) -> ListLine:
    waits, progress = who_is_waited_for(run.state, run.work), f"{run.ends} of {run.tasks}"
    since = age(now - run.created_at)
    return ListLine(run.id, run.title, run.state, progress, since, waits, run.workspace, run.is_ownerless)


def plain_home(env: Mapping[str, str]) -> Path | None:
    """Returns the state directory where that is all that anybody has set, None where settings have to be read."""
    names = {name for name in env if name.startswith("DISPATCH_MCP_")}
    paths = [env[name] for name in (HOME, _PROJECT) if env.get(name)]
    is_plain = all(Path(path).is_absolute() and path == path.strip() and not _VARIABLES & set(path) for path in paths)
    if names - {HOME} or not is_plain:
        return None
    home = Path(os.path.normpath(env.get(HOME) or hook_program.home(env)))
    try:
        Path.cwd()
    except OSError:
        return None
    return None if os.path.lexists(home / "config.toml") else home
