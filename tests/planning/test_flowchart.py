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
    return model.Task(id=task_id, do=goal, deps=deps, **more)


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


@pytest.mark.parametrize("count", [flowchart.MAX_NODES, flowchart.MAX_NODES + 1])
def test_a_plan_is_drawn_whole_up_to_the_limit(count: int) -> None:
    text = drawn(*(task(f"t{number}") for number in range(count)))
    assert text.count("<br/>") == flowchart.MAX_NODES
    assert ("more tasks not shown" in text) is (count > flowchart.MAX_NODES)


def test_waves_of_which_nothing_is_shown_are_not_drawn() -> None:
    chain = [task(f"c{number}", *([f"c{number - 1}"] if number else []), effort="XL") for number in range(58)]
    side = [task(f"s{number}", "c57", effort="S") for number in range(9)]
    text = drawn(*chain, *side, task("last", "s0", effort="S"))
    assert "subgraph w58" in text
    assert "subgraph w60" in text
    assert text.count("  subgraph") == text.count("  end")
    assert text.count('"]\n  end') == text.count("  subgraph")


def test_edges_that_others_imply_are_left_out() -> None:
    text = drawn(task("a"), task("b", "a"), task("c", "a", "b"))
    assert "t0 ==> t1" in text
    assert "t1 ==> t2" in text
    assert "t0 --> t2" not in text


def test_a_task_without_a_goal_has_its_id_alone_and_a_long_goal_is_cut() -> None:
    assert '    t0["a"]\n' in drawn(task("a", goal=""), task("b"), task("c"))
    text = drawn(task("a", goal="x" * 100), task("b"), task("c"))
    assert f"a<br/>{'x' * (flowchart.GOAL_CHARS - 1)}#8230;" in text


def test_every_colour_is_defined_before_it_is_used_and_only_if_it_is() -> None:
    states = {state.value: state for state in model.TaskState}
    tasks = [task(name) for name in states]
    text = drawn(*tasks, states=states)
    for name, state in states.items():
        place = text.find(f"  class t{list(states).index(name)} {state.value}\n")
        has_colour = state not in (model.TaskState.BLOCKED, model.TaskState.READY)
        assert (place > 0) is has_colour
        assert (0 < text.find(f"  classDef {state.value} fill:") < place) is has_colour
    assert "classDef" not in drawn(*tasks)


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (None, "pending"),
        (model.TaskState.BLOCKED, "pending"),
        (model.TaskState.READY, "pending"),
        (model.TaskState.RUNNING, "in_progress"),
        (model.TaskState.SUCCEEDED, "completed"),
        (model.TaskState.UNVERIFIED, "completed"),
        (model.TaskState.SKIPPED, "completed"),
        (model.TaskState.FAILED, "pending"),
        (model.TaskState.CANCELLED, "pending"),
    ],
)
def test_an_item_of_a_list_says_where_its_task_stands(state: model.TaskState | None, status: str) -> None:
    one = task("a", goal="Write it", priority="high")
    items = flowchart.todos([one, task("b")], {"a": state} if state else None)
    assert items[0] == {"content": "a: Write it", "status": status, "priority": "high"}
    assert items[1] == {"content": "b: work", "status": "pending", "priority": "medium"}


def test_an_item_of_a_list_is_cut_where_it_would_be_too_long() -> None:
    (item,) = flowchart.todos([task("a", goal="x" * 500)])
    assert len(item["content"]) == flowchart.MAX_CONTENT
    assert item["content"].startswith("a: xxx")
