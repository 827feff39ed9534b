"""`dispatch-mcp notify`: how you are told of your runs, a try of it, and the key of the webhook."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import uuid

import anyio

from dispatch_mcp import configuration, errors
from dispatch_mcp.alerts import alert_words, channels, courier, webhook
from dispatch_mcp.cli import console
from dispatch_mcp.store.outbox import alert_box

HOW = "Set `notify` to desktop, command or webhook: dispatch-mcp config edit."


def main(options: argparse.Namespace, setup: configuration.LoadedSettings) -> int:
    """Shows, tries or prints; returns 1 for a try that has told nobody."""
    settings = setup.settings
    if options.what == "key":
        return _show_key(settings, as_json=options.json)
    target = courier.target_of(settings, os.environ)
    if options.what == "test":
        return _try(settings, target, as_json=options.json)
    backlog = None if target is None else anyio.run(courier.backlog, settings, target)
    if options.json:
        waiting, trouble = backlog or (0, "")
        console.emit(
            {"notify": settings.notify, "on": [*settings.notify_on], "waiting": waiting, "last_trouble": trouble}
        )
    elif backlog is None:
        console.say(f"You are told of nothing. {HOW}")
    else:
        console.say(f"By {settings.notify}, of: {', '.join(settings.notify_on)}. {backlog.waiting} not told yet.")
        if backlog.trouble:
            console.say(f"The last try: {backlog.trouble}", style=console.STYLES["!"])
    return console.OK


def _show_key(settings: configuration.Settings, *, as_json: bool) -> int:
    key = webhook.key(settings.home)
    # Past the console, which takes out whatever looks like a secret.
    sys.stdout.write((json.dumps({"key": key}) if as_json else key) + "\n")
    return console.OK


def _try(settings: configuration.Settings, target: courier.AlertTarget | None, *, as_json: bool) -> int:
    if target is None:
        raise errors.InputError("You are told of nothing yet.", hint=HOW)
    alert = alert_box.Alert(0, uuid.uuid4().hex, alert_words.TRIAL, time.time(), {"project": settings.workspace.name})
    trouble = ""
    try:
        anyio.run(target.channel.tell, alert)
    except (channels.NotTold, channels.NeverTold) as failure:
        trouble = str(failure)
    if as_json:
        console.emit({"notify": settings.notify, "sent": not trouble, "trouble": trouble})
    else:
        console.say(f"Sent by {settings.notify}." if not trouble else f"Nobody was told. {trouble}")
    return console.FAILED if trouble else console.OK
