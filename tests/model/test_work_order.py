from __future__ import annotations

from dataclasses import MISSING, replace
from dataclasses import fields as fields_of
from typing import Any

import pytest
from worker_conformance import FakeContext

from dispatch_mcp import model
from dispatch_mcp.model import WorkerKind, assignments, merge_offer, ports, work_order

WORK = work_order.WorkOrder("run", model.Task(id="t", do="do it"), 1, WorkerKind.HOST, workspace="/w")


def test_an_attempt_works_in_its_own_worktree_if_it_has_one() -> None:
    assert WORK.cwd == "/w"
    assert replace(WORK, directory="/state/worktrees/t.1").cwd == "/state/worktrees/t.1"
    assert replace(WORK, workspace="").cwd == ""


def test_an_order_cannot_be_changed_once_it_is_given() -> None:
    with pytest.raises(AttributeError):
        WORK.attempt = 2  # type: ignore[misc]


def test_an_order_without_limits_has_no_ceiling() -> None:
    assert (WORK.ceiling.tokens, WORK.ceiling.dollars) == (None, None)
    assert WORK.isolation == "shared"
    assert WORK.tools is None


class Louder(ports.Relay):
    """Changes one thing and passes all else on."""

    def beat(self, **details: Any) -> None:
        super().beat(**details, loud=True)


def test_a_relay_shows_and_passes_on_what_it_wraps() -> None:
    inner = FakeContext(run_id="r", task_id="x", attempt=3, last_beat={"old": 1})
    relay = Louder(inner)
    assert (relay.run_id, relay.task_id, relay.attempt, relay.last_beat) == ("r", "x", 3, {"old": 1})
    assert relay.blobs.get(relay.blobs.put(b"bulk")) == b"bulk"
    relay.beat(step=1)
    assert inner.beats == [{"step": 1, "loud": True}]


def test_an_offer_says_nothing_until_somebody_has_looked() -> None:
    offer = merge_offer.Offer(run_id="r", revision="a" * 40, head="b" * 40)
    assert (offer.way, offer.applied, offer.files, offer.clashes) == ("nothing", False, (), ())


def test_an_assignment_is_the_hosts_call_word_for_word() -> None:
    call = assignments.HostCall(
        subagent_type="general-purpose", description="Do it", prompt="…", run_in_background=False
    )
    assignment = assignments.Assignment(run_id="r", task_id="t", attempt=1, call=call)
    wire = assignment.model_dump(exclude_none=True)
    assert wire["call"] == {
        "subagent_type": "general-purpose",
        "description": "Do it",
        "prompt": "…",
        "run_in_background": False,
    }
    assert assignments.Assignment.model_validate(wire) == assignment


def test_what_a_worker_is_told_of_an_attempt_is_fixed_before_anybody_elses_text_is_read() -> None:
    fields = {field.name: field for field in fields_of(work_order.WorkOrder)}
    needed = [name for name, field in fields.items() if field.default is MISSING and field.default_factory is MISSING]
    assert needed == ["run_id", "task", "attempt", "worker"]
    for name in ("upstream", "messages", "notices", "material", "gathered", "gathered_at"):
        assert getattr(WORK, name) == ()
    assert WORK.last_beat == {}
    assert WORK.last_beat is not work_order.WorkOrder("run", WORK.task, 1, WorkerKind.HOST).last_beat


def test_a_dependency_that_was_not_proved_says_so() -> None:
    upstream = work_order.Upstream("a", model.Handoff())
    assert (upstream.output, upstream.summary, upstream.unverified) == (None, "", False)
    assert replace(upstream, unverified=True) != upstream


@pytest.mark.parametrize(
    ("stand_ins", "agent", "subagent"),
    [
        ((), "planned", ""),
        ((model.StandIn("other"),), "other", ""),
        ((model.StandIn("other"), model.StandIn("planned", "general-purpose")), "planned", "general-purpose"),
    ],
)
def test_who_stands_in_last_does_the_task(stand_ins: tuple[model.StandIn, ...], agent: str, subagent: str) -> None:
    task = model.Task(id="a", do="Do a", agent="planned")
    order = work_order.WorkOrder("run", task, 1, model.WorkerKind.HOST, stand_ins=stand_ins)
    assert (order.agent, order.subagent, order.task.agent) == (agent, subagent, "planned")


def test_a_task_for_nobody_by_name_has_no_agent() -> None:
    order = work_order.WorkOrder("run", model.Task(id="a", do="Do a"), 1, model.WorkerKind.HOST)
    assert (order.agent, order.subagent) == ("", "")
