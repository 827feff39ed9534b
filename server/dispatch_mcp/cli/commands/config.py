"""`dispatch-mcp config [show|check|path|edit]`: settings in force, whether each can be used, and where they stand."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
from pathlib import Path

from dispatch_mcp import configuration, errors, model
from dispatch_mcp.cli import console, person_acts, settings_guide, shell_wording
from dispatch_mcp.process import program_path
from dispatch_mcp.store import sqlite


def main(options: argparse.Namespace, setup: configuration.LoadedSettings) -> int:
    """Shows or checks settings; returns 2 when one cannot be used. Nothing secret is among them."""
    file = str(setup.settings.home / configuration.FILE_NAME)
    if options.what == "path":
        if options.json:
            console.emit({"path": file})
        else:
            console.say(file)
        return console.OK
    if options.what == "edit":
        person_acts.refuse(person_acts.PersonAct.SET, setup.settings.home)
        edit(Path(file))
        flags = {"home": options.home, "workspace": options.workspace}
        setup = configuration.load_what_can_be(os.environ, flags=flags, cwd=Path.cwd())
    faults = list(troubles(setup))
    if options.json:
        console.emit(_document(setup) if options.what == "show" else [_json(fault) for fault in faults])
    else:
        if options.what == "show":
            _show(setup, with_origin=options.origin)
        for fault in faults:
            console.note(f"✗ {fault.setting}: {fault.message}. {fault.fix}", style="red")
        for warning in setup.warnings:
            console.note(warning, style="yellow")
        if options.what in ("check", "edit") and not faults:
            console.say(f"Every setting can be used. They stand in {file} and in DISPATCH_MCP_<SETTING>.")
    return console.USAGE if faults else console.OK


def edit(file: Path) -> None:
    """Opens the settings in the user's editor, in a file of their own that nobody else can read; waits for its end.

    Raises:
        DispatchError: there is no such editor, or it failed.
    """
    sqlite.prepare_home(file.parent)
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as new:
            new.write("# Settings of dispatch-mcp. `dispatch-mcp config` lists them all with what they mean.\n")
    words = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    code = program_path.run_in_front([*words, str(file)])
    if code:
        raise errors.DispatchError(
            f"The editor {words[0]!r} ended with {code}.", hint="Set EDITOR to one that is there."
        )


def troubles(setup: configuration.LoadedSettings) -> list[settings_guide.SettingTrouble]:
    """Returns what cannot be used: a file or the environment as a whole, and values that name nothing."""
    faults = list(settings_guide.troubles(setup.settings))
    if setup.fault is not None:
        message = setup.fault.message.rstrip(".")
        fix = setup.fault.advice(shell_wording.words)
        faults.insert(
            0,
            settings_guide.SettingTrouble(
                "settings", message, f"{fix} Until then every command that needs settings refuses to begin."
            ),
        )
    return faults


def _document(setup: configuration.LoadedSettings) -> model.Json:
    values = setup.settings.model_dump(mode="json")
    return {key: {"value": value, "from": str(setup.origin[key])} for key, value in values.items()}


def _json(fault: settings_guide.SettingTrouble) -> model.Json:
    return {"setting": fault.setting, "message": fault.message, "fix": fault.fix}


def _show(setup: configuration.LoadedSettings, *, with_origin: bool) -> None:
    values = setup.settings.model_dump(mode="json")
    rows = [
        (
            key,
            json.dumps(value, ensure_ascii=False),
            *((str(setup.origin[key]),) if with_origin else ()),
            settings_guide.MEANINGS[key][0],
        )
        for key, value in values.items()
    ]
    console.show(("setting", "value", *(("from",) if with_origin else ()), "meaning"), rows)
    console.say(f"Change them in {setup.settings.home / configuration.FILE_NAME} or with DISPATCH_MCP_<SETTING>.")
