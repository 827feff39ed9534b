from __future__ import annotations

import json
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dispatch_mcp import errors
from dispatch_mcp.process import allowlist

WORDS = st.text(min_size=1, max_size=12).filter(lambda word: "\0" not in word)
ARGV = st.lists(WORDS, min_size=1, max_size=6)
DEFAULTS = allowlist.parse([])


def allowed(entry: list[str], argv: list[str]) -> bool:
    return allowlist.parse([entry], defaults=False).find(argv) is not None


@pytest.mark.parametrize(
    ("entry", "argv", "expected"),
    [
        ("pytest", "pytest", True),
        ("pytest", "pytest -q", False),
        ("pytest -q", "pytest", False),
        ("pytest *", "pytest tests", True),
        ("pytest *", "pytest", False),
        ("pytest *", "pytest tests more", False),
        ("pytest *", "pytest -p", False),
        ("pytest --*", "pytest --co", True),
        ("pytest -?", "pytest -q", True),
        ("pytest *.py", "pytest a.py", True),
        ("pytest *.py", "pytest -o.py", False),
        ("pytest [ab]", "pytest a", True),
        ("pytest [ab]", "pytest A", False),
        ("pytest [*]", "pytest *", True),
        ("pytest [*]", "pytest x", False),
        ("make test **", "make test", True),
        ("make test **", "make test -j --eval=x", True),
        ("make test **", "make testing", False),
        ("make **", "make", True),
        ("make **", "/usr/bin/make", False),
        ("/usr/bin/make", "make", False),
        ("/usr/bin/make", "/usr/bin/make", True),
        ("/usr/bin/make", "/usr/bin/../bin/make", False),
        ("make", "./make", False),
        ("make", "MAKE", False),
    ],
)
def test_an_entry_matches_the_whole_argv_token_by_token(entry: str, argv: str, *, expected: bool) -> None:
    assert allowed(entry.split(), argv.split()) is expected


@pytest.mark.parametrize(
    "entry",
    [[], [""], ["*"], ["py*"], ["[a]"], ["./tool"], ["bin/tool"], ["..\\tool"], ["a", "**", "b"], ["a", "x**"], ["**"]],
)
def test_an_entry_that_could_match_too_much_is_refused(entry: list[str]) -> None:
    with pytest.raises(errors.ConfigError) as refused:
        allowlist.parse([entry])
    assert repr(entry) in refused.value.message
    assert refused.value.hint


@pytest.mark.parametrize("argv", [[], [""], ["true", "a\0b"], ["true\0"], ["true", *["x"] * allowlist.MAX_TOKENS]])
def test_an_argv_that_is_none_is_allowed_by_nothing(argv: list[str]) -> None:
    assert not allowed(["true", "**"], argv)


@pytest.mark.promise("S5")
@given(entry=st.lists(WORDS.filter(lambda word: not set(word) & set("*?[/\\")), min_size=1, max_size=5), argv=ARGV)
def test_a_literal_entry_allows_itself_and_nothing_else(entry: list[str], argv: list[str]) -> None:
    assert allowed(entry, entry)
    assert allowed(entry, argv) == (entry == argv)


@pytest.mark.promise("S5")
@given(argv=ARGV)
def test_no_pattern_reaches_another_program(argv: list[str]) -> None:
    assert not allowed(["tool", "**"], argv) or argv[0] == "tool"


@pytest.mark.promise("S5")
@given(option=WORDS.map(lambda word: "-" + word), pattern=st.sampled_from(["*", "?*", "[!x]*", "*=*", "[-]*"]))
def test_a_pattern_lets_no_option_in_unless_it_begins_like_one(option: str, pattern: str) -> None:
    assert not allowed(["tool", pattern], ["tool", option])


@given(argv=ARGV, extra=ARGV)
def test_without_rest_an_entry_allows_one_length_only(argv: list[str], extra: list[str]) -> None:
    entry = ["tool", *["*"] * len(argv)]
    assert not allowed(entry, ["tool", *argv, *extra])


DANGEROUS = """\
git -c core.pager=id log|git --exec-path=/evil log|git -C / log|git --git-dir=/evil log|git --paginate log|git -p log
git log --output=x|git log --outp=x|git log --output x|git log --ext-diff|git log --ext|git log -p|git log --textconv
git log -Sx|git log -Gx|git log -L1,2:f|git log --exec=id|git log --show-signature|git log --no-index|git log -u
git log --stdin|git log --format|git log -cc|git diff|git diff --patch|git diff -p --stat|git diff HEAD
git diff --stat --ext-diff|git diff --stat --output=x|git diff --no-index --stat a b|git diff --stat -O/x
git diff -- --stat|git grep -O|git grep -Oless x|git grep --open-files-in-pager=id x|git grep --open x
git grep --no-index x|git grep -f /etc/passwd|git grep --textconv x|git grep --recurse-submodules x|git grep -nOid x
git grep --exclude-standard x|git ls-files --recurse-submodules|git ls-files -X /x|git ls-files --with-tree=x
git rev-parse --parseopt|git status --show-stash|git status --column|git status -v|git shortlog --output=x
git ls-remote --upload-pack=id .|git fetch|git push|git commit|git config x y|git show HEAD|git blame a
git archive HEAD|git bisect run id|git submodule foreach id|git rebase -x id|git clone x|git branch -D x|git
git --version|/usr/bin/git log|./git log|GIT log|sh -c id|bash|python -c x|env git log|rm -rf /|cat x
git rev-list --use-bitmap-index|git describe --broken --exec|git count-objects --output=x
git LOG|git log\t-p
"""


@pytest.mark.promise("S5")
@pytest.mark.parametrize("line", DANGEROUS.replace("\n", "|").rstrip("|").split("|"))
def test_the_default_list_refuses_what_writes_runs_or_leaves_the_repository(line: str) -> None:
    assert DEFAULTS.find(line.split(" ")) is None


WAYS_OUT = [
    *("/etc/passwd", "..", "../x", "a/../../x", "a/..", ":/", ":/x", ":(top)x", ":(icase,top)x", ":../x", "//host/x"),
    *(":(literal)/etc", "HEAD:../x", "C:/x", "C:\\x", "..\\x", "a\\..\\x", ":(top,glob)**"),
]
STAYS_IN = [
    *("a", "src/a.py", "HEAD..main", "main...HEAD", "..main", "HEAD^..", "v1..v2", "a..b/c", ".", "./a", "HEAD~3"),
    *("...", ":(glob)**/*.py", ":!a", "a:b", "origin/main..HEAD", ".gitignore", "..a", "a..", "HEAD@{1}"),
]
CALLS = {rule.tokens[1]: ["git", rule.tokens[1], *sorted(rule.needs)[:1]] for rule in allowlist.READ_ONLY}
CALLS["grep"] = ["git", "grep", "-n", "text"]


@pytest.mark.promise("S5")
@pytest.mark.parametrize("name", CALLS)
def test_no_argument_of_a_default_command_leads_out_of_the_folder(name: str) -> None:
    for ways, expected in ((WAYS_OUT, False), (STAYS_IN, True)):
        for way in ways:
            for argv in (
                [*CALLS[name], way],
                [*CALLS[name], "HEAD", way],
                [*CALLS[name], "--", way],
                [*CALLS[name], way, "a"],
            ):
                assert (DEFAULTS.find(argv) is not None) is expected, argv


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("git grep /api/v1", True),
        ("git grep -n ../x src", True),
        ("git grep -A 3 /api/v1", True),
        ("git grep -e /api -e ../b -- src", True),
        ("git grep -e /api /etc/passwd", False),
        ("git grep /api /etc/passwd", False),
        ("git grep /api -- ../x", False),
        ("git grep -- ../x", False),
        ("git log --grep=/api", True),
    ],
)
def test_a_text_to_search_for_is_no_path(line: str, *, expected: bool) -> None:
    assert (DEFAULTS.find(line.split()) is not None) is expected


@pytest.mark.promise("S5")
def test_git_compares_files_outside_without_being_told_no_index(tmp_path: Path) -> None:
    """Shows why arguments that lead out are refused, and not only `--no-index`."""
    (tmp_path / "repo").mkdir()
    subprocess.run(["git", "init", "-q"], cwd=tmp_path / "repo", check=True)
    (tmp_path / "secret").write_text("one\ntwo\n")
    argv = ["git", "diff", "--numstat", "/dev/null", str(tmp_path / "secret")]
    done = subprocess.run(argv, cwd=tmp_path / "repo", check=False, capture_output=True, text=True)
    assert done.stdout.startswith("2\t0\t")
    assert DEFAULTS.find(argv) is None


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("git status -s", "/bin/git status --ignore-submodules=dirty -s"),
        ("git diff --stat -- a", "/bin/git diff --no-ext-diff --no-textconv --ignore-submodules=dirty --stat -- a"),
        ("git log -n 3", "/bin/git log -n 3"),
    ],
)
def test_options_that_keep_git_from_starting_programs_come_first(line: str, expected: str) -> None:
    rule = DEFAULTS.find(line.split())
    assert rule is not None
    assert rule.argv(line.split(), "/bin/git") == expected.split()


@given(argv=ARGV)
def test_what_the_user_allows_is_started_as_it_is_written(argv: list[str]) -> None:
    rule = allowlist.parse([["tool", "**"]]).find(["tool", *argv])
    assert rule is not None
    assert rule.argv(["tool", *argv], "/bin/tool") == ["/bin/tool", *argv]


@pytest.mark.promise("S5")
@given(
    name=st.sampled_from([rule.tokens[1] for rule in allowlist.READ_ONLY]),
    words=st.lists(st.sampled_from(["--", "HEAD", "a"]) | WORDS.map(lambda word: "-" + word), max_size=5),
)
def test_the_default_list_lets_only_listed_options_through(name: str, words: list[str]) -> None:
    rule = DEFAULTS.find(["git", name, *words])
    options = words[: words.index("--")] if "--" in words else words
    if rule:
        assert rule.options is not None
        for word in (option for option in options if option.startswith("-")):
            known = word in rule.options or word.partition("=")[0] + "=" in rule.options
            assert known or (word[1:].isdecimal() and word[1:].isascii())


def test_what_follows_the_double_dash_is_a_path_even_if_it_looks_like_an_option() -> None:
    assert DEFAULTS.find(["git", "log", "--", "--output=x"])


def test_git_abbreviates_the_options_that_the_list_refuses(tmp_path: Path) -> None:
    """Shows why the default list names what it lets through instead of what it refuses."""
    (tmp_path / "todo").write_text("x")
    for argv in (["init", "-q"], ["add", "todo"], ["grep", "--open=touch leak", "x"]):
        subprocess.run(["git", *argv], cwd=tmp_path, check=True)
    assert (tmp_path / "leak").exists()


def test_the_users_entries_come_after_the_defaults_or_alone() -> None:
    both = allowlist.parse([["make", "test"]])
    assert both.find(["git", "status"])
    assert both.find(["make", "test"])
    assert allowlist.parse([["make", "test"]], defaults=False).find(["git", "status"]) is None


@given(ARGV)
def test_the_entry_for_an_argv_allows_exactly_that(argv: list[str]) -> None:
    entry = allowlist.entry_for(argv)
    if entry is None:
        assert not all(word.isprintable() for word in argv) or any(sign in argv[0] for sign in "*?[/\\")
        return
    assert allowed(list(entry), argv)
    for at in range(len(argv)):
        assert not allowed(list(entry), [*argv[:at], f"{argv[at]}x", *argv[at + 1 :]])
    assert not allowed(list(entry), [*argv, "more"])


# Most random words make no command that may be offered: that is what is drawn from.
@settings(suppress_health_check=[HealthCheck.filter_too_much])
@given(ARGV.filter(lambda argv: allowlist.entry_for(argv) is not None), st.lists(ARGV, max_size=2))
def test_the_line_and_the_variable_that_are_offered_can_be_pasted(argv: list[str], entries: list[list[str]]) -> None:
    advice = allowlist.how_to_allow(argv, entries, config_file="/h/config.toml", variable="VARIABLE")
    entry = allowlist.entry_for(argv)
    assert entry is not None
    if "add `" in advice:
        assert json.loads(advice.partition("add `")[2].rpartition("` to the list")[0]) == list(entry)
        return
    line = advice.partition("allow it: `")[2].partition("` in /h/config.toml, or ")[0]
    expected = [*entries, list(entry)]
    assert tomllib.loads(line) == {"allow_commands": expected}
    [variable] = shlex.split(advice.partition("/h/config.toml, or ")[2].rpartition(" in the environment")[0])
    assert json.loads(variable.removeprefix("VARIABLE=")) == expected


@pytest.mark.parametrize(
    "argv", [[], ["./test"], ["bin/test"], ["py*", "x"], ["rm", "\x1b[2J"], ["rm", "\u202egpj.exe"]]
)
def test_no_line_is_offered_for_what_no_entry_can_say_or_no_person_can_read(argv: list[str]) -> None:
    advice = allowlist.how_to_allow(argv, [], config_file="/h/config.toml", variable="VARIABLE")
    assert advice.startswith("No entry of `allow_commands` can allow it")


def test_one_line_allows_several_commands_beside_those_that_are_there() -> None:
    beside = [["npm", "test"], ["./none"]]
    advice = allowlist.how_to_allow(
        ["make", "all"], [["ruff"]], config_file="/h/config.toml", variable="VARIABLE", beside=beside
    )
    line = advice.partition("Only the user can allow them: `")[2].partition("` in /h/config.toml, or ")[0]
    assert tomllib.loads(line) == {"allow_commands": [["ruff"], ["npm", "test"], ["make", "all"]]}
