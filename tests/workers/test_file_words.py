from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.workers import file_words


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("check.sh", '. "$(dirname "$0")/lib.sh"', {"lib.sh"}),
        ("check.sh", "exec ./bin/run --all", {"./bin/run"}),
        ("check.py", "from pkg.helper import x", {"pkg.helper"}),
        ("check.js", "require('./lib/a')", {"./lib/a"}),
        ("Makefile", "-include conf.local\ntest: ; sh run.sh", {"conf.local", "run.sh"}),
        ("check.sh", "for f in cases/*.txt", {"cases/*.txt"}),
        ("pytest.ini", "[pytest]\naddopts = -p myplugin", {"myplugin"}),
        ("pyproject.toml", '[tool.pytest.ini_options]\naddopts = "-p mine"', {"mine"}),
        ("package.json", '{"scripts": {"test": "node check.js"}}', {"check.js"}),
        ("package.json", "{ not JSON, check.js", {"check.js"}),
    ],
)
def test_names_of_files_and_modules_are_read(path: str, text: str, expected: set[str]) -> None:
    assert expected <= file_words.words(text, path)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("pyproject.toml", '[project]\nreadme = "other.md"\n[tool.pytest]\na = 1'),
        ("package.json", '{"main": "other.md", "scripts": {}}'),
        ("setup.cfg", "[metadata]\nlong_description = other.md"),
    ],
)
def test_settings_count_only_as_far_as_they_say_how_checks_are_run(path: str, text: str) -> None:
    assert "other.md" not in file_words.words(text, path)


MAKEFILE = """T = lib.sh
-include conf.local
test: build
\tsh run.sh

build:
\tsh build.sh
docs:
\tsh docs.sh
all:
\t$(MAKE) docs
"""


@pytest.mark.parametrize(
    ("goals", "scripts"),
    [
        (["test"], {"run.sh", "build.sh"}),
        ([], {"run.sh", "build.sh"}),
        (["-j4", "build"], {"build.sh"}),
        (["all"], {"docs.sh"}),
        (["test", "docs"], {"run.sh", "build.sh", "docs.sh"}),
    ],
)
def test_of_a_makefile_the_rules_of_the_goals_count(goals: list[str], scripts: set[str]) -> None:
    words = file_words.words(file_words.for_goals(MAKEFILE, goals), "Makefile")
    assert {word for word in words if word.endswith((".sh", ".local"))} == {"lib.sh", "conf.local", *scripts}


@pytest.mark.parametrize("text", ["no rule", "", ".PHONY: test"])
def test_a_makefile_without_goals_counts_whole(text: str) -> None:
    assert file_words.for_goals(text, ["test"]) == text


@pytest.mark.parametrize("head", ["%.o: %.c", "$(X): a", "a.$(Y):"])
def test_rules_of_patterns_and_variables_count_for_every_goal(head: str) -> None:
    assert "b.sh" in file_words.for_goals(f"{head}\n\tsh b.sh\ntest:\n\ttrue\n", ["test"])


@given(st.text(max_size=300), st.sampled_from(["a.sh", "package.json", "tox.ini", "pyproject.toml"]))
def test_any_text_is_read_within_bounds(text: str, path: str) -> None:
    words = file_words.words(text, path)
    assert len(words) <= file_words.MOST
    assert all(word.strip("./*") for word in words)
