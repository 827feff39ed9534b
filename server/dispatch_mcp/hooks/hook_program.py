"""`dispatch-mcp hook EVENT`: what Claude Code starts at an event of a session.

It says nothing and writes nothing unless a run of ours is concerned, and no fault of ours ever breaks a session: it
then ends with exit code 0 and an empty stdout. Imports stand where they are needed, and not even
pathlib is among those above: this program starts at every turn.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from dispatch_mcp.hooks import hook_events
from dispatch_mcp.text import json_types

if TYPE_CHECKING:
    from dispatch_mcp.hooks import quick_answers

TAKE: Final = "take"
"""In the place of an event: take what hooks have kept of the workspace that follows."""

PATIENCE_S: Final = 540.0
"""Seconds that a hook waits for its server, which may run the tests of a result meanwhile; less than the host waits."""

NEWS_S: Final = 3_600.0
"""Seconds after the end of a run in which whoever waited for its last subagents is told of it."""

MOST_LOG: Final = 1 << 20
"""Bytes that the log of faults may have."""


def main(arguments: list[str]) -> int:
    """Answers one event on stdin; the exit code is always 0."""
    try:
        if arguments[:1] == [TAKE]:
            _take(home(os.environ), *arguments[1:])
        else:
            _answer(arguments[0] if arguments else "", os.environ)
    except BaseException as trouble:  # whatever it is: a hook never breaks a session
        note(trouble)
    return 0


def _answer(name: str, env: Mapping[str, str]) -> None:
    if name not in hook_events.EVENTS or env.get("DISPATCH_MCP_HOOKS") == "off":
        return
    event = hook_events.read(sys.stdin.buffer)
    if event is None or not hook_events.may_be_ours(name, event):
        return
    from dispatch_mcp.store.looks import open_runs

    place = home(env)
    is_call = name == "PreToolUse"  # that of a subagent has an attempt's name for a prompt, which no subagent can do
    is_contact = is_call and hook_events.text(event, "tool_name") not in hook_events.AGENT_TOOLS
    if is_call:
        is_known = open_runs.is_there(place)
    else:
        import time

        ended_since = time.time() - NEWS_S if name in hook_events.NEWS else float("inf")
        is_known = open_runs.has_any(place, open_runs.places(*folders(event, env)), ended_since)
    if not is_contact and not is_known:
        return
    answer = _answered(place, env, {"name": name, "event": event}, only_server=is_contact)
    if answer:
        import json

        sys.stdout.write(json.dumps(answer))
        sys.stdout.flush()


def folders(event: hook_events.Event, env: Mapping[str, str]) -> list[str]:
    """Returns the folders that a session works in, as absolute paths."""
    names = [env.get("DISPATCH_MCP_WORKSPACE", ""), env.get("CLAUDE_PROJECT_DIR", ""), hook_events.text(event, "cwd")]
    return [name for name in names if os.path.isabs(name)]


def home(env: Mapping[str, str]) -> str:
    """Returns the state directory, as settings would without reading any file."""
    name = env.get("DISPATCH_MCP_HOME", "").strip()
    if name and not name.startswith("${"):
        return os.path.abspath(os.path.expanduser(name))
    import platformdirs

    return platformdirs.user_data_dir("dispatch-mcp", appauthor=False)


def _answered(place: str, env: Mapping[str, str], question: dict[str, Any], *, only_server: bool) -> Mapping[str, Any]:
    """Returns the answer that a look can give, or that of the session's server, or one made here if there is none."""
    import time

    from dispatch_mcp.hooks import hook_socket, quick_answers
    from dispatch_mcp.store.looks import open_runs

    pid = env.get("CLAUDE_PID", "")
    question["pid"] = int(pid) if pid.isdigit() else 0
    event: hook_events.Event = question["event"]
    workspace = open_runs.places(*folders(event, env)[:1])
    own_id = hook_events.text(event, "session_id")
    look = quick_answers.Look(question["name"], event, place, workspace, own_id, time.time(), question["pid"])
    level = allowed(place, env)
    if level == "off":
        return {}
    if level and not only_server and (reply := quick_answers.before(look)) is not None:
        return reply
    folder = os.path.join(place, hook_events.FOLDER)
    for name in hook_socket.names_of(look.pid, env.get(hook_socket.SESSION, ""), own_id):
        try:
            if path := hook_socket.path_of(folder, name):
                return hook_socket.ask(path, question, PATIENCE_S)
        except (FileNotFoundError, ConnectionRefusedError):
            pass  # its server has gone, or never came
    is_nothing = only_server or (level == "report" and look.name in quick_answers.OF_FULL_HOOKS)
    return {} if is_nothing else _alone(look, question, level)


def _alone(look: quick_answers.Look, question: dict[str, Any], level: str) -> Mapping[str, Any]:
    """Returns the answer where there is no server: by a look, by writing one row, or by keeping the event for later.

    Only where none of these will do, everything is loaded that moves runs.
    """
    from pathlib import Path

    from dispatch_mcp.store.looks import host_begins

    if level and (hand_in := _light(look, question, level)) is not None:
        if hand_in.workspace:
            from dispatch_mcp.hooks import hand_ins

            argv = [sys.executable, "-P", "-m", "dispatch_mcp", "hook", TAKE, hand_in.workspace]
            hand_ins.start_clerk(argv, os.environ)
        return hand_in.reply
    host_begins.require_free(Path(look.home))  # a store that is locked is none to load everything for
    from dispatch_mcp.hooks import hook_answers

    return hook_answers.answer_alone(question)


def _light(look: quick_answers.Look, question: dict[str, Any], level: str) -> quick_answers.HandIn | None:
    """Returns what can be answered without loading what moves runs, None where nothing can."""
    from dispatch_mcp.hooks import hand_ins, quick_answers, quick_calls

    if look.name == "PreToolUse":
        return quick_calls.answer(look, question)
    if (reply := quick_answers.alone(look)) is not None:
        return quick_answers.HandIn("", reply)
    if hand_ins.IS_POSSIBLE and (hand_in := quick_answers.hand_in(look, question)) is not None:
        return hand_in
    if look.name != "SubagentStop" or level != hook_events.LEVELS[0]:
        return None
    late = quick_calls.late_brief(look)
    return None if late is None else quick_answers.HandIn("", late)


def _take(place: str, workspace: str) -> None:
    """Takes what is kept of a workspace; of several processes at once one loads everything, the others find nothing."""
    from dispatch_mcp.hooks import hand_ins

    inbox = hand_ins.HandIns(place, workspace)
    with inbox.turn(waits=True):
        if inbox.waiting():
            from dispatch_mcp.hooks import hand_in_clerk

            hand_in_clerk.take_alone(inbox, note)


def allowed(place: str, env: Mapping[str, str]) -> str:
    """Returns what the settings let hooks do, empty where only reading all of them can tell."""
    level: json_types.Json = env.get("DISPATCH_MCP_HOOKS", "").strip()
    file = os.path.join(place, "config.toml")
    if os.path.exists(file):
        import tomllib

        try:
            with open(file, "rb") as stream:
                settings = tomllib.load(stream)
        except (OSError, ValueError):
            return ""
        if "workspace" in settings:
            return ""
        level = level or settings.get("hooks", "")
    level = level or hook_events.LEVELS[0]
    return level if level in hook_events.LEVELS else ""


def note(trouble: BaseException) -> None:
    """Leaves one line about a fault of ours in the log beside the store, if there is a place for it."""
    try:
        place = home(os.environ)
        file = os.path.join(place, hook_events.FOLDER, hook_events.LOG)
        if os.path.isdir(place) and not os.path.isdir(os.path.dirname(file)):
            os.mkdir(os.path.dirname(file), 0o700)
        if not os.path.exists(file) or os.path.getsize(file) < MOST_LOG:
            with open(file, "a", encoding="utf-8") as log:
                log.write(f"{type(trouble).__name__}: {str(trouble)[:300]!r}\n")
    except BaseException:  # noqa: S110  # there is nowhere left to say it
        pass
