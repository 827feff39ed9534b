"""`dispatch-mcp install` and `uninstall`: this server in the configuration of clients, and out of it again."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import anyio

from dispatch_mcp import __version__, configuration, errors, model
from dispatch_mcp.cli import console
from dispatch_mcp.registration import clients, launches, listings, registrations, trial

CLAUDE_CODE = "claude-code"
STATUS_LINE = "statusline"
"""The client that shows a line below its prompt, and our command that prints it."""

BACKUPS = "backups"
"""Folder of the state directory that keeps what files of clients held before."""


@dataclass(frozen=True, slots=True)
class Registration:
    """One client and scope on this machine, and what a command is to do there."""

    client: clients.Client
    scope: clients.Scope
    around: clients.Machine
    backups: Path

    @property
    def place(self) -> clients.EntryPlace:
        """Where the entry stands."""
        return self.client.place(self.scope, self.around)

    @property
    def title(self) -> str:
        """The client and the scope in words."""
        return f"{self.client.title} ({self.scope})"


def main(options: argparse.Namespace, setup: configuration.LoadedSettings) -> int:
    """Registers the server, takes it out, or says where it could be; returns 1 when not all could be taken out."""
    around = surroundings(options)
    backups = setup.settings.home / BACKUPS
    removing = options.command == "uninstall" or options.remove
    if options.client is None and not removing:
        return show(around, as_json=options.json)
    places = [*registered(around)] if options.client is None else [(clients.CLIENTS[options.client], options.scope)]
    with console.beside_json(options.json):
        answers: list[dict[str, model.Json]] = []
        for client, scope in places:
            registration = Registration(client, scope, around, backups)
            if not removing:
                answers.append(put_in(registration, options, setup))
            elif options.client:
                answers.append(take_out(registration, dry_run=options.dry_run))
            else:
                answers.append(take_out_if_possible(registration, dry_run=options.dry_run))
        if removing:
            if not places:
                console.say("This server is registered in no client.")
            console.say("\n".join(filter(None, (other_ways(around), what_stays(setup.settings.home)))))
    if options.json:
        console.emit([*answers])
    return console.FAILED if any("error" in answer for answer in answers) else console.OK


def surroundings(options: argparse.Namespace) -> clients.Machine:
    """Returns what decides where files are; the project is --workspace or the current directory."""
    project = Path(options.workspace).expanduser() if options.workspace else Path.cwd()
    return clients.Machine(Path.home(), os.environ, sys.platform, project.absolute())


def registered(around: clients.Machine) -> Iterator[tuple[clients.Client, clients.Scope]]:
    """Yields where this server is registered; a file that cannot be read has nothing of ours."""
    for client in clients.CLIENTS.values():
        for scope in client.places:
            try:
                if registrations.present(client.place(scope, around)) is not None:
                    yield client, scope
            except errors.ConfigError as trouble:
                console.note(f"{client.title} ({scope}): {trouble.message}", style="yellow")


def other_ways(around: clients.Machine) -> str:
    """Returns what still starts this server where no registration does, and how it goes; empty for nothing."""
    rows = [
        f"{client.title} starts it from {row.source} too: {row.removal} takes that out."
        for client in clients.CLIENTS.values()
        for row in listings.listings(client, around)
        if not row.is_registration
    ]
    return "\n".join(rows)


def show(around: clients.Machine, *, as_json: bool) -> int:
    """Prints the clients: which are here, and where the server is registered."""
    scopes: dict[str, list[str]] = {}
    for client, scope in registered(around):
        scopes.setdefault(client.name, []).append(scope)
    rows = [
        (client.name, "yes" if is_here(client, around) else "", ", ".join(scopes.get(client.name, [])))
        for client in clients.CLIENTS.values()
    ]
    if as_json:
        console.emit(
            [{"client": name, "here": bool(here), "registered": scopes.get(name, [])} for name, here, _ in rows]
        )
        return console.OK
    console.show(("client", "here", "registered"), rows)
    console.say("Register it with `dispatch-mcp install CLIENT`; --dry-run only shows what would change.")
    return console.OK


def is_here(client: clients.Client, around: clients.Machine) -> bool:
    """Whether a client seems to be installed: its program is on the path, or its settings are there."""
    file = client.place("user", around).file
    own_folder = file.parent not in (around.home, around.applications())
    return (
        bool(client.program and shutil.which(client.program)) or file.exists() or (own_folder and file.parent.exists())
    )


def put_in(
    registration: Registration, options: argparse.Namespace, setup: configuration.LoadedSettings
) -> dict[str, model.Json]:
    """Shows the change, starts the server as the client will, and then writes; returns the answer as JSON.

    Raises:
        ConfigError: the server does not start that way; nothing is written then.
    """
    launch = launches.launch(Path(sys.executable), launches.package_here(__version__), os.environ, shutil.which)
    workspace = registration.around.project if options.workspace and registration.scope == "user" else None
    home = setup.settings.home if options.home else None
    launch = clients.launch_for(registration.client, launch, workspace=workspace, home=home)
    change = registrations.addition(registration.place, registration.client.entry(launch))
    _show_change(registration, change)
    answer = _answer(registration, change)
    if options.dry_run:
        _advise(registration, workspace)
        console.say("Nothing was written: --dry-run.")
        return answer
    entry = change.entry()
    assert entry is not None
    try:
        start = anyio.run(
            trial.start, clients.launch_of(entry), trial.setting_of(registration.client, registration.around)
        )
    except errors.ConfigError as trouble:
        raise errors.ConfigError(
            f"{trouble.message} Nothing was written.", hint="`dispatch-mcp doctor` says what is wrong on this side."
        ) from trouble
    console.say(
        f"✓ {registration.client.title} can start it: {start.tools} tools after {start.seconds:.1f} s.", style="green"
    )
    answer["start"] = {"version": start.version, "tools": start.tools, "seconds": round(start.seconds, 2)}
    _write(registration, change, answer)
    if registration.client.name == CLAUDE_CODE:
        _offer_status_line(registration, clients.launch_of(entry), is_asked_for=options.status_line)
    _advise(registration, workspace)
    return answer


def _offer_status_line(registration: Registration, launch: clients.Launch, *, is_asked_for: bool) -> None:
    """Adds our status line to Claude Code if that is asked for and it shows none; says how to have it otherwise."""
    place = clients.status_line(registration.around)
    line = registrations.present(place)
    if line is not None:
        if is_asked_for and not _is_our_line(line):
            console.say(f"The status line in {place.file} stays as it is: it is not ours.", style="yellow")
    elif is_asked_for:
        command = shlex.join([launch.command, *launch.arguments[:-1], STATUS_LINE])
        change = registrations.addition(place, {"type": "command", "command": command})
        _show_change(registration, change)
        _write(registration, change, {})
    else:
        console.say("`dispatch-mcp install claude-code --status-line` shows the open run below the prompt, too.")


def _is_our_line(line: Mapping[str, model.Json]) -> bool:
    return str(line.get("command", "")).endswith(f" {STATUS_LINE}")


def take_out_if_possible(registration: Registration, *, dry_run: bool) -> dict[str, model.Json]:
    """Takes the server out of one of many places; a file that cannot be changed is told of and hinders no other."""
    try:
        return take_out(registration, dry_run=dry_run)
    except errors.ConfigError as trouble:
        console.note(f"{registration.title}: {trouble.message} Mend that and call again.", style="red")
        return {
            "client": registration.client.name,
            "scope": registration.scope,
            "file": str(registration.place.file),
            "written": False,
            "error": trouble.message,
        }


def take_out(registration: Registration, *, dry_run: bool) -> dict[str, model.Json]:
    """Shows the change and writes it; returns the answer as JSON."""
    change = registrations.removal(registration.place)
    changes = [change]
    line = clients.status_line(registration.around)
    if registration.client.name == CLAUDE_CODE and _is_our_line(registrations.present(line) or {}):
        changes.append(registrations.removal(line))
    answer = _answer(registration, change)
    for part in changes:
        _show_change(registration, part)
        if not dry_run:
            _write(registration, part, answer if part is change else {})
    if dry_run:
        console.say("Nothing was written: --dry-run.")
    return answer


def what_stays(home: Path) -> str:
    """Returns what is left after the last registration is gone, and how that goes."""
    return (
        f"Runs and settings stay in {home} (`dispatch-mcp where`): delete that folder to forget them. The program "
        "itself goes the way it came: `uv tool uninstall dispatch-mcp`, `pip uninstall dispatch-mcp`, or by deleting "
        "the checkout."
    )


def _show_change(registration: Registration, change: registrations.FileEdit) -> None:
    if change.is_empty:
        console.say(f"{registration.title}: nothing to change in {change.place.file}")
        return
    console.say(
        f"{registration.title}: {'a new file' if change.is_new else 'a change of'} {change.place.file}", style="bold"
    )
    for line in list(change.lines())[2:]:
        console.say(line, style={"+": "green", "-": "red", "@": "cyan"}.get(line[:1], ""))


def _answer(registration: Registration, change: registrations.FileEdit) -> dict[str, model.Json]:
    return {
        "client": registration.client.name,
        "scope": registration.scope,
        "file": str(change.place.file),
        "keys": list(change.place.keys),
        "entry": change.entry(),
        "changed": not change.is_empty,
        "written": False,
    }


def _write(registration: Registration, change: registrations.FileEdit, answer: dict[str, model.Json]) -> None:
    if change.is_empty:
        return
    new_mode = 0o644 if registration.scope == "project" else 0o600
    backup = registrations.carry_out(change, registration.backups, new_mode=new_mode)
    answer["written"] = True
    where = f"; the file of before is {backup}" if backup else ""
    answer["backup"] = str(backup) if backup else None
    console.say(f"✓ Written{where}.", style="green")


def _advise(registration: Registration, workspace: Path | None) -> None:
    if registration.client.name == "claude-desktop" and workspace is None:
        console.say(
            "Claude Desktop has no project. Name one if the work is about files: "
            "`dispatch-mcp install claude-desktop --workspace DIR`."
        )
    if registration.client.restart:
        console.say(registration.client.restart)
    double = listings.double(registration.client, listings.listings(registration.client, registration.around))
    if double:
        console.say(f"! {double}", style="yellow")
    console.say("Then ask your assistant: “Which dispatch runs are open?”")
