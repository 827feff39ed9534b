"""Mermaid pictures of plans."""

from __future__ import annotations

import random
import re

import pytest

from dispatch_mcp import model
from dispatch_mcp.planning import flowchart, plan_checks


def drawn(*tasks: model.Task, **more: model.Json) -> str:
    prepared = plan_checks.prepare(tasks, max_parallel=4)
    plan = model.Plan(id="p", tasks=prepared.tasks, added_edges=prepared.added_edges)
    return flowchart.mermaid(plan, prepared, **more)


def task(task_id: str, *deps: str, goal: str = "work", **more: model.Json) -> model.Task:
    return model.Task(id=task_id, goal=goal, deps=deps, **more)


def test_waves_are_subgraphs_and_the_critical_path_is_thick() -> None:
    text = drawn(task("a"), task("b", effort="S"), task("c", "a", "b"), task("d", "a", "c"))
    assert text == (
        "flowchart LR\n"
        '  subgraph w1["Wave 1"]\n'
        '    t0["a<br/>work"]\n'
        '    t1["b<br/>work"]\n'
        "  end\n"
        '  subgraph w2["Wave 2"]\n'
        '    t2["c<br/>work"]\n'
        "  end\n"
        '  subgraph w3["Wave 3"]\n'
        '    t3["d<br/>work"]\n'
        "  end\n"
        "  t0 ==> t2\n"
        "  t1 --> t2\n"
        "  t2 ==> t3\n"
    )


def test_added_edges_are_dotted() -> None:
    text = drawn(task("a", files=["x.py"]), task("b", effort="S", files=["x.py"]), task("c", effort="XL"))
    assert "  t0 -.-> t1\n" in text


def test_states_colour_the_tasks() -> None:
    states = {"a": model.TaskState.SUCCEEDED, "b": model.TaskState.FAILED, "c": model.TaskState.READY}
    text = drawn(task("a"), task("b"), task("c"), states=states)
    assert "  class t0 succeeded\n" in text
    assert "  class t1 failed\n" in text
    assert "ready" not in text


def test_big_plans_show_the_critical_path_and_say_what_is_left_out() -> None:
    tasks = [task(f"t{v}") for v in range(100)] + [task("last", "t99", effort="XL")]
    text = drawn(*tasks)
    assert text.count("<br/>") == flowchart.MAX_NODES
    assert '  more["41 more tasks not shown"]' in text
    assert "  t99 ==> t100\n" in text


NASTY = (
    '"]',
    '"]; click t0 "javascript:alert(1)"',
    "```",
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "%%{init: {}}%%",
    "end",
    "a\nsubgraph x",
    "&quot;]",
    "#quot;]",
    "`**bold**`",
    "[x](http://evil)",
    "\u202eabc\u200b",
    "\x1b[31m",
    "a --> b",
    ":::danger",
)
LINE = re.compile(
    r'flowchart LR|  subgraph w\d+\["Wave \d+"\]|  end|  t\d+ (?:-->|==>|-\.->) t\d+|'
    r'    t\d+\["[\w.-]+(?:<br/>(?:\w|[ ,/_.-]|#\d+;|…)*)?"\]'
)


@pytest.mark.promise("S12")
def test_no_label_can_leave_its_quotes() -> None:
    rng = random.Random(40)
    for _ in range(100):
        goal = "".join(rng.choices(NASTY, k=rng.randint(1, 3)))
        for line in drawn(task("a", goal=goal), task("b", "a", goal=goal)).splitlines():
            assert LINE.fullmatch(line), line
