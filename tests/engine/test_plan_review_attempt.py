"""Reviews of plans through the judge and the state machine: every combination of answers, and the server's own ones."""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
import reviewed_runs
from thoroughness import FULL

from dispatch_mcp import model
from dispatch_mcp.engine import attempt_services, claim_evidence, executor, plan_review_attempt, task_kinds
from dispatch_mcp.engine.driving import run_engine
from dispatch_mcp.git import diff_source, git_process, workspace_provider
from dispatch_mcp.model import AttemptState, RunState, WorkerKind, ports, records, transitions, work_order
from dispatch_mcp.process import child_environment
from dispatch_mcp.runs import state_machine
from dispatch_mcp.store import sqlite_store

pytestmark = pytest.mark.anyio

ALL = frozenset(WorkerKind)
WORK = model.Task(id="work", do="Do it", files=("app/cart.py",))
CASES = list(itertools.product(("PASS", "FAIL", ""), ("critical", "high", "medium", "low", "")))
"""Every answer of one reviewer: PASS, FAIL or no verdict, each with or without a finding of a severity."""


def answer(case: tuple[str, str]) -> str:
    word, severity = case
    return reviewed_runs.verdict(word, *([severity] if severity else []))


def review(name: str, *, rounds: int = 1) -> model.Task:
    return model.Task(id=name, do="Review it", deps=("work",), reviews=("work",), rounds=rounds, attempts=3)


def order(task: model.Task, worker: WorkerKind) -> work_order.WorkOrder:
    return work_order.WorkOrder(run_id="r", task=task, attempt=1, worker=worker)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[sqlite_store.Store]:
    async with sqlite_store.open_store(tmp_path / "state") as opened:
        plan = model.Plan(id="p", tasks=(WORK, review("a")))
        await opened.save_plan(plan, records.LOCAL)
        await opened.create_run(records.NewRun(id="r", plan_id="p", plan_version=1, worker=WorkerKind.HOST))
        yield opened


def claimed(text: str, worker: WorkerKind, *, says_failed: bool) -> model.Outcome:
    """Returns an outcome as the host's report, or a worker of the server, makes it of an answer."""
    if not says_failed:
        return model.Outcome(state=AttemptState.SUCCEEDED, summary=text[:50], output=text, unverified=True)
    kind = "host" if worker is WorkerKind.HOST else "no_handoff"
    return model.Outcome(
        state=AttemptState.FAILED, summary=text[:50], output=text, error="it failed", error_kind=kind, retryable=True
    )


async def outcomes(store: sqlite_store.Store, worker: WorkerKind, *, says_failed: bool) -> list[model.Outcome]:
    """Returns what the kind of a review makes of every answer."""
    kind = task_kinds.kind_of(review("a"), worker)
    return [
        await kind.judge(
            store,
            attempt_services.BARE,
            claim_evidence.Claim(order(review("a"), worker), claimed(answer(case), worker, says_failed=says_failed)),
        )
        for case in CASES
    ]


def multisets() -> Iterator[tuple[int, ...]]:
    """Yields the answers of up to five; of more than three, in `make test`, where no more than two answers differ."""
    for count in range(6):
        for chosen in itertools.combinations_with_replacement(range(len(CASES)), count):
            if FULL or count <= 3 or len(set(chosen)) <= 2:
                yield chosen


@functools.cache
def plan_of(count: int, rounds: int) -> model.Plan:
    """Returns the plan of work, so many reviews of it, and what waits for all of them."""
    reviews = tuple(review(f"r{number}", rounds=rounds) for number in range(count))
    last = model.Task(id="last", do="Build on it", deps=("work", *(task.id for task in reviews)))
    return model.Plan(id="p", tasks=(WORK, *reviews, last), max_parallel=9)


def ended(answers: Sequence[model.Outcome], worker: WorkerKind, rounds: int) -> state_machine.RunCore:
    """Returns a run in which each review gives one of the answers, again and again, played to its end."""
    core = state_machine.RunCore.begin("r", plan_of(len(answers), rounds), worker)
    done, now = model.Outcome(state=AttemptState.SUCCEEDED), 0.0
    while not core.over:
        for start in core.next(now, ALL):
            outcome = answers[int(start.task_id[1:])] if start.task_id.startswith("r") else done
            assert core.finish(transitions.Finished(start.task_id, start.attempt, outcome), now)
        now = max(now, core.waiting_until() or now)
    return core


PASSING = {
    place for place, (word, severity) in enumerate(CASES) if word == "PASS" and severity in ("medium", "low", "")
}
BLOCKING = {place for place, (word, severity) in enumerate(CASES) if word == "FAIL" or severity in ("critical", "high")}


@pytest.mark.parametrize("says_failed", [False, True])
@pytest.mark.parametrize("worker", [WorkerKind.HOST, WorkerKind.API])
async def test_an_answer_comes_to_the_same_whatever_whoever_reports_it_calls_its_end(
    store: sqlite_store.Store, worker: WorkerKind, *, says_failed: bool
) -> None:
    judged = await outcomes(store, worker, says_failed=says_failed)
    passed = {place for place, outcome in enumerate(judged) if outcome.state is AttemptState.SUCCEEDED}
    blocked = {place for place, one in enumerate(judged) if one.error_kind == transitions.NEEDS_CHANGES}
    assert (passed, blocked) == (PASSING, BLOCKING)


@pytest.mark.chaos
@pytest.mark.promise("R16")
@pytest.mark.parametrize("worker", [WorkerKind.HOST, WorkerKind.API])
async def test_no_combination_of_answers_lets_through_what_a_usable_pass_of_everybody_does_not(
    store: sqlite_store.Store, worker: WorkerKind
) -> None:
    judged = await outcomes(store, worker, says_failed=False)
    seen = 0
    for chosen in multisets():
        seen += 1
        core = ended([judged[place] for place in chosen], worker, rounds=1 + seen % 2)
        began = core.row("last").attempt > 0
        assert began is PASSING.issuperset(chosen), [CASES[place] for place in chosen]
        if not BLOCKING.isdisjoint(chosen):
            assert core.state is RunState.NEEDS_CHANGES
        else:
            assert core.state is (RunState.SUCCEEDED if began else RunState.INCONCLUSIVE)
    assert seen == (15_504 if FULL else 1_581)


async def test_a_reviewer_reads_the_servers_account_and_the_results_of_what_it_judges_alone(
    store: sqlite_store.Store,
) -> None:
    told = tuple(
        work_order.Upstream(name, model.Handoff(completed_work=f"{name} is done")) for name in ("work", "other")
    )
    kind = task_kinds.kind_of(review("a"), WorkerKind.API)
    work, *_ = await kind.prepare(
        store, attempt_services.BARE, replace(order(review("a"), WorkerKind.API), upstream=told)
    )
    account = next(block for block in work.material if block.kind == "account")
    assert account.source == "the server"
    assert "Work under review: work." in account.text
    text = kind.brief(work).text
    assert "work is done" in text
    assert "other is done" not in text


async def test_an_attempt_that_has_begun_is_shown_the_same_again(store: sqlite_store.Store) -> None:
    kind = task_kinds.kind_of(review("a"), WorkerKind.API)
    first = await kind.prepare(store, attempt_services.BARE, order(review("a"), WorkerKind.API))
    began = replace(order(review("a"), WorkerKind.API), last_beat=dict(first.beat))
    again = await kind.prepare(store, attempt_services.BARE, began)
    assert again.work.material == first.work.material
    assert again.beat == first.beat


@pytest.mark.parametrize("kind", ["timeout", "refusal", "no_worker", transitions.RATE_LIMIT])
async def test_trouble_of_a_worker_stays_what_it_was_unless_there_is_a_usable_answer(
    store: sqlite_store.Store, kind: str
) -> None:
    broken = model.Outcome(state=AttemptState.FAILED, error="trouble", error_kind=kind, retryable=True)
    claim = claim_evidence.Claim(order(review("a"), WorkerKind.API), broken)
    assert await plan_review_attempt.judge(store, None, claim) == broken
    said = broken.model_copy(update={"output": reviewed_runs.PASS})
    passed = await plan_review_attempt.judge(
        store, None, claim_evidence.Claim(order(review("a"), WorkerKind.API), said)
    )
    assert (passed.state, passed.error_kind, passed.retryable) == (AttemptState.SUCCEEDED, "", False)


class Team:
    """Does the work in its worktree and reviews it: blocks the first time, and passes once it is mended."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.prompts: dict[str, list[str]] = {}

    async def carry_out(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
        self.prompts.setdefault(work.task.id, []).append(task_kinds.brief(work).text)
        if work.task.reviews:
            text = self.answers.pop(0)
            return model.Outcome(state=AttemptState.SUCCEEDED, summary=text[:50], output=text, unverified=True)
        round_number = len(self.prompts[work.task.id])
        await (anyio.Path(work.cwd) / "app/cart.py").write_text(f"{reviewed_runs.BETTER}# {round_number}\n")
        return model.Outcome(state=AttemptState.SUCCEEDED, summary="wrote", usage=model.Usage(output_tokens=5))


async def run_of(
    home: Path,
    workspace: Path,
    team: Team,
    *tasks: model.Task,
    worker: WorkerKind = WorkerKind.API,
    is_undone: Callable[[str, Collection[str], model.Json], Awaitable[bool]] = plan_review_attempt.nobody_knows,
) -> tuple[RunState, dict[str, Any]]:
    policy = child_environment.ChildPolicy({"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]})
    git = git_process.Git(home, policy)
    services = attempt_services.AttemptServices(
        workspaces=workspace_provider.WorktreeProvider(git, home),
        evidence=plan_review_attempt.ReviewEvidence(diff_source.GitChanges(git), is_undone=is_undone),
    )
    async with (
        sqlite_store.open_store(home) as store,
        executor.open_engine(store, {worker: team}, pace=run_engine.Pace(look_s=0.01), services=services) as engine,
    ):
        plan = model.Plan(id="p", tasks=tasks, workspace=str(workspace))
        await store.save_plan(plan, records.LOCAL)
        new = records.NewRun(id="run", plan_id="p", plan_version=1, worker=worker, workspace=str(workspace))
        await store.create_run(new)
        await engine.start("run")
        with anyio.fail_after(120):
            async for _ in engine.events("run"):
                pass
        rows = {row.id: row for row in await store.tasks("run")}
        return (await engine.status("run")).state, rows


async def test_a_server_does_work_again_that_its_reviewer_blocks_and_shows_all_that_was_merged(tmp_path: Path) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    team = Team(reviewed_runs.verdict("FAIL", "critical"), "I cannot say.", reviewed_runs.PASS)
    last = model.Task(id="last", do="Build on it", deps=("work", "a"))
    state, rows = await run_of(tmp_path / "state", workspace, team, WORK, review("a", rounds=3), last)
    assert state is RunState.SUCCEEDED
    assert (rows["work"].attempt, rows["work"].rounds, rows["a"].attempt) == (2, 1, 3)
    assert "A critical fault" in team.prompts["work"][1]
    for shown, number in zip(team.prompts["a"], (1, 2, 2), strict=True):
        assert f"+# {number}" in shown
        assert "what was merged from worktrees" in shown
    assert ["earlier findings" in shown for shown in team.prompts["a"]] == [False, True, True]
    assert len(team.prompts["last"]) == 1


async def test_a_server_that_is_never_satisfied_ends_the_run_after_its_rounds(tmp_path: Path) -> None:
    workspace = reviewed_runs.shop(tmp_path / "shop")
    team = Team(*[reviewed_runs.verdict("FAIL", "critical")] * 2)
    last = model.Task(id="last", do="Build on it", deps=("work", "a"))
    state, rows = await run_of(tmp_path / "state", workspace, team, WORK, review("a", rounds=2), last)
    assert state is RunState.NEEDS_CHANGES
    assert {name: row.state.value for name, row in rows.items()} == {
        "work": "succeeded",
        "a": "failed",
        "last": "skipped",
    }
    assert "last" not in team.prompts


class Claimant(Team):
    """Works in the checkout and leaves nothing there, or a line, whatever it says of it; then passes all it reviews."""

    def __init__(self, outcome: model.Outcome, workspace: Path, line: str) -> None:
        super().__init__(*[reviewed_runs.PASS] * 2)
        self.outcome, self.workspace, self.line = outcome, workspace, line

    async def carry_out(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
        if work.task.reviews:
            return await super().carry_out(ctx, work)
        async with await (anyio.Path(self.workspace) / "app/cart.py").open("a") as file:
            await file.write(self.line)
        return self.outcome


DONE = model.Outcome(state=AttemptState.SUCCEEDED, summary="done")
SAYS = DONE.model_copy(update={"handoff": model.Handoff(completed_work="Done", files_modified=("app/new.py",))})
MEASURED = DONE.model_copy(update={"receipts": (model.Receipt(kind="diff", ok=True, detail="edited it"),)})
REFUTED = DONE.model_copy(update={"receipts": (model.Receipt(kind="diff", ok=False, checked=False, detail="idle"),)})


@pytest.mark.slice(3)
@pytest.mark.parametrize("line", ["", "# more\n"])
@pytest.mark.parametrize("is_undone", [True, False])
@pytest.mark.parametrize(
    ("outcome", "claims"),
    [(DONE, set[str]()), (SAYS, {"app/new.py"}), (MEASURED, {"app/cart.py"}), (REFUTED, set[str]())],
)
async def test_nobody_passes_work_that_was_accepted_with_a_change_of_which_nothing_is_left(
    tmp_path: Path, outcome: model.Outcome, claims: set[str], line: str, *, is_undone: bool
) -> None:
    async def undone(_workspace: str, files: Collection[str], _look: model.Json, /) -> bool:
        assert set(files) == claims
        return is_undone

    workspace = reviewed_runs.shop(tmp_path / "shop")
    team = Claimant(outcome, workspace, line)
    state, rows = await run_of(
        tmp_path / "state", workspace, team, WORK, review("a"), worker=WorkerKind.SCRIPTED, is_undone=undone
    )
    is_gone = bool(claims) and is_undone and not line
    assert state is (RunState.INCONCLUSIVE if is_gone else RunState.SUCCEEDED)
    assert rows["a"].attempt == 1, "to ask again brings no verdict"
    assert (f"{plan_review_attempt.GONE} Nobody can pass it." in team.prompts["a"][0]) is is_gone
    assert (plan_review_attempt.NO_LINE in team.prompts["a"][0]) is (not line and not is_gone)
