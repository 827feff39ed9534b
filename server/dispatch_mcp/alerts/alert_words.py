"""An alert in words: as JSON for programs, as a heading and a line for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from dispatch_mcp import model
from dispatch_mcp.store.outbox import alert_box
from dispatch_mcp.text import escape

MOST_BYTES: Final = 4096
"""Bytes of the JSON of an alert at most."""

TRIAL: Final = "trial"
"""The kind of an alert that tells nothing, for people who want to see that they are told."""

NUMBER_DIGITS: Final = 8

MOST_TITLE: Final = 60
"""Characters of a run's title that are told."""

_CAUSES: Final[Mapping[str, str]] = {
    "succeeded": "has succeeded",
    "partial": "is over, and some of it was not done",
    "needs_changes": "is over, and its review asks for changes",
    "cancelled": "was cancelled",
    "inconclusive": "is over, and its review came to no decision",
    "failed": "has failed",
}


def document(alert: alert_box.Alert) -> bytes:
    """Returns the JSON that leaves this machine: no words of a request, no path."""
    return _dumped(_plain(alert))


def local_document(alert: alert_box.Alert) -> bytes:
    """Returns the JSON for a program of this machine: also how the run is called, and the sentence for people."""
    heading, line = sentences(alert)
    title = escape.one_line(alert.title, limit=MOST_TITLE)
    return _dumped({**_plain(alert), "run": alert.handle, "title": title, "text": f"{heading}: {line}"})


def _plain(alert: alert_box.Alert) -> dict[str, model.Json]:
    return {
        "id": alert.id,
        "kind": alert.kind,
        "at": datetime.fromtimestamp(alert.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "run": alert.number[:NUMBER_DIGITS],
        **alert.body,
    }


def _dumped(fields: Mapping[str, model.Json]) -> bytes:
    text = json.dumps(fields, ensure_ascii=True, separators=(",", ":")).encode()
    assert len(text) <= MOST_BYTES, "every part is bounded where it is written"
    return text


def sentences(alert: alert_box.Alert) -> tuple[str, str]:
    """Returns a heading and a line for people, both of plain text on one line."""
    project = escape.one_line(str(alert.body.get("project", "")), limit=60)
    heading = " · ".join(filter(None, ["dispatch-mcp", project]))
    if alert.kind == TRIAL:
        return heading, "This is how you are told of your runs."
    name = escape.one_line(alert.title, limit=MOST_TITLE) or alert.handle
    return heading, f"{name} {_cause(alert)}."


def _cause(alert: alert_box.Alert) -> str:
    if alert.kind == "near_ceiling":
        ceiling: Mapping[str, model.Json] = alert.body.get("ceiling", {})
        share = float(ceiling.get("used", 0)) / (float(ceiling.get("ceiling", 0)) or 1.0)
        return f"has used {share:.0%} of its {ceiling.get('limit', 'ceiling')}"
    if alert.kind == "waiting":
        waits = alert.body.get("waits_for")
        return "waits at its ceiling: raise it, or cancel" if waits == "ceiling" else "waits for your decision"
    return _CAUSES.get(str(alert.body.get("state")), "is over")
