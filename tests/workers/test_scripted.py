from __future__ import annotations

import math
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from worker_conformance import FakeContext, WorkerConformance

from dispatch_mcp import model
from dispatch_mcp.model import AttemptState, WorkerKind, work_order
from dispatch_mcp.workers import scripted

pytestmark = pytest.mark.anyio


def work(script: Any = None, *, worker: WorkerKind | None = WorkerKind.SCRIPTED, **task: Any) -> work_order.WorkOrder:
    inputs = {} if script is None else {"script": script}
    made = model.Task.model_validate({"id": "t1", "do": "count the stars", "worker": worker, "inputs": inputs} | task)
    return work_order.WorkOrder(run_id="run-1", task=made, attempt=1, worker=WorkerKind.SCRIPTED)


class TestScriptedWorkerConforms(WorkerConformance):
    @pytest.fixture
    def worker(self) -> scripted.ScriptedWorker:
        return scripted.ScriptedWorker()

    @pytest.fixture
    def succeeding(self) -> work_order.WorkOrder:
        return work()

    @pytest.fixture
    def failing(self) -> work_order.WorkOrder:
        return work({"fail": "permanent"})

    @pytest.fixture
    def hanging(self) -> work_order.WorkOrder:
        return work({"hang": True})


async def carried_out(order_: work_order.WorkOrder, slept: list[float] | None = None) -> model.Outcome:
    async def sleep(seconds: float) -> None:
        (slept if slept is not None else []).append(seconds)

    with anyio.fail_after(120):
        return await scripted.ScriptedWorker(sleep=sleep).carry_out(FakeContext(), order_)


async def test_an_outcome_is_labelled_as_simulated() -> None:
    outcome = await carried_out(work())
    assert outcome.summary == "simulated: count the stars"
    assert outcome.handoff.completed_work == outcome.summary
    assert [receipt.kind for receipt in outcome.receipts] == ["simulated"]
    assert not outcome.unverified


async def test_a_script_says_the_output_the_handoff_and_the_usage() -> None:
    script = {
        "output": {"n": 7},
        "handoff": {"completed_work": "counted", "decisions_made": ["by hand"]},
        "usage": {"input_tokens": 3},
    }
    outcome = await carried_out(work(script))
    assert outcome.output == {"n": 7}
    assert outcome.handoff.decisions_made == ("by hand",)
    assert outcome.usage.input_tokens == 3


async def test_result_is_another_name_of_output() -> None:
    assert (await carried_out(work({"result": [1]}))).output == [1]


async def test_a_script_sleeps_on_the_clock_it_was_given() -> None:
    slept: list[float] = []
    await carried_out(work({"sleep_s": 3600}), slept)
    assert slept == [3600]


async def test_a_hang_without_a_deadline_sleeps_for_ever() -> None:
    slept: list[float] = []
    await carried_out(work({"hang": True}), slept)
    assert slept == [math.inf]


@pytest.mark.parametrize(("attempt", "state"), [(1, "failed"), (2, "failed"), (3, "succeeded")])
async def test_the_first_attempts_fail_as_often_as_the_script_says(attempt: int, state: str) -> None:
    given_work = work({"fail": 2, "error": "no luck"})
    outcome = await carried_out(work_order.WorkOrder("run-1", given_work.task, attempt, WorkerKind.SCRIPTED))
    assert outcome.state.value == state
    assert outcome.retryable == (state == "failed")


@pytest.mark.parametrize(("fail", "retryable"), [("permanent", False), ("transient", True)])
async def test_a_kind_of_failure_says_whether_a_retry_could_help(fail: str, *, retryable: bool) -> None:
    outcome = await carried_out(work({"fail": fail, "error": "no luck"}))
    assert (outcome.state, outcome.error, outcome.retryable) == (AttemptState.FAILED, "no luck", retryable)
    assert outcome.summary.startswith("simulated")
    assert [(receipt.kind, receipt.ok) for receipt in outcome.receipts] == [("simulated", False)]


@pytest.mark.parametrize(
    "script", ["rm -rf", 7, [], {"sleep_s": -1}, {"sleep_s": math.nan}, {"sleep_s": "soon"}, {"fail": "x"}, {"nap": 1}]
)
async def test_a_bad_script_is_a_failure_that_names_the_field(script: Any) -> None:
    outcome = await carried_out(work(script))
    assert outcome.error_kind == "bad_script"
    assert not outcome.retryable


@pytest.mark.parametrize(
    "task", [{"worker": "host"}, {"worker": "command", "command": ["git", "log"]}, {"worker": None, "command": ["git"]}]
)
async def test_a_dry_run_ignores_the_script_of_a_real_task(task: dict[str, Any]) -> None:
    slept: list[float] = []
    outcome = await carried_out(work({"fail": "permanent", "sleep_s": 9}, **task), slept)
    assert outcome.state is AttemptState.SUCCEEDED
    assert slept == []


async def test_an_input_that_only_happens_to_be_called_script_is_ignored() -> None:
    assert (await carried_out(work("build.sh", worker=None))).state is AttemptState.SUCCEEDED


async def test_a_task_without_a_worker_obeys_a_whole_script() -> None:
    assert (await carried_out(work({"fail": "permanent"}, worker=None))).state is AttemptState.FAILED


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
_FIELDS = st.sampled_from([*scripted.Script.model_fields, "result", "nap"])


@given(script=_JSON | st.dictionaries(_FIELDS, _JSON, max_size=4))
def test_no_script_makes_it_raise(script: Any) -> None:
    async def attempt() -> None:
        outcome = await carried_out(work(script))
        assert outcome.summary.startswith("simulated")

    anyio.run(attempt)
