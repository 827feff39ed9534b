"""Pictures of runs of any size, with retries, kills, costs, receipts, findings and messages: the same every time."""

from __future__ import annotations

import random
from typing import Any

from dispatch_mcp import model
from dispatch_mcp.model import TaskState
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.pages import run_picture
from dispatch_mcp.planning import graph, schedule
from dispatch_mcp.service import answers

VERBS = ("Add", "Test", "Document", "Rework", "Measure", "Review")
NOUNS = ("payments", "refunds", "sessions", "exports", "search", "the cart", "invoices", "webhooks")
MODELS = ("haiku", "sonnet", "opus")
AGENTS = ("eng-backend", "eng-frontend", "test-engineer", "tech-writer", "db-engineer")


def picture(size: int, *, over: bool = False, width: int = 0, names: tuple[str, ...] = ()) -> run_picture.RunPicture:
    """Returns a run of `size` tasks in waves of about `width`; `names` are the first goals, titles and messages."""
    dice = random.Random(size)
    width = width or max(2, min(12, size // 5))
    tasks = _tasks(size, width, dice, names)
    attempts, events, clock = _history(tasks, dice, size if over else int(size * 0.7))
    last = {event.task: event.becomes for event in events if event.becomes}
    tasks = [task.model_copy(update={"state": TaskState(last.get(at, "blocked"))}) for at, task in enumerate(tasks)]
    counts = {state: sum(task.state == state for task in tasks) for state in {task.state.value for task in tasks}}
    tokens = sum(attempt.tokens for attempt in attempts)
    head = answers.Trace(
        run_id="add-payments-shop-7f647a6e0bd11ec479aaeaca97dd8d8d",
        title=names[0] if names else "Add payments to the shop",
        state="partial" if over else "running",
        plan_version=2,
        counts=counts,
        spend=model.Usage(
            input_tokens=tokens // 3,
            output_tokens=tokens // 9,
            cache_read_tokens=tokens // 2,
            cost_usd=sum(a.cost or 0 for a in attempts),
        ),
        limits={"dollars": 60.0, "tokens": 40_000_000, "minutes": 120},
        blocked={
            task.id: "waits for a dependency" for task in tasks if task.state is TaskState.BLOCKED and len(task.id) < 9
        },
        next=NextStep(StepKind.READ_RUN),
        follow_ups=("council: medium: shop/refund.py:14: a refund of zero is accepted",),
    )
    return run_picture.RunPicture(
        run=head,
        began=1_760_000_000.0,
        over_at=1_760_000_000.0 + clock if over else None,
        now=1_760_000_000.0 + clock,
        revision=len(events),
        worker="claude",
        max_parallel=8,
        waves=1 + max(task.wave for task in tasks),
        tasks=tuple(tasks),
        attempts=tuple(attempts),
        events=tuple(events),
        results=_results(tasks, names),
        councils=_councils(),
        findings=_findings(names),
        messages=_messages(tasks, names),
    )


def _tasks(size: int, width: int, dice: random.Random, names: tuple[str, ...]) -> list[run_picture.TaskPicture]:
    specs: list[model.Task] = []
    for number in range(size):
        earlier = range(max(0, number - 2 * width), number - width + 1)
        deps = dice.sample(list(earlier), min(len(earlier), dice.choice((1, 1, 2, 3)))) if number >= width else []
        goal = names[number % len(names)] if names else f"{dice.choice(VERBS)} {dice.choice(NOUNS)}"
        words = goal.split() if not names else ["task"]
        specs.append(_spec(f"{words[-1]}-{number}", goal, *[specs[dep].id for dep in deps]))
    plan = graph.graph_of(specs)
    at = schedule.times(plan, [graph.minutes_of(task) for task in specs])
    waves = {node: wave for wave, nodes in enumerate(schedule.waves(plan)) for node in nodes}
    critical = frozenset(schedule.critical_path(plan, at))
    return [
        run_picture.TaskPicture(
            id=spec.id,
            goal=spec.goal,
            state=TaskState.BLOCKED,
            worker="claude" if dice.random() < 0.7 else "host",
            agent=dice.choice(AGENTS),
            model=dice.choice(MODELS),
            wave=waves[number],
            deps=tuple(plan.deps[number]),
            critical=number in critical,
            attempt=1,
            files=(f"shop/{spec.id}.py",),
        )
        for number, spec in enumerate(specs)
    ]


def _spec(task_id: str, goal: str, *deps: str) -> model.Task:
    fields = {"id": task_id, "do": f"{goal}, with a test that fails without it", "deps": deps}
    return model.Task.model_validate(fields)


def _history(
    tasks: list[run_picture.TaskPicture], dice: random.Random, begun: int
) -> tuple[list[run_picture.AttemptPicture], list[run_picture.EventPicture], float]:
    """Returns what up to `begun` tasks have gone through, on eight workers; the last four are at work."""
    free = [0.0] * 8
    attempts: list[run_picture.AttemptPicture] = []
    log: list[tuple[float, str, int, int, str, str]] = [(0.0, "run_created", -1, 0, "worker=claude", "")]
    log.append((0.05, "run_adopted", -1, 0, "epoch=1 crashed=False", ""))
    ends: dict[int, float] = {}
    for number, task in enumerate(tasks[:begun]):
        running = begun < len(tasks) and number >= begun - 4
        failures = 1 + (dice.random() < 0.12) + (dice.random() < 0.03)
        for attempt in range(1, failures + 1):
            lane = free.index(min(free))
            begins = max(free[lane], max([ends.get(dep, 0.0) for dep in task.deps], default=0.0)) + 0.2
            took = dice.uniform(8, 70)
            last = attempt == failures
            state = "succeeded" if last else dice.choice(("failed", "abandoned", "timed_out"))
            open_end = running and last
            free[lane] = ends[number] = begins + took
            used = dice.randint(8_000, 90_000)
            why = ("", "") if last else ("not_accepted", "Claimed to be done, but the receipts say otherwise")
            end = (None, 0, None) if open_end else (begins + took, used, used * 4e-6)
            word = "running" if open_end else state
            attempts.append(run_picture.AttemptPicture(number, attempt, word, task.worker, begins, *end, *why))
            log.append((begins, "attempt_started", number, attempt, "", "running"))
            if not open_end:
                after = ("unverified" if dice.random() < 0.15 else "succeeded") if last else "ready"
                if last and dice.random() < 0.02:
                    after = "failed"
                kind = "attempt_abandoned" if state == "abandoned" else "attempt_finished"
                log.append((begins + took, kind, number, attempt, f"state={state}", after))
    over = max(free)
    log.append((over * 0.4, "run_adopted", -1, 0, "epoch=2 crashed=True", ""))
    log.sort(key=lambda line: line[0])
    events = [run_picture.EventPicture(seq, *line) for seq, line in enumerate(log, start=1)]
    return attempts, events, over


def _results(tasks: list[run_picture.TaskPicture], names: tuple[str, ...]) -> dict[str, run_picture.ResultPicture]:
    text = names[0] if names else "Added the endpoint and its tests.\ndecided: amounts are integers of cents"
    ok = run_picture.ReceiptPicture("ok", "`command: pytest -q`: exit code 0, 12 passed")
    diff = run_picture.ReceiptPicture("seen", "changed: shop/payment.py, tests/test_payment.py")
    open_one = run_picture.ReceiptPicture("unproven", "`it reads well`: nobody could check that")
    return {
        task.id: run_picture.ResultPicture(
            text=text, receipts=(ok, diff) if task.state is TaskState.SUCCEEDED else (open_one,)
        )
        for task in tasks
        if task.state.value in {"succeeded", "unverified"}
    }


def _councils() -> tuple[run_picture.CouncilPicture, ...]:
    verdicts = {"rev-security": "FAIL", "rev-tests": "PASS", "rev-design": "PASS"}
    return (
        run_picture.CouncilPicture(
            task="council", outcome="BLOCK", why="1 high finding of rev-security stands.", verdicts=verdicts
        ),
    )


def _findings(names: tuple[str, ...]) -> tuple[run_picture.FindingPicture, ...]:
    lines = [
        (" ", 11, "def refund(payment, amount):", False),
        ("+", 12, "    if amount > payment.amount:", False),
        ("+", 13, "        raise ValueError(amount)", False),
        ("+", 14, "    payment.refunded += amount", True),
        (" ", 15, "    return payment", False),
    ]
    claim = names[0] if names else "Two refunds in parallel can give back more than was paid."
    return (
        run_picture.FindingPicture(
            id="9a7af7b8",
            task="council",
            severity="high",
            standing="open",
            file="shop/refund.py",
            line=14,
            claim=claim,
            evidence="The check and the addition are not in one transaction.",
            fix="Update with a condition on the row.",
            reviewers=("rev-security", "rev-design"),
            lines=tuple(run_picture.LinePicture(*line) for line in lines),
        ),
        run_picture.FindingPicture(
            id="1b2c3d4e",
            task="council",
            severity="medium",
            standing="todo",
            file="docs/refunds.md",
            line=3,
            quote="Refunds are immediate.",
            claim="The page promises more than the code does.",
            reviewers=("rev-tests",),
        ),
    )


def _messages(tasks: list[run_picture.TaskPicture], names: tuple[str, ...]) -> tuple[run_picture.MessagePicture, ...]:
    first, last = tasks[0].id, tasks[-1].id
    text = names[0] if names else "The column is called `amount_cents`, not `amount`."
    return (
        run_picture.MessagePicture(
            at=14.2, sender=first, recipient=last, kind="information", text=text, readers=(last,)
        ),
        run_picture.MessagePicture(
            at=41.0,
            sender=last,
            recipient="orchestrator",
            kind="warning",
            text="The webhook has no retry; somebody should decide.",
        ),
    )


def document(size: int, **how: Any) -> model.Json:
    """Returns a picture as the page reads it."""
    return picture(size, **how).wire(lambda step: f"Read the run ({step.kind.value}).")
