"""`dispatch-mcp config`: the settings in force and where each comes from."""

from __future__ import annotations

import argparse
import json

from dispatch_mcp import configuration
from dispatch_mcp.cli import console


def main(options: argparse.Namespace, setup: configuration.LoadedSettings) -> int:
    """Prints every setting; nothing secret is among them."""
    values = setup.settings.model_dump(mode="json")
    if options.json:
        console.emit({key: {"value": value, "from": str(setup.origin[key])} for key, value in values.items()})
        return console.OK
    columns = ("setting", "value", "from") if options.origin else ("setting", "value")
    rows = [
        (key, json.dumps(value, ensure_ascii=False), str(setup.origin[key]))[: len(columns)]
        for key, value in values.items()
    ]
    console.show(columns, rows)
    console.say(f"Change them in {setup.settings.home / configuration.FILE_NAME} or with DISPATCH_MCP_<SETTING>.")
    for warning in setup.warnings:
        console.note(warning, style="yellow")
    return console.OK
