from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import dispatcher_setup
import pytest
import store_setup

from dispatch_mcp import errors, model
from dispatch_mcp.engine import outcome_redaction
from dispatch_mcp.model import AttemptState, WorkerKind, ports, work_order
from dispatch_mcp.text import redaction

pytestmark = [pytest.mark.anyio, pytest.mark.promise("S10")]

SECRET = "correct horse battery staple 42"
REDACTOR = redaction.Redactor([SECRET])


@dataclass
class Leaky:
    """A worker that leaves the secret wherever it can."""

    async def carry_out(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
        ctx.beat(note=SECRET)
        text = ctx.blobs.put(f"log: {SECRET}".encode())
        raw = ctx.blobs.put(b"\xff" + SECRET.encode())
        assert ctx.blobs.get(text) == b"log: [redacted:secret]"
        return model.Outcome(
            state=AttemptState.FAILED,
            summary=SECRET,
            error=f"{work.task.id} said {SECRET}",
            output={"stdout": [SECRET], SECRET: 1, "password": "12345678"},
            handoff=model.Handoff(
                completed_work=SECRET,
                artifacts=(model.Artifact(name="text", digest=text), model.Artifact(name="raw", digest=raw)),
            ),
            receipts=(model.Receipt(kind="exit_code", ok=False, detail=SECRET),),
        )


@dataclass
class Shelf:
    held: dict[str, bytes] = field(default_factory=dict[str, bytes])

    def put(self, data: bytes) -> str:
        self.held[str(len(self.held))] = data
        return str(len(self.held) - 1)

    def get(self, digest: str) -> bytes:
        return self.held[digest]


@dataclass
class Context:
    run_id: str = "r"
    task_id: str = "t"
    attempt: int = 1
    last_beat: Mapping[str, model.Json] = field(default_factory=dict[str, model.Json])
    blobs: Shelf = field(default_factory=Shelf)
    kept: list[model.Json] = field(default_factory=list[model.Json])

    def beat(self, **details: model.Json) -> None:
        self.kept.append(details)

    async def mail(self) -> tuple[model.Message, ...]:
        return ()


async def test_nothing_that_a_worker_leaves_behind_holds_a_secret() -> None:
    ctx = Context()
    task = model.Task(id="t", do="x")
    work = work_order.WorkOrder(run_id="r", task=task, attempt=1, worker=WorkerKind.COMMAND)
    outcome = await outcome_redaction.RedactingWorker(Leaky(), REDACTOR).carry_out(ctx, work)
    seen = f"{outcome.model_dump_json()} {ctx.kept} {ctx.blobs.held}"
    assert SECRET not in seen
    assert ctx.kept == [{"note": "[redacted:secret]"}]
    assert outcome.error == "t said [redacted:secret]"
    assert outcome.output["password"] == "[redacted:field]"
    assert ctx.blobs.held == {"0": b"log: [redacted:secret]", "1": b"\xff[redacted:secret]"}


def test_an_outcome_without_secrets_stays_the_same_object() -> None:
    outcome = model.Outcome(
        state=AttemptState.SUCCEEDED,
        summary="fine",
        output={"a": [1, None, "b"]},
        handoff=model.Handoff(decisions_made=("cents",), artifacts=(model.Artifact(name="a", path="a.md"),)),
        receipts=(model.Receipt(kind="exit_code", ok=True, detail="exit code 0"),),
        footprints={"a.py": model.Footprint("before", "after")},
    )
    assert outcome_redaction.outcome(REDACTOR, outcome) is outcome


def test_the_states_of_files_stay_but_for_one_whose_name_is_a_secret() -> None:
    states = {name: model.Footprint("before", "after") for name in ("a.py", f"{SECRET}.py")}
    outcome = model.Outcome(state=AttemptState.SUCCEEDED, summary="fine", footprints=states)
    clean = outcome_redaction.outcome(REDACTOR, outcome)
    assert clean == outcome.model_copy(update={"footprints": {"a.py": states["a.py"]}})


async def test_what_the_host_reports_is_kept_without_secrets(tmp_path: Path) -> None:
    home = tmp_path / "home"

    def redact(outcome: model.Outcome) -> model.Outcome:
        return outcome_redaction.outcome(REDACTOR, outcome)

    async with dispatcher_setup.opened(home, redact=redact) as desk:
        progress = await desk.app.dispatch(plan_id=await desk.planned({"id": "a", "do": "work"}))
        report = dispatcher_setup.said(progress.assignments[0], f"used {SECRET}", output={"key": SECRET})
        await desk.app.report(progress.run_id, [report])
        assert "used [redacted:secret]" in await desk.app.result(progress.run_id, "a")
    assert SECRET.encode() not in store_setup.everything_below(home)


def test_what_a_task_works_on_keeps_words_that_are_some_variables_value_and_what_it_says_does_not() -> None:
    known = redaction.Redactor(["postgres-main"])
    paths = ("postgres-main/a.sql",)
    task = model.Task(id="t", do="Migrate", files=paths, reads=paths, command=("psql", "postgres-main"), context=paths)
    task = task.model_copy(update={"deps": ("first",)})
    (clean,) = outcome_redaction.tasks(known, [task])
    assert clean is task
    (clean,) = outcome_redaction.tasks(known, [task.model_copy(update={"goal": "Migrate postgres-main"})])
    assert (clean.goal, clean.files, clean.reads) == ("Migrate [redacted:secret]", paths, paths)
    assert (clean.command, clean.context, clean.deps) == (task.command, paths, task.deps)


@pytest.mark.parametrize("name", ["id", "deps"])
def test_an_id_that_looks_like_a_secret_is_refused_wherever_it_stands(name: str) -> None:
    token = "ghp_" + "a1B2c3D4e5" * 4
    fields = {"id": "t", "do": "Go on", name: token if name == "id" else [token]}
    with pytest.raises(errors.InputError, match="looks like a secret"):
        outcome_redaction.tasks(redaction.Redactor(), [model.Task.model_validate(fields)])
