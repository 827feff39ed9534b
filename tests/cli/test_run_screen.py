"""One screen of a run: lanes, clock, reasons and keys, in terminals of any size."""

from __future__ import annotations

from typing import Any

import pytest
from rich import cells

from dispatch_mcp import model
from dispatch_mcp.cli.live import keyboard, run_screen
from dispatch_mcp.engine import run_view
from dispatch_mcp.model import AttemptState, RunState, TaskState, WorkerKind, records
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.service import answers

STATES = {
    "schema": TaskState.SUCCEEDED,
    "api": TaskState.RUNNING,
    "page": TaskState.BLOCKED,
    "mail": TaskState.FAILED,
    "docs": TaskState.READY,
}
NASTY = "\x1b]0;owned\x07\x1b[2J"


def view(states: dict[str, TaskState], **run: Any) -> run_view.RunView:
    tasks = tuple(model.Task(id=name, do=f"Do {name} as {NASTY} said") for name in states)
    plan = model.Plan(id="shop-1", tasks=tasks)
    rows = [
        records.TaskRecord(name, at, WorkerKind.CLAUDE, state, attempt=int(state is not TaskState.BLOCKED))
        for at, (name, state) in enumerate(states.items())
    ]
    fields: dict[str, Any] = {"state": RunState.RUNNING, "created_at": 1_000.0, **run}
    record = records.RunRecord(id="shop-7f3a", plan_id="shop-1", plan_version=1, worker=WorkerKind.CLAUDE, **fields)
    return run_view.RunView(record, plan, rows)


def attempt(task: str, begun: float, ended: float | None = None, **more: Any) -> records.AttemptRecord:
    state = AttemptState.RUNNING if ended is None else AttemptState.SUCCEEDED
    times: dict[str, Any] = {"started_at": begun, "ended_at": ended, "state": state, **more}
    return records.AttemptRecord(run_id="r", task_id=task, attempt=1, worker=WorkerKind.CLAUDE, **times)


def screen(states: dict[str, TaskState] = STATES, **more: Any) -> run_screen.RunScreen:
    trace = answers.Trace(
        run_id="shop-7f3a",
        title="Add payments",
        spend=model.Usage(input_tokens=1_200, cost_usd=0.5),
        limits={"dollars": 2.0},
        left={"dollars": 1.5},
        blocked={"page": "waits for api (running)"},
        next=NextStep(StepKind.READ_RUN),
    )
    attempts = (
        attempt("schema", 1_000.0, 1_042.0),
        attempt("api", 1_050.0),
        attempt("mail", 1_000.0, 1_007.0, state=AttemptState.FAILED, error="no relay", error_kind="bad_call"),
    )
    fields: dict[str, Any] = {"keys": run_screen.KEYS_OF_LEAVER, **more}
    return run_screen.RunScreen(view(states), trace, attempts, 1_125.0, **fields)


def text(shown: run_screen.RunScreen, width: int = 80, height: int = 24) -> list[str]:
    return [line.plain.rstrip() for line in shown.lines(width, height)]


def test_a_screen_says_how_far_the_run_is_what_it_cost_and_what_each_task_does() -> None:
    lines = text(screen())
    assert lines[0] == "Add payments"
    assert "running · 2 of 5 · 2:05" in lines[1]
    assert "used 1,200 tokens, $0.50" in lines[2]
    assert "left: dollars 1.5 of 2" in lines[3]
    lanes = {line.split()[0]: line for line in lines if line.startswith("  ")}
    assert "done     42 s" in lanes["schema"]
    assert "at work  claude · 1:15" in lanes["api"]
    assert lanes["page"].endswith("waits for api (running)")
    assert lanes["mail"].endswith("failed   7 s · bad_call")
    assert lines[-1] == "p pause · c cancel · ↑↓ choose · d details · q leave"


def test_a_lane_at_work_pretends_no_share() -> None:
    shown = screen()
    places: set[int] = set()
    for tenth in range(20):
        shown.now = 1_125.0 + tenth / 10
        [lane] = [line for line in shown.lines(80, 24) if line.plain.startswith("  api")]
        places.update(span.start for span in lane.spans if span.style == "bold cyan")
        assert lane.plain.count("━") == run_screen.BAR
    assert len(places) > 5, "only the bright part moves"


@pytest.mark.parametrize("width", [20, 40, 59, 60, 80, 200])
@pytest.mark.parametrize("height", [8, 24, 60])
@pytest.mark.parametrize("detailed", [False, True])
def test_a_screen_fits_its_terminal(width: int, height: int, *, detailed: bool) -> None:
    many = {f"task-{number}-{'long-' * (number % 9)}name": list(TaskState)[number % 8] for number in range(300)}
    lines = screen(many, is_detailed=detailed, place=150).lines(width, height)
    assert max(cells.cell_len(line.plain) for line in lines) <= width
    assert len(lines) <= height


def test_of_many_tasks_those_around_the_first_open_one_are_shown() -> None:
    many = {f"t{number}": TaskState.SUCCEEDED if number < 120 else TaskState.READY for number in range(300)}
    lines = text(screen(many))
    assert any(line.startswith("  t120 ") for line in lines)
    assert any(line.strip().endswith("of 300 tasks") for line in lines)


def test_details_tell_of_the_chosen_task_alone() -> None:
    lines = text(screen(place=3, is_detailed=True))
    at = next(number for number, line in enumerate(lines) if line.startswith("> mail"))
    assert lines[at + 1].strip().startswith("Do mail")
    assert "try 1: failed, no relay" in "\n".join(lines)
    assert "Do api" not in "\n".join(lines)


def test_no_text_of_a_plan_reaches_the_terminal_as_a_command() -> None:
    assert "\x1b" not in "".join(text(screen(place=1, is_detailed=True)))


def test_a_paused_run_offers_to_go_on() -> None:
    shown = screen()
    shown.view = view(STATES, state=RunState.PAUSED, paused=True)
    assert text(shown)[-1].startswith("p resume")


def test_without_a_keyboard_no_keys_are_named() -> None:
    assert "cancel" not in text(screen(keys=""))[-1]


def test_a_run_that_is_over_has_stopped_its_clock() -> None:
    shown = screen()
    shown.view = view(STATES, state=RunState.PARTIAL, finished_at=1_060.0)
    assert "partial · 2 of 5 · 1:00" in text(shown)[1]


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"q", ["q"]),
        (b"PC", ["p", "c"]),
        (b"\x1b[A\x1b[B", ["up", "down"]),
        (b"\x1bOA", ["up"]),
        (b"j\x1b[Bk", ["j", "down", "k"]),
        (b"\r", ["enter"]),
        (b"\x1b", []),
        (b"\x1b[5~", []),
        (b"\xff\xfe", []),
        ("é".encode(), ["é"]),
    ],
)
def test_bytes_of_a_terminal_are_keys(data: bytes, keys: list[str]) -> None:
    assert keyboard.keys_of(data) == keys
