"""The council of a plan through its judges and the state machine: every combination of what its seats may answer."""

from __future__ import annotations

import functools
import itertools
from collections.abc import AsyncGenerator, Iterator, Sequence
from pathlib import Path

import pytest
import reviewed_runs
from thoroughness import FULL

from dispatch_mcp import model
from dispatch_mcp.engine import attempt_services, claim_evidence, plan_council, run_view, task_kinds
from dispatch_mcp.model import AttemptState, RunState, TaskState, WorkerKind, records, transitions, work_order
from dispatch_mcp.review import answer_parser, council_decision, plan_reviews
from dispatch_mcp.runs import state_machine
from dispatch_mcp.store import sqlite_store

pytestmark = pytest.mark.anyio

ALL = frozenset(WorkerKind)
DONE = model.Outcome(state=AttemptState.SUCCEEDED)
FILES = {"work": ("app/cart.py",)}
CASES = list(itertools.product(("PASS", "FAIL", ""), ("critical", "high", "medium", "low", "")))
"""Every answer of one seat: PASS, FAIL or no verdict, each with or without a finding of a severity."""

PASSING = {
    place for place, (word, severity) in enumerate(CASES) if word == "PASS" and severity in ("medium", "low", "")
}


@functools.cache
def plan_of(seats: int, rounds: int = 1) -> model.Plan:
    """Returns the plan of work, a council of so many seats, and what waits for its decision."""
    work = model.Task(id="work", do="Do it", files=FILES["work"])
    names = tuple(f"seat{number}" for number in range(seats))
    reviews = [
        model.Task(id=name, do="Review", deps=("work",), reviews=("work",), rounds=rounds, attempts=3) for name in names
    ]
    council = reviews[0].model_copy(update={"id": "council", "deps": ("work", *names), "joins": names})
    last = model.Task(id="last", do="Build on it", deps=("council",))
    return model.Plan(id="p", tasks=(work, *reviews, council, last), max_parallel=9)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[sqlite_store.Store]:
    async with sqlite_store.open_store(tmp_path / "state") as opened:
        await opened.save_plan(plan_of(1), records.LOCAL)
        await opened.create_run(records.NewRun(id="r", plan_id="p", plan_version=1, worker=WorkerKind.HOST))
        yield opened


def claimed(text: str) -> model.Outcome:
    return model.Outcome(state=AttemptState.SUCCEEDED, summary=text[:50], output=text, unverified=True)


async def seats(store: sqlite_store.Store, worker: WorkerKind) -> list[model.Outcome]:
    """Returns what the kind of a seat makes of every answer."""
    task = plan_of(1).tasks[1]
    view = await run_view.load(store, "r", records.LOCAL)
    work = work_order.WorkOrder(run_id="r", task=task, attempt=1, worker=worker)
    kind = task_kinds.kind_of(task, worker)
    texts = [reviewed_runs.verdict(word, *([severity] if severity else [])) for word, severity in CASES]
    return [
        await kind.judge(store, attempt_services.BARE, claim_evidence.Claim(work, claimed(text), {}, view))
        for text in texts
    ]


def decided(core: state_machine.RunCore, outcomes: Sequence[model.Outcome]) -> model.Outcome:
    """Returns the outcome of the decision about what the seats came to, with an advocate who gives up."""
    reports = [
        plan_reviews.report(
            f"seat{number}",
            answer_parser.answer_of(outcome) if core.row(f"seat{number}").state is TaskState.SUCCEEDED else "",
            None,
        )
        for number, outcome in enumerate(outcomes)
    ]
    if council_decision.is_unanimous(reports):
        reports.append(plan_reviews.report("advocate", reviewed_runs.PASS, None, role="advocate"))
    return plan_council.outcome_of(council_decision.decide(reports), FILES, claimed(""))


def ended(outcomes: Sequence[model.Outcome], worker: WorkerKind, rounds: int) -> state_machine.RunCore:
    """Returns a run in which each seat gives one of the answers, again and again, played to its end."""
    core, now = state_machine.RunCore.begin("r", plan_of(len(outcomes), rounds), worker), 0.0
    while not core.over:
        for start in core.next(now, ALL):
            outcome = decided(core, outcomes) if start.task_id == "council" else DONE
            if start.task_id.startswith("seat"):
                outcome = outcomes[int(start.task_id[4:])]
            assert core.finish(transitions.Finished(start.task_id, start.attempt, outcome), now)
        now = max(now, core.waiting_until() or now)
    return core


def multisets() -> Iterator[tuple[int, ...]]:
    """Yields the answers of up to five; of more than three, in `make test`, where no more than two answers differ."""
    for count in range(6):
        for chosen in itertools.combinations_with_replacement(range(len(CASES)), count):
            if FULL or count <= 3 or len(set(chosen)) <= 2:
                yield chosen


@pytest.mark.chaos
@pytest.mark.promise("R16")
@pytest.mark.parametrize("worker", [WorkerKind.HOST, WorkerKind.API])
@pytest.mark.slice(2)
async def test_no_combination_of_seats_lets_through_what_a_usable_pass_of_everybody_does_not(
    store: sqlite_store.Store, worker: WorkerKind
) -> None:
    judged = await seats(store, worker)
    seen = 0
    for chosen in multisets():
        seen += 1
        if not chosen:
            assert council_decision.decide([]).outcome == "INCONCLUSIVE"
            continue
        core = ended([judged[place] for place in chosen], worker, rounds=1 + seen % 2)
        began = core.row("last").attempt > 0
        assert began is PASSING.issuperset(chosen), [CASES[place] for place in chosen]
        assert core.state in ({RunState.SUCCEEDED} if began else {RunState.NEEDS_CHANGES, RunState.INCONCLUSIVE})
    assert seen == (15_504 if FULL else 1_581)


async def test_a_seat_that_answers_in_the_form_decides_nothing_by_itself(store: sqlite_store.Store) -> None:
    judged = await seats(store, WorkerKind.HOST)
    usable = {place for place, (word, severity) in enumerate(CASES) if word == "PASS" or (word == "FAIL" and severity)}
    assert {place for place, one in enumerate(judged) if one.state is AttemptState.SUCCEEDED} >= usable
    assert not any(outcome.error_kind == transitions.NEEDS_CHANGES for outcome in judged)


def seated() -> state_machine.RunCore:
    """Returns a run of a council of two that has just been asked."""
    core = state_machine.RunCore.begin("r", plan_of(2), WorkerKind.HOST)
    core.finish(transitions.Finished("work", core.next(0.0, ALL)[0].attempt, DONE), 0.0)
    assert [start.task_id for start in core.next(0.0, ALL)] == ["seat0", "seat1"]
    return core


def test_a_seat_that_is_lost_leaves_the_decision_to_the_others() -> None:
    core = seated()
    lost = model.Outcome(state=AttemptState.FAILED, error="refused", error_kind="refusal")
    core.finish(transitions.Finished("seat0", 1, lost), 0.0)
    assert (core.row("seat0").state, core.row("seat0").cause) == (TaskState.UNVERIFIED, "refusal")
    core.finish(transitions.Finished("seat1", 1, DONE), 0.0)
    assert [start.task_id for start in core.next(0.0, ALL)] == ["council"]


def test_seats_whose_change_has_moved_are_asked_again_once() -> None:
    moved = model.Outcome(state=AttemptState.FAILED, error="moved", error_kind=transitions.MOVED)
    core = state_machine.RunCore.begin("r", plan_of(2), WorkerKind.HOST)
    begun: list[str] = []
    while not core.over:
        for start in core.next(0.0, ALL):
            begun.append(f"{start.task_id}-{start.attempt}")
            outcome = moved if start.task_id == "council" else DONE
            core.finish(transitions.Finished(start.task_id, start.attempt, outcome), 0.0)
    assert begun == ["work-1", "seat0-1", "seat1-1", "council-1", "seat0-2", "seat1-2", "council-2"]
    assert (core.row("council").cause, core.state) == (transitions.INCONCLUSIVE, RunState.INCONCLUSIVE)


def test_a_council_that_is_asked_again_asks_all_of_its_seats() -> None:
    core = ended([claimed(""), claimed("")], WorkerKind.HOST, 1)
    core.retry("council")
    assert [start.task_id for start in core.next(9.0, ALL)] == ["seat0", "seat1"]


def test_work_that_ends_after_a_council_has_passed_can_have_all_of_it_asked_again() -> None:
    core = seated()
    for name in ("seat0", "seat1"):
        core.finish(transitions.Finished(name, 1, DONE), 0.0)
    assert [start.task_id for start in core.next(0.0, ALL)] == ["council"]
    core.finish(transitions.Finished("council", 1, DONE), 0.0)
    assert [start.task_id for start in core.next(0.0, ALL)] == ["last"]
    again = DONE.model_copy(update={"asks_again": ("council", "work", "nobody")})
    core.finish(transitions.Finished("last", 1, again), 0.0)
    assert [start.task_id for start in core.next(9.0, ALL)] == ["seat0", "seat1"]
    assert core.row("work").state in model.TASK_DONE
    assert [note.kind for note in core.drain().notes].count("review_reopened") == 1


def test_who_lets_a_council_go_lets_its_seats_go() -> None:
    core = seated()
    core.skip("council", by_person=True)
    assert {core.row(name).state for name in ("seat0", "seat1", "council")} == {TaskState.SKIPPED}
    assert [start.task_id for start in core.next(0.0, ALL)] == ["last"]


def test_a_decision_that_blocks_is_kept_with_who_found_what_and_goes_back_with_its_words() -> None:
    report = plan_reviews.report("seat0", reviewed_runs.verdict("FAIL", "critical"), None)
    decision = council_decision.decide([report, plan_reviews.report("seat1", "I like it.", None)])
    [finding] = decision.findings
    outcome = plan_council.outcome_of(decision, FILES, claimed("x").model_copy(update={"retryable": True}))
    assert outcome.output == {
        "outcome": "BLOCK",
        "why": decision.why,
        "rules": decision.rules,
        "verdicts": {"seat0": "FAIL", "seat1": "none: it has no verdict"},
        "findings": [
            {
                "id": finding.id,
                "standing": finding.standing,
                "by": ["seat0"],
                "text": "critical: app/cart.py:2: A critical fault\nIt says: return sum(cart)\nEvidence: any number",
            }
        ],
    }
    assert (outcome.state, outcome.error_kind, outcome.sends_back) == (
        AttemptState.FAILED,
        transitions.NEEDS_CHANGES,
        ("work",),
    )
    assert outcome.error == outcome.output["findings"][0]["text"]
    assert (outcome.summary, outcome.retryable, outcome.unverified) == (f"BLOCK: {decision.why}", False, False)
    assert [(receipt.kind, receipt.ok, receipt.detail) for receipt in outcome.receipts] == [
        ("words", False, decision.why)
    ]


def test_a_decision_that_passes_is_done_and_hands_over_what_is_left_to_do() -> None:
    reports = [plan_reviews.report("seat0", reviewed_runs.verdict("PASS", "medium"), None)]
    reports.append(plan_reviews.report("advocate", reviewed_runs.PASS, None, role="advocate"))
    decision = council_decision.decide(reports)
    broken = claimed("x").model_copy(update={"state": AttemptState.FAILED, "error": "no", "error_kind": "host"})
    outcome = plan_council.outcome_of(decision, FILES, broken)
    assert (outcome.state, outcome.error, outcome.error_kind) == (AttemptState.SUCCEEDED, "", "")
    assert outcome.handoff.completed_work == "Reviewed: PASS."
    [todo] = outcome.handoff.open_questions
    assert "medium: app/cart.py:2: A medium fault" in todo
    assert [(receipt.kind, receipt.ok) for receipt in outcome.receipts] == [("words", True)]
