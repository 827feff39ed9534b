"""Which programs the `command` worker may run (promise S5): the user's entries, and read-only git commands.

An entry is an argv pattern, matched token by token against the whole argv:

- The first token names the program literally, as a bare name (`git`, looked up on PATH) or as an absolute path. An
  argv matches only when it writes the program the same way.
- Any other token is a literal, or a pattern if it contains `*`, `?` or `[` (case-sensitive, as in `fnmatch`; write
  `[*]` for a literal star). A pattern stands for exactly one argument.
- A pattern stands for an argument that begins with `-` only if the pattern itself begins with `-`, so `["wc", "*"]`
  lets no option in.
- `**` may stand last and alone: any further arguments, none included, options too.
"""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from dispatch_mcp import errors

SETTING: Final = "allow_commands"
MOST_CHARS: Final = 300
"""Characters of all entries together up to which they are shown whole."""

REST = "**"
MAX_TOKENS = 4096
_WILD = re.compile(r"[*?\[]")
_NUMBER = re.compile(r"^-[0-9]{1,6}$")
_WAY_OUT = re.compile(
    r"(?:^|[:)])(?:/|\.\.(?:/|$))"  # absolute, from the top of the repository (`:/`), or climbing at once
    r"|/\.\.(?:/|$)"  # climbing on the way
    r"|^[A-Za-z]:/"  # a drive
    r"|^:\([a-z,:]{0,60}top\b"  # `:(top)` and its like
)


@dataclass(frozen=True, slots=True)
class CommandRule:
    """One entry. With `options`, only those options are let through `**`, and one of `needs` must be among them.

    An option that takes a value is listed with its `=` (`--since=`). What follows `--` is not an option. Then the
    other arguments must not lead out of the folder that the program is started in either, but for a text to search
    for, of which there is one if it `searches`. `env` is added to the environment of the program, `safe_options` to its
    arguments, behind the tokens. `reads_repository` says that it is git, which is to run no program of a repository.
    """

    tokens: tuple[str, ...]
    options: frozenset[str] | None = None
    needs: frozenset[str] = frozenset()
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    safe_options: tuple[str, ...] = ()
    searches: bool = False
    reads_repository: bool = False

    def matches(self, argv: Sequence[str]) -> bool:
        """Returns whether `argv` is what this entry allows."""
        pattern = self.tokens[:-1] if self.tokens[-1] == REST else self.tokens
        if len(argv) < len(pattern) or (len(argv) > len(pattern) and pattern is self.tokens):
            return False
        if argv[0] != pattern[0] or not all(map(_token_matches, pattern[1:], argv[1:])):
            return False
        return self.options is None or self._options_allowed(argv[len(pattern) :])

    def _options_allowed(self, rest: Sequence[str]) -> bool:
        options = [word for word in rest[: _end_of_options(rest)] if word.startswith("-")]
        harmless = all(self._option_allowed(word) for word in options)
        stays = not any(map(_leads_out, self._places(rest)))
        return harmless and stays and (not self.needs or not self.needs.isdisjoint(options))

    def _places(self, rest: Sequence[str]) -> list[str]:
        """Returns the arguments that may name revisions and files."""
        end = _end_of_options(rest)
        words = [(at, word) for at, word in enumerate(rest[:end]) if not word.startswith("-")]
        places = [word for at, word in words if not (self.searches and at and rest[at - 1] == "-e")]
        if self.searches and "-e" not in rest[:end]:
            first = next((word for word in places if not word.isdigit()), None)
            places = [word for at, word in enumerate(places) if first is None or at != places.index(first)]
        return [*places, *rest[end + 1 :]]

    def argv(self, argv: Sequence[str], program: str) -> list[str]:
        """Returns what to start for an argv that matches; `program` is the path of its program."""
        size = len(self.tokens) - (self.tokens[-1] == REST)
        return [program, *argv[1:size], *self.safe_options, *argv[size:]]

    def _option_allowed(self, word: str) -> bool:
        assert self.options is not None
        name, equals, _ = word.partition("=")
        return name + equals in self.options or ("-NUMBER" in self.options and bool(_NUMBER.fullmatch(word)))


def _leads_out(word: str) -> bool:
    """Returns whether an argument of git leads out of the current folder: absolute, climbing, or from the top."""
    return bool(_WAY_OUT.search(word.replace("\\", "/")))


def _end_of_options(words: Sequence[str]) -> int:
    return words.index("--") if "--" in words else len(words)


def _token_matches(token: str, argument: str) -> bool:
    if not _WILD.search(token):
        return token == argument
    if argument.startswith("-") and not token.startswith("-"):
        return False
    return fnmatch.fnmatchcase(argument, token)


@dataclass(frozen=True, slots=True)
class AllowList:
    """All rules that are in force."""

    rules: tuple[CommandRule, ...] = ()

    def find(self, argv: Sequence[str]) -> CommandRule | None:
        """Returns the first rule that allows `argv`, or None. An argv with a NUL or without a program matches none."""
        if not argv or not argv[0] or len(argv) > MAX_TOKENS or any("\0" in word for word in argv):
            return None
        return next((rule for rule in self.rules if rule.matches(argv)), None)


def parse(entries: Sequence[Sequence[str]], *, defaults: bool = True) -> AllowList:
    """Returns the allow-list of the user's entries, after the read-only ones when `defaults`.

    Raises:
        ConfigError: an entry could match more than its author can see.
    """
    rules = tuple(CommandRule(_checked(tuple(entry))) for entry in entries)
    return AllowList((*READ_ONLY, *rules) if defaults else rules)


def only_reads(argv: Sequence[str]) -> bool:
    """Returns whether a command is one of those that may always be started, as they change nothing."""
    return AllowList(READ_ONLY).find(argv) is not None


def entry_for(argv: Sequence[str]) -> tuple[str, ...] | None:
    """Returns the entry that allows exactly this argv, or None where there is none that a person could read."""
    if not argv or not all(word.isprintable() for word in argv):
        return None
    entry = (argv[0], *(_WILD.sub(r"[\g<0>]", word) for word in argv[1:]))
    return None if _problem(entry) else entry


def how_to_allow(
    argv: Sequence[str],
    entries: Sequence[Sequence[str]],
    *,
    config_file: str,
    variable: str,
    beside: Sequence[Sequence[str]] = (),
) -> str:
    """Returns what a person writes where so that exactly this argv may start, and those `beside` it.

    `entries` are those that the person has already: the line is whole, as a setting can stand only once in a file.
    """
    entry = entry_for(argv)
    if entry is None:
        return (
            f"No entry of `{SETTING}` can allow it: name the program by a bare name or an absolute path, and use no "
            "characters that cannot be seen."
        )
    new = [*filter(None, map(entry_for, beside)), entry]
    whole = _as_text([*entries, *new])
    if len(whole) <= MOST_CHARS:
        places = f"`{SETTING} = {whole}` in {config_file}, or {variable}={shlex.quote(whole)}"
    else:
        places = f"add `{', '.join(map(_as_text, new))}` to the list {SETTING} in {config_file}, or to {variable}"
    return (
        f"Only the user can allow {'them' if beside else 'it'}: {places} in the environment, which outranks the file. "
        "A server that runs already has to be started again."
    )


def _as_text(value: Sequence[object]) -> str:
    """Returns a list in the form that TOML and JSON share."""
    # Both JSON and TOML read this; of what JSON lets stand, TOML refuses only DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _checked(entry: tuple[str, ...]) -> tuple[str, ...]:
    problem = _problem(entry)
    if problem:
        raise errors.ConfigError(
            f"The `allow_commands` entry {list(entry)!r} {problem}.",
            hint='Write the program first, then its arguments, such as `["pytest", "-q", "*"]`.',
        )
    return entry


def _problem(entry: tuple[str, ...]) -> str:
    if not entry or not entry[0]:
        return "names no program"
    if any("\0" in token for token in entry):
        return "contains a NUL character"
    if _WILD.search(entry[0]):
        return "has a pattern in the place of the program"
    if ("/" in entry[0] or "\\" in entry[0]) and not PurePosixPath(entry[0]).is_absolute():
        return "names the program by a relative path, which content of the workspace could replace"
    if any(REST in token and (token != REST or at != len(entry) - 1) for at, token in enumerate(entry)):
        return "has `**` elsewhere than alone at its end"
    return ""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_GIT_ENV: Mapping[str, str] = {
    f"GIT_CONFIG_{part}_{at}": text
    for at, pair in enumerate(
        (
            ("core.fsmonitor", "false"),
            ("core.hooksPath", "/dev/null"),
            ("log.showSignature", "false"),
            ("gpg.program", "false"),
            ("gpg.openpgp.program", "false"),
            ("gpg.x509.program", "false"),
            ("gpg.ssh.program", "false"),
            ("grep.fallbackToNoIndex", "false"),
            ("submodule.recurse", "false"),
        )
    )
    for part, text in zip(("KEY", "VALUE"), pair, strict=True)
} | {"GIT_CONFIG_COUNT": "9", "GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "none"}
"""Switches off the settings by which a repository's own configuration names programs that reading would run.

The drivers that attributes name are switched off by their names, which whoever starts git has to read first.
"""

_STATS = "--stat --stat= --numstat --shortstat --name-only --name-status --summary --dirstat"
_HISTORY = """
-n -NUMBER --max-count= --skip= --since= --until= --after= --before= --author= --committer= --all --branches --tags
--remotes --merges --no-merges --first-parent --reverse --date= --date-order --topo-order --no-renames
"""
_GIT: Mapping[str, str] = {
    "log": f"""{_HISTORY} {_STATS} --oneline --format= --pretty= --graph --decorate --no-decorate --abbrev-commit
        --follow -z --grep= -i""",
    "rev-list": f"{_HISTORY} --count --objects --left-right",
    "shortlog": f"{_HISTORY} -s -n -e -sn -ns -sne --summary --numbered --email",
    "status": """-s --short -b --branch -sb --porcelain --porcelain= -z --long -u -uno -uall -unormal --untracked-files
        --untracked-files= --ignored --no-renames --ahead-behind --no-ahead-behind""",
    "ls-files": """-z -c --cached -d --deleted -m --modified -o --others -s --stage -i --ignored --exclude-standard
        --full-name --directory -t --deduplicate --eol""",
    "rev-parse": """--show-toplevel --show-prefix --show-cdup --git-dir --absolute-git-dir --is-inside-work-tree --short
        --short= --abbrev-ref --symbolic-full-name --verify -q --quiet --is-shallow-repository""",
    "grep": """-n --line-number -i --ignore-case -w --word-regexp -l --files-with-matches --name-only -L
        --files-without-match -c --count -h -H -I -E --extended-regexp -F --fixed-strings -G -P -v --invert-match -e
        -A -B -C --context= --and --or --not --all-match -z --null -o --only-matching --heading --break --max-depth
        -m --max-count= -q --cached --untracked -nE -nF -nI -nw -ni -cE -cI -lE -lI -nIE -cIE""",
    "diff": f"{_STATS} --cached --staged --merge-base -z --no-renames --no-ext-diff --no-textconv",
    "describe": "--tags --always --long --abbrev= --all --match=",
    "count-objects": "-v --verbose -H -vH --human-readable",
}
_MORE: Mapping[str, tuple[str, ...]] = {
    "status": ("--ignore-submodules=dirty",),
    "diff": ("--no-ext-diff", "--no-textconv", "--ignore-submodules=dirty"),
}
"""Git would look for uncommitted changes of a submodule by a git inside of it, under the configuration in there."""

_NEEDS: Mapping[str, frozenset[str]] = {"diff": _words(_STATS)}

READ_ONLY: tuple[CommandRule, ...] = tuple(
    CommandRule(
        ("git", name, REST),
        _words(options),
        _NEEDS.get(name, frozenset()),
        _GIT_ENV,
        _MORE.get(name, ()),
        searches=name == "grep",
        reads_repository=True,
    )
    for name, options in _GIT.items()
)
"""Git commands that read history and the index, with the options that neither write nor run a program.

Left out on purpose: everything that shows a patch or a blob (text conversion drivers run programs), and `-c`,
`--exec-path`, `--output`, `--ext-diff`, `--textconv`, `-O`, `--open-files-in-pager`, `--upload-pack`, `--no-index`
with all their abbreviations, and `describe --dirty`, which asks inside of submodules. `diff` compares any two files of
the machine when one of them is outside of the repository, without having been told `--no-index`: hence no arguments
that lead out.
"""
