"""`dispatch-mcp token`: who may use the server over HTTP."""

from __future__ import annotations

import argparse
import json
import sys

from dispatch_mcp import configuration, errors
from dispatch_mcp.cli import console, person_acts
from dispatch_mcp.web import access_tokens


def main(options: argparse.Namespace, setup: configuration.LoadedSettings) -> int:
    """Makes, lists or removes tokens; a new one is printed once."""
    tokens = access_tokens.Tokens(setup.settings.home)
    if options.action == "list":
        _list(tokens.names(), as_json=options.json)
        return console.OK
    if not options.name:
        raise errors.InputError("Whose token?", hint=f"Write: dispatch-mcp token {options.action} NAME.")
    if options.action == "add":
        person_acts.refuse(person_acts.PersonAct.ADMIT, setup.settings.home)
        _show_once(options.name, tokens.add(options.name), as_json=options.json)
        return console.OK
    tokens.remove(options.name)
    if options.json:
        console.emit({"removed": options.name})
    else:
        console.say(f"{options.name} is not let in any more.")
    return console.OK


def _list(names: list[str], *, as_json: bool) -> None:
    if as_json:
        console.emit({"names": [*names]})
    else:
        console.say("\n".join(names) or "Nobody has a token. Make one: dispatch-mcp token add NAME.")


def _show_once(name: str, token: str, *, as_json: bool) -> None:
    # Past the console, which takes out whatever looks like a secret.
    sys.stdout.write((json.dumps({"name": name, "token": token}) if as_json else token) + "\n")
    if not as_json:
        console.note(f"Shown once. {name} sends it as the header `Authorization: Bearer TOKEN`.")
