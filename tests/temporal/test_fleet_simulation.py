"""The simulation of fleets, by itself and beside a real run over three worker processes."""

from __future__ import annotations

import math
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import engine_labs
import host_labs
import pytest

from dispatch_mcp.model import RunState

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
import scale

pytestmark = pytest.mark.anyio

BOUND = 0.25
"""How far a prediction may be off: the machine has other work, and programs do not start equally fast."""


def makespan(fleet: scale.Fleet, lengths: Sequence[float], *, chained_by: int = 0) -> float:
    """Returns how long a run takes whose tasks wait for the one so many places before."""
    tasks = [scale.SimulatedTask(seconds) for seconds in lengths]
    for number in range(chained_by, len(tasks) if chained_by else 0):
        scale.link([tasks[number - chained_by]], [tasks[number]])
    return scale.figures(fleet, iter([(0.0, tasks)])).makespan_s


FREE = scale.Fleet(2, 2, control_s=0.0, way_s=0.0)


@pytest.mark.parametrize(
    ("lengths", "chained_by", "expected"),
    [([10.0], 0, 10.0), ([10.0] * 4, 0, 10.0), ([10.0] * 5, 0, 20.0), ([10.0] * 3, 1, 30.0), ([1.0, 9.0, 5.0], 2, 9.0)],
)
def test_what_can_be_reckoned_by_hand_comes_out_so(lengths: list[float], chained_by: int, expected: float) -> None:
    assert makespan(FREE, lengths, chained_by=chained_by) == pytest.approx(expected)


def test_every_task_pays_the_control_plane_one_after_the_other_and_the_way() -> None:
    fleet = scale.Fleet(1, 10, control_s=1.0, way_s=0.5)
    assert makespan(fleet, [10.0] * 3) == pytest.approx(3 * 1.0 + 0.5 + 10.0)


def test_what_a_failing_host_does_is_begun_again_and_all_of_it_ends() -> None:
    fleet = scale.Fleet(3, 2, fails_every_s=60.0, back_after_s=10.0)
    load = scale.Load(runs_an_hour=60, tasks=8, width=4, median_s=20.0, runs=20)
    shown = scale.figures(fleet, scale.arrivals(load, random.Random(1)))
    assert shown.begun_again > 10
    calm = scale.figures(scale.Fleet(3, 2), scale.arrivals(load, random.Random(1)))
    assert calm.begun_again == 0
    assert shown.run_p95_s > calm.run_p95_s


def test_more_slots_never_let_work_wait_longer() -> None:
    load = scale.Load(runs_an_hour=30, runs=100)
    waits = [
        scale.figures(scale.Fleet(hosts, 4), scale.arrivals(load, random.Random(5))).wait_p95_s for hosts in (9, 12, 20)
    ]
    assert waits == sorted(waits, reverse=True)


async def carried_out(server: engine_labs.Server, folder: Path, lengths: Sequence[float]) -> float:
    """Returns the seconds of a run of sleeps in chains, 30 abreast, on three processes of four slots that are warm."""
    env = host_labs.environment(server, folder / "home")
    worker = ("worker", "--engine", "temporal", "--queue", "agents", "--slots", "4")
    tasks = [
        host_labs.command(
            f"t{number}", f"import time; time.sleep({seconds})", deps=(f"t{number - 30}",) if number >= 30 else ()
        )
        for number, seconds in enumerate(lengths)
    ]
    async with host_labs.control(folder / "home", folder) as app:
        with (
            host_labs.process(env, *worker, cwd=folder),
            host_labs.process(env, *worker, cwd=folder),
            host_labs.process(env, *worker, cwd=folder),
        ):
            warm = [host_labs.command(f"w{number}", "import time; time.sleep(2)") for number in range(12)]
            run_id = await host_labs.new_commands(app.store, folder, *warm, run_id="a" * 32, max_parallel=60)
            await app.engine.start(run_id)
            assert await host_labs.over(app.engine, run_id) is RunState.SUCCEEDED
            run_id = await host_labs.new_commands(app.store, folder, *tasks, max_parallel=60)
            begun = time.perf_counter()
            await app.engine.start(run_id)
            assert await host_labs.over(app.engine, run_id) is RunState.SUCCEEDED
            return time.perf_counter() - begun


async def test_a_real_run_takes_about_as_long_as_predicted(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("--scale"):
        pytest.skip("measures time, on a quiet machine: --scale")
    dice = random.Random(3)
    lengths = [round(dice.lognormvariate(math.log(1.5), 0.6), 2) for _ in range(90)]
    (tmp_path / "server").mkdir()
    with (
        engine_labs.serving(engine_labs.DEV, tmp_path / "server") as server,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("TEMPORAL_ADDRESS", server.address)
        for name in ("empty", "real"):
            (tmp_path / name).mkdir()
        cpu = time.process_time()
        empty_s = await carried_out(server, tmp_path / "empty", [0.0] * 60)
        control_s = (time.process_time() - cpu) / 72
        real_s = await carried_out(server, tmp_path / "real", lengths)
    # Empty tasks cost what a program costs to start, side by side.
    start_s = max(0.0, empty_s * 12 / 60 - control_s)
    guess_s = makespan(
        scale.Fleet(3, 4, control_s=control_s, way_s=0.0), [seconds + start_s for seconds in lengths], chained_by=30
    )
    sys.stdout.write(
        f"a task: {control_s * 1000:.1f} ms of processor where the run is driven, {start_s:.2f} s to start; "
        f"90 tasks: {real_s:.1f} s, predicted {guess_s:.1f} s\n"
    )
    assert abs(guess_s / real_s - 1) <= BOUND
