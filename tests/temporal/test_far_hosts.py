"""Hosts that share no disk with the process that drives: work travels by bundles through a bucket."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

import anyio
import engine_labs
import host_labs
import pytest
import temp_repository

from dispatch_mcp import model
from dispatch_mcp.model import AttemptState, RunState, run_refs
from dispatch_mcp.store import sqlite_store

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(1800)]

WORKER = ("worker", "--engine", "temporal", "--queue", "agents")
WRITE = "import os, sys; open(sys.argv[1], 'a').write(f'{os.getcwd()}\\n')"
"""Writes into a file where it was done."""

ADD = "import sys, time; time.sleep(0.2); open(sys.argv[1], 'a').write(sys.argv[2] + '\\n')"
BUCKET = "agents"


def worktree_task(task_id: str, path: str, code: str, *words: str, deps: Sequence[str] = ()) -> model.Task:
    return host_labs.command(task_id, code, path, *words, files=(path,), isolation="worktree", deps=tuple(deps))


async def test_work_in_worktrees_is_done_on_hosts_that_see_no_repository_and_is_merged_here(tmp_path: Path) -> None:
    repo = temp_repository.make(tmp_path / "repo")
    bucket = tmp_path / "bucket"
    bucket.mkdir()
    (tmp_path / "server").mkdir()
    address = f"file://{bucket}"
    tasks = [
        worktree_task("a", "one.txt", WRITE),
        worktree_task("b", "two.txt", WRITE),
        worktree_task("c", "one.txt", WRITE, deps=["a", "b"]),
        host_labs.command("look", "print(open('a.txt').read())", deps=("c",)),
    ]
    with engine_labs.serving(engine_labs.DEV, tmp_path / "server") as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEMPORAL_ADDRESS", server.address)
        host = tmp_path / "far"
        env = host_labs.environment(server, host, DISPATCH_MCP_TEMPORAL_BLOBS=address)
        async with host_labs.control(tmp_path / "home", repo, temporal_blobs=address) as app:
            with host_labs.process(env, *WORKER, cwd=tmp_path):
                run_id = await host_labs.new_commands(app.store, repo, *tasks)
                await app.engine.start(run_id)
                assert await host_labs.over(app.engine, run_id) is RunState.SUCCEEDED
            [look] = [attempt for attempt in await app.store.attempts(run_id) if attempt.task_id == "look"]
    places = [*merged(repo, run_id, "one.txt"), *merged(repo, run_id, "two.txt")]
    assert len(places) == 3
    assert all(Path(place).is_relative_to(host) for place in places)
    assert look.state is AttemptState.SUCCEEDED
    assert temp_repository.git(repo, "status", "--porcelain") == ""


def merged(repo: Path, run_id: str, path: str) -> list[str]:
    return temp_repository.git(repo, "show", f"{run_refs.Refs(run_id).merged}:{path}").splitlines()


NETWORK = "10.77.0"
HOSTS = ("dmcp1", "dmcp2", "dmcp3")


def ip(*words: str, check: bool = True) -> None:
    subprocess.run(["ip", *words], check=check, capture_output=True)


@contextlib.contextmanager
def namespaces() -> Generator[str]:
    """Yields the address of this side of a bridge to three network namespaces, each with an address of its own."""
    if os.geteuid() or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and the program ip")
    _remove_namespaces()  # of a test that was killed
    try:
        ip("link", "add", "dmcp-br", "type", "bridge")
        ip("addr", "add", f"{NETWORK}.1/24", "dev", "dmcp-br")
        ip("link", "set", "dmcp-br", "up")
        for number, name in enumerate(HOSTS, 11):
            ip("netns", "add", name)
            ip("link", "add", f"{name}-o", "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("link", "set", f"{name}-o", "master", "dmcp-br", "up")
            ip("-n", name, "addr", "add", f"{NETWORK}.{number}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield f"{NETWORK}.1"
    finally:
        _remove_namespaces()


def _remove_namespaces() -> None:
    for name in HOSTS:
        ip("netns", "del", name, check=False)
        ip("link", "del", f"{name}-o", check=False)
    ip("link", "del", "dmcp-br", check=False)


@contextlib.contextmanager
def bucket(address: str, log: Path) -> Generator[dict[str, str]]:
    """Yields the environment of who uses a bucket of a service like S3 that listens there."""
    pytest.importorskip("moto.server", reason="`make test-scale` installs a service like S3")
    port = engine_labs.free_port()
    with log.open("wb") as out:
        child = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", address, "-p", str(port)], stdout=out, stderr=out
        )
        env = {
            "AWS_ENDPOINT_URL": f"http://{address}:{port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": "us-east-1",
        }
        try:
            engine_labs.wait_for(address, port)
            boto3 = pytest.importorskip("boto3")
            boto3.client(
                "s3",
                endpoint_url=env["AWS_ENDPOINT_URL"],
                aws_access_key_id="testing",
                aws_secret_access_key="testing",
                region_name="us-east-1",
            ).create_bucket(Bucket=BUCKET)
            yield env
        finally:
            child.kill()
            child.wait()


class FarHost:
    """A worker in a network namespace that sees neither the repository nor the state folder of the control plane."""

    def __init__(self, name: str, env: Mapping[str, str], home: Path, hidden: Sequence[Path]) -> None:
        self.name = name
        self.env = {**env, "DISPATCH_MCP_HOME": str(home)}
        self.home = home
        self.hide = " && ".join(f"mount -t tmpfs none '{folder}'" for folder in hidden)
        self.child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.home.mkdir(exist_ok=True)
        product = f"'{sys.executable}' -m dispatch_mcp {' '.join(WORKER)} --slots 4"
        with (self.home / "log").open("ab") as out:
            self.child = subprocess.Popen(
                ["ip", "netns", "exec", self.name, "sh", "-c", f"{self.hide} && exec {product}"],
                env=self.env,
                cwd=self.home,
                stdout=out,
                stderr=out,
            )

    def kill(self) -> None:
        if self.child is not None:
            self.child.send_signal(signal.SIGKILL)
            self.child.wait()


async def kill_now_and_then(hosts: Sequence[FarHost], kills: list[str]) -> None:
    """Kills a host every few seconds and starts it again, until cancelled."""
    dice = random.Random(21)  # which host dies next
    while True:
        await anyio.sleep(dice.uniform(3.0, 8.0))
        host = dice.choice(hosts)
        await anyio.to_thread.run_sync(host.kill)
        kills.append(host.name)
        await anyio.sleep(1.0)
        host.start()


def plan_of(count: int, in_worktrees: int) -> list[model.Task]:
    """Returns tasks of which so many work in worktrees, in chains of six on a file each; the others are alone."""
    tasks = [
        worktree_task(
            f"w{number}",
            f"list-{number // 6}.txt",
            ADD,
            str(number % 6),
            deps=[f"w{number - 1}"] if number % 6 else [],
        )
        for number in range(in_worktrees)
    ]
    alone = [host_labs.command(f"t{number}", "import time; time.sleep(0.5)") for number in range(count - in_worktrees)]
    return [*tasks, *alone]


async def test_three_hosts_in_networks_of_their_own_do_300_tasks_while_they_are_killed(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if not request.config.getoption("--scale"):
        pytest.skip("takes minutes: --scale")
    repo, home = temp_repository.make(tmp_path / "repo"), tmp_path / "home"
    home.mkdir()
    (tmp_path / "server").mkdir()
    kills: list[str] = []
    begun = time.monotonic()
    with (
        namespaces() as here,
        bucket(here, tmp_path / "bucket.log") as keys,
        engine_labs.serving(engine_labs.DEV, tmp_path / "server", address=here) as server,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in {**keys, "TEMPORAL_ADDRESS": server.address}.items():
            patch.setenv(name, value)
        blobs = f"s3://{BUCKET}/work"
        env = host_labs.environment(server, home, DISPATCH_MCP_TEMPORAL_BLOBS=blobs)
        hosts = [FarHost(name, env, tmp_path / name, [repo, home]) for name in HOSTS]
        try:
            async with host_labs.control(home, repo, temporal_blobs=blobs) as app:
                for host in hosts:
                    host.start()
                run_id = await host_labs.new_commands(app.store, repo, *plan_of(300, 60), max_parallel=12)
                async with anyio.create_task_group() as group:
                    group.start_soon(kill_now_and_then, hosts, kills)
                    await app.engine.start(run_id)
                    state = await host_labs.over(app.engine, run_id, patience_s=1500)
                    group.cancel_scope.cancel()
        finally:
            for host in hosts:
                host.kill()
    async with sqlite_store.open_store(home) as store:
        attempts = await store.attempts(run_id)
        events = [event for event in await store.events(run_id, limit=20_000) if event.kind == "attempt_finished"]
    accepted = [event.task_id for event in events if event.data.get("state") == "succeeded"]
    lost = sum(attempt.error_kind == "host_lost" for attempt in attempts)
    seconds = time.monotonic() - begun
    sys.stdout.write(f"300 tasks in {seconds:.0f} s, {len(kills)} kills, {lost} attempts begun again\n")
    assert state is RunState.SUCCEEDED
    assert (len(accepted), len(set(accepted))) == (300, 300)
    assert {name: merged(repo, run_id, name) for name in (f"list-{n}.txt" for n in range(10))} == {
        f"list-{n}.txt": [str(k) for k in range(6)] for n in range(10)
    }
    assert len(set(kills)) > 1
    assert lost
