"""Telling by a program and by the desktop: what they are given, and what they can never take for code."""

from __future__ import annotations

import base64
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from dispatch_mcp.alerts import alert_words, channels
from dispatch_mcp.process import child_environment
from dispatch_mcp.store.outbox import alert_box

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "win32", reason="no programs are started there"),
]
RUN = f"fix-shop-{'7d2f' * 8}"
NASTY = "\"; rm -rf / '$(id)' `id` & <b>bold</b> \u2019; Start-Process calc; --help"
KEEP = "import os, sys, pathlib; pathlib.Path('heard').write_text(sys.stdin.read() + chr(10) + os.environ['DISPATCH_ALERT'])"  # noqa: E501


def alert(kind: str = "finished", title: str = "Fix the shop", **body: Any) -> alert_box.Alert:
    return alert_box.Alert(3, RUN, kind, 0.0, {"state": "succeeded", "tasks": {}, "project": "shop", **body}, title)


def policy(path: str | None = None, **more: str) -> child_environment.ChildPolicy:
    return child_environment.ChildPolicy({"PATH": os.environ["PATH"] if path is None else path, **more})


async def tell(home: Path, *argv: str, said: alert_box.Alert | None = None, **more: str) -> None:
    with anyio.fail_after(120):
        await channels.ProgramChannel(argv, home, policy(**more)).tell(said or alert())


async def test_a_program_reads_the_alert_from_its_input_or_its_environment(tmp_path: Path) -> None:
    await tell(tmp_path, sys.executable, "-c", KEEP)
    by_input, by_variable = (tmp_path / "heard").read_text().split("\n")
    assert by_input == by_variable
    document = json.loads(by_input)
    assert (document["run"], document["title"]) == ("fix-shop-7d2f", "Fix the shop")
    assert document["text"] == "dispatch-mcp · shop: Fix the shop has succeeded."
    assert not (tmp_path / "alerts" / "3").exists()


@pytest.mark.parametrize("letter", ["a", "\x01", '"', "\u00e9", "\N{GRINNING FACE}"])
async def test_a_title_of_any_length_and_letters_is_told_in_bounds(tmp_path: Path, letter: str) -> None:
    tasks = dict.fromkeys(["a" * 10] * 9, 10_000)
    ceiling = {"limit": "attempts", "ceiling": 1 / 3, "used": 1 / 3, "share": 1 / 3}
    longest = alert("near_ceiling", letter * 5_000, tasks=tasks, project="\N{GRINNING FACE}" * 100, ceiling=ceiling)
    await tell(tmp_path, sys.executable, "-c", KEEP, said=longest)
    by_input, _ = (tmp_path / "heard").read_text().split("\n")
    assert len(by_input) <= alert_words.MOST_BYTES
    assert len(json.loads(by_input)["title"]) <= alert_words.MOST_TITLE


async def test_a_title_is_never_an_argument_of_a_program(tmp_path: Path) -> None:
    script = tmp_path / "tell"
    script.write_text('#!/bin/sh\nprintf "%s" "$#" > "$PWD/count"\n')
    script.chmod(0o755)
    await tell(tmp_path, str(script), "one word", said=alert(title=NASTY))
    assert (tmp_path / "count").read_text() == "1"


async def test_a_program_gets_the_plain_environment_of_every_child(tmp_path: Path) -> None:
    code = "import json, os, pathlib; pathlib.Path('env').write_text(json.dumps(dict(os.environ)))"
    await tell(
        tmp_path, sys.executable, "-c", code, ANTHROPIC_API_KEY="-".join(("sk", "ant", "0123456789abcdef")), EDITOR="vi"
    )
    names = json.loads((tmp_path / "env").read_text()).keys()
    assert "PATH" in names
    assert not names & {"ANTHROPIC_API_KEY", "EDITOR"}


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        ((sys.executable, "-c", "import sys; sys.exit('no\\x1b[31m network')"), "ended with 1: no"),
        ((sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"), "ended with 9"),
        (("no-such-program-here",), "is not on the path"),
        (("./tell",), "is not on the path"),
    ],
)
async def test_a_program_that_fails_has_told_nobody(tmp_path: Path, argv: tuple[str, ...], reason: str) -> None:
    with pytest.raises(channels.NotTold, match=reason) as failure:
        await tell(tmp_path, *argv)
    assert "\x1b" not in str(failure.value)


async def test_what_a_killed_server_left_of_an_alert_is_no_obstacle(tmp_path: Path) -> None:
    left = tmp_path / "alerts" / "3"
    left.mkdir(parents=True)
    (left / "stdin").write_text("old")
    (left / "exit").write_text("old")
    await tell(tmp_path, sys.executable, "-c", KEEP)
    assert (tmp_path / "heard").exists()


@pytest.mark.parametrize("text", [NASTY, '-e do shell script "id"', "--help", "'+(id)+'"])
@pytest.mark.parametrize("program", ["/usr/bin/osascript", "/usr/bin/notify-send", "/mnt/c/powershell.exe"])
def test_no_text_is_code_or_an_option_for_what_shows_notifications(program: str, text: str) -> None:
    argv = channels.desktop_argv(program, text, text)
    name = Path(program).name
    if name == "osascript":
        assert argv[-2:] == [text, text]
        assert all(text not in part for part in argv[:-2])
        assert argv[1::2][:3] == ["-e", "-e", "-e"]
    elif name == "notify-send":
        assert argv[2] == "--"
        assert "<" not in argv[4]
    else:
        script = base64.b64decode(argv[-1]).decode("utf-16-le")
        assert text not in script
        assert base64.b64encode(text.encode()).decode() in script


async def test_the_desktop_is_told_by_what_there_is(tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "notify-send"
    program.write_text('#!/bin/sh\nfor word in "$@"; do printf "%s\\n" "$word"; done > "$PWD/shown"\n')
    program.chmod(0o755)
    channel = channels.DesktopChannel(tmp_path, policy(str(folder)), "linux")
    with anyio.fail_after(120):
        await channel.tell(alert("waiting", waits_for="decision"))
    shown = (tmp_path / "shown").read_text().splitlines()
    assert shown == ["--app-name=dispatch-mcp", "--", "dispatch-mcp · shop", "Fix the shop waits for your decision."]


async def test_without_a_desktop_nothing_is_tried_twice(tmp_path: Path) -> None:
    with pytest.raises(channels.NeverTold, match="no program that shows"):
        await channels.DesktopChannel(tmp_path, policy(str(tmp_path)), "linux").tell(alert())


@pytest.mark.parametrize(
    ("kind", "body", "end"),
    [
        ("finished", {"state": "partial"}, "is over, and some of it was not done."),
        ("finished", {"state": "needs_changes"}, "is over, and its review asks for changes."),
        ("finished", {"state": "cancelled"}, "was cancelled."),
        ("finished", {"state": "inconclusive"}, "is over, and its review came to no decision."),
        ("failed", {"state": "failed"}, "has failed."),
        ("waiting", {"waits_for": "ceiling"}, "waits at its ceiling: raise it, or cancel."),
        (
            "near_ceiling",
            {"ceiling": {"limit": "dollars", "ceiling": 5.0, "used": 4.1, "share": 0.8}},
            "has used 82% of its dollars.",
        ),
    ],
)
def test_every_cause_is_a_sentence(kind: str, body: dict[str, Any], end: str) -> None:
    assert alert_words.sentences(alert(kind, **body))[1] == f"Fix the shop {end}"


def test_a_sentence_stays_on_its_line_whatever_a_title_holds() -> None:
    heading, line = alert_words.sentences(alert(title="a\nb\x1b[2Jc\u202e" + "x" * 200, project="p\nq"))
    assert "\n" not in heading + line
    assert "\x1b" not in line
    assert len(line) < 120


def test_a_run_without_a_title_is_named_by_its_id() -> None:
    assert alert_words.sentences(alert(title=""))[1].startswith("fix-shop-7d2f has")


def test_the_script_for_windows_holds_both_texts_and_nothing_to_fill_in() -> None:
    argv = channels.desktop_argv("/mnt/c/powershell.exe", "LINE of HEADING", "LINE")
    script = base64.b64decode(argv[-1]).decode("utf-16-le")
    texts = [base64.b64decode(part).decode() for part in re.findall(r"FromBase64String\('([^']*)'\)", script)]
    assert texts == ["LINE of HEADING", "LINE"]
    assert argv[1:4] == ["-NoProfile", "-NonInteractive", "-EncodedCommand"]


@pytest.mark.parametrize(
    ("platform", "there", "chosen"),
    [
        ("darwin", ["osascript", "notify-send"], "osascript"),
        ("darwin", ["notify-send"], ""),
        ("linux", ["notify-send", "powershell.exe"], "notify-send"),
        ("linux", ["powershell.exe"], "powershell.exe"),
        ("linux", [], ""),
    ],
)
def test_each_platform_has_its_own_program(tmp_path: Path, platform: str, there: list[str], chosen: str) -> None:
    for name in there:
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    assert channels.desktop_program(str(tmp_path), platform) == (str(tmp_path / chosen) if chosen else "")
    assert channels.desktop_program("", platform) == ""
