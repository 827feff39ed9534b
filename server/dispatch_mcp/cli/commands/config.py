"""`dispatch-mcp config [show|check|path]`: the settings in force, whether each can be used, and where they stand."""

from __future__ import annotations

import argparse
import json

from dispatch_mcp import configuration, model
from dispatch_mcp.cli import console, settings_guide


def main(options: argparse.Namespace, setup: configuration.LoadedSettings) -> int:
    """Shows or checks settings; returns 2 when one cannot be used. Nothing secret is among them."""
    file = str(setup.settings.home / configuration.FILE_NAME)
    if options.what == "path":
        if options.json:
            console.emit({"path": file})
        else:
            console.say(file)
        return console.OK
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
        if options.what == "check" and not faults:
            console.say(f"Every setting can be used. They stand in {file} and in DISPATCH_MCP_<SETTING>.")
    return console.USAGE if faults else console.OK


def troubles(setup: configuration.LoadedSettings) -> list[settings_guide.SettingTrouble]:
    """Returns what cannot be used: a file or the environment as a whole, and values that name nothing."""
    faults = list(settings_guide.troubles(setup.settings))
    if setup.fault is not None:
        message = setup.fault.message.rstrip(".")
        fix = setup.fault.hint if isinstance(setup.fault.hint, str) else "Correct the value or remove it."
        faults.insert(
            0, settings_guide.SettingTrouble("settings", message, f"{fix} Until then the rest is used without it.")
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
