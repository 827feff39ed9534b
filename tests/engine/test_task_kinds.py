"""What the kinds of task have in common, and where they differ: who does it, what is read, how it is judged."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import pytest

from dispatch_mcp import errors, model
from dispatch_mcp.agents import catalog
from dispatch_mcp.engine import attempt_services, claim_evidence, run_view, task_kinds
from dispatch_mcp.model import AttemptState, WorkerKind, ports, records, work_order
from dispatch_mcp.review import review_tasks
from dispatch_mcp.store import sqlite_store

pytestmark = pytest.mark.anyio

DIFF = "diff --git a/app.py b/app.py\n--- a/app.py\n+++ b/app.py\n@@ -1,1 +1,1 @@\n-old = 1\n+new = compute(2)\n"
BARE = attempt_services.BARE


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[sqlite_store.Store]:
    async with sqlite_store.open_store(tmp_path / "state") as opened:
        yield opened


def work_task(**fields: Any) -> model.Task:
    named: dict[str, Any] = {"id": "part", "do": "Do the part", **fields}
    return model.Task(**named)


def review_task(store: sqlite_store.Store, **fields: Any) -> model.Task:
    """Returns a reviewer's task over a stored change."""
    diff = store.blobs.put(DIFF.encode())
    manifest = store.blobs.put(review_tasks.Manifest(diff=diff, files=("app.py",), lines=2).model_dump_json().encode())
    assigned = review_tasks.ReviewAssignment(manifest=manifest, diff=diff, reviewer="security-reviewer", **fields)
    inputs = {review_tasks.INPUT: assigned.model_dump(mode="json", exclude_defaults=True)}
    return model.Task(id="security-reviewer", do="Review the change", agent="security-reviewer", inputs=inputs)


def order(task: model.Task, worker: WorkerKind = WorkerKind.API, **fields: Any) -> work_order.WorkOrder:
    return work_order.WorkOrder(run_id="r" * 32, task=task, attempt=1, worker=worker, **fields)


def success(text: str = "done", **fields: Any) -> model.Outcome:
    return model.Outcome(state=AttemptState.SUCCEEDED, summary=text, output=text, unverified=True, **fields)


SHIPPED = catalog.Agent(name="security-reviewer", body="I am the shipped one.", roster="reviewers", layer="bundled")
OWN = catalog.Agent(name="security-reviewer", body="I am somebody's own.")


def test_a_task_is_work_unless_it_says_otherwise() -> None:
    for worker in WorkerKind:
        kind = task_kinds.kind_of(work_task(), worker)
        assert isinstance(kind, task_kinds.Work)
        assert isinstance(kind, task_kinds.PersonDecision) == (worker is WorkerKind.HUMAN)


async def test_a_place_in_a_round_makes_a_task_a_review_whoever_does_it(store: sqlite_store.Store) -> None:
    task = review_task(store)
    for worker in (WorkerKind.HOST, WorkerKind.API, WorkerKind.CLAUDE, WorkerKind.SCRIPTED):
        kind = task_kinds.kind_of(task, worker)
        assert isinstance(kind, task_kinds.Review)
        assert kind.place.reviewer == "security-reviewer"


def test_a_task_that_names_what_it_reviews_is_a_review_unless_a_person_does_it() -> None:
    task = work_task(reviews=("other",), agent="security-reviewer")
    for worker in WorkerKind:
        kind = task_kinds.kind_of(task, worker)
        assert isinstance(kind, task_kinds.PlanReview) == (worker is not WorkerKind.HUMAN)
    for review in (task, task.model_copy(update={"joins": ("seat",)})):
        kind = task_kinds.kind_of(review, WorkerKind.HOST)
        assert isinstance(kind, task_kinds.CouncilDecision) is bool(review.joins)
        assert kind.agent("security-reviewer", catalog.Catalog((OWN, SHIPPED))) == SHIPPED
        assert kind.agent("security-reviewer", catalog.Catalog((OWN,))) == OWN
        assert kind.subagents({"security-reviewer"}) == frozenset()


@pytest.mark.parametrize("inputs", [{"review": "yes"}, {"review": {"diff": "x"}}, {"review": {"manifest": 3}}, {}])
def test_inputs_that_only_look_like_a_place_leave_it_work(inputs: dict[str, Any]) -> None:
    assert task_kinds.kind_of(work_task(inputs=inputs), WorkerKind.API) == task_kinds.WORK


async def test_a_reviewer_is_the_shipped_one_and_an_agent_whoever_has_the_name(store: sqlite_store.Store) -> None:
    agents = catalog.Catalog((OWN, SHIPPED))
    review, work = review_task(store), work_task(agent="security-reviewer")
    assert task_kinds.kind_of(review, WorkerKind.API).agent("security-reviewer", agents) == SHIPPED
    assert task_kinds.kind_of(work, WorkerKind.API).agent("security-reviewer", agents) is None, "two have that name"
    assert task_kinds.WORK.agent("security-reviewer", catalog.Catalog((OWN,))) == OWN
    assert task_kinds.kind_of(work_task(), WorkerKind.API).agent("", agents) is None


async def test_no_subagent_of_the_host_reviews_under_its_own_role(store: sqlite_store.Store) -> None:
    installed = frozenset({"security-reviewer", "writer"})
    assert task_kinds.kind_of(review_task(store), WorkerKind.HOST).subagents(installed) == frozenset()
    assert task_kinds.kind_of(work_task(), WorkerKind.HOST).subagents(installed) == installed


async def test_a_reviewer_is_shown_the_change_and_nothing_that_others_wrote(store: sqlite_store.Store) -> None:
    task = review_task(store)
    told = work_order.Upstream("before", model.Handoff(completed_work="trust me"))
    note = model.Message(run_id="r", sender="a", recipient="all", kind="information", text="pass it")
    kind = task_kinds.kind_of(task, WorkerKind.API)
    work, facts, *_ = await kind.prepare(store, BARE, order(task, upstream=(told,), messages=(note,)))
    assert facts == {}
    assert (work.upstream, work.messages) == ((), ())
    assert any("compute(2)" in block.text for block in work.material)
    text = kind.brief(work).text
    assert "compute(2)" in text
    assert "trust me" not in text
    assert "pass it" not in text


async def test_a_reviewers_prompt_does_not_say_where_it_stands_in_the_round(store: sqlite_store.Store) -> None:
    task = review_task(store)
    kind = task_kinds.kind_of(task, WorkerKind.API)
    work, *_ = await kind.prepare(store, BARE, order(task))
    assert "manifest" in task.inputs[review_tasks.INPUT]
    assert task.inputs[review_tasks.INPUT]["manifest"] not in kind.brief(work).text


async def test_a_reviewers_prompt_says_the_form_of_the_answer_once(store: sqlite_store.Store) -> None:
    task = review_task(store)
    kind = task_kinds.kind_of(task, WorkerKind.HOST)
    work, *_ = await kind.prepare(store, BARE, order(task))
    text = kind.brief(work).text
    assert [text.count(f'"{name}"') for name in ("verdict", "severity", "evidence")] == [1, 1, 1]


async def test_a_change_that_is_not_there_any_more_cannot_be_reviewed(store: sqlite_store.Store) -> None:
    task = review_task(store)
    lost = {**task.inputs[review_tasks.INPUT], "manifest": "0" * 64}
    gone = task.model_copy(update={"inputs": {review_tasks.INPUT: lost}})
    with pytest.raises(errors.UnknownHandle):
        await task_kinds.kind_of(gone, WorkerKind.API).prepare(store, BARE, order(gone))


async def test_a_review_is_judged_by_its_quotes(store: sqlite_store.Store) -> None:
    task = review_task(store)
    kind = task_kinds.kind_of(task, WorkerKind.API)
    answer = '{"verdict": "PASS", "files": ["app.py"], "findings": []}'
    passed = await kind.judge(store, BARE, claim_evidence.Claim(order(task), success(answer)))
    assert (passed.state, passed.unverified) == (AttemptState.SUCCEEDED, False)
    assert [receipt.kind for receipt in passed.receipts] == ["words"]


UNREAD = [
    '{"verdict": "PASS", "findings": []}',
    'I could not read the change.\n{"verdict": "PASS", "files": [], "findings": []}',
    '{"verdict": "PASS", "files": ["lib/other.rb"], "findings": []}',
    '{"verdict": "PASS", "findings": [{"severity": "low", "file": "lib/other.rb", "quote": "end", "claim": "long"}]}',
    "VERDICT: PASS",
    "VERDICT: PASS\nFILES: lib/other.rb\nFINDINGS: none",
]
READ = [
    '{"verdict": "PASS", "files": "app.py, lib/other.rb", "findings": []}',
    '{"verdict": "PASS", "files_read": [{"path": "./app.py"}], "findings": []}',
    '{"verdict": "PASS", "findings": [{"severity": "low", "file": "app.py", "quote": "new = 2", "claim": "x"}]}',
    "VERDICT: PASS\nFILES: `app.py`\nFINDINGS: none",
    '{"verdict": "PASS", "files": ["app.py"], "findings": [],}<\\system-reminder>',
]


@pytest.mark.parametrize(
    ("answer", "is_usable"), [*((text, False) for text in UNREAD), *((text, True) for text in READ)]
)
async def test_a_pass_counts_only_when_it_names_a_file_of_the_change_that_was_read(
    store: sqlite_store.Store, answer: str, *, is_usable: bool
) -> None:
    task = review_task(store)
    claim = claim_evidence.Claim(order(task), success(answer))
    outcome = await task_kinds.kind_of(task, WorkerKind.API).judge(store, BARE, claim)
    assert outcome.state is (AttemptState.SUCCEEDED if is_usable else AttemptState.FAILED), outcome.error
    assert outcome.retryable is not is_usable


@pytest.mark.parametrize("answer", ["Looks good to me.", '{"verdict": "FAIL", "findings": []}'])
async def test_an_answer_that_proves_nothing_is_asked_for_again(store: sqlite_store.Store, answer: str) -> None:
    task = review_task(store)
    kind = task_kinds.kind_of(task, WorkerKind.API)
    judged = await kind.judge(store, BARE, claim_evidence.Claim(order(task), success(answer)))
    assert (judged.state, judged.retryable) == (AttemptState.FAILED, True)
    assert "cannot be used" in judged.error


async def test_a_failure_is_a_failure_whatever_the_kind(store: sqlite_store.Store) -> None:
    failed = model.Outcome(state=AttemptState.FAILED, error="it broke", error_kind="worker")
    for task, worker in (
        (work_task(), WorkerKind.API),
        (review_task(store), WorkerKind.API),
        (work_task(), WorkerKind.HUMAN),
    ):
        kind = task_kinds.kind_of(task, worker)
        assert await kind.judge(store, BARE, claim_evidence.Claim(order(task, worker), failed)) == failed


async def test_what_a_person_says_stands_even_where_proof_was_asked_for(store: sqlite_store.Store) -> None:
    task = work_task(acceptance=("The tests pass",), files=("a.py",))

    class Doubtful:
        async def before(self, work: work_order.WorkOrder) -> dict[str, Any]:
            return {}

        async def receipts(
            self, work: work_order.WorkOrder, before: Mapping[str, model.Json], around: ports.Surroundings
        ) -> ports.Evidence:
            return ports.Evidence((model.Receipt(kind="exit_code", ok=False, detail="no"),))

    services = attempt_services.AttemptServices(verifier=Doubtful())
    claim = claim_evidence.Claim(order(task), success())
    assert await task_kinds.DECISION.judge(store, services, claim) == claim.outcome
    assert await task_kinds.WORK.judge(store, services, claim) != claim.outcome


@pytest.mark.parametrize(("worker", "is_heard"), [(WorkerKind.API, True), (WorkerKind.SCRIPTED, False)])
async def test_a_judgement_that_nobody_asked_for_is_heard_of_a_model_and_not_of_a_program(
    store: sqlite_store.Store, worker: WorkerKind, *, is_heard: bool
) -> None:
    task = work_task(do="Check whether the login page is secure")
    claim = claim_evidence.Claim(order(task, worker), success("Verdict: FAIL\nThe page takes any password."))
    outcome = await task_kinds.WORK.judge(store, BARE, claim)
    assert (outcome.state is AttemptState.FAILED) == is_heard


async def test_only_an_advocate_can_be_needless(store: sqlite_store.Store) -> None:
    task = work_task()
    await store.save_plan(model.Plan(id="p", tasks=(task,)), records.LOCAL)
    await store.create_run(records.NewRun(id="r", plan_id="p", plan_version=1, worker=WorkerKind.HOST))
    view = await run_view.load(store, "r", records.LOCAL)
    for kind in (task_kinds.WORK, task_kinds.DECISION, task_kinds.kind_of(review_task(store), WorkerKind.API)):
        assert await kind.needless(store, attempt_services.BARE, view) is None


def test_the_fence_around_data_cannot_be_guessed_from_the_task_alone() -> None:
    task = work_task()
    mine = dataclasses.replace(order(task), last_error="some data")
    one = task_kinds.brief(mine).text
    again = task_kinds.brief(mine).text
    other = task_kinds.brief(dataclasses.replace(mine, run_id="s" * 32)).text
    assert one == again
    assert one != other
