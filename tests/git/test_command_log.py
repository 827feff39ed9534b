"""Which git commands of a worker are read from git's own log, and which of them move a checkout or a branch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dispatch_mcp.git import command_log
from dispatch_mcp.git.command_log import GitCommand


def session(sid: str, name: str, *words: str, top: str = "") -> list[dict[str, Any]]:
    """Returns the events that git writes for one command."""
    return [
        {"event": "start", "sid": sid, "argv": ["git", name, *words]},
        {"event": "def_repo", "sid": sid, "worktree": top},
        {"event": "cmd_name", "sid": sid, "name": name},
        {"event": "exit", "sid": sid, "code": 0},
    ]


def written(path: Path, *events: Any) -> Path:
    lines = [event if isinstance(event, str) else json.dumps(event) for event in events]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_each_session_is_a_command_with_its_words_and_its_checkout(tmp_path: Path) -> None:
    events = [*session("1", "commit", "-m", "x", top="/w"), *session("2", "push", "origin", "main")]
    assert command_log.read(written(tmp_path / "log", *events)) == [
        GitCommand("commit", ("git", "commit", "-m", "x"), "/w"),
        GitCommand("push", ("git", "push", "origin", "main"), ""),
    ]


def test_sessions_that_run_at_the_same_time_are_told_apart(tmp_path: Path) -> None:
    one, two = session("1", "commit", top="/a"), session("2", "merge", top="/b")
    mixed = [event for pair in zip(one, two, strict=True) for event in pair]
    commands = command_log.read(written(tmp_path / "log", *mixed))
    assert [(command.name, command.top) for command in commands] == [("commit", "/a"), ("merge", "/b")]


def test_the_first_of_several_like_events_of_a_session_counts(tmp_path: Path) -> None:
    events = [*session("1", "commit"), {"event": "cmd_name", "sid": "1", "name": "gc"}]
    assert [command.name for command in command_log.read(written(tmp_path / "log", *events))] == ["commit"]


@pytest.mark.parametrize(
    "line",
    [
        pytest.param('{"event": "start", "sid": ', id="cut"),
        pytest.param('["start", "cmd_name"]', id="a list"),
        pytest.param('{"event": "cmd_name", "sid": "9", "name": 7}', id="a name that is none"),
        pytest.param('{"event": "start", "sid": "9", "argv": ["git", "push"]}', id="no name"),
        pytest.param('"start"' + "[" * 200_000, id="too deep"),
        pytest.param("\ufffd\x00", id="no text"),
    ],
)
def test_what_is_no_event_of_a_command_is_skipped(tmp_path: Path, line: str) -> None:
    commands = command_log.read(written(tmp_path / "log", line, *session("1", "commit")))
    assert [command.name for command in commands] == ["commit"]


@pytest.mark.parametrize("words", [None, "git push", {"argv": 1}])
def test_a_command_without_a_list_of_words_has_none(tmp_path: Path, words: object) -> None:
    events = [{"event": "start", "sid": "1", "argv": words}, {"event": "cmd_name", "sid": "1", "name": "push"}]
    assert command_log.read(written(tmp_path / "log", *events)) == [GitCommand("push")]


def test_without_a_log_and_after_it_was_begun_anew_there_are_no_commands(tmp_path: Path) -> None:
    path = command_log.file_beside(tmp_path / "tree")
    assert path == tmp_path / "tree.git-log"
    command_log.begin(path)
    assert command_log.read(path) == []
    written(path, *session("1", "commit"))
    command_log.begin(path)
    assert command_log.read(path) == []


MOVING_HERE = (
    "am",
    "branch",
    "checkout",
    "cherry-pick",
    "commit",
    "merge",
    "pull",
    "rebase",
    "reset",
    "revert",
    "switch",
)


@pytest.mark.parametrize("name", MOVING_HERE)
def test_commands_that_write_history_move_the_checkout_that_they_ran_in(tmp_path: Path, name: str) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    assert GitCommand(name, top=str(tmp_path / "link")).moves_checkout(tmp_path)
    assert not GitCommand(name, top=str(tmp_path / "elsewhere")).moves_checkout(tmp_path)
    assert not GitCommand(name).moves_checkout(tmp_path), "nobody knows where it ran"


@pytest.mark.parametrize("name", ["status", "log", "diff", "add", "fetch", "push", "stash"])
def test_commands_that_only_look_or_write_elsewhere_move_no_checkout(tmp_path: Path, name: str) -> None:
    assert not GitCommand(name, top=str(tmp_path)).moves_checkout(tmp_path)


@pytest.mark.parametrize(
    ("name", "words", "moves"),
    [
        ("push", ("git", "push", ".", "HEAD:main"), True),
        ("push", ("git", "push", ".", "+HEAD:refs/heads/main"), True),
        ("push", ("git", "push", ".", "+main"), True),
        ("fetch", ("git", "fetch", ".", "topic:main"), True),
        ("branch", ("git", "branch", "-f", "main", "topic"), True),
        ("update-ref", ("git", "update-ref", "refs/heads/main", "0" * 40), True),
        ("push", ("git", "push", ".", "HEAD:maintenance"), False),
        ("push", ("git", "push", ".", "HEAD:refs/tags/main"), False),
        ("log", ("git", "log", "main"), False),
        ("push", (), False),
    ],
)
def test_a_command_moves_the_branch_that_it_names_as_its_goal(
    name: str, words: tuple[str, ...], *, moves: bool
) -> None:
    assert GitCommand(name, words).moves_branch("main") is moves


@pytest.mark.parametrize(
    ("command", "ref", "drops"),
    [
        ("tag -d keep", "refs/tags/keep", True),
        ("tag -d keep", "refs/tags/other", False),
        ("branch -rd origin/x", "refs/remotes/origin/x", True),
        ("update-ref -d refs/keep/me", "refs/keep/me", True),
        ("update-ref --stdin", "refs/keep/me", True),
        ("update-ref refs/keep/you HEAD", "refs/keep/me", False),
        ("notes prune", "refs/notes/commits", True),
        ("notes prune", "refs/tags/keep", False),
        ("remote remove origin", "refs/remotes/origin/x", True),
        ("remote -v", "refs/remotes/origin/x", False),
        ("fetch --prune", "refs/remotes/origin/x", False),
        ("push . :refs/tags/keep", "refs/tags/keep", True),
        ("push --mirror .", "refs/tags/keep", True),
        ("log keep", "refs/tags/keep", False),
    ],
)
def test_a_command_drops_the_refs_that_it_names_or_that_it_is_for(command: str, ref: str, *, drops: bool) -> None:
    words = command.split()
    assert GitCommand(words[0], ("git", *words)).drops_ref(ref) is drops


@pytest.mark.parametrize(
    ("command", "forces"),
    [
        ("worktree remove --force ../x", True),
        ("worktree remove -f ../x", True),
        ("worktree remove ../x", False),
        ("worktree add --force ../x", False),
        ("rm -f remove", False),
    ],
)
def test_a_command_removes_a_worktree_by_force_where_it_says_so(command: str, *, forces: bool) -> None:
    words = command.split()
    assert GitCommand(words[0], ("git", *words)).forces_removal() is forces


@pytest.mark.parametrize(
    ("command", "drops"),
    [
        ("stash drop", True),
        ("stash clear", True),
        ("stash pop --index", True),
        ("stash branch topic", True),
        ("reflog delete stash@{0}", True),
        ("update-ref -d refs/stash", True),
        ("stash", False),
        ("stash push -m x", False),
        ("stash list", False),
        ("stash apply", False),
        ("reflog", False),
    ],
)
def test_a_command_takes_entries_from_the_stash_by_its_words(command: str, *, drops: bool) -> None:
    words = command.split()
    assert GitCommand(words[0], ("git", *words)).drops_stash() is drops
