"""What the page of a run is drawn from, read from a real store."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import dispatcher_setup as setup
import pytest

from dispatch_mcp import errors, model
from dispatch_mcp.pages import picture_loader, run_picture
from dispatch_mcp.store import sqlite_store

pytestmark = pytest.mark.anyio


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[setup.Desk]:
    async with setup.opened(tmp_path / "state") as opened:
        yield opened


async def loaded(desk: setup.Desk, run_id: str, after: int = 0) -> run_picture.RunPicture:
    whole = await desk.app.handles.run_id(run_id)
    return await picture_loader.load(desk.app.store, whole, desk.app.principal, after)


async def test_a_run_is_loaded_with_all_that_happened(desk: setup.Desk) -> None:
    run = await setup.started(desk, setup.task("a"), setup.task("b", "a"))
    (first,) = run.assignments
    await desk.app.report(run.run_id, [setup.said(first, "built a", usage={"input_tokens": 40, "output_tokens": 2})])
    picture = await loaded(desk, run.run_id)
    assert picture.run.title == "Do a"
    assert picture.run.workspace == ""
    assert [(task.id, task.state.value, task.wave) for task in picture.tasks] == [
        ("a", "unverified", 0),
        ("b", "running", 1),
    ]
    assert [(attempt.task, attempt.state, attempt.tokens) for attempt in picture.attempts] == [
        (0, "succeeded", 42),
        (1, "running", 0),
    ]
    assert picture.events[0].kind == "run_created"
    assert [event.becomes for event in picture.events if event.task == 0][-1] == "unverified"
    assert "built a" in picture.results["a"].text
    assert picture.waves == 2


async def test_a_page_that_stays_open_is_sent_only_what_is_new(desk: setup.Desk) -> None:
    run = await setup.started(desk, setup.task("a"), setup.task("b", "a"))
    (first,) = run.assignments
    before = await loaded(desk, run.run_id)
    last = before.events[-1].seq
    answer = await desk.app.report(run.run_id, [setup.said(first, "built a")])
    news = await loaded(desk, run.run_id, last)
    assert news.after == last
    assert news.revision > before.revision
    assert news.events[0].seq == last + 1
    assert list(news.results) == ["a"]
    await desk.app.report(run.run_id, [setup.said(answer.assignments[0], "built b")])
    assert list((await loaded(desk, run.run_id, news.events[-1].seq)).results) == ["b"]


class Hurried(sqlite_store.Store):
    """A store in which something is committed right after its log was read."""

    def __init__(self, store: sqlite_store.Store, meanwhile: Callable[[], Awaitable[object]]) -> None:
        self.__dict__.update(store.__dict__)
        self.meanwhile: Callable[[], Awaitable[object]] | None = meanwhile

    async def events(self, run_id: str, after: int = 0, limit: int = 500) -> list[model.Event]:
        log = await super().events(run_id, after, limit)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        return log


async def test_what_is_committed_while_a_picture_is_made_comes_with_the_next(desk: setup.Desk) -> None:
    run = await setup.started(desk, setup.task("a"), setup.task("b"))
    (first, _) = run.assignments
    run_id = await desk.app.handles.run_id(run.run_id)
    last = (await loaded(desk, run_id)).events[-1].seq
    hurried = Hurried(desk.app.store, lambda: desk.app.report(run_id, [setup.said(first, "built a")]))
    between = await picture_loader.load(hurried, run_id, desk.app.principal, last)
    assert between.events == ()
    news = await loaded(desk, run_id, last)
    assert news.changes["0"].state.value == "unverified"
    assert news.changes["0"].id in {news.changes[str(event.task)].id for event in news.events}
    assert list(news.results) == ["a"]


async def test_a_picture_names_neither_workspace_nor_home(desk: setup.Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/people/ann")
    run = await setup.started(desk, setup.task("a"), setup.task("b", "a"))
    (first,) = run.assignments
    workspace = (await desk.app.handles.run(run.run_id)).run.workspace
    note = {"to": "b", "kind": "warning", "text": f"see {workspace}/notes.md, and not {workspace}-old"}
    handoff = {"completed_work": f"wrote {workspace}/a.py with /people/ann/.pyenv/bin/python", "messages": [note]}
    await desk.app.report(run.run_id, [{"task_id": "a", "attempt": first.attempt, "handoff": handoff}])
    picture = await loaded(desk, run.run_id)
    assert picture.messages[0].text == f"see ./notes.md, and not {workspace}-old"
    assert "wrote ./a.py with ~/.pyenv/bin/python" in picture.results["a"].text


async def test_messages_come_with_their_readers(desk: setup.Desk) -> None:
    run = await setup.started(desk, setup.task("a"), setup.task("b", "a"))
    (first,) = run.assignments
    note = {"to": "b", "kind": "warning", "text": "the column is called amount_cents"}
    handoff = {"completed_work": "a", "messages": [note]}
    await desk.app.report(run.run_id, [{"task_id": "a", "attempt": first.attempt, "handoff": handoff}])
    (message,) = (await loaded(desk, run.run_id)).messages
    assert (message.sender, message.recipient, message.readers) == ("a", "b", ("b",))


async def test_a_review_shows_what_it_came_to(desk: setup.Desk) -> None:
    run = await setup.started(desk, setup.task("a"), setup.task("r", "a", reviews=["a"]))
    (first,) = run.assignments
    answer = await desk.app.report(run.run_id, [setup.said(first)])
    (council,) = (await loaded(desk, run.run_id)).councils
    assert (council.task, council.outcome) == ("r", "")
    (review,) = answer.assignments
    text = '{"verdict": "FAIL", "findings": [{"severity": "high", "file": "a.py", "line": 3, "claim": "it is wrong"}]}'
    await desk.app.report(run.run_id, [{"task_id": "r", "attempt": review.attempt, "result": text}])
    (council,) = (await loaded(desk, run.run_id)).councils
    assert council.outcome == "BLOCK"
    assert "it is wrong" in council.why


async def test_a_picture_is_json_with_next_steps_in_words(desk: setup.Desk) -> None:
    run = await setup.started(desk, setup.task("a"))
    wire = (await loaded(desk, run.run_id)).wire(lambda step: f"do {step.kind.value}")
    assert wire["run"]["next"].startswith("do ")
    assert wire["tasks"][0]["id"] == "a"
    assert isinstance(wire["events"][0], list | tuple)


async def test_a_run_of_nobody_cannot_be_loaded(tmp_path: Path) -> None:
    from dispatch_mcp import configuration  # noqa: PLC0415

    settings = configuration.load({}, flags={"home": tmp_path / "state", "workspace": tmp_path}, cwd=tmp_path).settings
    with pytest.raises(errors.UnknownHandle):
        await picture_loader.read(settings, "nothing-1234")
