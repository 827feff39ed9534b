"""Sessions without a server: what only a dispatcher can take is kept, answered at once, and taken as ever."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import dispatcher_setup
import hook_cases
import hook_setup
import pytest
from dispatcher_setup import task

from dispatch_mcp import configuration
from dispatch_mcp.cli.commands import serve
from dispatch_mcp.hooks import hand_in_clerk, hand_ins, hook_events, hook_program, hook_words
from dispatch_mcp.model import short_ids
from dispatch_mcp.service.housekeeping import old_work
from dispatch_mcp.store import owner_locks
from dispatch_mcp.store.looks import open_runs
from dispatch_mcp.text import redaction, token_count
from dispatch_mcp.text.reading import handoff_texts

pytestmark = pytest.mark.anyio

HEAVY = "{'pydantic', 'anyio', 'asyncio', 'jinja2', 'yaml', 'mcp'}"

NOTICE = "<task-notification><task-id>a1</task-id><status>{}</status><result>{}</result>"
PROSE = f"I counted them.\n\n```json\n{hook_setup.ANSWER}\n```\n"


@dataclass
class Printed:
    """What a hook printed, and which heavy libraries it loaded for that."""

    answer: dict[str, Any]
    heavy: str


@dataclass
class Orphan:
    """A session whose server has gone, in a folder with a run that it carries out."""

    folder: Path
    run: str
    briefs: list[str]
    session: hook_setup.Session

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def kept(self) -> hand_ins.HandIns:
        return hand_ins.HandIns(str(self.home), str(self.folder))

    async def hook(self, name: str, pid: int | None = None, **fields: Any) -> Printed:
        """Starts the hook of an event as the host does."""
        event = {
            "session_id": self.session.id,
            "transcript_path": str(self.session.transcript),
            "cwd": str(self.folder),
            **fields,
        }
        program = (
            "import sys\nfrom dispatch_mcp.__main__ import light_command\n"
            f"light_command('hook', {name!r})\nprint()\nprint(sorted({HEAVY} & sys.modules.keys()))"
        )
        env = {**os.environ, "DISPATCH_MCP_HOME": str(self.home), "CLAUDE_PID": str(pid or os.getpid())}
        env["DISPATCH_MCP_REVIEWS"] = "none"
        done = await anyio.run_process(
            [sys.executable, "-c", program], env=env, input=json.dumps(event).encode(), cwd=self.folder
        )
        answer, heavy = done.stdout.decode().splitlines()
        return Printed(json.loads(answer or "{}"), heavy)

    async def ends(self, brief: str, text: str = PROSE, **more: Any) -> Printed:
        path = self.session.writes(brief)
        return await self.hook("SubagentStop", agent_transcript_path=str(path), last_assistant_message=text, **more)

    async def told(self, brief: str, name: str = "PostToolUse") -> Printed:
        """The host says that the call which begins with that brief has returned."""
        call: dict[str, Any] = {
            "tool_name": "Agent",
            "tool_input": {"prompt": brief},
            "tool_response": {"status": "completed"},
        }
        return await self.hook(name, **call)

    async def taken(self) -> None:
        """Waits until everything that was kept has been taken; whoever comes first of two processes takes it."""
        env = {**os.environ, "DISPATCH_MCP_HOME": str(self.home), "DISPATCH_MCP_REVIEWS": "none"}
        argv = [sys.executable, "-m", "dispatch_mcp", "hook", hook_program.TAKE, str(self.folder)]
        done = await anyio.run_process(argv, env=env, cwd=self.folder)
        assert (done.stdout, done.stderr) == (b"", b"")
        assert self.kept.waiting() == []

    async def states(self) -> dict[str, str]:
        async with dispatcher_setup.opened(self.home) as desk:
            return await desk.states(self.run)

    def held(self) -> list[str | None]:
        return [look.session for look in open_runs.at_work(str(self.home), open_runs.places(str(self.folder)))]


async def orphan(folder: Path, *tasks: dict[str, Any], pid: int = 0, begins: int = 9) -> Orphan:
    async with dispatcher_setup.opened(folder / "home") as desk:
        desk.app.hooks = "full"
        session = hook_setup.Session(desk, folder / "transcripts", pid=pid or os.getpid())
        progress = await dispatcher_setup.started(desk, *tasks)
        names = [handout.call.prompt for handout in progress.assignments][:begins]
        briefs = [(await session.begins(name, f"call-{name}"))["prompt"] for name in names]
        return Orphan(folder, progress.run_id, briefs, session)


def lines_of_log(home: Path) -> list[str]:
    return (home / hook_events.FOLDER / "hooks.log").read_text().splitlines()


async def test_a_result_is_kept_at_once_and_then_taken_with_what_it_has_used(tmp_path: Path) -> None:
    session = await orphan(tmp_path, task("a"), task("b", "a"))
    printed = await session.ends(session.briefs[0])
    assert printed == Printed({}, "[]")
    printed = await session.told(session.briefs[0])
    if session.kept.waiting():
        run = short_ids.short(session.run)
        assert hook_setup.words(printed.answer) == (
            f"a: handed in. Its result is kept and being checked. Then dispatch(run_id={run!r}) has what is ready."
        )
        assert printed.heavy == "[]"
    await session.taken()
    async with dispatcher_setup.opened(session.home) as desk:
        assert await desk.states(session.run) == {"a": "unverified", "b": "running"}, "what is ready is out"
        spend = await hook_setup.spend(desk.app, session.run)
        assert spend.output_tokens == hook_setup.USAGE["output_tokens"]


async def test_after_the_last_result_the_end_of_the_run_is_told_by_a_look(tmp_path: Path) -> None:
    session = await orphan(tmp_path, task("a"))
    await session.ends(session.briefs[0])
    await session.taken()
    printed = await session.told(session.briefs[0])
    words = hook_setup.words(printed.answer)
    assert "is over (succeeded): 0 of 1 proven, 1 UNVERIFIED. get_trace(" in words
    assert token_count.count(words) <= hook_words.NEWS_TOKENS
    assert printed.heavy == "[]"


async def test_an_answer_that_is_no_handoff_is_asked_for_once_more_and_then_kept_as_it_is(tmp_path: Path) -> None:
    session = await orphan(tmp_path, task("a"))
    for text, fault in (
        ("It is done, I think.", handoff_texts.MISSING),
        ('{"completed": ', handoff_texts.MISSING),
        ('```json\n{"completed_work": "x" "files": []}\n```', handoff_texts.BROKEN),
        ('{"completed_work": "x", "status": "running"}', "its status is 'running', which is no end"),
    ):
        asked = await session.ends(session.briefs[0], text)
        assert asked.answer["decision"] == "block"
        assert fault in asked.answer["reason"]
        assert asked.heavy == "[]"
    assert session.kept.waiting() == []
    again = await session.ends(session.briefs[0], "Really.", stop_hook_active=True)
    assert again == Printed({}, "[]")
    await session.taken()
    assert (await session.states())["a"] in ("unverified", "ready", "failed")
    assert session.held() == []


@pytest.mark.parametrize("end", ["killed", "failure", "missed"])
async def test_other_ends_of_a_subagent_are_kept_too_and_free_its_task(end: str, tmp_path: Path) -> None:
    session = await orphan(tmp_path, task("a"))
    session.session.writes(session.briefs[0])
    match end:
        case "killed":
            printed = await session.hook("UserPromptSubmit", prompt=NOTICE.format("killed", ""))
        case "failure":
            printed = await session.told(session.briefs[0], "PostToolUseFailure")
        case _:
            printed = await session.hook("UserPromptSubmit", prompt=NOTICE.format("completed", hook_setup.ANSWER))
    assert hook_setup.words(printed.answer).startswith("a: handed in. ")
    assert printed.heavy == "[]"
    await session.taken()
    assert await session.states() == {"a": "unverified" if end == "missed" else "ready"}


@pytest.mark.parametrize("event", ["end of the session", "start of the next"])
async def test_what_a_session_leaves_behind_is_freed_by_who_takes_it(event: str, tmp_path: Path) -> None:
    session = await orphan(tmp_path, task("a"), task("b"), pid=hook_cases.DEAD)
    assert session.held() == ["session-1", "session-1"]
    if event == "end of the session":
        printed = await session.hook("SessionEnd", reason="other", pid=hook_cases.DEAD)
        assert printed == Printed({}, "[]")
    else:
        printed = await session.hook("SessionStart", source="startup", session_id="session-2")
        assert "1 open run here" in hook_setup.words(printed.answer)
        assert printed.heavy == "[]"
    await session.taken()
    assert session.held() == []


async def test_an_event_is_kept_once_and_what_others_have_begun_not_at_all(tmp_path: Path) -> None:
    session = await orphan(tmp_path, task("a"), begins=0)
    kept = hand_ins.HandIns(str(session.home), str(tmp_path))
    assert [kept.keep(key, {"name": key}) for key in ("one", "two", "one")] == [True] * 3
    assert [hand_ins.read(file)["name"] for file in kept.waiting()] == ["one", "two"]
    assert all(file.stat().st_mode & 0o077 == 0 for file in (kept.folder, *kept.waiting()))
    assert hand_ins.HandIns(str(session.home), "/elsewhere").waiting() == []


async def test_nothing_more_is_kept_where_too_much_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hand_ins, "MOST", 1)
    kept = hand_ins.HandIns(str(tmp_path), "/shop")
    assert [kept.keep(key, {}) for key in ("one", "two", "one")] == [True, False, True]


async def test_what_cannot_be_read_is_put_aside_and_hides_nothing(tmp_path: Path) -> None:
    session = await orphan(tmp_path, task("a"))
    session.session.writes(session.briefs[0])
    session.kept.keep("nonsense", {"name": "SubagentStop", "event": {}})
    for file in session.kept.waiting():
        file.write_text("[1")
    await session.ends(session.briefs[0])
    await session.taken()
    assert await session.states() == {"a": "unverified"}
    assert [file.suffix for file in session.kept.folder.iterdir() if file.name != "lock"] == [hand_ins.UNTAKEN]
    assert [line.partition(":")[0] for line in lines_of_log(session.home)] == ["JSONDecodeError"]


async def test_the_next_server_takes_what_is_kept_before_it_answers(tmp_path: Path) -> None:
    session = await orphan(tmp_path, task("a"))
    path = session.session.writes(session.briefs[0])
    event = {
        "session_id": session.session.id,
        "transcript_path": str(session.session.transcript),
        "agent_transcript_path": str(path),
        "last_assistant_message": PROSE,
    }
    session.kept.keep("a", {"name": "SubagentStop", "event": event, "pid": os.getpid()})
    env = {"DISPATCH_MCP_HOME": str(session.home), "DISPATCH_MCP_WORKSPACE": str(tmp_path)}
    setup = configuration.load(env, cwd=tmp_path)
    async with serve.loaders(setup, redaction.Redactor([])).dispatcher("local") as app:
        assert session.kept.waiting() == []
        assert (await app.trace(run_id=session.run)).state == "succeeded"


async def test_a_folder_of_kept_events_that_cannot_be_used_keeps_nobody_from_working(tmp_path: Path) -> None:
    session = await orphan(tmp_path, task("a"), begins=0)
    session.kept.keep("a", {"name": "Stop", "event": {}})
    (session.kept.folder / "lock").mkdir()
    setup = configuration.load(
        {"DISPATCH_MCP_HOME": str(session.home), "DISPATCH_MCP_WORKSPACE": str(tmp_path)}, cwd=tmp_path
    )
    async with serve.loaders(setup, redaction.Redactor([])).dispatcher("local") as app:
        assert (await app.trace(run_id=session.run)).state == "running"
    assert session.kept.waiting(), "nothing is lost"


def test_of_what_could_not_be_taken_the_newest_stay(tmp_path: Path) -> None:
    kept = hand_ins.HandIns(str(tmp_path), "/shop")
    for number in range(hand_ins.MOST_UNTAKEN + 3):
        kept.keep(str(number), {"number": number})
        (file,) = kept.waiting()
        os.utime(file, (number, number))
        hand_ins.put_aside(file)
    numbers = {hand_ins.read(file)["number"] for file in kept.folder.glob(f"*{hand_ins.UNTAKEN}")}
    assert numbers == set(range(3, hand_ins.MOST_UNTAKEN + 3))
    hand_ins.put_aside(kept.folder / "gone.json")


async def test_pruning_removes_old_events_that_could_not_be_taken_and_none_that_waits(tmp_path: Path) -> None:
    kept = hand_ins.HandIns(str(tmp_path), "/shop")
    for key in ("untaken", "waiting", "young"):
        kept.keep(key, {"answer": key})
        (file,) = [file for file in kept.waiting() if hand_ins.read(file)["answer"] == key]
        if key != "young":
            os.utime(file, (1_000_000, 1_000_000))
        if key == "untaken":
            hand_ins.put_aside(file)
    with kept.turn(waits=True):
        pass
    setup = configuration.load({"DISPATCH_MCP_HOME": str(tmp_path)}, cwd=tmp_path)
    for is_dry in (True, False):
        outcome = await old_work.prune(setup.settings, 86_400.0, dry_run=is_dry)
        assert [(share.kind, share.count) for share in outcome.shares] == [("hook event", 1)]
    assert [hand_ins.read(file)["answer"] for file in kept.waiting()] == ["waiting", "young"]
    assert not list(kept.folder.glob(f"*{hand_ins.UNTAKEN}"))


async def test_whoever_waits_for_the_turn_of_another_gives_up_in_time(tmp_path: Path) -> None:
    session = await orphan(tmp_path, task("a"), begins=0)
    session.kept.keep("a", {"name": "Stop", "event": {}})
    async with dispatcher_setup.opened(session.home) as desk:
        with session.kept.turn(waits=True) as is_first:
            assert is_first
            await hand_in_clerk.take(desk.app, session.home, "full", 0.01)
        assert session.kept.waiting()
        await hand_in_clerk.take(desk.app, session.home, "off", 60)
        assert session.kept.waiting()
        await hand_in_clerk.take(desk.app, session.home, "full", 60)
        assert session.kept.waiting() == []


@pytest.fixture(params=["ours", "a stranger's"])
def lock(request: pytest.FixtureRequest, tmp_path: Path) -> object:
    """Returns what holds the store of a home: a writer of ours, or a program that we do not know."""

    def hold(home: Path) -> Generator[None]:
        if request.param == "ours":
            with owner_locks.Mutex(home / owner_locks.LOCK):
                yield
        else:
            with closing(sqlite3.connect(home / open_runs.FILE, isolation_level=None)) as stranger:
                stranger.execute("BEGIN IMMEDIATE")
                yield

    return hold


async def test_a_store_that_is_locked_makes_a_hook_silent_with_one_line_in_the_log(lock: Any, tmp_path: Path) -> None:
    session = await orphan(tmp_path, task("a"), task("b"), begins=1)
    name = f"dispatch {short_ids.short(session.run)}/b/1"
    call: dict[str, Any] = {"tool_name": "Agent", "tool_input": {"prompt": name}, "tool_use_id": "t"}
    for _ in lock(session.home):
        assert await session.hook("PreToolUse", **call) == Printed({}, "[]")
        assert [line.partition(":")[0] for line in lines_of_log(session.home)] == ["StoreBusy"]
        asked = await session.ends(session.briefs[0], "{No handoff")
        assert asked.answer["decision"] == "block", "looking waits for nobody"
        assert len(lines_of_log(session.home)) == 1
    assert "permissionDecision" in str((await session.hook("PreToolUse", **call)).answer), "nothing was left behind"


async def test_a_store_that_cannot_be_read_makes_a_hook_silent_with_one_line_in_the_log(tmp_path: Path) -> None:
    session = await orphan(tmp_path, task("a"))
    (session.home / open_runs.FILE).write_bytes(b"nonsense" * 500)
    for number, name in enumerate(hook_events.EVENTS):
        brief = session.briefs[0] if name != "PreToolUse" else "dispatch r/a/1"
        fields: dict[str, Any] = {"prompt": NOTICE, "agent_transcript_path": "/x"}
        call: dict[str, Any] = {"tool_name": "Agent", "tool_input": {"prompt": brief}, **fields}
        assert await session.hook(name, **call) == Printed({}, "[]"), name
        assert len(lines_of_log(session.home)) == number + 1


def damage(home: Path, first: bytes) -> None:
    """Changes the first byte of the only blob of a store."""
    (blob,) = [path for path in (home / "blobs").rglob("*") if path.is_file()]
    blob.write_bytes(first + blob.read_bytes()[1:])


async def test_an_event_that_a_damaged_part_of_the_store_concerns_stays_and_holds_nobody_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = await orphan(tmp_path, task("a"), task("b"), task("c", "a", "b"))
    second = await orphan(tmp_path, task("a"))
    long = json.dumps({"completed_work": "It is done.", "decisions_made": ["d" * 3_000] * 20})
    async with dispatcher_setup.opened(first.home) as desk:
        for session, brief, text in ((first, 0, long), (first, 1, PROSE), (second, 0, PROSE)):
            path = session.session.writes(session.briefs[brief], agent=f"a{brief}{session.run[-4:]}")
            fields = {"agent_transcript_path": str(path), "last_assistant_message": text, "session_id": "session-1"}
            event = {"transcript_path": str(session.session.transcript), **fields}
            session.kept.keep(session.briefs[brief], {"name": "SubagentStop", "event": event, "pid": os.getpid()})
            if text is long:
                await hand_in_clerk.take(desk.app, first.home, "full", 3600)
                damage(first.home, b"x")
        with anyio.fail_after(120):
            await hand_in_clerk.take(desk.app, first.home, "full", 3600)
        (file,) = first.kept.waiting()
        assert hand_ins.read(file)["event"]["agent_transcript_path"].startswith(str(path.parent / "agent-a1"))
        assert await desk.states(second.run) == {"a": "unverified"}
        assert f"{file.name} stays: The stored bytes of" in caplog.text
        damage(first.home, b"{")
        await hand_in_clerk.take(desk.app, first.home, "full", 3600)
        assert first.kept.waiting() == []
        assert await desk.states(first.run) == {"a": "unverified", "b": "unverified", "c": "running"}


async def test_what_takes_longer_than_the_first_call_waits_is_taken_beside_it(tmp_path: Path) -> None:
    session = await orphan(tmp_path, task("a"))
    event = {
        "session_id": session.session.id,
        "transcript_path": str(session.session.transcript),
        "agent_transcript_path": str(session.session.writes(session.briefs[0])),
        "last_assistant_message": PROSE,
    }
    async with dispatcher_setup.opened(session.home) as desk:
        session.kept.keep("a", {"name": "SubagentStop", "event": event, "pid": os.getpid()})
        async with hand_in_clerk.taking(desk.app, session.home, "full", 0):
            assert session.kept.waiting()
            with anyio.fail_after(120):
                while session.kept.waiting():
                    await anyio.lowlevel.checkpoint()
        assert await desk.states(session.run) == {"a": "unverified"}
        session.kept.keep("a", {"name": "SubagentStop", "event": event, "pid": os.getpid()})
        async with hand_in_clerk.taking(desk.app, session.home, "full", 0):
            pass
        assert session.kept.waiting(), "what is not taken is left to the next"


def test_what_nobody_has_taken_is_told_of_by_name(tmp_path: Path) -> None:
    kept = hand_ins.HandIns(str(tmp_path), "/shop")
    for key in ("old", "young", "untaken"):
        kept.keep(key, {"name": "SubagentStop", "event": {"session_id": f"{key}\nsession"}})
    files = {hand_ins.title(file): file for file in kept.waiting()}
    assert sorted(files) == [f"SubagentStop of session '{key} session'" for key in ("old", "untaken", "young")]
    old, untaken, young = (files[name] for name in sorted(files))
    os.utime(old, (1_000, 1_000))
    os.utime(untaken, (2_000, 2_000))
    hand_ins.put_aside(untaken)
    names = [file.stem for file in hand_ins.leftovers(tmp_path, young.stat().st_mtime - 1)]
    assert names == [old.stem, untaken.stem]
    old.write_text("[1")
    assert hand_ins.title(old) == "something unreadable"
