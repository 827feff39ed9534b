"""The fake provider as a child process, and what it has booked."""

from __future__ import annotations

import base64
import importlib
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dispatch_mcp import model, prices
from dispatch_mcp.workers import usage_meter

KEY = "fake-key"
HANDOFF: dict[str, Any] = {
    "completed_work": "It is done.",
    "files_modified": [],
    "decisions_made": [],
    "open_questions": [],
    "mistakes_learned": [],
    "artifacts": [],
    "messages": [],
    "proposed_edits": [],
    "answer": "The whole answer.",
}


def script(*steps: dict[str, Any]) -> str:
    """Returns what the model will say, to be put into a goal."""
    return f"<<FAKE64 {base64.urlsafe_b64encode(json.dumps(steps).encode()).decode()} FAKE64>>"


def done(**more: Any) -> dict[str, Any]:
    """Returns the step of a model that has finished its task."""
    return {"json": {**HANDOFF, **more}}


class Provider:
    """Talks to the fake about itself."""

    def __init__(self, url: str) -> None:
        self.url = url

    def _ask(self, what: str, data: Any = None) -> Any:
        body = None if data is None else json.dumps(data).encode()
        with urllib.request.urlopen(f"{self.url}/_fake/{what}", data=body, timeout=120) as answer:
            return json.load(answer)

    def requests(self) -> list[dict[str, Any]]:
        return [entry for entry in self._ask("log") if entry["path"] == "/v1/messages"]

    def counted(self) -> int:
        return sum(entry["path"].endswith("count_tokens") for entry in self._ask("log"))

    def health(self) -> dict[str, int]:
        return self._ask("health")

    def rules(self, *rules: dict[str, Any]) -> None:
        self._ask("rules", list(rules))

    def storm(self, **how: Any) -> None:
        self._ask("storm", how)

    def reset(self) -> None:
        self._ask("reset", {})

    def booked(self, requests: list[dict[str, Any]] | None = None) -> float:
        """Returns what the provider charges for the answers that it gave, at list prices."""
        asked = self.requests() if requests is None else requests
        return sum(_price(entry["reply"]) for entry in asked if "reply" in entry)

    def env(self, **more: str) -> dict[str, str]:
        """Returns the variables of somebody who asks this provider."""
        return {"PATH": os.environ["PATH"], "ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": self.url, **more}


def _price(reply: dict[str, Any]) -> float:
    return prices.dollars(reply["model"], usage_meter.usage_of(reply["usage"])) or 0.0


def used(reply: dict[str, Any]) -> model.Usage:
    """Returns the usage of an answer."""
    return usage_meter.usage_of(reply["usage"])


def load() -> None:
    """Imports what asks providers, once, so that no test's patience is spent on that."""
    importlib.import_module("anthropic")
    prices.dollars("sonnet", model.Usage(output_tokens=1))


@contextmanager
def opened() -> Generator[Provider]:
    """Yields a fake provider on loopback."""
    program = Path(__file__).with_name("fake_model.py")
    env = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, env=env, text=True) as process:
        assert process.stdout is not None
        try:
            yield Provider(process.stdout.readline().strip())
        finally:
            process.kill()
