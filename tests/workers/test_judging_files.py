"""Work that changes what judges it, one step away or where git does not look: its command proves nothing then."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import reviewed_runs
from reviewed_runs import Chat

pytestmark = pytest.mark.anyio

ALLOWED = [["sh", "**"], ["make", "-C", "*", "test"], ["python3", "**"]]
GREP = 'grep -q "a + b" {at}/calc.py\n'
WRONG = "def add(a, b):\n    return a - b\n"
CHECK = "import {module}, sys\nsys.exit('a + b' not in open('{at}/calc.py').read())\n"


class Case(NamedTuple):
    """Files of a folder, the command that judges the work in it, and what is changed beside the work."""

    files: Mapping[str, str]
    command: str
    change: Mapping[str, str]


JUDGES: dict[str, Case] = {
    "make": Case(
        {"Makefile": "test:\n\tsh run.sh\n", "run.sh": "grep -q x calc.py\n"}, "make -C {at} test", {"run.sh": ""}
    ),
    "unshown": Case(
        {"Makefile": "-include conf.local\ntest:\n\ttrue\n"}, "make -C {at} test", {"conf.local": "T = true\n"}
    ),
    "source": Case(
        {"check.sh": '. "$(dirname "$0")/lib.sh"\n', "lib.sh": GREP}, "sh {at}/check.sh", {"lib.sh": "true\n"}
    ),
    "far": Case(
        {"check.sh": ". {at}/one.sh\n", "one.sh": "sh {at}/two.sh\n", "two.sh": GREP},
        "sh {at}/check.sh",
        {"two.sh": ""},
    ),
    "variable": Case(
        {"check.sh": "cd {at}; T=deep; . ./$T/lib.sh\n", "deep/lib.sh": "true\n"},
        "sh {at}/check.sh",
        {"deep/lib.sh": ":\n"},
    ),
    "data": Case(
        {"check.sh": "cd {at} && for f in cases/*; do cat $f; done\n", "cases/one": "a + b"},
        "sh {at}/check.sh",
        {"cases/one": "a - b"},
    ),
    "import": Case(
        {"check.py": "import helper, sys\nsys.exit(helper.check())\n", "helper.py": "def check():\n    return 1\n"},
        "python3 {at}/check.py",
        {"helper.py": "def check():\n    return 0\n"},
    ),
    "shadow": Case(
        {"check.py": CHECK.replace("{module}", "json")}, "python3 {at}/check.py", {"json.py": "raise SystemExit\n"}
    ),
    "package": Case(
        {"check.py": CHECK.replace("{module}", "json")},
        "python3 {at}/check.py",
        {"json/__init__.py": "raise SystemExit\n"},
    ),
    "quoted": Case({"run.sh": "true\n"}, "sh -c 'sh {at}/run.sh'", {"run.sh": ":\n"}),
    "ignored": Case({"check.sh": "true\n"}, "sh {at}/check.sh", {"conftest.py": "import os\n"}),
}
INNOCENT: dict[str, Case] = {
    "prose": Case(
        {"check.sh": "# see README.md\ntrue\n", "README.md": "old\n"}, "sh {at}/check.sh", {"README.md": "new\n"}
    ),
    "compiled": Case(
        {"Makefile": "test: other.c\n\ttrue\n", "other.c": "a\n"}, "make -C {at} test", {"other.c": "b\n"}
    ),
    "elsewhere": Case({"check.sh": "true\n", "other.py": "a = 1\n"}, "sh {at}/check.sh", {"other.py": "a = 2\n"}),
    "module": Case(
        {"check.sh": "true\n", "app/__init__.py": "", "app/types.py": ""},
        "sh {at}/check.sh",
        {"app/types.py": "a = 1\n"},
    ),
    "target": Case(
        {"Makefile": "test:\n\ttrue\nother:\n\tsh other.sh\n", "other.sh": "a\n"},
        "make -C {at} test",
        {"other.sh": "b\n"},
    ),
    "state": Case({"check.sh": "cd {at}; ls data\n", "data/cache.db": "a"}, "sh {at}/check.sh", {"data/cache.db": "b"}),
    "nothing": Case({"check.sh": ". {at}/lib.sh\n", "lib.sh": "true\n"}, "sh {at}/check.sh", {}),
}


def written(shop: Path, at: str, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = shop / at / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("{at}", at))


async def judged(tmp_path: Path, cases: Mapping[str, Case], *, git: bool = True) -> dict[str, tuple[str, str]]:
    """Returns the state of each task and what the receipt of its command says, its change made beside the work."""
    shop = reviewed_runs.shop(tmp_path / "shop", git=git)
    for at, case in cases.items():
        written(shop, at, {"calc.py": WRONG, **case.files})
    if git:
        (shop / ".gitignore").write_text("*.local\nignored/conftest.py\n")
        reviewed_runs.commit(shop)
    flags: dict[str, Any] = {"reviews": "none", "allow_commands": ALLOWED, "max_parallel": 20}
    async with reviewed_runs.opened(tmp_path / "state", shop, **flags) as chat:
        await chat.begin(
            *(
                {
                    "id": at,
                    "do": f"Fix {at}",
                    "agent": "coder",
                    "files": [f"{at}/calc.py"],
                    "acceptance": [f"command: {case.command.replace('{at}', at)}"],
                }
                for at, case in cases.items()
            )
        )
        for at, case in cases.items():
            written(shop, at, {"calc.py": WRONG.replace("a - b", "a + b"), **case.change})
        return await results(chat, list(cases))


async def results(chat: Chat, names: list[str]) -> dict[str, tuple[str, str]]:
    """Reports tasks that are out, and returns the state and the receipt of the command of each."""
    answer = await chat.app.report(chat.run_id, [{"task_id": name, "attempt": 1, "text": "done"} for name in names])
    return {
        line.task_id: (line.state, next(one.detail for one in line.receipts if one.kind == "exit_code"))
        for line in answer.results
    }


@pytest.mark.parametrize("git", [True, False], ids=["git", "no git"])
async def test_a_command_proves_nothing_once_anything_was_changed_that_decides_what_it_checks(
    tmp_path: Path, *, git: bool
) -> None:
    states = await judged(tmp_path, JUDGES, git=git)
    for at, case in JUDGES.items():
        state, detail = states[at]
        if git or at not in ("variable", "ignored"):  # nobody knows there what else has changed
            assert state == "unverified", (at, detail)
            assert f"`{at}/{next(iter(case.change))}`" in detail


async def test_what_decides_nothing_may_change_beside_the_work(tmp_path: Path) -> None:
    states = await judged(tmp_path, INNOCENT)
    assert states == dict.fromkeys(INNOCENT, ("succeeded", "ended with exit code 0"))


async def test_what_earlier_work_of_the_run_changed_of_a_judge_is_told_with_its_name(tmp_path: Path) -> None:
    shop = reviewed_runs.shop(tmp_path / "shop")
    written(
        shop, ".", {"check.sh": ". ./lib.sh\n", "lib.sh": "false\n", "tests/test_a.py": "def test_a():\n    assert 1\n"}
    )
    reviewed_runs.commit(shop)
    fix = {
        "id": "fix",
        "do": "Fix it",
        "agent": "coder",
        "files": ["app/cart.py"],
        "acceptance": ["command: sh check.sh"],
    }
    tidy = {"id": "tidy", "do": "Tidy up", "agent": "coder", "files": ["lib.sh"], "acceptance": ["diff"]}
    flags: dict[str, Any] = {"reviews": "none", "allow_commands": ALLOWED}
    async with reviewed_runs.opened(tmp_path / "state", shop, **flags) as chat:
        for declares, state, words in (
            (True, "succeeded", "`lib.sh`, which can decide what it checks, was changed by task `tidy`"),
            (False, "unverified", "`lib.sh`, which can decide what it checks, had been changed in this run"),
        ):
            (shop / "lib.sh").write_text("false\n")
            files = ["lib.sh"] if declares else ["CHANGES.md"]
            await chat.begin({**tidy, "files": files}, {**fix, "deps": ["tidy"]})
            written(shop, ".", {"lib.sh": "true\n", "CHANGES.md": f"# {state}\n"})
            await chat.report("tidy")
            (shop / "app/cart.py").write_text(f"# {state}\n")
            await chat.out()
            [(actual, detail)] = (await results(chat, ["fix"])).values()
            assert actual == state
            assert words in detail


async def test_a_judge_that_was_not_as_committed_when_the_work_began_is_told(tmp_path: Path) -> None:
    shop = reviewed_runs.shop(tmp_path / "shop")
    written(shop, ".", {"check.sh": "false\n"})
    reviewed_runs.commit(shop)
    look = {"id": "look", "do": "Have a look around"}
    fix = {
        "id": "fix",
        "do": "Fix it",
        "files": ["app/cart.py"],
        "acceptance": ["command: sh check.sh"],
        "deps": ["look"],
    }
    async with reviewed_runs.opened(tmp_path / "state", shop, reviews="none", allow_commands=ALLOWED) as chat:
        await chat.begin(look, fix)
        (shop / "check.sh").write_text("true\n")
        await chat.report("look")
        await chat.out()
        (shop / "app/cart.py").write_text("# better\n")
        [(_, detail)] = (await results(chat, ["fix"])).values()
        assert "`check.sh`, which can decide what it checks, was not as committed when the task began" in detail
