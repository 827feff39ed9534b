from __future__ import annotations

import re
import subprocess

import pytest
import source

# Written in parts, so that this file does not contain what it looks for.
REGISTRIES = (
    *("py" + "pi.org", "python" + "hosted.org", "npm" + "js.org", "npm" + "js.com", "yarn" + "pkg.com"),
    *("index" + "-url", "index" + "_url", "find" + "-links", "crates" + ".io", "proxy.golang" + ".org"),
)
MACHINE = (
    "/wo" + "rk/(main|shared|\\.)",
    "/ro" + "ot\\b",
    "/opt/" + "wheels",
    "/tmp/ba" + "sh_jobs",
    "/tmp/br" + "ief",
    "/ho" + "me/[a-z]+/",
    "/Us" + "ers/[a-z]+/",
)
FORBIDDEN = re.compile("|".join((*map(re.escape, REGISTRIES), *MACHINE)))

SECRET = re.compile("sk-ant-" + r"[a-zA-Z0-9]{8,}" + "|AKIA" + "[0-9A-Z]{16}|^-----BEGIN " + "[A-Z ]*PRIVATE KEY-----$")


def offences(name: str, text: str, pattern: re.Pattern[str]) -> list[str]:
    lines = enumerate(text.splitlines(), start=1)
    return [f"{name}:{number}: {match.group()!r}" for number, line in lines if (match := pattern.search(line))]


def tracked_texts() -> list[tuple[str, str]]:
    """Returns the text files that git tracks; outside a checkout there is nothing to check."""
    listed = subprocess.run(
        ["git", "-C", str(source.REPOSITORY), "ls-files", "-z"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    found: list[tuple[str, str]] = []
    for name in filter(None, listed.stdout.split("\0")):
        path = source.REPOSITORY / name
        if path.is_file() and b"\0" not in (data := path.read_bytes()):
            found.append((name, data.decode("utf-8", "replace")))
    return found


@pytest.mark.parametrize("pattern", [FORBIDDEN, SECRET], ids=["hosts and machine paths", "secrets"])
def test_no_tracked_file_names_what_belongs_elsewhere(pattern: re.Pattern[str]) -> None:
    assert [line for name, text in tracked_texts() for line in offences(name, text, pattern)] == []


@pytest.mark.parametrize("text", ["https://" + REGISTRIES[0] + "/simple", "see /wo" + "rk/main/x", "/ro" + "ot/.ssh"])
def test_the_rule_finds_a_host_or_a_machine_path(text: str) -> None:
    assert offences("a.md", f"fine\n{text}", FORBIDDEN) == [f"a.md:2: {FORBIDDEN.search(text).group()!r}"]  # pyright: ignore[reportOptionalMemberAccess]


def test_the_rule_finds_a_key() -> None:
    assert offences("a.py", "key = 'sk-ant-" + "abcdefghij'", SECRET)


def test_ordinary_words_pass() -> None:
    assert offences("a.md", "the work/main folder, networking, tmp/file", FORBIDDEN) == []
