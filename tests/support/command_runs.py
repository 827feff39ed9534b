"""The command line as a person has it: in this process, or in one of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dispatch_mcp import __main__ as entry

DOCUMENTS = Path(__file__).parents[1] / "cli" / "documents"


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Shell = Callable[..., Said]


def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Returns what runs a command in this process."""

    def typed(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["dispatch-mcp", *arguments])
        try:
            code = entry.main()
        except SystemExit as end:
            code = int(end.code or 0)
        return Said(code, *capsys.readouterr())

    return typed


def own_process(*arguments: str, **how: Any) -> subprocess.Popen[str]:
    """Starts a command in a process of its own; its output is there when it ends."""
    command = [sys.executable, "-m", "dispatch_mcp", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **how)


def written(folder: Path, tasks: list[dict[str, Any]], **config: Any) -> str:
    """Writes a task document and returns its path."""
    path = folder / "tasks.json"
    path.write_text(json.dumps({"tasks": tasks, "config": config}), encoding="utf-8")
    return str(path)
