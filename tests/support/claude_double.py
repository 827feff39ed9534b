"""A program that plays Claude Code: it notes how it was called, does what a file says, and prints its rows."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

HELP = (
    "--effort <level> --safe-mode --restricted --setting-sources <sources> --disable-slash-commands --model <model> "
    "--resume [value] --session-id <uuid>"
)
PROGRAM = f"""#!{os.path.realpath(sys.executable)} -IS
import json, os, pathlib, subprocess, sys, time
here = pathlib.Path(__file__).parent
if "--help" in sys.argv:
    print({HELP!r})
    sys.exit(0)
plays = json.loads((here / "plays.json").read_text())
calls = here / "calls.jsonl"
number = calls.read_text().count("\\n") if calls.exists() else 0
call = {{"argv": sys.argv[1:], "env": dict(os.environ), "cwd": os.getcwd(), "pid": os.getpid()}}
call["stdin"] = sys.stdin.read()
with calls.open("a") as file:
    file.write(json.dumps(call) + "\\n")
play = plays[min(number, len(plays) - 1)]
sys.stdout.write("".join(json.dumps(row) + "\\n" for row in play.get("rows", ())))
sys.stdout.flush()  # at once: who reads has all of them or none
for name, text in play.get("files", {{}}).items():
    pathlib.Path(name).write_text(text)
sys.stderr.write(play.get("stderr", ""))
sys.stderr.flush()
if play.get("python"):
    exec(play["python"])
time.sleep(play.get("sleep_s", 0))
if play.get("signal"):
    os.kill(os.getpid(), play["signal"])
sys.exit(play.get("exit", 0))
"""
Row = dict[str, Any]


class Double:
    """The program in a folder of its own; `plays` say what its starts do, the last one for all that follow."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.program = folder / "claude"
        self.program.write_text(PROGRAM)
        self.program.chmod(0o755)
        self.plays({"rows": [result()]})

    def plays(self, *plays: dict[str, Any]) -> None:
        (self.folder / "plays.json").write_text(json.dumps(plays))

    @property
    def calls(self) -> list[dict[str, Any]]:
        """How it was called, start by start; one that is being noted down is not among them yet."""
        kept = self.folder / "calls.jsonl"
        lines = kept.read_text().split("\n")[:-1] if kept.exists() else []
        return [json.loads(line) for line in lines]


HANDOFF: Row = {
    "completed_work": "It is done.",
    "files_modified": ["a.py"],
    "decisions_made": ["as said"],
    "open_questions": [],
    "mistakes_learned": [],
    "artifacts": [],
    "messages": [],
    "proposed_edits": [],
    "answer": "The whole answer.",
}


def result(**more: Any) -> Row:
    """Returns a result row: of success, unless `more` says otherwise; None takes a field away."""
    row: Row = {
        "type": "result",
        "subtype": "success",
        "is_error": False,
        "terminal_reason": "completed",
        "stop_reason": "end_turn",
        "result": "Done.",
        "structured_output": HANDOFF,
        "session_id": "s",
        "num_turns": 2,
        "total_cost_usd": 0.25,
        "usage": {"input_tokens": 100, "output_tokens": 50},
        "permission_denials": [],
        "api_error_status": None,
    }
    return {name: value for name, value in {**row, **more}.items() if value is not None or name == "api_error_status"}


def asked(number: int, *, tokens: int = 1_000, model: str = "claude-sonnet-5-5", ended: bool = True) -> list[Row]:
    """Returns the rows of one request: `tokens` in, and as many out once it has `ended`."""
    usage = {"input_tokens": tokens, "output_tokens": 1, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}
    message: Row = {"id": f"msg_{number}", "model": model, "usage": usage, "content": []}
    rows: list[Row] = [{"type": "stream_event", "event": {"type": "message_start", "message": message}}]
    if ended:
        rows.append({"type": "assistant", "message": message})
        told = {**usage, "output_tokens": tokens}
        rows.append({"type": "stream_event", "event": {"type": "message_delta", "delta": {}, "usage": told}})
    return rows
