"""S10: what people and assistants write is stored without secrets, in every field of every call."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import memory_client
import pytest
import store_setup

from dispatch_mcp import composition, errors, model
from dispatch_mcp.engine import outcome_redaction
from dispatch_mcp.service import approvals
from dispatch_mcp.text import redaction

pytestmark = [pytest.mark.anyio, pytest.mark.promise("S10")]

TOKEN = "dp" + ".pt." + "a1B2c3D4" * 5
VALUE = "battery7staple"
BOTH = f"{TOKEN} {VALUE}"
TASK: dict[str, Any] = {
    "id": "a",
    "do": BOTH,
    "constraints": [BOTH],
    "output": [BOTH],
    "context": [f"rag:{TOKEN}"],
    "inputs": {"note": BOTH, "password": VALUE, "list": [BOTH]},
    "files": ["src/postgres/x.py"],
    "acceptance": [f"the log has no {TOKEN}"],
}


def planned(**fields: Any) -> model.Task:
    return model.Task.model_validate(fields)


async def test_no_field_of_a_plan_a_message_or_a_reason_keeps_a_secret(tmp_path: Path) -> None:
    home = tmp_path / "home"
    settings = memory_client.settings(home, memory_client.repository(tmp_path / "shop"))
    redactor = redaction.Redactor([VALUE, "postgres"])
    async with composition.open_dispatcher(settings, redactor=redactor) as app:
        human = {"id": "b", "do": BOTH, "worker": "human"}
        plan = (await app.plans.plan([TASK, human], request=BOTH)).plan
        run = await app.dispatch(plan_id=plan.id, worker="host", request_key=BOTH)
        assert (await app.dispatch(plan_id=plan.id, worker="host", request_key=BOTH)).run_id == run.run_id
        await app.send(model.Message(run_id=run.run_id, sender=BOTH, recipient="a", kind="request", text=BOTH))
        await app.report(run.run_id, [{"task_id": "a", "attempt": 1, "text": BOTH}])
        await app.decide(run.run_id, "b", approvals.PersonVerdict(approved=False, by="a test", reason=BOTH))
        await app.steer(run.run_id, "pause", "", BOTH)
        other = (await app.plans.plan([{"id": "a", "do": "Write it"}])).plan
        edited = await app.plans.edit(other.id, 1, [{"op": "add", "id": "c", "task": {"do": BOTH}}])
        assert "[redacted:" in edited.plan.tasks[-1].goal
        stored = await app.store.plan(plan.id, principal=app.principal)
    assert stored.tasks[0].files == ("src/postgres/x.py",), "a value that is an ordinary word leaves paths alone"
    kept = store_setup.everything_below(home)
    assert b"[redacted:" in kept
    assert TOKEN.encode() not in kept
    assert VALUE.encode() not in kept
    with closing(sqlite3.connect(home / "state.db")) as conn:
        assert conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_no_part_of_a_secret_is_kept_where_a_report_is_cut(tmp_path: Path) -> None:
    home = tmp_path / "home"
    settings = memory_client.settings(home, memory_client.repository(tmp_path / "shop"))
    limits = (1_200, 2_000, 4_000, 20_000)
    tasks = [{"id": f"t{number}", "do": f"Write part {number}", "agent": "Plan"} for number in range(len(limits) * 3)]
    async with composition.open_dispatcher(settings, redactor=redaction.Redactor([VALUE])) as app:
        run = await app.dispatch(plan_id=(await app.plans.plan(tasks, max_parallel=len(tasks))).plan.id, worker="host")
        texts = [f"{'word ' * ((limit - 12) // 5)}{TOKEN} {'word ' * 5_000}" for limit in limits]
        texts += [f"{'word ' * ((limit - 9) // 5)}{VALUE} {'word ' * 5_000}" for limit in limits]
        results = [{"task_id": f"t{number}", "attempt": 1, "text": text} for number, text in enumerate(texts)]
        results += [
            {"task_id": f"t{number}", "attempt": 1, "status": "failed", "error": text, "handoff": {"notes": text}}
            for number, text in enumerate(texts[: len(limits)], len(texts))
        ]
        await app.report(run.run_id, results)
    kept = store_setup.everything_below(home)
    assert kept.count(b"[redacted:") >= len(results)
    assert TOKEN[3:9].encode() not in kept
    assert VALUE[:6].encode() not in kept


def test_tasks_without_secrets_stay_the_same_objects() -> None:
    task = planned(id="a", do="Write it", files=["x.py"], command=["make", "test"])
    [same] = outcome_redaction.tasks(redaction.Redactor(["make it so"]), [task])
    assert same is task


def test_a_command_is_cleaned_of_patterns_only() -> None:
    task = planned(id="a", do="Call it", command=["curl", "-H", f"Key: {TOKEN}", VALUE])
    [clean] = outcome_redaction.tasks(redaction.Redactor([VALUE]), [task])
    assert clean.command == ("curl", "-H", "Key: [redacted:doppler-token]", VALUE)


def test_an_id_that_looks_like_a_secret_is_refused() -> None:
    task = planned(id="sk" + "-" + "a1b2c3d4" * 5, do="Write it")
    with pytest.raises(errors.InputError, match="looks like a secret"):
        outcome_redaction.tasks(redaction.Redactor(), [task])


def test_a_dispatcher_without_a_redactor_knows_the_values_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", VALUE)

    async def plan() -> None:
        settings = memory_client.settings(tmp_path / "home", memory_client.repository(tmp_path / "shop"))
        async with composition.open_dispatcher(settings, purpose=composition.PLAN) as app:
            await app.plans.plan([{"id": "a", "do": f"Log in with {VALUE}"}])

    anyio.run(plan)
    assert VALUE.encode() not in store_setup.everything_below(tmp_path / "home")
