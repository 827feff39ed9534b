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


@given(st.text(max_size=300), st.sampled_from(["a.sh", "package.json", "tox.ini", "pyproject.toml"]))
def test_any_text_is_read_within_bounds(text: str, path: str) -> None:
    words = file_words.words(text, path)
    assert len(words) <= file_words.MOST
    assert all(word.strip("./*") for word in words)
