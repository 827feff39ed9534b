"""The list of runs by one look at the store: what the whole program would print, or nothing at all."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import anyio
import command_runs
import memory_client
import pytest

from dispatch_mcp import configuration, model
from dispatch_mcp.cli import run_list
from dispatch_mcp.cli.commands import status
from dispatch_mcp.model import transitions
from dispatch_mcp.store.looks import listed_runs

HOST = {"do": "Look at it", "worker": "host"}


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> command_runs.Shell:
    return command_runs.shell(monkeypatch, capsys)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DISPATCH_MCP_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


async def _open_runs(home: Path, shop: Path) -> None:
    """Leaves a run of each kind: assignments out and to fetch, a decision, paused, work that nobody carries on."""
    async with memory_client.desk(memory_client.make_server(memory_client.settings(home, shop))) as desk:
        wave = [HOST | {"id": f"h{number}"} for number in range(9)]
        for title, tasks in (
            ("Many at once", wave),
            ("A decision", [{"id": "ok", "do": "May it go on?", "worker": "human"}]),
            ("Held back", [HOST | {"id": "a"}]),
            ("Left alone", [{"id": "s", "do": "Wait", "inputs": {"script": {"sleep_s": 900.0}}}]),
        ):
            plan_id = (await desk.call("plan_dag", title=title, tasks=tasks))["plan_id"]
            worker = {"worker": "scripted"} if title == "Left alone" else {}
            run = await desk.call("dispatch", plan_id=plan_id, **worker)
            if title == "Held back":
                await desk.call("steer_run", run_id=run["run_id"], action="pause")


@pytest.fixture
def runs(home: Path, tmp_path: Path, shell: command_runs.Shell) -> Path:
    """Returns a state folder with open runs and one that is over."""
    with anyio.from_thread.start_blocking_portal() as portal:
        portal.call(_open_runs, home, memory_client.repository(tmp_path / "shop"))
    file = command_runs.written(tmp_path, [{"id": "a", "do": "Write the tide table"}])
    assert shell("run", file, "--dry-run", "--quiet").code == 0
    return home


def looks(every: bool, capsys: pytest.CaptureFixture[str]) -> str:  # noqa: FBT001
    assert run_list.show_at_once(os.environ, time.time(), every=every)
    return capsys.readouterr().out


def whole(every: bool, capsys: pytest.CaptureFixture[str]) -> str:  # noqa: FBT001
    """Returns what the command prints that opens the whole store."""
    setup = configuration.load(os.environ, cwd=Path.cwd())
    assert status.main(argparse.Namespace(run=None, json=False, all=every), setup) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("every", [False, True])
def test_the_quick_list_is_the_list_of_the_whole_program(
    every: bool,  # noqa: FBT001
    runs: Path,
    shell: command_runs.Shell,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with closing(sqlite3.connect(runs / "state.db")) as conn, conn:
        conn.execute("UPDATE run SET created_at = created_at - 7200")  # no age changes between two looks
        beat = '{"context": {"tokens": 250, "named_files": 1000}}'
        assert conn.execute(
            "UPDATE attempt SET beat = ? WHERE task = (SELECT max(task) FROM attempt)", (beat,)
        ).rowcount
    text = looks(every, capsys)
    for words in ("a person: 1 decision", "it is paused", "assignments out", "to fetch", "nobody carries it on"):
        assert words in text
    assert ("tide table" in text) == every
    assert "75% fewer" in text
    assert shell("status", *["--all"] * every).out == text
    monkeypatch.setenv("DISPATCH_MCP_LEARN", "true")  # so that settings have to be read
    assert shell("status", *["--all"] * every).out == text
    assert whole(every, capsys) == text


def test_where_no_run_is_open_the_quick_list_names_the_newest_and_how_to_see_the_others(
    home: Path,
    tmp_path: Path,
    shell: command_runs.Shell,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shell("run", command_runs.written(tmp_path, [{"id": "a", "do": "Wait"}]), "--dry-run", "--quiet")
    text = looks(False, capsys)
    assert re.fullmatch(
        r"No open runs\. `dispatch-mcp status wait-\w+` says how the newest ended; .* lists all\.\n", text
    )
    monkeypatch.setenv("DISPATCH_MCP_LEARN", "true")
    assert shell("status").out == text
    assert whole(False, capsys) == text


def _with_settings(home: Path) -> None:
    (home / "config.toml").write_text("learn = true\n", encoding="utf-8")


def _older(home: Path) -> None:
    with closing(sqlite3.connect(home / "state.db")) as conn, conn:
        conn.execute("PRAGMA user_version = 3")


def _foreign(home: Path) -> None:
    with closing(sqlite3.connect(home / "state.db")) as conn, conn:
        conn.execute("PRAGMA application_id = 7")


def _broken(home: Path) -> None:
    (home / "state.db").write_bytes(b"no database" * 1_000)


def _gone(home: Path) -> None:
    (home / "state.db").unlink()


@pytest.mark.parametrize("change", [_with_settings, _older, _foreign, _broken, _gone])
def test_what_is_out_of_the_ordinary_is_left_to_the_whole_program(
    change: Callable[[Path], None], runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(runs)
    by_look = change is _with_settings
    assert run_list.show_by_look(runs, (), time.time(), every=True) == by_look
    assert bool(capsys.readouterr().out) == by_look
    assert not run_list.show_at_once(os.environ, time.time(), every=True)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "variables",
    [
        {"DISPATCH_MCP_WORKSPACE": "/tmp"},
        {"DISPATCH_MCP_UNKNOWN": "1"},
        {"DISPATCH_MCP_HOME": "state"},
        {"DISPATCH_MCP_HOME": "~/state"},
        {"DISPATCH_MCP_HOME": "${HOME}/state"},
        {"CLAUDE_PROJECT_DIR": "~nobody/x"},
    ],
)
def test_settings_that_have_to_be_read_are_left_to_the_whole_program(variables: dict[str, str], home: Path) -> None:
    plain = {"HOME": str(home), "DISPATCH_MCP_HOME": str(home)}
    assert run_list.plain_home(plain) == home
    assert run_list.plain_home(plain | variables) is None


def test_a_folder_that_is_gone_is_left_to_the_whole_program(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "away"
    folder.mkdir()
    before = Path.cwd()
    os.chdir(folder)
    try:
        shutil.rmtree(folder)
        assert run_list.plain_home({"DISPATCH_MCP_HOME": str(home)}) is None
    finally:
        os.chdir(before)


def test_rows_name_states_and_workers_as_the_model_does() -> None:
    assert set(listed_runs.FINAL) == {state.value for state in model.TASK_FINAL}
    assert set(listed_runs.SERVER_KINDS) == {kind.value for kind in transitions.SERVER_WORKERS}


HEAVY = frozenset({"pydantic", "anyio", "asyncio", "mcp", "aiosqlite", "yaml", "jinja2", "ssl"})


@pytest.mark.parametrize(
    ("typed", "more"),
    [
        (["status"], frozenset[str]()),
        (["status", "--all"], frozenset[str]()),
        (["--help"], frozenset({"rich", "sqlite3", "dataclasses"})),
        (["hook", "SessionStart"], frozenset({"rich", "dataclasses", "pathlib"})),
        (["statusline"], frozenset({"rich", "dataclasses", "pathlib"})),
        (["--version"], frozenset({"rich", "sqlite3", "json", "pathlib"})),
    ],
)
def test_what_people_and_hosts_start_again_and_again_loads_no_heavy_library(
    typed: list[str], more: frozenset[str], runs: Path
) -> None:
    code = (
        f"import sys; sys.argv = ['dispatch-mcp', *{typed!r}]\n"
        "from dispatch_mcp import __main__\n"
        "__main__.main()\n"
        "sys.stderr.write(' '.join(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, input="{}", check=False
    )
    assert done.returncode == 0, done.stderr
    assert not (HEAVY | more) & set(done.stderr.split())


def test_settings_have_to_be_read_with_pydantic_and_nothing_beyond_that(runs: Path) -> None:
    (runs / "config.toml").write_text("learn = true\n", encoding="utf-8")
    code = (
        "import sys; sys.argv = ['dispatch-mcp', 'status']\n"
        "from dispatch_mcp import __main__\n"
        "assert __main__.main() == 0\n"
        "sys.stderr.write(' '.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert not (HEAVY - {"pydantic", "ssl"}) & set(done.stderr.split())
