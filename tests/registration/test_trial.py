"""The trial start, with real processes."""

from __future__ import annotations

import sys
from pathlib import Path

import anyio
import pytest

from dispatch_mcp import __version__, errors
from dispatch_mcp.registration import clients, trial

pytestmark = pytest.mark.anyio


def setting(folder: Path) -> trial.Setting:
    return trial.Setting(folder, {"PATH": "/usr/bin:/bin", "HOME": str(folder), "PYTHONPATH": ":".join(sys.path)})


def python(code: str) -> clients.Launch:
    return clients.Launch(sys.executable, ("-c", code))


async def test_a_server_that_starts_names_its_version_and_tools(tmp_path: Path) -> None:
    launch = clients.Launch(sys.executable, ("-m", "dispatch_mcp", "serve"), {"DISPATCH_MCP_HOME": str(tmp_path / "s")})
    with anyio.fail_after(120):
        start = await trial.start(launch, setting(tmp_path))
    assert (start.version, start.tools) == (__version__, 8)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import sys; sys.exit('no such module')", r"ended before it answered \(exit code 1\).*no such module"),
        ("print('hello')", "wrote b'hello' where only messages may stand"),
        ("print('[1]')", "wrote b'\\[1\\]'"),
    ],
)
async def test_a_server_that_does_not_start_is_quoted(code: str, why: str, tmp_path: Path) -> None:
    with anyio.fail_after(120), pytest.raises(errors.ConfigError, match=why):
        await trial.start(python(code), setting(tmp_path))


async def test_a_server_that_never_answers_is_ended(tmp_path: Path) -> None:
    silent = python("import sys, signal\nfor _ in sys.stdin: pass\nsys.stderr.write('leaving')")
    with anyio.fail_after(120), pytest.raises(errors.ConfigError, match=r"did not answer within 0\.5 s"):
        await trial.start(silent, setting(tmp_path), within_s=0.5)


async def test_a_command_that_is_not_there_is_named(tmp_path: Path) -> None:
    with anyio.fail_after(120), pytest.raises(errors.ConfigError, match="'/no/such' cannot be started"):
        await trial.start(clients.Launch("/no/such", ()), setting(tmp_path))


@pytest.mark.parametrize("name", ["claude-desktop", "cursor", "codex"])
async def test_a_client_that_hands_on_little_is_tried_with_little(name: str) -> None:
    around = clients.Machine(
        Path("/users/ann"), {"HOME": "/users/ann", "PATH": "/mine", "KEY": "k"}, "linux", Path("/p")
    )
    tried = trial.setting_of(clients.CLIENTS[name], around)
    assert tried.env.keys() == {"HOME", "PATH"}
    assert "/mine" not in tried.env["PATH"]
    assert tried.folder == (Path("/p") if name == "codex" else Path("/"))


async def test_a_client_of_the_shell_is_tried_with_all_that_the_shell_has() -> None:
    around = clients.Machine(Path("/users/ann"), {"KEY": "k"}, "linux", Path("/p"))
    assert trial.setting_of(clients.CLIENTS["claude-code"], around) == trial.Setting(Path("/p"), {"KEY": "k"})
