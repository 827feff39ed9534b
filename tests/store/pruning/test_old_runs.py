"""Old runs go whole and on record; whatever stays is as it was before."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import anyio
import pytest
import store_setup
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch_mcp import errors, model
from dispatch_mcp.model import records
from dispatch_mcp.store import health, owner_locks, sqlite, sqlite_store
from dispatch_mcp.store.pruning import old_runs

pytestmark = pytest.mark.anyio

DAY = 86_400.0
TABLES = ("plan", "run", "task", "attempt", "result", "replay", "event", "message")


class Clock:
    """A day for each run."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def carry_out(store: sqlite_store.Store, home: Path, run_id: str, plan_id: str, *, ends: bool = True) -> None:
    """Makes a run of a plan: one that `ends` takes over what earlier ones have finished, another begins anew."""
    await store.create_run(store_setup.new_run(run_id, plan_id=plan_id, fresh=not ends))
    with owner_locks.OwnerLock(home) as lock:
        epoch = await store.adopt(run_id, lock.id)
        owner = records.Owner(lock.id, epoch or 0)
        advance = await store.advance(run_id, store_setup.step(owner, now=store.now()))
        look: dict[str, model.Json] = {"before": {"head": "", "files": {}, "common": {"a.py": "1"}}}
        await store.beats(run_id, {(start.task_id, start.attempt): look for start in advance.starts})
        while ends and advance.starts:
            reports = [store_setup.report(start) for start in advance.starts]
            advance = await store.advance(run_id, store_setup.step(owner, *reports, now=store.now()))


def looked(home: Path, before: float, held: frozenset[str] = frozenset()) -> list[old_runs.OldRun]:
    with health.reading(home) as conn:
        return old_runs.old_runs(conn, before, held)


def rows_of(home: Path, run_ids: list[str]) -> dict[str, list[tuple[model.Json, ...]]]:
    """Everything that is stored of some runs."""
    numbers = "SELECT no FROM run WHERE id IN (SELECT value FROM json_each(?))"
    tasks = f"SELECT no FROM task WHERE run IN ({numbers})"
    where = {
        "run": f"no IN ({numbers})",
        "event": f"run IN ({numbers})",
        "task": f"run IN ({numbers})",
        "common_look": f"run IN ({numbers})",
        "attempt": f"task IN ({tasks})",
        "result": f"task IN ({tasks})",
        "replay": f"task IN ({tasks})",
    }
    names = str(run_ids).replace("'", '"')
    return {
        name: store_setup.raw(home, f"SELECT * FROM {name} WHERE {condition} ORDER BY 1, 2", (names,))
        for name, condition in where.items()
    }


async def test_a_run_goes_with_all_its_rows_and_stays_on_record(tmp_path: Path) -> None:
    clock = Clock()
    async with sqlite_store.open_store(tmp_path, clock=clock) as store:
        for number, plan_id in enumerate(("old", "young")):
            clock.now = number * DAY
            await store.save_plan(store_setup.chain("a", "b", plan_id=plan_id), records.LOCAL)
            await carry_out(store, tmp_path, f"{plan_id}-run", plan_id)
        clock.now = 10 * DAY
        count, removed = await store.prune_plans(["old", "young"], DAY / 2, frozenset())
        assert (count, [run.id for run in removed]) == (2, ["old-run"])
        assert [run.id for run in await store.runs(records.LOCAL)] == ["young-run"]
        assert [plan.id for plan in await store.plans(records.LOCAL)] == ["young"]
        with pytest.raises(errors.UnknownHandle, match=r"old-run.* had ended succeeded and was pruned on 1970-01-11"):
            await store.run("old-run", principal=records.LOCAL)
    [(run, tasks, events, at)] = store_setup.raw(tmp_path, "SELECT id, tasks, events, pruned_at FROM pruned_run")
    assert (run, tasks, at) == ("old-run", 2, 10 * DAY)
    assert isinstance(events, int)
    assert events > 4
    assert store_setup.raw(tmp_path, "SELECT run, kind FROM alert") == [("young-run", "finished")]
    assert store_setup.faults(tmp_path) == []


async def test_of_a_pruned_run_everybody_hears_by_a_beginning_and_nobody_else(tmp_path: Path) -> None:
    async with sqlite_store.open_store(tmp_path) as store:
        for plan_id in ("p", "q"):
            await store.save_plan(store_setup.chain("a", plan_id=plan_id), records.LOCAL)
            await carry_out(store, tmp_path, f"shop-{plan_id}", plan_id)
        await store.prune_plans(["p"], store.now() + 1, frozenset())
        with pytest.raises(errors.UnknownHandle, match="pruned"):
            await store.run("shop-p", principal=records.ANYBODY)
        with pytest.raises(errors.UnknownHandle, match="pruned"):
            await store.whole_run("shop-", principal=records.LOCAL)
        for handle, principal in (("shop-p", "somebody"), ("shop-x", records.LOCAL), ("", records.LOCAL)):
            with pytest.raises(errors.UnknownHandle, match="There is no run"):
                await store.run(handle, principal=principal)


@pytest.mark.parametrize("statement", ["DELETE FROM event", "UPDATE event SET kind = 'x'", "DELETE FROM pruned_run"])
async def test_neither_events_nor_the_record_can_go_by_themselves(tmp_path: Path, statement: str) -> None:
    async with sqlite_store.open_store(tmp_path) as store:
        for plan_id in ("p", "q"):
            await store.save_plan(store_setup.chain("a", plan_id=plan_id), records.LOCAL)
            await carry_out(store, tmp_path, plan_id, plan_id)
        await store.prune_plans(["p"], store.now() + 1, frozenset())
    with pytest.raises(sqlite3.IntegrityError):
        store_setup.raw(tmp_path, statement)


async def test_an_open_run_cannot_even_be_put_on_record(tmp_path: Path) -> None:
    async with sqlite_store.open_store(tmp_path) as store:
        await store.save_plan(store_setup.chain("a"), records.LOCAL)
        await carry_out(store, tmp_path, "run", "plan", ends=False)
    with pytest.raises(sqlite3.IntegrityError, match="is over"):
        store_setup.raw(
            tmp_path,
            "INSERT INTO pruned_run SELECT id, principal, '', state, '', 1, 1, 0.0, 0.0, 0.0 FROM run",
        )


async def a_day_apart(store: sqlite_store.Store, home: Path, clock: Clock) -> None:
    """Carries out a run, one of the same plan that takes its work over, and one of another plan."""
    for plan_id in ("plan", "else"):
        await store.save_plan(store_setup.chain("a", plan_id=plan_id), records.LOCAL)
    for number, (run_id, plan_id) in enumerate((("maker", "plan"), ("taker", "plan"), ("last", "else"))):
        clock.now = number * DAY
        await carry_out(store, home, run_id, plan_id)


async def test_what_a_run_that_stays_has_taken_over_stays_too(tmp_path: Path) -> None:
    clock = Clock()
    async with sqlite_store.open_store(tmp_path, clock=clock) as store:
        await a_day_apart(store, tmp_path, clock)
        assert await store.outcome("taker", "a") is not None
        removed = (await store.prune_plans(["plan"], DAY / 2, frozenset()))[1]
        assert removed == []
        assert [run.why for run in looked(tmp_path, DAY / 2)] == [old_runs.TAKEN_OVER]


async def test_who_has_taken_something_over_goes_with_who_has_made_it_or_not_at_all(tmp_path: Path) -> None:
    """A review of the one may have said of the work of the other that it is not good enough."""
    clock = Clock()
    async with sqlite_store.open_store(tmp_path, clock=clock) as store:
        await a_day_apart(store, tmp_path, clock)
        assert {run.why for run in looked(tmp_path, 1.5 * DAY, frozenset({"maker"}))} == {old_runs.TAKEN_OVER}
        removed = (await store.prune_plans(["plan"], 1.5 * DAY, frozenset()))[1]
        assert [run.id for run in removed] == ["maker", "taker"]


async def test_runs_of_a_plan_with_an_open_run_and_the_newest_of_all_stay(tmp_path: Path) -> None:
    async with sqlite_store.open_store(tmp_path) as store:
        for plan_id in ("open", "over"):
            await store.save_plan(store_setup.chain("a", plan_id=plan_id), records.LOCAL)
        await carry_out(store, tmp_path, "first", "open")
        await carry_out(store, tmp_path, "second", "open", ends=False)
        await carry_out(store, tmp_path, "last", "over")
        reasons = {run.id: run.why for run in looked(tmp_path, store.now() + 1)}
        assert reasons == {"first": old_runs.OPEN_PLAN, "last": old_runs.NEWEST}


async def test_another_process_takes_nothing_over_that_was_pruned(tmp_path: Path) -> None:
    """Its memory of what the plan has finished is older than the pruning."""
    async with sqlite_store.open_store(tmp_path) as store, sqlite_store.open_store(tmp_path) as other:
        for plan_id in ("plan", "else"):
            await store.save_plan(store_setup.chain("a", "b", plan_id=plan_id), records.LOCAL)
        await carry_out(store, tmp_path, "maker", "plan")
        await other.create_run(store_setup.new_run("late", plan_id="plan"))
        with owner_locks.OwnerLock(tmp_path) as lock:
            owner = records.Owner(lock.id, await other.adopt("late", lock.id) or 0)
            await other.advance("late", store_setup.step(owner, actions=[records.Action(kind="cancel")]))
        await carry_out(store, tmp_path, "newest", "else")
        removed = (await store.prune_plans(["plan"], store.now() + 1, frozenset({"late"})))[1]
        assert [run.id for run in removed] == ["maker"]
        await carry_out(other, tmp_path, "again", "plan")
        assert (await other.run("again", principal=records.LOCAL)).state is model.RunState.SUCCEEDED
    assert store_setup.faults(tmp_path) == []


async def test_plans_that_nobody_has_run_go_when_their_newest_version_is_old(tmp_path: Path) -> None:
    clock = Clock()
    async with sqlite_store.open_store(tmp_path, clock=clock) as store:
        await store.save_plan(store_setup.chain("a", plan_id="old"), records.LOCAL)
        await store.save_plan(store_setup.chain("a", plan_id="edited"), records.LOCAL)
        clock.now = 5 * DAY
        await store.save_plan(store_setup.chain("a", plan_id="edited", version=2), records.LOCAL, base_version=1)
        with health.reading(tmp_path) as conn:
            assert old_runs.unused_plans(conn, DAY) == ["old"]
        await store.prune_plans(["old", "edited"], DAY, frozenset())
        assert [plan.id for plan in await store.plans(records.LOCAL)] == ["edited"]


def test_runs_stay_that_share_results_with_one_that_stays_however_long_the_chain() -> None:
    runs = 20_000
    chain = [(number + 1, number) for number in range(1, runs)]
    others = [(runs + 2, runs + 1), (runs + 1, runs + 3)]
    leaving = set(range(2, runs + 4))
    assert old_runs.bound_to_stay([*chain, *others], leaving) == set(range(2, runs + 1))
    assert old_runs.bound_to_stay([*chain, *others], leaving | {1}) == set()


async def test_pruning_a_plan_does_not_look_through_what_other_plans_have_taken_over(tmp_path: Path) -> None:
    def work() -> int:
        """Returns how many steps SQLite takes to prune the first plan, which stays for now."""
        steps: list[int] = []
        with closing(sqlite3.connect(tmp_path / sqlite.FILE, isolation_level=None)) as conn:
            conn.execute("BEGIN")
            conn.set_progress_handler(lambda: steps.append(1), 1)
            old_runs.prune_plan(conn, "plan-0", 0.0, (), 0.0)
            conn.set_progress_handler(None, 1)
            conn.execute("ROLLBACK")
        return len(steps)

    few = 0
    async with sqlite_store.open_store(tmp_path) as store:
        for number in range(9):
            plan_id = f"plan-{number}"
            await store.save_plan(store_setup.chain("a", "b", "c", plan_id=plan_id), records.LOCAL)
            for name in ("maker", "taker"):
                await carry_out(store, tmp_path, f"{name}-{number}", plan_id)
            few = few or work()
        assert work() <= 1.5 * few


async def test_a_long_pruning_is_several_transactions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(old_runs, "LONG_ENOUGH", 1)
    async with sqlite_store.open_store(tmp_path) as store:
        for plan_id in ("p", "q", "r"):
            await store.save_plan(store_setup.chain("a", plan_id=plan_id), records.LOCAL)
            await carry_out(store, tmp_path, plan_id, plan_id)
        assert (await store.prune_plans(["p", "q"], store.now() + 1, frozenset()))[0] == 1


HISTORIES = st.lists(st.tuples(st.sampled_from("pqr"), st.booleans(), st.booleans()), min_size=1, max_size=6)
"""Runs in the order in which they began: of which plan, whether they end, and whether something outside holds them."""


@settings(max_examples=15)
@given(history=HISTORIES, age=st.integers(0, 10))
def test_whatever_has_happened_only_old_runs_that_nothing_needs_go(
    tmp_path_factory: pytest.TempPathFactory, history: list[tuple[str, bool, bool]], age: int
) -> None:
    home = tmp_path_factory.mktemp("home")
    anyio.run(_prune_a_history, home, history, age * DAY)


async def _prune_a_history(home: Path, history: list[tuple[str, bool, bool]], before: float) -> None:
    clock = Clock()
    async with sqlite_store.open_store(home, clock=clock) as store:
        for plan_id in "pqr":
            await store.save_plan(store_setup.chain("a", "b", plan_id=plan_id), records.LOCAL)
        for number, (plan_id, ends, _) in enumerate(history):
            clock.now = number * DAY + 1
            await carry_out(store, home, f"run-{number}", plan_id, ends=ends)
        held = frozenset(f"run-{number}" for number, (_, _, is_held) in enumerate(history) if is_held)
        promised = {run.id for run in looked(home, before, held) if not run.why}
        stays = [f"run-{number}" for number in range(len(history)) if f"run-{number}" not in promised]
        rows = rows_of(home, stays)
        clock.now = 100 * DAY
        removed = (await store.prune_plans(list("pqr"), before, held))[1]
        assert {run.id for run in removed} == promised
        assert rows_of(home, stays) == rows
        for number, (_, ends, is_held) in enumerate(history):
            is_old = number * DAY + 1 < before
            assert (ends and is_old and not is_held) or f"run-{number}" not in promised
        for run_id in stays:
            await store.outcomes(run_id, ["a", "b"])
        await store.save_plan(store_setup.chain("a", "b", plan_id="after"), records.LOCAL)
        await carry_out(store, home, "after", "after")
    assert store_setup.faults(home) == []


def test_the_way_up_keeps_events_as_they_are(tmp_path: Path) -> None:
    sqlite.prepare_home(tmp_path)
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as conn:
        for schema in sqlite.migrations():
            for statement in sqlite.statements(schema):
                conn.execute(statement)
        conn.execute("PRAGMA foreign_keys = OFF")
        conn.execute("INSERT INTO event VALUES (1, 1, 'x', 0.0, '', 0, '')")
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            conn.execute("DELETE FROM event")


async def test_a_plan_would_go_with_the_last_of_its_runs_and_with_no_earlier_one(tmp_path: Path) -> None:
    async with sqlite_store.open_store(tmp_path, clock=Clock()) as store:
        for plan_id, run_ids in {"both": ("r1", "r2"), "half": ("r3", "r4"), "newest": ("r5",)}.items():
            await store.save_plan(store_setup.chain("a", plan_id=plan_id), records.LOCAL)
            for run_id in run_ids:
                await carry_out(store, tmp_path, run_id, plan_id)
    with health.reading(tmp_path) as conn:
        runs = [run for run in old_runs.old_runs(conn, DAY) if run.id in ("r1", "r2", "r3")]
        assert old_runs.emptied_plans(conn, runs, DAY) == ["both"]
        assert old_runs.emptied_plans(conn, runs[:1], DAY) == []


async def test_the_oldest_run_that_is_needed_is_open_or_named(tmp_path: Path) -> None:
    clock = Clock()
    async with sqlite_store.open_store(tmp_path, clock=clock) as store:
        await store.save_plan(store_setup.chain("a"), records.LOCAL)
        for number, run_id in enumerate(("first", "second", "third")):
            clock.now = number * DAY
            await carry_out(store, tmp_path, run_id, "plan", ends=run_id != "third")
    with health.reading(tmp_path) as conn:
        assert old_runs.oldest_begin(conn, {"first"}) == 0.0
        assert old_runs.oldest_begin(conn, {"second"}) == DAY
        assert old_runs.oldest_begin(conn, ()) == 2 * DAY
    with closing(sqlite.in_memory()) as conn:
        assert old_runs.oldest_begin(conn, ()) == float("inf")


async def test_the_ids_of_pruned_runs_stay_known(tmp_path: Path) -> None:
    async with sqlite_store.open_store(tmp_path, clock=Clock()) as store:
        for plan_id in ("old", "young"):
            await store.save_plan(store_setup.chain("a", plan_id=plan_id), records.LOCAL)
            await carry_out(store, tmp_path, f"{plan_id}-run", plan_id)
        await store.prune_plans(["old"], DAY, frozenset())
    with health.reading(tmp_path) as conn:
        assert (old_runs.run_ids(conn), old_runs.pruned_ids(conn)) == ({"young-run"}, {"old-run"})
