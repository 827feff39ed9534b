"""`dispatch-mcp hook EVENT`: what Claude Code starts at an event of a session.

It says nothing and writes nothing unless a run of ours is concerned, and no fault of ours ever breaks a session: it
then ends with exit code 0 and an empty stdout. Imports stand where they are needed, and not even
pathlib is among those above: this program starts at every turn.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from dispatch_mcp.hooks import hook_events
from dispatch_mcp.text import json_types

if TYPE_CHECKING:
    from dispatch_mcp.hooks import quick_answers

TAKE: Final = "take"
"""In the place of an event: take what hooks have kept of the workspace that follows."""

PATIENCE_S: Final = 540.0
"""Seconds that a hook waits for its server, which may run the tests of a result meanwhile; less than the host waits."""

NEWS_S: Final = 3_600.0
"""Seconds after the end of a run in which its last subagents are waited for: what they used, and that it is over."""

MOST_DIGITS: Final = 10
"""Digits that the number of a process may have."""

MOST_SETTINGS: Final = 1 << 20
"""Bytes that the file of settings may have (`configuration`)."""

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
    settings = wishes(place, env)
    if settings.level == "off":
        return
    places = folders(event, env, settings.workspace)
    is_call = name == "PreToolUse"  # that of a subagent has an attempt's name for a prompt, which no subagent can do
    is_contact = is_call and hook_events.text(event, "tool_name") not in hook_events.AGENT_TOOLS
    if is_call:
        is_known = open_runs.is_there(place)
    else:
        import time

        ended_since = time.time() - NEWS_S if name in hook_events.OF_SUBAGENTS else float("inf")
        is_known = open_runs.has_any(place, open_runs.places(*places), ended_since)
    if not is_contact and not is_known:
        return
    question: dict[str, Any] = {"name": name, "event": event, "pid": _pid(env)}
    workspace = open_runs.places(*places[:1])
    answer = _answered(_look(question, place, workspace), env, question, settings.level, only_server=is_contact)
    if answer:
        import json

        sys.stdout.write(json.dumps(answer))
        sys.stdout.flush()


def folders(event: hook_events.Event, env: Mapping[str, str], workspace: str = "") -> list[str]:
    """Returns the folders that a session works in, as absolute paths; `workspace` is that of the settings' file."""
    own = os.path.expanduser(env.get("DISPATCH_MCP_WORKSPACE", ""))
    names = [own, workspace, env.get("CLAUDE_PROJECT_DIR", ""), hook_events.text(event, "cwd")]
    return [name for name in names if os.path.isabs(name)]


def home(env: Mapping[str, str]) -> str:
    """Returns the state directory, as settings would without reading any file."""
    name = env.get("DISPATCH_MCP_HOME", "").strip()
    if name and not name.startswith("${"):
        return os.path.abspath(os.path.expanduser(name))
    import platformdirs

    return platformdirs.user_data_dir("dispatch-mcp", appauthor=False)


def _look(question: dict[str, Any], place: str, workspace: frozenset[str]) -> quick_answers.Look:
    import time

    from dispatch_mcp.hooks import quick_answers

    event: hook_events.Event = question["event"]
    own_id = hook_events.text(event, "session_id")
    return quick_answers.Look(question["name"], event, place, workspace, own_id, time.time(), question["pid"])


def _pid(env: Mapping[str, str]) -> int:
    """Returns the process of the session, 0 if it is not named."""
    pid = env.get("CLAUDE_PID", "")
    return int(pid) if pid.isascii() and pid.isdecimal() and len(pid) <= MOST_DIGITS else 0


def _answered(
    look: quick_answers.Look, env: Mapping[str, str], question: dict[str, Any], level: str, *, only_server: bool
) -> Mapping[str, Any]:
    """Returns the answer that a look can give, or that of the session's server, or one made here if there is none."""
    from dispatch_mcp.hooks import hook_socket, quick_answers

    if level and not only_server and (reply := quick_answers.before(look)) is not None:
        return reply
    folder = os.path.join(look.home, hook_events.FOLDER)
    for name in hook_socket.names_of(look.pid, env.get(hook_socket.SESSION, ""), look.session):
        try:
            if path := hook_socket.path_of(folder, name):
                return hook_socket.ask(path, question, PATIENCE_S)
        except (FileNotFoundError, ConnectionRefusedError):
            pass  # its server has gone, or never came
    if only_server or (level == "report" and look.name in quick_answers.OF_FULL_HOOKS):
        return {}
    if not level:
        raise ValueError("the settings cannot be used; dispatch-mcp doctor says why")
    return _alone(look, question, level)


def _alone(look: quick_answers.Look, question: dict[str, Any], level: str) -> Mapping[str, Any]:
    """Returns the answer where there is no server: by a look, by writing one row, or by keeping the event for later.

    Only where none of these will do, everything is loaded that moves runs.
    """
    from pathlib import Path

    from dispatch_mcp.store.looks import host_begins

    if (hand_in := _light(look, question, level)) is not None:
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


class Wishes(NamedTuple):
    """What settings say of hooks: what these may do, empty where nobody can tell, and the workspace of their file."""

    level: str
    workspace: str = ""


def wishes(place: str, env: Mapping[str, str]) -> Wishes:
    """Returns what the settings say of hooks, as whoever reads all of them would."""
    level: json_types.Json = env.get("DISPATCH_MCP_HOOKS", "").strip()
    workspace: json_types.Json = ""
    try:
        with open(os.path.join(place, "config.toml"), "rb") as stream:
            data = stream.read(MOST_SETTINGS + 1)
    except FileNotFoundError:
        data = b""
    except OSError:
        return Wishes("")
    if data.strip():
        import tomllib

        try:
            fields: json_types.Json = tomllib.loads(data.decode("utf-8-sig"))
        except (ValueError, RecursionError):
            return Wishes("")
        level = level or fields.get("hooks", "")
        workspace = fields.get("workspace", "")
    if not isinstance(workspace, str) or "\0" in workspace:
        return Wishes("")
    level = level or hook_events.LEVELS[0]
    path = os.path.normpath(os.path.join(place, os.path.expanduser(workspace))) if workspace else ""
    return Wishes(level if level in hook_events.LEVELS else "", path)


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
