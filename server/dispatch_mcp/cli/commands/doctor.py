"""`dispatch-mcp doctor`: what works here and what to do about the rest; it only reads."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import anyio

from dispatch_mcp import __version__, configuration, errors, model, worker_setup
from dispatch_mcp.agents import bundled_files, loader
from dispatch_mcp.cli import console, shell_wording
from dispatch_mcp.cli.commands import config
from dispatch_mcp.context import file_index
from dispatch_mcp.git import merge_rules
from dispatch_mcp.process import workspace_sense
from dispatch_mcp.service import checkouts
from dispatch_mcp.service.housekeeping import state_places
from dispatch_mcp.store import health

Mark = Literal["✓", "!", "✗"]
OLDEST_PYTHON = (3, 11)


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of the report; `fix` says what to do when the mark is not ✓."""

    mark: Mark
    what: str
    detail: str
    fix: str = ""


def main(options: argparse.Namespace, setup: configuration.LoadedSettings) -> int:
    """Prints the facts; returns 1 when something is broken."""
    facts = list(examine(setup))
    if options.json:
        console.emit([fact_json(fact) for fact in facts])
    else:
        console.show(("", "what", "found"), [(fact.mark, fact.what, fact.detail) for fact in facts])
        for fact in facts:
            if fact.fix:
                console.say(f"{fact.mark} {fact.what}: {fact.fix}", style=console.STYLES[fact.mark])
    return console.FAILED if any(fact.mark == "✗" for fact in facts) else console.OK


def fact_json(fact: Fact) -> dict[str, model.Json]:
    """Returns a fact for a bug report."""
    return {"ok": fact.mark == "✓", "mark": fact.mark, "what": fact.what, "detail": fact.detail, "fix": fact.fix}


def examine(setup: configuration.LoadedSettings) -> Iterator[Fact]:
    """Yields every fact, cheapest first."""
    settings = setup.settings
    yield _python()
    yield from _home(settings.home)
    yield from _store(settings.home)
    yield from _space(settings.home)
    yield _workspace(setup)
    yield from _index(settings)
    yield _git(settings)
    yield from _worktrees(settings)
    yield from _workers(settings)
    yield from _agents(settings)
    yield _templates(settings.home)
    for fault in config.troubles(setup):
        yield Fact("✗", f"setting {fault.setting}", fault.message, fault.fix)
    yield from (Fact("!", "setting", warning, "Correct or remove it.") for warning in setup.warnings)


def _python() -> Fact:
    detail = f"dispatch-mcp {__version__}, Python {platform.python_version()} on {platform.system()}"
    if sys.version_info < OLDEST_PYTHON:
        return Fact("✗", "python", detail, "Use Python 3.11 or newer.")
    return Fact("✓", "python", detail)


def _home(home: Path) -> Iterator[Fact]:
    if not home.exists():
        yield Fact("✓", "state directory", f"{home} (will be made on first use)")
        return
    mode = stat.S_IMODE(home.stat().st_mode)
    if os.name == "posix" and mode & 0o077:
        yield Fact("!", "state directory", f"{home} has mode {mode:o}", "Make it private: chmod 700.")
    elif not os.access(home, os.W_OK):
        yield Fact("✗", "state directory", f"{home} cannot be written", "Set DISPATCH_MCP_HOME to a writable folder.")
    else:
        yield Fact("✓", "state directory", str(home))


def _store(home: Path) -> Iterator[Fact]:
    marks: dict[str, Mark] = {"ok": "✓", "warn": "!", "bad": "✗"}
    for fact in health.facts(home):
        fix = fact.hint if isinstance(fact.hint, str) else shell_wording.words(fact.hint)
        yield Fact(marks[fact.status], fact.name, fact.detail, fix)


def _space(home: Path) -> Iterator[Fact]:
    sizes = [(place.size, place.name) for place in state_places.places(home) if place.size]
    if sizes:
        parts = ", ".join(f"{name} {console.size(size)}" for size, name in sorted(sizes, reverse=True))
        total = console.size(state_places.total(home))
        yield Fact("✓", "space", f"{total}: {parts}; `dispatch-mcp prune` removes what is old")


def _workspace(setup: configuration.LoadedSettings) -> Fact:
    workspace = setup.settings.workspace
    why = workspace_sense.reason(workspace, is_guess=setup.guesses_workspace)
    if why:
        return Fact("!", "workspace", f"{workspace} is none: it is {why}", workspace_sense.HOW_TO_NAME_ONE)
    if (workspace / ".git").exists():
        return Fact("✓", "workspace", f"{workspace} (git)")
    return Fact("✓", "workspace", f"{workspace} (no git repository)")


def _index(settings: configuration.Settings) -> Iterator[Fact]:
    """Yields what is kept for searching the workspace; nothing where nothing was searched yet."""
    standing = file_index.standing(settings.home, settings.workspace)
    if standing is None:
        return
    progress, size = standing
    detail = f"{progress.files - progress.rest:,} of {progress.files:,} files of the workspace, {size / 1e6:,.1f} MB"
    if progress.rest:
        yield Fact("!", "search index", detail, "It goes on with the next work here; briefs go with what there is.")
    else:
        yield Fact("✓", "search index", detail)


def _git(settings: configuration.Settings) -> Fact:
    git = shutil.which("git")
    if git is None:
        return Fact("!", "git", "not found", "Install git for receipts and worktrees.")
    try:
        version = anyio.run(checkouts.git_version, settings)
    except errors.WorkerError as trouble:
        return Fact("!", "git", f"{git} does not work: {trouble.message}", "Install git for receipts and worktrees.")
    detail = f"{git} {version[0]}.{version[1]}"
    if version < merge_rules.OLDEST_GIT:
        return Fact("!", "git", f"{detail}, too old for worktrees", "Install git 2.38 or newer; receipts work without.")
    return Fact("✓", "git", detail)


def _worktrees(settings: configuration.Settings) -> Iterator[Fact]:
    try:
        trees = checkouts.trees_left(settings)
    except errors.StoreError:  # what is wrong with the store has been said
        return
    if trees:
        detail = f"{len(trees)} left behind by runs that are over, the first in {trees[0].path}"
        yield Fact(
            "!", "worktrees", detail, "`dispatch-mcp worktrees` lists them; `prune` keeps their changes as commits."
        )


def _workers(settings: configuration.Settings) -> Iterator[Fact]:
    """Yields who can work here without an assistant, and who does when nobody is named."""
    there = worker_setup.workers_here(settings, os.environ)
    yield Fact("✓", "worker api", "there is a key" if there.key else "no ANTHROPIC_API_KEY (not needed in a chat)")
    if not there.claude:
        yield Fact("✓", "worker claude", "Claude Code was not found (not needed in a chat)")
    elif version := anyio.run(worker_setup.claude_version, settings):
        yield Fact("✓", "worker claude", f"{there.claude} {version}")
    else:
        yield Fact("!", "worker claude", f"{there.claude} does not answer", "Try `claude --version`; reinstall it.")
    for chat in (True, False):
        pick = worker_setup.workers_here(settings, os.environ, chat=chat).pick()
        yield Fact("✓", f"worker auto, {'chat' if chat else 'shell'}", f"{pick.kind.value}: {pick.why}")


def _agents(settings: configuration.Settings) -> Iterator[Fact]:
    source = loader.Source.from_settings(settings)
    agents = source.catalog().agents
    lenient = [agent for agent in agents if agent.notes]
    yield Fact("✓", "agents", f"{len(agents)} known, {len(lenient)} read leniently")
    for agent in lenient[:5]:
        yield Fact("!", "agent", f"{agent.path}: {agent.notes[0]}", "Check its front matter.")


def _templates(home: Path) -> Fact:
    usable, problems = bundled_files.all_templates(home)
    if problems:
        return Fact("!", "templates", f"{len(usable)} usable; {problems[0]}", "Correct your own template.")
    return Fact("✓", "templates", f"{len(usable)} usable")
