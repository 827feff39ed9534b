"""The orders of a run's attempts: what each is given of its predecessors, its messages and its earlier attempts."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from dispatch_mcp import model
from dispatch_mcp.agents import catalog
from dispatch_mcp.engine import order_builder, run_view
from dispatch_mcp.model import AttemptState, WorkerKind, records, transitions
from dispatch_mcp.runs import task_isolation
from dispatch_mcp.store import sqlite_store

pytestmark = pytest.mark.anyio

RUN = "a" * 32


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[sqlite_store.Store]:
    async with sqlite_store.open_store(tmp_path / "state", clock=lambda: 1_000.0) as opened:
        yield opened


async def begun(store: sqlite_store.Store, *tasks: dict[str, Any], **plan: Any) -> None:
    """Begins a run of these tasks for the host, and hands out what is ready."""
    made = model.Plan(id="plan", tasks=tuple(model.Task(**task) for task in tasks), **plan)
    await store.save_plan(made, records.LOCAL)
    new = records.NewRun(id=RUN, plan_id="plan", plan_version=1, worker=WorkerKind.HOST, workspace="/shop")
    await store.create_run(new)
    await handed_out(store)


async def handed_out(store: sqlite_store.Store, *ends: transitions.Finished) -> records.Advance:
    step = records.Step(now=1_000.0, finished=ends, start=transitions.HOST_WORKERS)
    return await store.advance(RUN, step)


async def builder(store: sqlite_store.Store, **fields: Any) -> order_builder.OrderBuilder:
    view = await run_view.load(store, RUN, records.LOCAL)
    return order_builder.OrderBuilder(store, view.run, view.plan, **fields)


def start(task_id: str, attempt: int = 1, worker: WorkerKind = WorkerKind.HOST) -> transitions.Start:
    return transitions.Start(task_id, attempt, worker, "key")


def end(task_id: str, attempt: int = 1, **fields: Any) -> transitions.Finished:
    outcome: dict[str, Any] = {"state": AttemptState.SUCCEEDED, "summary": f"{task_id} is done", **fields}
    return transitions.Finished(task_id, attempt, model.Outcome(**outcome))


async def test_an_order_names_run_task_workspace_and_deadline(store: sqlite_store.Store) -> None:
    await begun(
        store, {"id": "a", "do": "Do a", "model": "opus"}, {"id": "b", "do": "Do b", "timeout_s": 5}, timeout_s=60
    )
    orders = await builder(store)
    work = await orders.order(start("a"))
    assert (work.run_id, work.task.id, work.attempt, work.worker, work.key) == (RUN, "a", 1, WorkerKind.HOST, "key")
    assert (work.workspace, work.model, work.timeout_s) == ("/shop", "opus", 60)
    assert (await orders.order(start("b"))).timeout_s == 5


async def test_a_dependant_is_given_what_its_dependencies_handed_over_in_their_order(store: sqlite_store.Store) -> None:
    await begun(store, {"id": "a", "do": "A"}, {"id": "b", "do": "B"}, {"id": "c", "do": "C", "deps": ["b", "a"]})
    handoff = model.Handoff(completed_work="found it", decisions_made=("use b",))
    await handed_out(store, end("a", output={"n": 1}, unverified=True), end("b", handoff=handoff))
    work = await (await builder(store)).order(start("c"))
    assert [upstream.task_id for upstream in work.upstream] == ["b", "a"]
    assert work.upstream[0].handoff == handoff
    assert (work.upstream[1].output, work.upstream[1].unverified) == ({"n": 1}, True)


async def test_a_dependency_without_a_result_is_left_out(store: sqlite_store.Store) -> None:
    await begun(store, {"id": "a", "do": "A"}, {"id": "b", "do": "B", "deps": ["a"]})
    assert (await (await builder(store)).order(start("b"))).upstream == ()


async def test_what_was_read_once_is_not_read_again(store: sqlite_store.Store) -> None:
    await begun(store, {"id": "a", "do": "A"}, {"id": "b", "do": "B", "deps": ["a"]})
    known = order_builder.upstream_of("a", model.Outcome(state=AttemptState.SUCCEEDED, summary="from memory"))
    orders = await builder(store, results={"a": known})
    assert (await orders.order(start("b"))).upstream == (known,)


async def test_models_read_the_messages_to_them_and_commands_none(store: sqlite_store.Store) -> None:
    await begun(store, {"id": "a", "do": "A", "agent": "writer"}, {"id": "b", "do": "B"})
    for recipient, text in (("a", "to a"), ("writer", "to writer"), ("b", "to b"), ("all", "to all")):
        await store.send(model.Message(run_id=RUN, sender="x", recipient=recipient, kind="information", text=text))
    orders = await builder(store)
    assert [note.text for note in (await orders.order(start("a"))).messages] == ["to a", "to writer", "to all"]
    assert (await orders.order(start("a", worker=WorkerKind.COMMAND))).messages == ()


async def test_messages_that_somebody_has_read_already_are_taken_as_they_are(store: sqlite_store.Store) -> None:
    await begun(store, {"id": "a", "do": "A"})
    note = model.Message(run_id=RUN, sender="x", recipient="a", kind="warning", text="from hand")
    orders = await builder(store, mail=records.Mail((note,)))
    assert (await orders.order(start("a"))).messages == (note,)


async def test_a_first_attempt_knows_of_no_earlier_one(store: sqlite_store.Store) -> None:
    await begun(store, {"id": "a", "do": "A"})
    work = await (await builder(store)).order(start("a"))
    assert (dict(work.last_beat), work.last_error) == ({}, "")


async def test_a_later_attempt_is_told_the_error_and_the_newest_beat_of_the_earlier_ones(
    store: sqlite_store.Store,
) -> None:
    await begun(store, {"id": "a", "do": "A", "max_attempts": 3})
    await store.beat(RUN, "a", 1, {"session": "first"})
    failure: dict[str, Any] = {
        "state": AttemptState.FAILED,
        "error": "it broke",
        "error_kind": "host",
        "retryable": True,
    }
    await handed_out(store, end("a", **failure))
    ready_at = (await store.tasks(RUN))[0].ready_at
    await store.advance(RUN, records.Step(now=ready_at + 1, start=transitions.HOST_WORKERS))
    orders = await builder(store)
    work = await orders.order(start("a", 2))
    assert (dict(work.last_beat), work.last_error) == ({"session": "first"}, "it broke")
    view = await run_view.load(store, RUN, records.LOCAL)
    assert await orders.order(start("a", 2), view.attempts["a"]) == work


async def test_a_bare_order_holds_nothing_that_others_wrote(store: sqlite_store.Store) -> None:
    await begun(store, {"id": "a", "do": "A"}, {"id": "b", "do": "B", "deps": ["a"]})
    await handed_out(store, end("a"))
    await store.send(model.Message(run_id=RUN, sender="x", recipient="all", kind="information", text="hello"))
    work = (await builder(store)).bare_order(start("b"), records.NewestAttempt("b"))
    assert (work.upstream, work.messages, work.task.id) == ((), (), "b")


async def test_the_place_of_a_task_follows_from_the_plan_and_is_shared_by_default(store: sqlite_store.Store) -> None:
    await begun(store, {"id": "a", "do": "A"}, {"id": "b", "do": "B"})
    orders = await builder(store, placement={"b": task_isolation.Placement("own", 3)})
    shared, own = await orders.order(start("a")), await orders.order(start("b"))
    assert (shared.isolation, shared.rank) == ("shared", 0)
    assert (own.isolation, own.rank) == ("own", 3)


async def test_orders_are_filled_by_whoever_knows_agents(store: sqlite_store.Store) -> None:
    await begun(store, {"id": "a", "do": "A", "agent": "writer"}, {"id": "b", "do": "B", "agent": "nobody"})
    writer = catalog.Agent(
        name="writer", description="writes", body="You write.", model="haiku", tools=("Read",), trusted=True
    )
    orders = await builder(store, make=functools.partial(order_builder.with_agent, agents=catalog.Catalog((writer,))))
    work = await orders.order(start("a"))
    assert (work.agent_prompt, work.model, work.tools) == ("You write.", "haiku", ("Read",))
    assert (await orders.order(start("b"))).agent_prompt == ""


async def test_what_the_task_says_of_its_model_outranks_its_agent(store: sqlite_store.Store) -> None:
    await begun(store, {"id": "a", "do": "A", "agent": "writer", "model": "opus"})
    writer = catalog.Agent(name="writer", description="writes", body="You write.", model="haiku", trusted=True)
    work = order_builder.with_agent(await (await builder(store)).order(start("a")), catalog.Catalog((writer,)))
    assert work.model == "opus"


async def test_notices_go_into_the_order_as_they_are(store: sqlite_store.Store) -> None:
    await begun(store, {"id": "a", "do": "A"})
    work = await (await builder(store)).order(start("a"), notices=("mind the step",))
    assert work.notices == ("mind the step",)


async def test_work_that_a_review_sent_back_is_ordered_again_with_what_it_found(store: sqlite_store.Store) -> None:
    await begun(
        store,
        {"id": "a", "do": "A"},
        {"id": "pass", "do": "Look", "deps": ["a"], "reviews": ["a"]},
        {"id": "open", "do": "Look", "deps": ["a"], "reviews": ["a"], "rounds": 2},
        max_parallel=1,
    )
    await store.beat(RUN, "a", 1, {"session": "first", "before": {"head": ""}})
    await handed_out(store, end("a"))
    first = await (await builder(store)).order(start("a", 2))
    assert (first.objections, first.sent_back) == ((), 1)
    assert dict(first.last_beat) == {"before": {"head": ""}}, "it begins a conversation of its own"
    await handed_out(store, end("pass"))
    no: dict[str, Any] = {"state": AttemptState.FAILED, "error": "line 3 is wrong"}
    await handed_out(store, end("open", **no, error_kind=transitions.NEEDS_CHANGES))
    again = await (await builder(store)).order(start("a", 2))
    assert [(each.review, each.text) for each in again.objections] == [("open", "line 3 is wrong")]


async def test_work_that_several_reviews_have_objected_to_is_told_what_each_of_them_found(
    store: sqlite_store.Store,
) -> None:
    reviews = [
        {"id": name, "do": "Look", "deps": ["work"], "reviews": ["work"], "rounds": 2} for name in ("one", "two")
    ]
    await begun(store, {"id": "work", "do": "Work"}, *reviews)
    await handed_out(store, end("work"))
    no: dict[str, Any] = {"state": AttemptState.FAILED, "error_kind": transitions.NEEDS_CHANGES}
    await handed_out(store, *(end(name, error=f"{name} objects", **no) for name in ("one", "two")))
    again = await (await builder(store)).order(start("work", 2))
    assert [(each.review, each.text) for each in again.objections] == [("one", "one objects"), ("two", "two objects")]
