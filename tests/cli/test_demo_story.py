"""What the demo plays: a plan that holds, edits that fit, and a screen that fits in 80 columns."""

from __future__ import annotations

import fnmatch
import html
import io
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
import rich.cells
import rich.console
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.cli.commands import demo
from dispatch_mcp.cli.demo import demo_project, lanes, story
from dispatch_mcp.planning import plan_checks, plan_documents

DOCS = Path(__file__).resolve().parents[2] / "docs"
HERE = story.Story(Path("/agents"))
BELOW = story.Story(Path("/agents"), "demo_shop")


@pytest.mark.parametrize("told", [HERE, BELOW])
def test_the_demos_plan_has_no_problems_and_its_edits_begin_side_by_side(told: story.Story) -> None:
    reading = plan_documents.read_tasks(told.tasks())
    assert not reading.problems
    prepared = plan_checks.prepare(reading.tasks, max_parallel=4)
    assert set(prepared.waves[0]) == {"codes", "values", "menu", "redeem"}
    assert prepared.waves[-1] == ("check",)


@pytest.mark.parametrize("told", [HERE, BELOW])
@pytest.mark.parametrize("interpreter", [sys.executable, "/users/ann of the shop/bin/python"])
def test_whatever_the_demo_starts_is_on_its_own_allow_list(
    told: story.Story, interpreter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", interpreter)
    commands = [task["command"] for task in told.tasks()]
    proofs = [
        shlex.split(line.removeprefix("command: ")) for task in told.tasks() for line in task.get("acceptance", [])
    ]
    for argv in [*commands, *proofs]:
        assert any(all(map(fnmatch.fnmatchcase, argv, entry)) for entry in told.allowed()), argv


def edited(root: Path, name: str, number: int) -> None:
    edit = demo_project.EDITS[name][number]
    text = (root / edit.path).read_text() if (root / edit.path).exists() else ""
    assert edit.old in text
    (root / edit.path).write_text(text.replace(edit.old, edit.new, 1) if edit.old else edit.new)


def passes(root: Path, pattern: str) -> bool:
    command = [sys.executable, "-m", "unittest", "discover", "-q", "-p", pattern]
    return subprocess.run(command, cwd=root, capture_output=True, check=False).returncode == 0


def test_the_first_try_of_the_codes_is_wrong_and_the_second_right(tmp_path: Path) -> None:
    root = tmp_path / "shop"
    story.Story(tmp_path / "agents").write(root)
    edited(root, "codes", 0)
    assert not passes(root, "test_codes.py")
    edited(root, "codes", 1)
    assert passes(root, "test_codes.py")
    for name in ("values", "cart", "menu", "redeem"):
        edited(root, name, 0)
    assert passes(root, "test_*.py")


def test_only_the_first_answer_of_the_first_reviewer_is_no_verdict() -> None:
    answers = {(seat, attempt): HERE.review(seat, attempt) for seat in (-1, 0, 1) for attempt in (1, 2)}
    assert [place for place, answer in answers.items() if '"verdict": "PASS"' not in answer] == [(0, 1)]


STATES = st.sampled_from(["blocked", "ready", "running", "succeeded", "failed", "PASS", "INCONCLUSIVE"])


@given(
    states=st.lists(STATES, min_size=1, max_size=7),
    notes=st.lists(st.text(max_size=90), min_size=7, max_size=7),
    sentences=st.lists(st.lists(st.text('abcde"`.', min_size=1, max_size=30), min_size=1).map(" ".join), max_size=5),
    columns=st.sampled_from([40, 60, 80, 200]),
)
def test_every_picture_fits_in_its_columns_and_in_eighty(
    states: list[str], notes: list[str], sentences: list[str], columns: int
) -> None:
    rows = {f"task-{place}": lanes.Lane(f"task-{place}"[:8], 1.0) for place, _ in enumerate(states)}
    for lane, state, note in zip(rows.values(), states, notes, strict=False):
        lane.move(state, time.monotonic())
        lane.note = note
    screen = lanes.Screen("A title " * 15, "real, " * 9, "played, " * 9, rows, sentences)
    console = rich.console.Console(width=columns, record=True, file=io.StringIO())
    console.print(screen)
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    assert [line for line in lines if rich.cells.cell_len(line) > min(columns, lanes.WIDTH)] == []
    told = lines[len(lines) - lines[::-1].index("") :] if sentences else []
    assert [line for line in told if not re.match(r"\d  |   ", line)] == [], "what goes on stands below what began"


@pytest.mark.parametrize(
    ("state", "seconds", "share"),
    [("blocked", 9, 0.0), ("running", 0, 0.0), ("running", 1, 0.5), ("running", 50, 0.95), ("succeeded", 0, 1.0)],
)
def test_a_lane_fills_while_its_task_is_at_work_and_is_full_only_at_its_end(
    state: str, seconds: float, share: float
) -> None:
    lane = lanes.Lane("x", usual_s=2.0)
    lane.move(state, 100.0)
    assert lane.share(100.0 + seconds) == share


def test_a_long_change_is_cut_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    demo.show_change("diff --git a/x b/x\nindex 1..2\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n" + "+line\n" * 60)
    out = capsys.readouterr().out.splitlines()
    assert out[:2] == ["x", "+line"]
    assert out[-1] == "and 21 lines more"


def screen(*names: str) -> lanes.Screen:
    return lanes.Screen("A shop", "server", "edits", {name: lanes.Lane(name, 1.0) for name in names})


def shown(picture: lanes.Screen) -> str:
    console = rich.console.Console(width=lanes.WIDTH, record=True, file=io.StringIO())
    console.print(picture)
    return console.export_text()


def test_a_screen_takes_the_states_of_its_lanes_from_a_trace_and_no_others() -> None:
    picture = screen("codes", "cart")
    picture.take({"tasks": [{"id": "codes", "state": "succeeded"}, {"id": "else", "state": "failed"}]})
    assert {name: lane.state for name, lane in picture.lanes.items()} == {"codes": "succeeded", "cart": "blocked"}
    assert "else" not in shown(picture)


def test_a_screen_says_what_is_played_and_what_it_has_cost() -> None:
    text = shown(screen("codes"))
    assert "played edits" in text
    assert "$0.00, no model was asked" in text
    assert "waits" in text


def test_a_clock_stands_still_when_the_show_is_over() -> None:
    picture = screen("codes")
    picture.began, picture.end_at = 100.0, 112.0
    assert " 12 s " in shown(picture)


@pytest.mark.parametrize(("below", "path"), [(".", "shop/cart.py"), ("demo_shop", "demo_shop/shop/cart.py")])
def test_the_shop_lies_in_a_folder_of_its_own_in_somebody_elses_project(below: str, path: str, tmp_path: Path) -> None:
    told = story.Story(tmp_path / "agents", below)
    told.write(tmp_path / "copy")
    assert (tmp_path / "copy" / path).exists()
    assert told.path("shop/cart.py") == path
    assert [task["files"] for task in told.tasks() if task["id"] == "cart"] == [[path]]


@pytest.mark.parametrize(
    ("place", "is_on_path", "typed"),
    [
        ("dispatch-mcp", False, "dispatch-mcp"),
        ("{}/here/.venv/bin/dispatch-mcp", False, ".venv/bin/dispatch-mcp"),
        ("{}/here/.venv/bin/dispatch-mcp", True, "dispatch-mcp"),
        ("{}/else/bin/dispatch-mcp", False, "{}/else/bin/dispatch-mcp"),
        ("{}/dispatch_mcp/__main__.py", False, "dispatch-mcp"),
    ],
)
def test_the_last_words_name_the_program_so_that_it_can_be_typed(
    place: str, typed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_on_path: bool
) -> None:
    program = Path(place.format(tmp_path))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    if program.is_absolute():
        program.parent.mkdir(parents=True)
        program.touch(0o755)
    monkeypatch.setenv("PATH", str(program.parent) if is_on_path else "/nowhere")
    monkeypatch.setattr(sys, "argv", [str(program), "demo"])
    assert f"`{typed.format(tmp_path)} install claude-code`" in demo.where_next()


def test_the_recorded_pictures_show_the_same_text_with_the_words_of_today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["dispatch-mcp", "demo"])
    text = (DOCS / "demo.txt").read_text(encoding="utf-8")
    svg = (DOCS / "demo.svg").read_text(encoding="utf-8")
    hidden_at_the_end = set(re.findall(r"\.g(\d+)\{visibility:hidden", svg))
    pieces: list[tuple[float, float, str]] = []
    for group, body in re.findall(r'<g class="g(\d+)">(.*?)</g>', svg, re.DOTALL):
        places = re.findall(r'<text [^>]*x="([^"]*)" y="([^"]*)"[^>]*>(.*?)</text>', body)
        pieces += [(float(y), float(x), piece) for x, y, piece in places if group not in hidden_at_the_end]
    drawn = "".join(html.unescape(piece) for _, _, piece in sorted(pieces))
    assert without_space(text) in without_space(drawn)
    assert without_space(demo.APPLIED) in without_space(text)
    assert without_space(text).endswith(without_space(demo.where_next()))


def without_space(text: str) -> str:
    return "".join(text.split())
