"""Where the user's home is, when a process was started with none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import command_runs
import pytest

from dispatch_mcp.process import user_home

pwd = pytest.importorskip("pwd")

STRANGER = 54_321
"""A user whom the system does not know."""

BAD = pytest.mark.parametrize("given", ["", "here", ".", "~", None])


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> command_runs.Shell:
    return command_runs.shell(monkeypatch, capsys)


def variables(given: str | None) -> dict[str, str]:
    return {} if given is None else {"HOME": given}


@pytest.mark.parametrize("given", ["/", "/home/ada", "/does/not/exist"])
def test_an_absolute_path_stays_as_it_is(given: str) -> None:
    env = variables(given)
    assert user_home.complete(env, lambda _user: "/home/other") == ""
    assert env == {"HOME": given}


@BAD
def test_else_it_is_the_one_that_the_system_knows(given: str | None) -> None:
    env = variables(given)
    assert user_home.complete(env) == ""
    assert env == {"HOME": pwd.getpwuid(os.getuid()).pw_dir}


@BAD
@pytest.mark.parametrize("system", ["", "somewhere", None])
def test_where_the_system_knows_none_it_says_so_and_sets_nothing(given: str | None, system: str | None) -> None:
    def lookup(user: int) -> str:
        if system is None:
            raise KeyError(user)
        return system

    env = variables(given)
    state = "is not set" if given is None else f"is {given!r}"
    assert f": HOME {state}, and the system has none for user {os.getuid()}." in user_home.complete(env, lookup)
    assert env == variables(given)


@BAD
def test_install_and_state_go_to_the_users_own_home_from_any_folder(
    shell: command_runs.Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("XDG_DATA_HOME", "DISPATCH_MCP_HOME", "CLAUDE_CONFIG_DIR"):
        monkeypatch.delenv(name, raising=False)
    if given is None:
        monkeypatch.delenv("HOME")
    else:
        monkeypatch.setenv("HOME", given)
    own = pwd.getpwuid(os.getuid()).pw_dir
    assert f"{own}/.claude.json" in shell("install", "claude-code", "--scope", "user", "--dry-run").out
    places = {place["name"]: place["path"] for place in shell("where", "--json").json}
    assert places["state folder"].startswith(f"{own}/")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root starts programs as somebody else")
@pytest.mark.parametrize(
    "words", [["install", "claude-code"], ["status"], ["where"], ["hook"], ["statusline"], ["serve"]]
)
def test_somebody_whom_the_system_does_not_know_is_asked_for_a_home_and_nothing_is_made(
    tmp_path: Path, words: list[str]
) -> None:
    place = tmp_path / "here"
    place.mkdir()
    place.chmod(0o777)
    # Loaded before, as who is no one may not read Python's own files on every machine.
    code = f"import os, pwd, sys; from dispatch_mcp import __main__; os.setuid({STRANGER}); "
    code += f"sys.argv = ['dispatch-mcp', *{words!r}]; sys.exit(__main__.main())"
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "HOME": ""}
    call = [sys.executable, "-B", "-c", code]
    answer = subprocess.run(call, cwd=place, env=env, input="{}", capture_output=True, text=True, check=False)
    assert list(place.iterdir()) == []
    if words in (["hook"], ["statusline"]):
        assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")
    else:
        assert (answer.returncode, answer.stdout) == (2, "")
        assert answer.stderr.splitlines() == [
            f"dispatch-mcp: Your home folder is not known: HOME is '', and the system has none for user {STRANGER}.",
            "  Set HOME to the absolute path of a folder of yours.",
        ]
