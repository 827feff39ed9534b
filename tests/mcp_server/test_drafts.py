"""Requests and their parts as an assistant sends them: words come back as they were, and no task is made up."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Final

import memory_client
import pytest

from dispatch_mcp.planning.drafts import patterns

pytestmark = pytest.mark.anyio
NAMES: Final = [shape.name for shape in patterns.SHAPES]
SUBJECTS: Final = (
    (
        "Implement the user API with JWT, then the frontend, then integration tests",
        ("Implement the user API with JWT", "the frontend", "integration tests"),
    ),
    (
        "Write user docs, add a Redis cache to the API, and investigate the slow login; they are independent",
        ("Write user docs", "add a Redis cache to the API", "investigate the slow login"),
    ),
    (
        "Sửa lỗi đăng nhập rồi viết kiểm thử và cập nhật tài liệu",
        ("Sửa lỗi đăng nhập", "viết kiểm thử", "cập nhật tài liệu"),
    ),
    (
        "¿Por qué perdemos pedidos? Revisa la cola y el pago; después corrige el «estado» {nuevo}",
        ("¿Por qué perdemos pedidos? Revisa la cola", "Revisa el pago", "corrige el «estado» {nuevo}"),
    ),
    (
        "注文、在庫、請求の各サービスに監査ログを追加 🧾\n二行目",
        ("注文に監査ログを追加 🧾", "在庫に監査ログを追加\n二行目", "請求に監査ログを追加"),
    ),
    (
        "Der Export bricht ab. Ursache finden, beheben, und dem Kunden schreiben!",
        ("Ursache finden", "den Abbruch des Exports beheben", "dem Kunden schreiben"),
    ),
    (
        'Rename `total` to "sum_of" in lib/cart.py; update callers & docs <b>only</b>',
        ('Rename `total` to "sum_of" in lib/cart.py', "update callers", "update docs <b>only</b>"),
    ),
    (
        "# Launch\n- landing page\n- price list\n- mail to customers\n\nDo not deploy anything.",
        ("Write the landing page", "Write the price list", "Write the mail to customers. Do not deploy anything."),
    ),
)
"""Eight requests in five languages; through each of the six patterns these are 48."""


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[memory_client.Desk]:
    chosen = memory_client.settings(tmp_path / "home", memory_client.repository(tmp_path / "shop"))
    async with memory_client.desk(memory_client.make_server(chosen)) as client:
        yield client


async def test_a_request_alone_comes_back_verbatim_with_agents_and_what_to_fill_and_without_tasks(
    desk: memory_client.Desk,
) -> None:
    for request_text, _ in SUBJECTS:
        answer = await desk.call("plan_dag", request=request_text)
        assert answer["request"] == request_text
        assert answer["pattern"] in {*NAMES, "unsure"}
        assert answer["parts"]
        assert answer["agents"]
        assert answer["fill"]
        assert not {"tasks", "plan_id", "waves"} & answer.keys()
    assert await desk.known("plan_id") == []


@pytest.mark.slice(3)
@pytest.mark.parametrize("pattern", NAMES)
async def test_every_part_is_the_goal_of_exactly_one_task_of_the_stored_plan(
    desk: memory_client.Desk, pattern: str
) -> None:
    for request_text, parts in SUBJECTS:
        await check_parts(desk, pattern, request_text, parts)


async def check_parts(desk: memory_client.Desk, pattern: str, request_text: str, parts: tuple[str, ...]) -> None:
    answer = await desk.call("plan_dag", request=request_text, pattern=pattern, parts=list(parts))
    plan = json.loads(await desk.read(f"dispatch://plans/{answer['plan_id']}"))
    goals = [task["do"] for task in plan["tasks"]]
    assert [sum(part in goal for goal in goals) for part in parts] == [1] * len(parts)
    assert [sum(part in task.get("do", "") for task in answer["tasks"].values()) for part in parts] == [1] * len(parts)
    assert (plan["request"], plan["pattern"]) == (request_text, pattern)
    own = [task["id"] for task in plan["tasks"] if not any(part in task["do"] for part in parts)]
    assert sorted(answer.get("added", {})) == sorted(own)


async def test_what_a_pattern_adds_stands_first_and_can_be_refused(desk: memory_client.Desk) -> None:
    answer = await desk.call("plan_dag", pattern="phased-rollout", parts=["Add the audit table", "Log payments"])
    assert list(answer)[:2] == ["added", "refuse"]
    assert answer["added"] == {"verify": "pattern phased-rollout"}
    assert f"base_version={answer['version']}, edits) with {{op: remove, id: verify}}" in answer["refuse"]
    edit: dict[str, Any] = {"op": "remove", "id": "verify"}
    after = await desk.call("plan_dag", plan_id=answer["plan_id"], base_version=1, edits=[edit])
    assert "added" not in after
    plan = json.loads(await desk.read(f"dispatch://plans/{answer['plan_id']}"))
    assert [task["do"] for task in plan["tasks"]] == ["Add the audit table", "Log payments"]


LOOP: dict[str, Any] = {"pattern": "feedback-loop", "parts": ["Add the audit table"]}


@pytest.mark.parametrize("names", [["approve"], ["review"], ["review", "approve"], ["approve", "review"]])
async def test_the_review_and_the_decision_of_a_feedback_loop_can_be_refused_by_an_edit(
    desk: memory_client.Desk, names: list[str]
) -> None:
    answer = await desk.call("plan_dag", **LOOP)
    assert {"review", "approve"} <= answer["added"].keys()
    edits = [{"op": "remove", "id": name} for name in names]
    await desk.call("plan_dag", plan_id=answer["plan_id"], base_version=1, edits=edits)
    plan = json.loads(await desk.read(f"dispatch://plans/{answer['plan_id']}"))
    assert {task["id"] for task in plan["tasks"]}.isdisjoint(names)
    assert {"review", "approve"} - {*names} <= {task["id"] for task in plan["tasks"]}


@pytest.mark.parametrize("has_begun", [True, False])
async def test_a_decision_that_work_waits_for_or_that_a_run_has_stays_a_persons(
    desk: memory_client.Desk, *, has_begun: bool
) -> None:
    answer = await desk.call("plan_dag", **LOOP)
    version = 1
    if has_begun:
        await desk.call("dispatch", plan_id=answer["plan_id"])
    else:
        ship = {"op": "add", "id": "ship", "task": {"do": "Ship it", "deps": ["approve"]}}
        await desk.call("plan_dag", plan_id=answer["plan_id"], base_version=1, edits=[ship])
        version = 2
    edit = {"op": "remove", "id": "approve"}
    with pytest.raises(memory_client.Refused, match="a person's decision"):
        await desk.call("plan_dag", plan_id=answer["plan_id"], base_version=version, edits=[edit])


async def test_a_plan_of_parts_can_be_dispatched_as_it_is(desk: memory_client.Desk) -> None:
    answer = await desk.call("plan_dag", request="x", pattern="api-first", parts=["Design the API", "Build the server"])
    run = await desk.call("dispatch", plan_id=answer["plan_id"])
    assert [given["task_id"] for given in run["assignments"]] == ["design-the-api"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"parts": ["Fix it"]}, "Parts need a pattern (got '')"),
        ({"parts": ["a"], "tasks": [{"id": "a", "do": "x"}], "pattern": "single"}, "Both 1 tasks and 1 parts"),
        ({"parts": ["a"], "pattern": "waterfall"}, "no pattern 'waterfall'"),
        ({"request": "Fix it", "pattern": "waterfall"}, "no pattern 'waterfall'"),
        ({"parts": ["a", " "], "pattern": "single"}, "parts[1]"),
        ({"parts": ["a", "b" * 20_001], "pattern": "consultation"}, "parts[1]"),
        ({}, "nothing to plan"),
    ],
    ids=["no pattern", "both", "unknown", "unknown alone", "blank", "long", "nothing"],
)
async def test_what_cannot_be_meant_so_is_refused(
    desk: memory_client.Desk, arguments: dict[str, Any], says: str
) -> None:
    with pytest.raises(memory_client.Refused) as refused:
        await desk.call("plan_dag", **arguments)
    assert says in str(refused.value)


async def test_a_plan_of_six_parts_whose_words_come_back_is_answered_in_sixteen_hundred_characters(
    desk: memory_client.Desk,
) -> None:
    parts = [
        "Add the audit table",
        "Log logins",
        "Log payments",
        "Log exports",
        "Log changes of roles",
        "Show the log to admins",
    ]
    answer = await desk.call("plan_dag", request="Audit logging", pattern="sequential-handoff", parts=parts)
    assert len(json.dumps(answer, ensure_ascii=False, separators=(",", ":"))) <= 1_600
