"""Secrets taken out of a change: they leave, lines stay where they are (promise S10)."""

from __future__ import annotations

from collections.abc import Callable

import diff_samples
import hypothesis
import pytest
from hypothesis import strategies as st

from dispatch_mcp.review import finding_redaction
from dispatch_mcp.text import unified_diff

KEY = "\n".join(["-----BEGIN KEY-----", "abc", "def", "-----END KEY-----"])


def unchanged(text: str) -> str:
    return text


def without(secret: str, mark: str = "[redacted:key]") -> Callable[[str], str]:
    return lambda text: text.replace(secret, mark)


def texts(cleaned: finding_redaction.CleanDiff) -> list[str]:
    return [line for file in cleaned.diff.files for hunk in file.hunks for line in hunk.lines]


def test_a_secret_in_one_line_leaves_it_and_is_counted() -> None:
    diff = diff_samples.diff(
        diff_samples.change("a.py", " x", "-token = 's3cret'", "+token = env('T')", "+y = 's3cret'")
    )
    cleaned = finding_redaction.clean(diff, without("s3cret"))
    assert texts(cleaned) == [" x", "-token = '[redacted:key]'", "+token = env('T')", "+y = '[redacted:key]'"]
    assert cleaned.lines == 2


def test_a_secret_of_several_lines_leaves_and_places_stay() -> None:
    diff = diff_samples.diff(diff_samples.new_file("x.py", "a = 1", *KEY.split("\n"), "b = 2"))
    cleaned = finding_redaction.clean(diff, without(KEY))
    assert texts(cleaned) == ["+a = 1", *["+[redacted]"] * 4, "+b = 2"]
    assert cleaned.lines == 4


def test_all_lines_before_and_after_a_secret_of_several_lines_stay() -> None:
    before, after = [f"a = {n}" for n in range(4)], [f"b = {n}" for n in range(4)]
    diff = diff_samples.diff(diff_samples.new_file("x.py", *before, *KEY.split("\n"), *after))
    cleaned = texts(finding_redaction.clean(diff, without(KEY)))
    assert cleaned == [*(f"+{line}" for line in before), *["+[redacted]"] * 4, *(f"+{line}" for line in after)]


def test_a_secret_that_only_one_side_holds_together_is_found() -> None:
    lines = ["+-----BEGIN KEY-----", "-old = 1", "+abc", "-old = 2", "+def", "+-----END KEY-----"]
    cleaned = finding_redaction.clean(diff_samples.diff(diff_samples.change("x.py", *lines)), without(KEY))
    assert not any("abc" in line or "def" in line for line in texts(cleaned))
    assert [line for line in texts(cleaned) if line[0] == "-"] == ["-old = 1", "-old = 2"]


@hypothesis.given(diff_samples.CHANGES, st.text("abcxyz", min_size=1, max_size=3))
def test_whatever_is_taken_out_no_line_moves(changes: list[unified_diff.FileChange], secret: str) -> None:
    diff = unified_diff.Diff(tuple(changes))
    cleaned = finding_redaction.clean(diff, without(secret, "•"))
    before = [line for file in diff.files for hunk in file.hunks for line in hunk.lines]
    after = texts(cleaned)
    assert [line[0] for line in after] == [line[0] for line in before]
    assert not any(secret in line[1:] for line in after if "[redacted]" not in line)


@hypothesis.given(diff_samples.CHANGES)
def test_a_change_without_secrets_stays_as_it_is(changes: list[unified_diff.FileChange]) -> None:
    diff = unified_diff.Diff(tuple(change for change in changes if not finding_redaction.is_secret(change.path)))
    assert finding_redaction.clean(diff, unchanged) == finding_redaction.CleanDiff(diff, 0)


def test_names_of_files_and_sections_go_through_the_cleaner_too() -> None:
    hunk = unified_diff.Hunk(1, 1, "def s3cret():", ("+x",))
    file = unified_diff.FileChange("s3cret.py", "old-s3cret.py", "renamed", (hunk,))
    [cleaned] = finding_redaction.clean(diff_samples.diff(file), without("s3cret", "•")).diff.files
    assert (cleaned.path, cleaned.old_path, cleaned.hunks[0].section) == ("•.py", "old-•.py", "def •():")


@pytest.mark.promise("S4")
def test_values_of_secret_files_are_never_shown_and_their_names_are() -> None:
    lines = ["PORT=80", "export STRIPE = abc", '"key": "v"', "# note", "", "just a value", "-----BEGIN KEY-----"]
    cleaned = finding_redaction.clean(diff_samples.diff(diff_samples.new_file(".env", *lines)), unchanged)
    assert texts(cleaned) == [
        "+PORT=[redacted]",
        "+export STRIPE = [redacted]",
        '+"key": [redacted]',
        "+[redacted]",
        "+",
        "+[redacted]",
        "+-----BEGIN KEY-----",
    ]


@pytest.mark.parametrize("path", [".env", "deploy/.env.production", "keys/server.pem", "id_rsa", "credentials.json"])
def test_files_of_secrets_are_known(path: str) -> None:
    assert finding_redaction.is_secret(path)


@pytest.mark.parametrize(
    "path", [".env.example", ".env.sample", "secrets.template.json", ".npmrc", "known_hosts", "a.py"]
)
def test_samples_and_settings_are_shown(path: str) -> None:
    assert not finding_redaction.is_secret(path)
