"""`dispatch-mcp trace RUN --html FILE | --open`."""

from __future__ import annotations

import json
import re
import stat
import webbrowser
from pathlib import Path
from typing import Any

import command_runs
import pytest

SECRET = "sk-ant-" + "api03-" + "a1b2c3d4" * 5


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> command_runs.Shell:
    monkeypatch.chdir(tmp_path)
    return command_runs.shell(monkeypatch, capsys)


def data(path: Path) -> Any:
    match = re.search(r'<script type="application/json" id="data">(.*?)</script>', path.read_text("utf-8"), re.DOTALL)
    assert match
    return json.loads(match[1])


def run(shell: command_runs.Shell, folder: Path, goal: str = "Build it") -> None:
    document = command_runs.written(folder, [{"id": "a", "do": goal}, {"id": "b", "do": "Test it", "deps": ["a"]}])
    assert shell("run", document, "--dry-run", "--quiet", "--title", "A shop").code == 0


def test_a_run_is_written_as_one_page_that_only_its_user_can_read(shell: command_runs.Shell, tmp_path: Path) -> None:
    run(shell, tmp_path)
    page = tmp_path / "out" / "run.html"
    said = shell("trace", "latest", "--html", str(page))
    assert said.code == 0
    assert str(page) in said.out
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    picture = data(page)
    assert picture["run"]["title"] == "A shop"
    assert {task["id"]: task["state"] for task in picture["tasks"]}.items() >= {
        "a": "succeeded",
        "b": "succeeded",
    }.items()
    assert picture["run"]["state"] == "succeeded"
    assert "<title>A shop</title>" in page.read_text("utf-8")


def test_the_page_is_written_over_an_older_one(shell: command_runs.Shell, tmp_path: Path) -> None:
    run(shell, tmp_path)
    page = tmp_path / "run.html"
    page.write_text("old", encoding="utf-8")
    assert shell("trace", "latest", "--html", "run.html").code == 0
    assert data(page)["run"]["title"] == "A shop"


def test_the_page_holds_no_secret(shell: command_runs.Shell, tmp_path: Path) -> None:
    run(shell, tmp_path, f"Use {SECRET} to log in")
    shell("trace", "latest", "--html", "run.html")
    assert SECRET not in (tmp_path / "run.html").read_text("utf-8")
    assert str(tmp_path) not in (tmp_path / "run.html").read_text("utf-8")


def test_open_shows_the_page_in_the_browser(
    shell: command_runs.Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(shell, tmp_path)
    urls: list[str] = []

    def show(url: str) -> bool:
        urls.append(url)
        return True

    monkeypatch.setattr(webbrowser, "open", show)
    assert shell("trace", "latest", "--html", "run.html", "--open").code == 0
    assert urls == [(tmp_path / "run.html").as_uri()]


def no_browser(_url: str) -> bool:
    return False


def test_without_a_browser_the_file_is_named(
    shell: command_runs.Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(shell, tmp_path)
    monkeypatch.setattr(webbrowser, "open", no_browser)
    said = shell("trace", "latest", "--open", "--json")
    page = Path(json.loads(said.out)["page"])
    assert data(page)["run"]["title"] == "A shop"
    assert "open the file yourself" in said.err


@pytest.mark.parametrize("name", [".", "/", "..", "out", "out/"])
def test_a_folder_is_no_file_for_a_page(shell: command_runs.Shell, tmp_path: Path, name: str) -> None:
    run(shell, tmp_path)
    (tmp_path / "out").mkdir()
    answer = shell("trace", "latest", "--html", name)
    assert answer.code == 2
    assert repr(name) in answer.err
    assert "which is a folder" in answer.err


def test_a_file_that_cannot_be_made_is_named_with_the_reason(shell: command_runs.Shell, tmp_path: Path) -> None:
    run(shell, tmp_path)
    (tmp_path / "plain").write_text("", encoding="utf-8")
    answer = shell("trace", "latest", "--html", "plain/run.html")
    assert answer.code == 2
    assert "The page cannot be written" in answer.err


def test_a_page_goes_to_stdout_alone(shell: command_runs.Shell, tmp_path: Path) -> None:
    run(shell, tmp_path)
    answer = shell("trace", "latest", "--html", "-")
    assert answer.code == 0
    assert answer.out.startswith("<!doctype html>")
    assert answer.out.rstrip().endswith("</html>")
    assert not (tmp_path / "-").exists()
    for wish in ("--json", "--open"):
        refusal = shell("trace", "latest", "--html", "-", wish)
        assert (refusal.code, refusal.out) == (2, "") or wish == "--json"
        assert wish in refusal.err + refusal.out


def test_an_unknown_run_is_no_page(shell: command_runs.Shell, tmp_path: Path) -> None:
    said = shell("trace", "nothing-1234", "--html", "run.html")
    assert said.code == 2
    assert not (tmp_path / "run.html").exists()
