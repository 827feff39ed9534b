"""The product put together from its settings."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dispatch_mcp import composition, configuration, distribution, errors, model
from dispatch_mcp.agents import catalog
from dispatch_mcp.model import WorkerKind, work_order
from dispatch_mcp.service import approvals, checkouts
from dispatch_mcp.text import redaction

pytestmark = pytest.mark.anyio


def settings(tmp_path: Path, **values: object) -> configuration.Settings:
    chosen = configuration.load({}, flags={"home": tmp_path / "home", "workspace": tmp_path}, cwd=tmp_path).settings
    return chosen.model_copy(update=values)


def order(worker: WorkerKind, timeout_s: float | None = None) -> work_order.WorkOrder:
    task = model.Task(id="a", do="Write it", agent="coder")
    bare = work_order.WorkOrder(run_id="r", attempt=1, task=task, worker=worker)
    return replace(bare, timeout_s=timeout_s)


def agents() -> catalog.Catalog:
    return catalog.merge(
        (catalog.Agent(name="coder", roster="dispatch", description="Writes code", body="You write."),)
    )


def test_what_a_workspace_says_of_itself_counts_where_the_settings_name_it_or_a_folder_above(tmp_path: Path) -> None:
    (tmp_path / "mine/shop").mkdir(parents=True)
    (tmp_path / "link").symlink_to("mine")
    trusting = settings(tmp_path, trusted_repositories=(tmp_path / "link",))
    assert composition.trusts(trusting, str(tmp_path / "mine/shop"))
    assert composition.trusts(trusting, str(tmp_path / "mine"))
    assert not composition.trusts(trusting, str(tmp_path))
    assert not composition.trusts(trusting, str(tmp_path / "mine-too"))
    assert not composition.trusts(settings(tmp_path), str(tmp_path / "mine"))


def test_settings_decide_from_which_confidence_on_a_route_is_direct(tmp_path: Path) -> None:
    bands = composition.hints(settings(tmp_path, direct_from=0.9, review_from=0.5, supervise_from=0.1)).bands
    assert (bands.direct, bands.review, bands.supervise) == (0.9, 0.5, 0.1)


def test_settings_decide_what_every_call_may_do(tmp_path: Path) -> None:
    rules = composition.rules(settings(tmp_path, lease_minutes=2, max_parallel=3))
    assert (rules.lease_s, rules.max_parallel, rules.workspace) == (120.0, 3, str(tmp_path))


@pytest.mark.parametrize("worker", [WorkerKind.COMMAND, WorkerKind.SCRIPTED, WorkerKind.API, WorkerKind.HOST])
def test_only_who_reads_a_prompt_is_given_the_agents_role(tmp_path: Path, worker: WorkerKind) -> None:
    make = composition.order_maker(settings(tmp_path, task_timeout_s=77.0), agents)
    work = make(order(worker))
    assert bool(work.agent_prompt) == (worker in (WorkerKind.API, WorkerKind.HOST))
    assert work.timeout_s == 77.0


def test_a_deadline_of_its_own_comes_before_that_of_the_settings(tmp_path: Path) -> None:
    make = composition.order_maker(settings(tmp_path, task_timeout_s=77.0), agents)
    assert make(order(WorkerKind.COMMAND, timeout_s=5.0)).timeout_s == 5.0


async def test_a_dispatcher_is_open_for_its_block_and_its_runs_are_there_afterwards(tmp_path: Path) -> None:
    chosen = settings(tmp_path, review_policy="off")
    async with composition.open_dispatcher(chosen, purpose=composition.PLAN) as app:
        planned = await app.plans.plan([{"id": "gate", "do": "May we?", "worker": "human"}])
        run_id = (await app.dispatch(plan_id=planned.plan.id)).run_id
    async with composition.open_dispatcher(chosen, purpose=composition.PLAN) as app:
        assert [decision.task_id for decision in await app.decisions(run_id)] == ["gate"]
        await app.decide(run_id, "", approvals.PersonVerdict(approved=True, by="a test", reason=""))
        assert (await app.trace(run_id=run_id)).state == "succeeded"


async def test_what_git_can_do_here_is_said_with_its_version(tmp_path: Path) -> None:
    assert await checkouts.git_version(settings(tmp_path)) >= (2, 0)
    assert not checkouts.trees_left(settings(tmp_path))


@pytest.fixture
def without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the library of the extra one that is not installed, as it is for most users."""
    monkeypatch.setitem(sys.modules, "temporalio", None)
    for name in [name for name in sys.modules if name.startswith("dispatch_mcp.temporal")]:
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.usefixtures("without_the_extra")
async def test_an_engine_that_is_not_installed_is_refused_with_what_to_install(tmp_path: Path) -> None:
    chosen = settings(tmp_path, engine="temporal")
    with pytest.raises(errors.ConfigError, match="'temporal' is not installed") as refusal:
        async with composition.open_dispatcher(chosen):
            pass
    assert "dispatch-mcp[temporal]" in str(refusal.value.hint)


@pytest.mark.usefixtures("without_the_extra")
async def test_a_host_of_workers_needs_the_extra_too(tmp_path: Path) -> None:
    redactor = redaction.Redactor(())
    with pytest.raises(errors.ConfigError, match="'temporal' is not installed"):
        async with composition.serve_host(settings(tmp_path, engine="temporal"), redactor):
            pass


async def test_the_embedded_engine_is_what_drives_runs_unless_somebody_chooses(tmp_path: Path) -> None:
    assert settings(tmp_path).engine == "embedded"
    async with composition.open_dispatcher(settings(tmp_path), chat=False) as app:
        assert type(app.engine).__name__ == "EmbeddedEngine"


@pytest.mark.parametrize(("name", "value"), [("temporal_queue", "no such/queue"), ("temporal_slots", -1)])
def test_what_cannot_be_a_queue_or_a_number_of_slots_is_refused(tmp_path: Path, name: str, value: object) -> None:
    with pytest.raises(errors.ConfigError, match=name):
        configuration.load({}, flags={"home": tmp_path, "workspace": tmp_path, name: value}, cwd=tmp_path)


@pytest.mark.usefixtures("without_the_extra")
async def test_a_look_at_the_distributed_engine_needs_the_extra_and_says_so(tmp_path: Path) -> None:
    with pytest.raises(errors.ConfigError, match="'temporal' is not installed") as refusal:
        await distribution.distributed_engine(settings(tmp_path, engine="temporal"))
    assert "embedded" in str(refusal.value.hint)


@pytest.mark.usefixtures("without_the_extra")
async def test_the_embedded_engine_needs_nothing_of_the_extra(tmp_path: Path) -> None:
    async with composition.open_dispatcher(settings(tmp_path), chat=False) as app:
        assert app.engine.driven_runs == frozenset()
    assert sys.modules["temporalio"] is None


async def test_an_endpoint_without_the_extra_stops_nothing_and_is_said_to_nobody_at_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk", None)
    monkeypatch.delitem(sys.modules, "dispatch_mcp.telemetry.span_export", raising=False)
    async with composition.open_dispatcher(settings(tmp_path), chat=False) as app:
        assert app.engine.at_end is not None
    assert not [record for record in caplog.records if record.levelname != "DEBUG"]
    with pytest.raises(errors.ConfigError, match="there is no module 'opentelemetry"):
        distribution.telemetry_module()


async def test_who_only_looks_loads_nothing_for_opentelemetry_and_waits_for_no_endpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk", None)
    monkeypatch.delitem(sys.modules, "dispatch_mcp.telemetry.span_export", raising=False)
    async with composition.open_dispatcher(settings(tmp_path), chat=False, purpose=composition.PLAN):
        pass
    assert "otel" not in caplog.text


@pytest.mark.parametrize("switch", [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")])
async def test_nothing_is_loaded_for_opentelemetry_where_its_own_variables_switch_it_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, switch: tuple[str, str]
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv(*switch)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk", None)
    async with composition.open_dispatcher(settings(tmp_path), chat=False):
        pass
    assert "otel" not in caplog.text


@pytest.mark.parametrize(
    ("env", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://h:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h:4318", "OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h:4318", "OTEL_SDK_DISABLED": "True"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_opentelemetry_is_told_where_its_own_variables_want_it(env: dict[str, str], *, wanted: bool) -> None:
    assert distribution.wants_telemetry(env) is wanted
