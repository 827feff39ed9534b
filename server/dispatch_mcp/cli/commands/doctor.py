"""`dispatch-mcp doctor`: what works here and what to do about the rest; it only reads."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import anyio

from dispatch_mcp import __version__, configuration, distribution, errors, model, next_steps, workers_present
from dispatch_mcp.agents import bundled_files, loader
from dispatch_mcp.alerts import courier
from dispatch_mcp.cli import console, shell_wording
from dispatch_mcp.cli.commands import config
from dispatch_mcp.context import file_index
from dispatch_mcp.hooks import hand_ins, hook_events
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.process import private_files, workspace_sense
from dispatch_mcp.registration import clients, listings
from dispatch_mcp.service import checkouts
from dispatch_mcp.service.housekeeping import state_places
from dispatch_mcp.store import health

Mark = Literal["✓", "!", "✗"]
OLDEST_PYTHON = (3, 11)
HAND_INS_S = 600.0
"""Seconds after which an event of a hook that still waits is told of; the tests of a result may take minutes."""
MOST_NAMES = 3
"""Events of hooks that are named."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
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


def fact_json(fact: Diagnosis) -> dict[str, model.Json]:
    """Returns a fact for a bug report."""
    return {"ok": fact.mark == "✓", "mark": fact.mark, "what": fact.what, "detail": fact.detail, "fix": fact.fix}


def examine(setup: configuration.LoadedSettings) -> Iterator[Diagnosis]:
    """Yields every fact, cheapest first."""
    settings = setup.settings
    yield _python()
    yield from _store(settings.home)
    yield from _space(settings.home)
    yield _workspace(setup)
    yield from _index(settings)
    yield _git(settings)
    yield from _worktrees(settings)
    yield from _clients(settings.workspace)
    yield from _hook_events(settings.home)
    yield from _engine(settings)
    yield from _workers(settings)
    yield from _agents(settings)
    yield _templates(settings.home)
    yield from _notifications(settings)
    yield from _telemetry()
    is_no_folder = bool(setup.fault and private_files.obstacle(settings.home))  # which the state directory has said
    for fault in config.troubles(replace(setup, fault=None) if is_no_folder else setup):
        yield Diagnosis("✗", f"setting {fault.setting}", fault.message, fault.fix)
    yield from (Diagnosis("!", "setting", warning, "Correct or remove it.") for warning in setup.warnings)


def _python() -> Diagnosis:
    detail = f"dispatch-mcp {__version__}, Python {platform.python_version()} on {platform.system()}"
    if sys.version_info < OLDEST_PYTHON:
        return Diagnosis("✗", "python", detail, "Use Python 3.11 or newer.")
    return Diagnosis("✓", "python", detail)


def _store(home: Path) -> Iterator[Diagnosis]:
    marks: dict[str, Mark] = {"ok": "✓", "warn": "!", "bad": "✗"}
    for fact in health.facts(home):
        fix = fact.hint if isinstance(fact.hint, str) else shell_wording.words(fact.hint)
        yield Diagnosis(marks[fact.status], fact.name, fact.detail, fix)


def _space(home: Path) -> Iterator[Diagnosis]:
    sizes = [(place.size, place.name) for place in state_places.places(home) if place.size]
    if sizes:
        parts = ", ".join(f"{name} {console.size(size)}" for size, name in sorted(sizes, reverse=True))
        total = console.size(state_places.total(home))
        yield Diagnosis("✓", "space", f"{total}: {parts}; `dispatch-mcp prune` removes what is old")


def _workspace(setup: configuration.LoadedSettings) -> Diagnosis:
    workspace = setup.settings.workspace
    why = workspace_sense.reason(workspace, is_guess=setup.guesses_workspace)
    if why:
        fix = shell_wording.words(NextStep(StepKind.NAME_WORKSPACE))
        return Diagnosis("!", "workspace", f"{workspace} is no workspace: it is {why}", fix)
    if (workspace / ".git").exists():
        return Diagnosis("✓", "workspace", f"{workspace} (git)")
    return Diagnosis("✓", "workspace", f"{workspace} (no git repository)")


def _index(settings: configuration.Settings) -> Iterator[Diagnosis]:
    """Yields what is kept for searching the workspace; nothing where nothing was searched yet."""
    standing = file_index.standing(settings.home, settings.workspace)
    if standing is None:
        return
    progress, size = standing
    detail = f"{progress.files - progress.rest:,} of {progress.files:,} files of the workspace, {size / 1e6:,.1f} MB"
    if progress.rest:
        yield Diagnosis(
            "!", "search index", detail, "It goes on with the next work here; briefs go with what there is."
        )
    else:
        yield Diagnosis("✓", "search index", detail)


def _git(settings: configuration.Settings) -> Diagnosis:
    git = shutil.which("git")
    if git is None:
        return Diagnosis("!", "git", "not found", "Install git for receipts and worktrees.")
    try:
        version = anyio.run(checkouts.git_version, settings)
    except errors.WorkerError as trouble:
        detail = f"{git}: {trouble.message}"
        return Diagnosis("!", "git", detail, "Worktrees need git 2.38 or newer; receipts need any.")
    return Diagnosis("✓", "git", f"{git} {version[0]}.{version[1]}")


def _worktrees(settings: configuration.Settings) -> Iterator[Diagnosis]:
    try:
        trees = checkouts.trees_left(settings)
    except errors.StoreError:  # what is wrong with the store has been said
        return
    if trees:
        detail = f"{len(trees)} left behind by runs that are over, the first in {trees[0].path}"
        yield Diagnosis(
            "!", "worktrees", detail, "`dispatch-mcp worktrees` lists them; `prune` keeps their changes as commits."
        )


def _engine(settings: configuration.Settings) -> Iterator[Diagnosis]:
    """Yields whether the server of the distributed engine answers; nothing where runs are driven here."""
    if settings.engine == "embedded":
        return
    try:
        yield Diagnosis("✓", "temporal", anyio.run(distribution.distributed_engine, settings))
    except errors.DispatchError as trouble:
        yield Diagnosis("✗", "temporal", trouble.message, trouble.advice(shell_wording.words))


def _workers(settings: configuration.Settings) -> Iterator[Diagnosis]:
    """Yields who can work here without an assistant, and who does when nobody is named."""
    there = workers_present.workers_here(settings, os.environ)
    yield Diagnosis("✓", "worker api", "there is a key" if there.key else "no ANTHROPIC_API_KEY (not needed in a chat)")
    if not there.claude:
        yield Diagnosis("✓", "worker claude", "Claude Code was not found (not needed in a chat)")
    elif version := anyio.run(workers_present.claude_version, settings):
        yield Diagnosis("✓", "worker claude", f"{there.claude} {version}")
    else:
        yield Diagnosis(
            "!", "worker claude", f"{there.claude} does not answer", "Try `claude --version`; reinstall it."
        )
    for chat in (True, False):
        here = workers_present.workers_here(settings, os.environ, chat=chat)
        pick = here.pick()
        name = pick.kind.value if pick.kind in here.kinds else "nobody"
        yield Diagnosis("✓", f"worker auto, {'chat' if chat else 'shell'}", f"{name}: {pick.why}")


def _clients(project: Path) -> Iterator[Diagnosis]:
    """Yields which clients start this server, and which of them do so more than once."""
    around = clients.Machine(Path.home(), os.environ, sys.platform, project)
    by_client = {client.title: (client, listings.listings(client, around)) for client in clients.CLIENTS.values()}
    names = [title for title, (_, rows) in by_client.items() if rows]
    yield Diagnosis("✓", "clients", ", ".join(names) or "registered in none; `dispatch-mcp install` lists them")
    for title, (client, rows) in by_client.items():
        double = listings.double(client, rows)
        if double:
            yield Diagnosis("!", title, "starts this server more than once", double)


def _hook_events(home: Path) -> Iterator[Diagnosis]:
    """Yields which events of hooks nobody has taken; nothing where there are none."""
    files = hand_ins.leftovers(home, time.time() - HAND_INS_S)
    if files:
        names = ", ".join(f"{hand_ins.title(file)} in {file}" for file in files[:MOST_NAMES])
        detail = f"{next_steps.counted(len(files), 'event')} of hooks nobody has taken: {names}"
        fix = (
            f"{home / hook_events.FOLDER / hook_events.LOG} says why. What ends in {hand_ins.ENDING} is tried again by "
            "the next session in its folder."
        )
        yield Diagnosis("!", "hook events", detail, fix)


def _agents(settings: configuration.Settings) -> Iterator[Diagnosis]:
    source = loader.Source.from_settings(settings)
    agents = source.catalog().agents
    lenient = [agent for agent in agents if agent.notes]
    faults = f", {len(lenient)} of them with a fault in the file" if lenient else ""
    yield Diagnosis("✓", "agents", f"{len(agents)} known{faults}")
    for agent in lenient[:5]:
        yield Diagnosis("!", "agent", f"{agent.path}: {agent.notes[0]}", "Check its front matter.")


def _notifications(settings: configuration.Settings) -> Iterator[Diagnosis]:
    """Yields how people are told of runs, and whether that works; nothing where they are not."""
    target = courier.target_of(settings, os.environ)
    if target is None:
        return
    try:
        backlog = anyio.run(courier.backlog, settings, target)
    except errors.StoreError:  # what is wrong with the store has been said
        return
    if backlog.trouble:
        detail = f"by {settings.notify}; {backlog.waiting} not told yet; the last try: {backlog.trouble}"
        yield Diagnosis("!", "notifications", detail, "Mend that, and try it with `dispatch-mcp notify test`.")
    else:
        yield Diagnosis("✓", "notifications", f"by {settings.notify}")


def _telemetry() -> Iterator[Diagnosis]:
    """Yields whether OpenTelemetry is told of runs; nothing where nobody has asked for it."""
    if not distribution.wants_telemetry(os.environ):
        return
    try:
        distribution.telemetry_module()
    except errors.ConfigError as missing:
        yield Diagnosis("!", "telemetry", missing.message, missing.advice(shell_wording.words))
    else:
        yield Diagnosis("✓", "telemetry", "runs are sent to the endpoint of OpenTelemetry's variables")


def _templates(home: Path) -> Diagnosis:
    usable, problems = bundled_files.all_templates(home)
    if problems:
        return Diagnosis("!", "templates", f"{len(usable)} usable; {problems[0]}", "Correct your own template.")
    return Diagnosis("✓", "templates", f"{len(usable)} usable")
