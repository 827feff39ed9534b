"""The program that a host starts at its events: silent and quick where nothing is ours, and never in the way."""

from __future__ import annotations

import io
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import dispatcher_setup
import hook_setup
import pytest
from dispatcher_setup import task
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from thoroughness import examples

import dispatch_mcp
from dispatch_mcp import model
from dispatch_mcp.hooks import (
    hook_answers,
    hook_events,
    hook_listener,
    hook_program,
    hook_socket,
    host_calls,
    status_line,
)
from dispatch_mcp.store.looks import open_runs

pytestmark = pytest.mark.anyio

SESSION = "session-1"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda values: st.lists(values, max_size=4) | st.dictionaries(st.text(max_size=12), values, max_size=4),
    max_leaves=12,
)
FIELDS = (
    *("tool_name", "tool_input", "tool_response", "prompt", "session_id", "transcript_path", "agent_transcript_path"),
    *("cwd", "last_assistant_message", "background_tasks", "source", "reason", "tool_use_id", "error"),
)
HOSTILE = st.one_of(
    st.binary(max_size=200),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=8).map(lambda value: json.dumps(value).encode()),
    st.sampled_from(
        [
            b"",
            b"\0" * 50,
            b"[" * 100_000,
            b'{"tool_name":"Agent","tool_input":{"prompt":"dispatch ../x/1"}}',
            b'{"tool_name":"Agent","tool_input":{"prompt":"dispatch other/a/1"}}',
            b'{"prompt":"<task-notification><task-id>../../x</task-id>","transcript_path":"/etc/passwd"}',
            b'{"agent_transcript_path":"/dev/zero","transcript_path":"/dev/null"}',
        ]
    ),
)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[dispatcher_setup.Desk]:
    async with dispatcher_setup.opened(tmp_path / "home") as desk:
        yield desk


def variables(home: Path, workspace: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(dispatch_mcp.__file__).parents[1]),
        "DISPATCH_MCP_HOME": str(home),
        "CLAUDE_PROJECT_DIR": str(workspace),
        "CLAUDE_PID": str(os.getpid()),
        hook_socket.SESSION: SESSION,
    }


def start(env: dict[str, str], *arguments: str, stdin: bytes) -> subprocess.CompletedProcess[bytes]:
    argv = [sys.executable, "-m", "dispatch_mcp", *arguments]
    return subprocess.run(argv, env=env, input=stdin, capture_output=True, check=False, timeout=120)


async def run(env: dict[str, str], *arguments: str, **event: Any) -> str:
    """Returns what a hook prints that has to end in order."""
    done = await anyio.to_thread.run_sync(lambda: start(env, *arguments, stdin=json.dumps(event).encode()))
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.decode()


def price(_name: str | None, usage: model.Usage) -> float:
    return usage.tokens * 1e-7


def listing(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


@pytest.mark.parametrize("name", [*hook_events.EVENTS, "", "Nonsense"])
async def test_where_no_run_is_open_nothing_is_said_and_nothing_written(name: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with dispatcher_setup.opened(home) as desk:
        run_id = (await dispatcher_setup.started(desk, task("a"))).run_id
        await desk.app.steer(run_id, "cancel", "", "")
    before = listing(tmp_path)
    event = {"tool_name": "Agent", "tool_input": {"prompt": f"[dispatch {run_id}/a/1]"}, "source": "startup"}
    assert await run(variables(home, tmp_path), "hook", name, **event) == ""
    assert await run(variables(tmp_path / "nowhere", tmp_path), "hook", name, **event) == ""
    assert listing(tmp_path) == before


@pytest.mark.skipif(os.name != "posix", reason="has no such streams")
@pytest.mark.parametrize("command", ["hook SessionStart", "statusline"])
@pytest.mark.parametrize("streams", [">/dev/full", ">&-", "<&-", "| true", "</dev/null >/dev/full 2>&-"])
async def test_streams_that_are_gone_end_no_hook_in_disorder(command: str, streams: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with dispatcher_setup.opened(home) as desk:
        await dispatcher_setup.started(desk, task("a"))
    stdin = json.dumps({"cwd": str(tmp_path)}).encode()
    script = f"{shlex.quote(sys.executable)} -m dispatch_mcp {command} {streams}; echo ${{PIPESTATUS[0]}} >&3"
    env = variables(home, tmp_path)
    shell = ["bash", "-c", f"exec 3>&1; {script}"]
    done = await anyio.to_thread.run_sync(
        lambda: subprocess.run(shell, env=env, input=stdin, capture_output=True, check=False, timeout=120)
    )
    assert (done.stdout.split()[-1:], done.stderr) == ([b"0"], b"")


@pytest.mark.parametrize(
    ("name", "value"),
    [("PYTHONINSPECT", "1"), ("PYTHONWARNINGS", "error"), ("PYTHONDEVMODE", "1"), ("CLAUDE_PID", "9" * 5_000)],
)
async def test_what_is_set_for_other_programs_of_python_keeps_no_hook(name: str, value: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with dispatcher_setup.opened(home) as desk:
        await dispatcher_setup.started(desk, task("a"))
    answer = await run({**variables(home, tmp_path), name: value}, "hook", "SessionStart")
    assert "1 open run here" in answer


async def test_a_module_of_the_users_in_the_place_of_ours_says_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with dispatcher_setup.opened(home) as desk:
        await dispatcher_setup.started(desk, task("a"))
    env = variables(home, tmp_path)
    (tmp_path / "json.py").write_text("raise RuntimeError('another json')\n")
    assert await run({**env, "PYTHONPATH": f"{tmp_path}:{env['PYTHONPATH']}"}, "hook", "SessionStart") == ""


async def test_the_workspace_of_the_settings_file_is_that_of_hooks(tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with dispatcher_setup.opened(home) as desk:
        await dispatcher_setup.started(desk, task("a"))
    elsewhere = tmp_path.parent / "elsewhere"
    elsewhere.mkdir()
    env = variables(home, elsewhere)
    assert await run(env, "hook", "SessionStart", cwd=str(elsewhere)) == ""
    for path in (str(tmp_path), ".."):
        (home / "config.toml").write_text(f"workspace = '{path}'\n")
        assert "1 open run here" in await run(env, "hook", "SessionStart", cwd=str(elsewhere))
        assert "1 running" in await run(env, "statusline", cwd=str(elsewhere))
    named = {**env, "DISPATCH_MCP_WORKSPACE": str(elsewhere)}
    assert await run(named, "hook", "SessionStart", cwd=str(elsewhere)) == "", "a variable counts more"


async def test_a_subagent_is_not_called_by_a_name_that_is_no_longer_good_though_nothing_is_open(tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with dispatcher_setup.opened(home) as desk:
        run_id = (await dispatcher_setup.started(desk, task("a"))).run_id
        await desk.app.steer(run_id, "cancel", "", "")
    call = {"tool_name": "Agent", "tool_input": {"prompt": f"dispatch {run_id}/a/1"}}
    for workspace, reason in ((tmp_path, "its run is over (cancelled)"), (tmp_path / "elsewhere", "another workspace")):
        workspace.mkdir(exist_ok=True)
        answer = json.loads(await run(variables(home, workspace), "hook", "PreToolUse", **call))
        assert answer["hookSpecificOutput"]["permissionDecision"] == "deny"
        assert reason in answer["hookSpecificOutput"]["permissionDecisionReason"]


@pytest.mark.parametrize("name", hook_events.EVENTS)
@settings(max_examples=examples(200), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=HOSTILE)
def test_hostile_input_ends_in_order_says_nothing_and_writes_nothing(
    name: str, data: bytes, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path_factory.getbasetemp() / "hostile-home"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    for variable, value in variables(home, home).items():
        monkeypatch.setenv(variable, value)
    assert hook_program.main([name]) == 0
    assert out.getvalue() == ""
    assert not home.exists()


def test_fifty_megabytes_are_not_read_to_their_end(tmp_path: Path) -> None:
    done = start(variables(tmp_path / "home", tmp_path), "hook", "Stop", stdin=b'{"a":"' + b"x" * (50 << 20))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@settings(max_examples=examples(300), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(hook_events.EVENTS), event=st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=8))
async def test_any_event_of_a_session_with_an_open_run_is_answered(
    name: str, event: dict[str, Any], desk: dispatcher_setup.Desk
) -> None:
    if not (await host_calls.HostCalls(desk.app).open_runs()):
        await dispatcher_setup.started(desk, task("a"))
    reply = await hook_answers.HookAnswers(desk.app, hook_listener.SessionMemory(), "full").answer(
        {"name": name, "event": event, "pid": 0}
    )
    assert set(reply) <= {"hookSpecificOutput", "decision", "reason"}
    assert (await desk.states((await host_calls.HostCalls(desk.app).open_runs())[0].run.id)) == {"a": "running"}


@pytest.fixture
def near() -> Iterator[Path]:
    """Returns a folder with a path that is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="hooks-") as folder:
        yield Path(folder).resolve()


async def test_a_hook_asks_the_server_of_its_session(near: Path) -> None:
    async with dispatcher_setup.opened(near / "home") as desk:
        await _asks(desk, near)


async def _asks(desk: dispatcher_setup.Desk, tmp_path: Path) -> None:
    name = (await dispatcher_setup.started(desk, task("a"))).run_id
    session = hook_setup.Session(desk, tmp_path)
    home = tmp_path / "home"
    socket = anyio.Path(hook_socket.path_of(str(home / hook_events.FOLDER), SESSION))
    async with anyio.create_task_group() as group:
        await group.start(hook_listener.listen, home, SESSION, session.answers.answer)
        assert (await socket.stat()).st_mode & 0o077 == 0
        call = {"prompt": f"dispatch {name}/a/1", "description": "Do it", "subagent_type": "general-purpose"}
        event = {"session_id": SESSION, "tool_name": "Agent", "tool_input": call, "tool_use_id": "t1"}
        answer = json.loads(await run(variables(home, tmp_path), "hook", "PreToolUse", **event))
        assert answer["hookSpecificOutput"]["permissionDecision"] == "allow"
        assert await run(variables(home, tmp_path), "hook", "PreToolUse", tool_name="mcp__dispatch__dispatch") == ""
        assert desk.app.hooks == "full", "the server knows from now on"
        group.cancel_scope.cancel()
    assert not await socket.exists()


async def test_a_hook_finds_the_server_of_its_process_after_its_conversation_was_cleared(near: Path) -> None:
    async def answer(question: dict[str, Any]) -> dict[str, Any]:
        return {"reason": question["name"]}

    home = near / "home"
    async with dispatcher_setup.opened(home) as desk:
        await dispatcher_setup.started(desk, task("a"))
    async with anyio.create_task_group() as group:
        for name in hook_socket.names_of(os.getpid(), "before"):
            await group.start(hook_listener.listen, home, name, answer)
        for session in ("before", "after"):
            env = {**variables(home, near), hook_socket.SESSION: session}
            assert json.loads(await run(env, "hook", "Stop", session_id=session)) == {"reason": "Stop"}
        elsewhere = {**variables(home, near), hook_socket.SESSION: "after", "CLAUDE_PID": str(os.getppid())}
        assert await run(elsewhere, "hook", "Stop", session_id="after") == ""
        group.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("pid", "sessions", "names"),
    [
        (7, ("a", "b"), ["a", "b", "process 7"]),
        (7, ("a", "a"), ["a", "process 7"]),
        (0, ("", "b"), ["b"]),
        (-1, ("",), []),
    ],
)
def test_a_server_listens_under_the_ids_and_the_process_of_its_session(
    pid: int, sessions: tuple[str, ...], names: list[str]
) -> None:
    assert hook_socket.names_of(pid, *sessions) == names


async def test_a_server_that_ends_leaves_the_place_of_the_next_one_of_its_session_alone(near: Path) -> None:
    async def answer(question: dict[str, Any]) -> dict[str, Any]:
        return {"name": question["name"]}

    socket = hook_socket.path_of(str(near / hook_events.FOLDER), SESSION)
    async with anyio.create_task_group() as second:
        async with anyio.create_task_group() as first:
            await first.start(hook_listener.listen, near, SESSION, answer)
            await second.start(hook_listener.listen, near, SESSION, answer)
            first.cancel_scope.cancel()
        assert await anyio.to_thread.run_sync(hook_socket.ask, socket, {"name": "Stop"}, 120.0) == {"name": "Stop"}
        second.cancel_scope.cancel()
    assert not await anyio.Path(socket).exists()


async def test_a_state_folder_that_a_session_makes_is_the_users_alone(near: Path) -> None:
    async def answer(question: dict[str, Any]) -> dict[str, Any]:
        return question

    home = near / "new" / "home"
    before = os.umask(0o022)
    try:
        async with anyio.create_task_group() as group:
            await group.start(hook_listener.listen, home, SESSION, answer)
            assert home.stat().st_mode & 0o077 == 0
            group.cancel_scope.cancel()
    finally:
        os.umask(before)


@pytest.mark.parametrize("question", [b"\n", b"no json\n", b"[1]\n", b'{"name":"Stop","event":3}\n', b'{"name":'])
async def test_a_question_that_cannot_be_read_is_answered_with_nothing_and_the_next_one_as_ever(
    question: bytes, near: Path
) -> None:
    async def answer(question: dict[str, Any]) -> dict[str, Any]:
        return {"name": question["name"]}

    async with anyio.create_task_group() as group:
        await group.start(hook_listener.listen, near, SESSION, answer)
        socket = hook_socket.path_of(str(near / hook_events.FOLDER), SESSION)
        async with await anyio.connect_unix(socket) as stream:
            await stream.send(question)
            await stream.send_eof()
            with anyio.fail_after(120):
                assert json.loads(await stream.receive()) == ({"name": "Stop"} if b"Stop" in question else {})
        reply = await anyio.to_thread.run_sync(hook_socket.ask, socket, {"name": "Stop"}, 120.0)
        assert reply == {"name": "Stop"}
        group.cancel_scope.cancel()


async def test_a_hook_whose_server_has_gone_answers_by_itself(tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with dispatcher_setup.opened(home) as desk:
        await dispatcher_setup.started(desk, task("a"))
    text = await run(variables(home, tmp_path), "hook", "SessionStart", source="startup", session_id="s")
    assert "1 open run here" in hook_setup.words(json.loads(text))
    assert await run({**variables(home, tmp_path), "DISPATCH_MCP_HOOKS": "off"}, "hook", "SessionStart") == ""
    (home / "config.toml").write_text("\ufeffhooks = 'off'\n", encoding="utf-8")  # as editors of Windows save it
    assert await run(variables(home, tmp_path), "hook", "SessionStart", source="startup", session_id="s") == ""


@pytest.mark.parametrize("name", hook_events.EVENTS)
async def test_hooks_that_the_settings_switch_off_say_nothing(name: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with dispatcher_setup.opened(home) as desk:
        handle = (await dispatcher_setup.started(desk, task("a"))).run_id
    (home / "config.toml").write_text("hooks = 'off'\n")
    call = {"tool_name": "Agent", "tool_input": {"prompt": f"dispatch {handle}/a/9"}}
    assert await run(variables(home, tmp_path), "hook", name, session_id="s", **call) == ""


async def test_what_a_session_holds_under_a_new_id_is_given_back_at_its_end(tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with dispatcher_setup.opened(home) as desk:
        desk.app.hooks = "full"
        progress = await dispatcher_setup.started(desk, task("a"))
        session = hook_setup.Session(desk, tmp_path, id="after-clear")
        await session.begins(progress.assignments[0].call.prompt)
    workspace = open_runs.places(str(tmp_path))
    assert [look.session for look in open_runs.at_work(str(home), workspace)] == ["after-clear"]
    await run(variables(home, tmp_path), "hook", "SessionEnd", session_id="after-clear", reason="other")
    await run(variables(home, tmp_path), "hook", hook_program.TAKE, str(tmp_path))
    assert [look.session for look in open_runs.at_work(str(home), workspace)] == []


async def test_a_fault_of_ours_is_one_line_in_our_log_and_nothing_else(tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with dispatcher_setup.opened(home) as desk:
        await dispatcher_setup.started(desk, task("a"))
    (home / "config.toml").write_text("what = is this\n")
    assert await run(variables(home, tmp_path), "hook", "SessionStart") == ""
    (line,) = (home / hook_events.FOLDER / "hooks.log").read_text().splitlines()
    assert line.startswith("ValueError: ")


@pytest.mark.parametrize(("home", "session"), [("/h", ""), ("/" + "h" * 120, "s")])
def test_without_a_session_or_with_too_long_a_path_there_is_no_socket(home: str, session: str) -> None:
    assert hook_socket.path_of(home, session) == ""


@pytest.mark.skipif(os.name != "posix", reason="has no such terminals")
def test_the_status_line_waits_for_nobody_who_types_it(tmp_path: Path) -> None:
    own, other = os.openpty()
    command = [sys.executable, "-m", "dispatch_mcp", "statusline"]
    try:
        env = variables(tmp_path / "home", tmp_path)
        answer = subprocess.run(command, stdin=other, capture_output=True, env=env, timeout=120, check=True)
    finally:
        os.close(own)
        os.close(other)
    assert answer.stdout == b"\n"


async def test_the_status_line_shows_the_newest_open_run(tmp_path: Path) -> None:
    home = tmp_path / "home"
    env = variables(home, tmp_path)
    assert await run(env, "statusline", workspace={"project_dir": str(tmp_path)}) == "\n"
    async with dispatcher_setup.opened(home, rules={"price": price}) as desk:
        tasks = [task("a"), task("b"), task("c", "a"), task("decide", worker="human")]
        plan_id = await desk.planned(*tasks, request="Count the apples\nof the shop, and then count them again")
        limits = model.Limits(dollars=2)
        run_id = (await desk.app.dispatch(plan_id=plan_id, limits=limits)).run_id
        await desk.app.report(run_id, [{"task_id": "a", "attempt": 1, "text": "done", "usage": {"cost_usd": 0.25}}])
        shown = await run(env, "statusline", workspace={"current_dir": str(tmp_path)})
        assert shown == "Count the apples of the shop,… · 1/4 done · 2 running · $0.25 of $2.00 · waits for you\n"
        await desk.app.steer(run_id, "pause", "", "")
        assert " · paused · " in await run(env, "statusline", cwd=str(tmp_path))


@given(st.dictionaries(st.sampled_from((*FIELDS, "workspace")), JSON, max_size=4))
def test_the_status_line_of_any_input_is_empty_where_there_is_no_store(event: dict[str, Any]) -> None:
    assert status_line.line(event, {"DISPATCH_MCP_HOME": "/nowhere"}) == ""


EVENTS: list[tuple[str, dict[str, Any], bool]] = [
    ("PreToolUse", {"tool_name": "Agent", "tool_input": {"prompt": "dispatch r/a/1"}}, True),
    ("PreToolUse", {"tool_name": "Task", "tool_input": {"prompt": "dispatch r/a/1"}}, True),
    ("PreToolUse", {"tool_name": "mcp__plugin_dispatch_dispatch__report"}, True),
    ("PreToolUse", {"tool_name": "Agent", "tool_input": {"prompt": "Find the bug"}}, False),
    ("PreToolUse", {"tool_name": "Agent", "tool_input": "dispatch r/a/1"}, False),
    ("PreToolUse", {"tool_name": "Bash", "tool_input": {"command": "dispatch r/a/1"}}, False),
    ("PostToolUse", {"tool_name": "Agent", "tool_input": {"prompt": "[dispatch r/a/1]\n# GOAL"}}, True),
    ("PostToolUse", {"tool_name": "Agent", "tool_input": {"prompt": "# GOAL\n[dispatch r/a/1]"}}, False),
    ("PostToolUse", {"tool_name": "Read", "tool_input": {"prompt": "[dispatch r/a/1]"}}, False),
    ("PostToolUseFailure", {"tool_name": "Agent", "tool_input": {"prompt": "[dispatch r/a/1]"}}, True),
    ("UserPromptSubmit", {"prompt": " <task-notification>"}, True),
    ("UserPromptSubmit", {"prompt": "What is a <task-notification>?"}, False),
    ("SubagentStop", {"agent_transcript_path": "/x.jsonl"}, True),
    ("SubagentStop", {"agent_transcript_path": 3}, False),
    ("SessionStart", {}, True),
    ("Stop", {}, True),
    ("SessionEnd", {}, True),
    ("PreCompact", {}, False),
]


@pytest.mark.parametrize(("name", "event", "is_ours"), EVENTS)
def test_an_event_is_told_from_other_peoples_by_itself(name: str, event: dict[str, Any], *, is_ours: bool) -> None:
    assert hook_events.may_be_ours(name, event) is is_ours


def test_what_is_no_object_or_too_long_is_no_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook_events, "MOST_BYTES", 20)
    assert hook_events.read(io.BytesIO(b'{"a": 1}')) == {"a": 1}
    for data in (b"", b"[]", b"3", b"{", b'{"a": "0123456789012345"}', b"\xff\xfe"):
        assert hook_events.read(io.BytesIO(data)) is None


def test_a_hook_loads_the_standard_library_alone_until_a_run_is_open(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom dispatch_mcp.__main__ import light_command\nlight_command('hook', 'SessionStart')\n"
        "print(sorted({'pydantic', 'anyio', 'asyncio', 'mcp', 'pathlib', 'sqlite3', 'logging'} & sys.modules.keys()))"
    )
    env = variables(tmp_path / "home", tmp_path)
    done = subprocess.run([sys.executable, "-c", program], env=env, input=b"{}", capture_output=True, check=True)
    assert done.stdout == b"[]\n"
