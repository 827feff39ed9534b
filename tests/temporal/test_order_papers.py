from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import pytest

from dispatch_mcp import model
from dispatch_mcp.model import WorkerKind, transitions, work_order
from dispatch_mcp.temporal import order_papers, papers
from dispatch_mcp.text import fences

TASK = model.Task(id="a", do="Do it", files=("x.py",), inputs={"n": [1, {"deep": None}]})
BARE = work_order.WorkOrder("run", TASK, 2, WorkerKind.CLAUDE)
FULL = dataclasses.replace(
    BARE,
    key="k",
    workspace="/there",
    timeout_s=12.5,
    agent_prompt="Be kind.",
    model="some-model",
    upstream=(work_order.Upstream("z", model.Handoff(completed_work="did it"), {"port": 8080}, "sum", True),),
    last_beat={"session_id": "s", "spent": {"input_tokens": 3}},
    directory="/there/copy",
    tools=("Read", "Edit"),
    ceiling=model.TaskLimits(dollars=1.5, tokens=1000),
    isolation="own",
    rank=3,
    base="abc",
    notices=("look", "there"),
    declarations=("a.py",),
    material=(fences.Data("diff", "a.diff", "+a\n"),),
    guides=(work_order.Guide("rules", "AGENTS.md", "Be brief."),),
    schema={"type": "object"},
    objections=(work_order.Objection("review", "no"),),
    sent_back=1,
    stand_ins=(model.StandIn("other", "sub"),),
    is_role_instruction=False,
)


@pytest.mark.parametrize("work", [BARE, FULL])
def test_an_order_comes_back_as_it_was(work: work_order.WorkOrder) -> None:
    assert order_papers.order_of(order_papers.order_bytes(work)) == work


def test_every_field_of_an_order_is_held_by_the_full_example_or_known_to_be_alike() -> None:
    same = {
        field.name
        for field in dataclasses.fields(work_order.WorkOrder)
        if getattr(FULL, field.name) == getattr(BARE, field.name)
    }
    assert same == {
        *("run_id", "task", "attempt", "worker", "messages", "news", "last_error", "effort", "git_log"),
        *("gathered", "gathered_at", "gap", "follows", "answer_form", "schema_form", "no_role"),
    }


@pytest.mark.parametrize(
    ("change", "culprit"),
    [
        ({"urgency": 3}, "urgency"),
        ({"task": ...}, "task"),
        ({"attempt": "second"}, "second"),
        ({"worker": "robot"}, "robot"),
        ({"isolation": "nowhere"}, "nowhere"),
    ],
)
def test_an_order_that_another_version_wrote_is_refused_by_the_name_of_what_is_wrong(
    change: dict[str, object], culprit: str
) -> None:
    values = {**json.loads(order_papers.order_bytes(BARE)), **change}
    data = json.dumps({name: value for name, value in values.items() if value is not ...}).encode()
    with pytest.raises(ValueError, match=culprit):
        order_papers.order_of(data)


def test_what_nobody_has_set_takes_no_room() -> None:
    assert len(order_papers.order_bytes(BARE)) < 600


@pytest.mark.parametrize(
    "start",
    [
        transitions.Start("a", 1, WorkerKind.API, "key"),
        transitions.Start(
            "b", 3, WorkerKind.COMMAND, "", model.TaskLimits(minutes=2, attempts=4), (model.StandIn("x", ""),)
        ),
    ],
)
def test_a_start_comes_back_as_it_was(start: transitions.Start) -> None:
    assert order_papers.start_of(order_papers.start_paper(start)) == start


def test_an_order_for_another_place_names_nothing_of_the_first() -> None:
    moved = order_papers.elsewhere(dataclasses.replace(FULL, git_log="/there/log"), "/here", "/here")
    assert (moved.workspace, moved.directory, moved.git_log) == ("/here", "/here", "")
    assert moved.task == FULL.task


def test_a_paper_of_a_run_says_after_how_many_events_it_goes_on() -> None:
    assert 1_000 <= papers.RunPaper("run").most_events <= 25_000


def test_the_server_and_the_embedded_engine_load_nothing_of_temporal_or_telemetry() -> None:
    program = (
        "import sys\n"
        "from dispatch_mcp import composition\n"
        "from dispatch_mcp.cli.commands import serve, worker\n"
        "from dispatch_mcp.mcp_server import server, tools\n"
        "heavy = ('temporalio', 'opentelemetry.sdk', 'dispatch_mcp.temporal')\n"
        "print([name for name in sys.modules if name.startswith(heavy)])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
