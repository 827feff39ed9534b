"""What a run shows: summary, timeline, results, artifacts, to-do list and diagram, page by page."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import dispatcher_setup
import hypothesis
import hypothesis.strategies as st
import pytest
from dispatcher_setup import Desk, said, started, task

from dispatch_mcp import configuration, errors, model
from dispatch_mcp.cli import shell_wording
from dispatch_mcp.mcp_server import tool_wording
from dispatch_mcp.model import RunState, short_ids
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.service import answers, traces
from dispatch_mcp.service.run_views import view_names
from dispatch_mcp.store.looks import listed_runs

pytestmark = pytest.mark.anyio


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[Desk]:
    async with dispatcher_setup.opened(tmp_path / "home", archive=str) as opened:
        yield opened


async def finished(desk: Desk, progress: answers.Progress, **more: Any) -> answers.ReportAnswer:
    return await desk.app.report(progress.run_id, [said(one, **more) for one in progress.assignments])


@pytest.mark.parametrize("view", view_names.VIEWS)
async def test_every_view_that_has_a_name_is_answered(desk: Desk, view: view_names.View) -> None:
    progress = await desk.app.dispatch(plan_id=await desk.planned(task("a"), task("b", "a")))
    trace = await desk.app.trace(run_id=progress.run_id, task_id="a" if view == "brief" else "", view=view)
    assert trace.run_id == progress.run_id
    assert trace.state == "running"


async def test_without_a_run_the_open_ones_are_listed_newest_first(desk: Desk) -> None:
    first, second = await started(desk, task("a")), await started(desk, task("b"))
    await desk.app.steer(first.run_id, "cancel", "", "enough")
    open_ones = await desk.app.trace()
    assert [line.run_id for line in open_ones.runs] == [second.run_id]
    every = await desk.app.trace(view="all")
    assert [line.run_id for line in every.runs] == [second.run_id, first.run_id]
    assert every.runs[1].state is RunState.CANCELLED


async def test_where_were_we_is_answered_with_title_workspace_age_progress_and_what_waits(desk: Desk) -> None:
    progress = await started(desk, task("a"), task("b"), task("c", "a", "b"))
    await finished(desk, progress)
    over = await started(desk, task("d"))
    await desk.app.steer(over.run_id, "cancel", "", "enough")
    cancelled, line = (await desk.app.trace(view="all")).runs
    run = await desk.app.store.run(progress.run_id, principal=desk.app.principal)
    assert (line.title, line.workspace) == (run.title, run.workspace)
    assert line.title.startswith("Do a")
    assert (line.progress, line.waits) == ("2 of 3", ("the assistant: 1 assignment out",))
    assert line.age.endswith(" s")
    assert (cancelled.progress, cancelled.waits) == ("1 of 1", ())
    words = (await desk.app.trace(run_id=line.run_id[:12])).wire(tool_wording.words)
    assert words["run_id"] == short_ids.short(line.run_id)
    assert words["title"] == line.title


async def test_nothing_to_list_says_where_to_look(desk: Desk) -> None:
    step = (await desk.app.trace()).next
    assert step == NextStep(StepKind.BEGIN_RUN, advice="There are no runs yet.")
    plan_id = await desk.planned(task("a"))
    step = (await desk.app.trace()).next
    assert step is not None
    assert (
        tool_wording.words(step) == f"There are no runs yet. dispatch(plan_id={short_ids.short(plan_id)!r}) starts one."
    )
    await desk.app.steer((await desk.app.dispatch(plan_id=plan_id)).run_id, "cancel", "", "")
    step = (await desk.app.trace()).next
    assert step is not None
    assert "view='all'" in tool_wording.words(step)
    assert "status --all" in shell_wording.words(step)


async def test_a_summary_says_what_each_task_waits_for(desk: Desk) -> None:
    progress = await started(desk, task("a"), task("b", "a"))
    trace = await desk.app.trace(run_id=progress.run_id)
    assert trace.counts == {"blocked": 1, "running": 1}
    assert [line.id for line in trace.tasks] == ["a", "b"]
    assert trace.blocked["b"] == "waits for a (running)"
    assert trace.poll_after_s > 0


async def test_failed_tasks_come_first_with_the_kind_of_their_error(desk: Desk) -> None:
    progress = await started(desk, task("a"), task("b", max_attempts=1))
    b = next(one for one in progress.assignments if one.task_id == "b")
    await desk.app.report(progress.run_id, [{"task_id": "b", "attempt": b.attempt, "status": "failed", "error": "no"}])
    trace = await desk.app.trace(run_id=progress.run_id)
    assert (trace.tasks[0].id, trace.tasks[0].state, trace.tasks[0].error) == ("b", "failed", "host")


async def test_a_summary_adds_up_what_was_spent(desk: Desk) -> None:
    progress = await started(desk, task("a"), task("b"))
    await finished(desk, progress, usage={"input_tokens": 10, "output_tokens": 5, "cost_usd": 0.25})
    trace = await desk.app.trace(run_id=progress.run_id)
    assert trace.spend is not None
    assert (trace.spend.input_tokens, trace.spend.output_tokens, trace.spend.cost_usd) == (20, 10, 0.5)


async def test_a_run_that_met_a_ceiling_says_which(desk: Desk) -> None:
    plan_id = await desk.planned(task("a"), task("b", "a"))
    progress = await desk.app.dispatch(plan_id=plan_id, limits=model.Limits(attempts=1))
    await finished(desk, progress)
    trace = await desk.app.trace(run_id=progress.run_id)
    assert trace.state == "paused"
    assert "attempts" in trace.held
    assert trace.limits == {"attempts": 1}


async def test_the_timeline_goes_on_behind_its_cursor_and_repeats_nothing(desk: Desk) -> None:
    progress = await started(desk, task("a"))
    first = await desk.app.trace(run_id=progress.run_id, view="timeline")
    await finished(desk, progress)
    rest = await desk.app.trace(run_id=progress.run_id, view="timeline", cursor=first.cursor)
    numbers = [line.seq for line in (*first.timeline, *rest.timeline)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert rest.timeline[-1].kind == "run_finished"
    empty = await desk.app.trace(run_id=progress.run_id, view="timeline", cursor=rest.cursor)
    assert (empty.timeline, empty.cursor) == ((), rest.cursor)


async def test_times_count_from_the_beginning_of_the_run(desk: Desk) -> None:
    progress = await started(desk, task("a"))
    desk.clock.now += 7.5
    await finished(desk, progress)
    trace = await desk.app.trace(run_id=progress.run_id, view="timeline")
    assert (trace.timeline[0].t, trace.timeline[-1].t) == (0.0, 7.5)
    assert trace.seconds == 7.5


async def test_results_are_capsules_and_one_task_alone_shows_its_output(desk: Desk) -> None:
    progress = await started(desk, task("a"), task("b"))
    await finished(desk, progress, output={"answer": 42})
    every = await desk.app.trace(run_id=progress.run_id, view="results")
    assert [(line.task_id, line.output) for line in every.results] == [("a", None), ("b", None)]
    [whole] = (await desk.app.trace(run_id=progress.run_id, task_id="b")).results
    assert (whole.output, whole.truncated) == ({"answer": 42}, False)
    assert whole.ref.endswith("/tasks/b/result")


async def test_an_output_that_is_too_long_is_only_pointed_at(desk: Desk) -> None:
    progress = await started(desk, task("a"))
    await finished(desk, progress, output="x" * (traces.INLINE_CHARS + 1))
    [line] = (await desk.app.trace(run_id=progress.run_id, task_id="a")).results
    assert (line.output, line.truncated) == (None, True)
    assert "x" * 100 in await desk.app.result(progress.run_id, "a")


async def test_results_come_in_pages(desk: Desk) -> None:
    names = [f"part-{number:02}" for number in range(traces.PAGE // 2 + 3)]
    progress = await started(desk, *(task(name, command=["true"]) for name in names))
    await desk.ended(progress.run_id)
    first = await desk.app.trace(run_id=progress.run_id, view="results")
    rest = await desk.app.trace(run_id=progress.run_id, view="results", cursor=first.cursor)
    assert [line.task_id for line in (*first.results, *rest.results)] == names
    assert (len(rest.results), rest.cursor) == (3, "")


async def test_a_failure_shows_its_error_as_its_capsule(desk: Desk) -> None:
    progress = await started(desk, task("a", max_attempts=1))
    await desk.app.report(progress.run_id, [{"task_id": "a", "attempt": 1, "status": "failed", "error": "the disk"}])
    [line] = (await desk.app.trace(run_id=progress.run_id, view="results")).results
    assert (line.state, line.capsule) == ("failed", "the disk")


async def test_a_task_without_a_result_says_where_it_is(desk: Desk) -> None:
    progress = await started(desk, task("a"))
    with pytest.raises(errors.InputError, match="'a' is running: no result yet"):
        await desk.app.trace(run_id=progress.run_id, task_id="a")
    with pytest.raises(errors.UnknownHandle, match="'a' is running: no result"):
        await desk.app.result(progress.run_id, "a")
    with pytest.raises(errors.UnknownHandle, match="no task 'z'"):
        await desk.app.trace(run_id=progress.run_id, task_id="z")


async def test_artifacts_are_listed_and_one_tasks_are_shown_page_by_page(desk: Desk, tmp_path: Path) -> None:
    long = "".join(f"line {number}\n" for number in range(traces.CONTENT_CHARS // 6))
    (tmp_path / "long.txt").write_text(long, "utf-8")
    (tmp_path / "short.txt").write_text("short\n", "utf-8")
    progress = await started(desk, task("a"))
    named = [{"name": "long", "path": "long.txt"}, {"name": "short", "path": "short.txt"}, {"name": "lost"}]
    handoff = {"completed_work": "wrote", "artifacts": named}
    await desk.app.report(progress.run_id, [{"task_id": "a", "attempt": 1, "handoff": handoff}])
    listed = await desk.app.trace(run_id=progress.run_id, view="artifacts")
    assert [(line.name, bool(line.digest), line.text) for line in listed.artifacts] == [
        ("long", True, ""),
        ("short", True, ""),
        ("lost", False, ""),
    ]
    text, cursor = "", "0"
    while cursor:
        page = await desk.app.trace(run_id=progress.run_id, view="artifacts", task_id="a", cursor=cursor)
        text += "".join(line.text for line in page.artifacts)
        cursor = page.cursor
    assert text == long + "short\n"


async def test_the_to_do_list_follows_the_states(desk: Desk) -> None:
    progress = await started(desk, task("a"), task("b", "a"))
    before = (await desk.app.trace(run_id=progress.run_id, view="todo")).todo
    await finished(desk, progress)
    after = (await desk.app.trace(run_id=progress.run_id, view="todo")).todo
    assert [item["status"] for item in before] == ["in_progress", "pending"]
    assert after[0]["status"] == "completed"


async def test_the_diagram_names_every_task(desk: Desk) -> None:
    progress = await started(desk, task("first"), task("second", "first"))
    text = (await desk.app.trace(run_id=progress.run_id, view="mermaid")).text
    assert text.startswith("flowchart")
    assert "first" in text
    assert "second" in text


@hypothesis.given(st.text(min_size=1, max_size=30))
def test_a_cursor_is_a_number_of_ours_or_refused(cursor: str) -> None:
    if cursor.isascii() and cursor.isdigit() and len(cursor) <= 18:
        assert traces.sequence(cursor) == int(cursor)
    else:
        with pytest.raises(errors.InputError, match="is not one of ours"):
            traces.sequence(cursor)


def test_no_cursor_is_the_beginning() -> None:
    assert traces.sequence("") == 0


@hypothesis.given(sent=st.integers(0, 10**6), whole=st.integers(0, 10**6))
def test_a_saving_compares_with_the_whole_files_and_is_a_number_of_tokens_where_a_pack_has_more(
    sent: int, whole: int
) -> None:
    saving = listed_runs.saving(sent, whole)
    if not whole:
        assert saving == {}
    elif sent > whole:
        assert saving == {"sent": sent, "named_files": whole, "tokens_more": sent - whole}
    else:
        assert saving.keys() == {"sent", "named_files", "saved"}
        assert 0 <= saving["saved"] <= 1


async def test_waiting_ends_when_time_is_up_though_nothing_happened(desk: Desk) -> None:
    progress = await started(desk, task("a"))
    with anyio.fail_after(120):
        trace = await desk.app.trace(run_id=progress.run_id, wait_s=0.05)
    assert trace.state == "running"


async def test_waiting_for_a_timeline_ends_with_the_next_event(desk: Desk) -> None:
    progress = await started(desk, task("a"), task("b"))
    cursor = (await desk.app.trace(run_id=progress.run_id, view="timeline")).cursor
    lines: list[answers.EventLine] = []

    async def wait() -> None:
        lines.extend((await desk.app.trace(run_id=progress.run_id, view="timeline", cursor=cursor, wait_s=45)).timeline)

    with anyio.fail_after(traces.MAX_WAIT_S - 5):
        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await desk.app.report(progress.run_id, [said(progress.assignments[0])])
    assert lines[0].kind == "attempt_finished"


async def test_a_shell_reads_the_same_without_taking_over_anything(desk: Desk, tmp_path: Path) -> None:
    progress = await started(desk, task("a"))
    folders = {"home": tmp_path / "home", "workspace": tmp_path}
    settings = configuration.load({}, flags=folders, cwd=tmp_path).settings
    here = await desk.app.trace(run_id=progress.run_id)
    there = await traces.read(settings, progress.run_id, "summary")
    assert there.model_copy(update={"next": here.next, "age": here.age}) == here, (
        "but for its clock, which is not the test's"
    )
    assert (await traces.read(settings, "latest", "summary")).run_id == here.run_id
    assert [line.run_id for line in (await traces.read(settings, "", "summary")).runs] == [progress.run_id]
