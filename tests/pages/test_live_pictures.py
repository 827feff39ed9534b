"""Pictures for pages that stay open: at once when there is news, and only then."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import dispatcher_setup as setup
import pytest

from dispatch_mcp import errors, model, next_steps
from dispatch_mcp.pages import live_pictures
from dispatch_mcp.service import dispatcher
from dispatch_mcp.text import redaction

pytestmark = pytest.mark.anyio

SECRET = "sk-ant-" + "api03-" + "a1b2c3d4" * 5
WORDS = next_steps.constant_words("go on")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[setup.Desk]:
    async with setup.opened(tmp_path / "state") as opened:
        yield opened


def pictures(desk: setup.Desk) -> live_pictures.LivePictures:
    async def app() -> dispatcher.Dispatcher:
        return desk.app

    return live_pictures.LivePictures(app, WORDS, redaction.Redactor())


async def test_a_run_that_has_moved_on_is_shown_at_once(desk: setup.Desk) -> None:
    run = await setup.started(desk, setup.task("a"))
    with anyio.fail_after(120):
        picture = await pictures(desk).run(run.run_id)
        again = await pictures(desk).run(run.run_id, revision=picture["revision"] - 1)
    assert [task["id"] for task in picture["tasks"]] == ["a"]
    assert picture["run"]["next"] == "go on"
    assert again["revision"] == picture["revision"]


async def test_who_has_seen_a_run_is_answered_as_soon_as_it_changes(desk: setup.Desk) -> None:
    run = await setup.started(desk, setup.task("a"), setup.task("b", "a"))
    picture = await pictures(desk).run(run.run_id)
    last = picture["events"][-1][0]
    answers: list[dict[str, object]] = []

    async def wait() -> None:
        answers.append(await pictures(desk).run(run.run_id, last, picture["revision"]))

    with anyio.fail_after(120):
        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            assert not answers
            await desk.app.report(run.run_id, [setup.said(run.assignments[0])])
    (news,) = answers
    assert news["after"] == last
    assert "tasks" not in news
    assert {place: task["state"] for place, task in news["changes"].items()} == {"0": "unverified", "1": "running"}  # type: ignore[attr-defined]
    assert {attempt[0] for attempt in news["attempts"]} == {0, 1}  # type: ignore[attr-defined]


async def test_a_message_comes_at_once_though_it_leaves_the_revision_as_it_is(desk: setup.Desk) -> None:
    run = await setup.started(desk, setup.task("a"), setup.task("b", "a"))
    picture = await pictures(desk).run(run.run_id)
    news: list[dict[str, object]] = []

    async def wait() -> None:
        news.append(await pictures(desk).run(run.run_id, picture["events"][-1][0], picture["revision"], wait_s=600))

    note = model.Message(run_id=run.run_id, sender="a", recipient="b", kind="warning", text="the schema has moved")
    with anyio.fail_after(120):
        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            await desk.app.send(note)
    assert news[0]["revision"] == picture["revision"]
    assert [message["text"] for message in news[0]["messages"]] == ["the schema has moved"]  # type: ignore[attr-defined]
    assert news[0]["events"]


async def test_a_run_without_news_is_shown_again_when_the_wait_is_over(desk: setup.Desk) -> None:
    run = await setup.started(desk, setup.task("a"))
    picture = await pictures(desk).run(run.run_id)
    with anyio.fail_after(120):
        again = await pictures(desk).run(run.run_id, picture["events"][-1][0], picture["revision"], wait_s=0.01)
    assert again["revision"] == picture["revision"]
    assert "events" not in again


async def test_nobody_waits_for_news_of_a_server_that_stops(desk: setup.Desk) -> None:
    run = await setup.started(desk, setup.task("a"))
    live = pictures(desk)
    picture, listed = await live.run(run.run_id), await live.runs()
    with anyio.fail_after(120):
        async with anyio.create_task_group() as group:
            group.start_soon(live.run, run.run_id, picture["events"][-1][0], picture["revision"])
            group.start_soon(live.runs, listed["digest"])
            await anyio.wait_all_tasks_blocked()
            live.end()


async def test_a_cancelled_run_is_sent_whole(desk: setup.Desk) -> None:
    run = await setup.started(desk, setup.task("a"), setup.task("b", "a"))
    last = (await pictures(desk).run(run.run_id))["events"][-1][0]
    await desk.app.steer(run.run_id, "cancel", "", "not today")
    news = await pictures(desk).run(run.run_id, last)
    assert {task["state"] for task in news["tasks"]} == {"cancelled"}
    assert "changes" not in news


async def test_the_list_of_runs_waits_for_another_list(desk: setup.Desk) -> None:
    await setup.started(desk, setup.task("a"))
    before = await pictures(desk).runs()
    seen: list[dict[str, object]] = []

    async def wait() -> None:
        seen.append(await pictures(desk).runs(before["digest"]))

    with anyio.fail_after(120):
        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            await setup.started(desk, setup.task("z"))
    assert len(before["runs"]) == 1
    assert len(seen[0]["runs"]) == 2  # type: ignore[arg-type]
    assert seen[0]["digest"] != before["digest"]


async def test_a_list_without_news_comes_again_with_the_same_digest(desk: setup.Desk) -> None:
    await setup.started(desk, setup.task("a"))
    before = await pictures(desk).runs()
    with anyio.fail_after(120):
        again = await pictures(desk).runs(before["digest"], wait_s=0.01)
    assert again["digest"] == before["digest"]


@pytest.mark.parametrize(("work_s", "pause_s"), [(0.0, 0.06), (0.001, 0.06), (0.25, 2.5), (60.0, 30.0)])
def test_a_page_waits_ten_times_as_long_as_its_answer_took(work_s: float, pause_s: float) -> None:
    assert live_pictures.pause(work_s) == pytest.approx(pause_s)


async def test_each_answer_says_when_to_ask_again(desk: setup.Desk) -> None:
    run = await setup.started(desk, setup.task("a"))
    for answer in (await pictures(desk).run(run.run_id), await pictures(desk).runs()):
        assert live_pictures.LEAST_PAUSE_S <= answer["pause_s"] <= live_pictures.MOST_PAUSE_S


async def test_what_is_shown_holds_no_secret(desk: setup.Desk) -> None:
    task = {"id": "a", "do": f"Log in with {SECRET}"}
    run = await setup.started(desk, task)
    assert SECRET not in str(await pictures(desk).run(run.run_id))
    assert SECRET not in str(await pictures(desk).runs())


async def test_a_run_of_nobody_is_not_there(desk: setup.Desk) -> None:
    with pytest.raises(errors.UnknownHandle):
        await pictures(desk).run("nothing-1234")
