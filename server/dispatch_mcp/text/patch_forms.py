"""Changes in other forms than a plain unified diff: freed of what surrounds their lines where that is safe, else named.

Coloured, quoted, indented and numbered diffs are unified diffs with something around each line. The envelopes of coding
assistants, context and normal diffs, summaries and logs are not: nobody may take them for nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

MOST_LINES: Final = 400
"""Lines from whose beginning a text without any diff is named."""

# The first line of a file in a diff: git's, or the pair of names.
_GIT_HEADER: Final = r"diff --(?:git|cc|combined) "
_PLAIN_HEADER = re.compile(rf"^(?:{_GIT_HEADER}|--- .{{1,400}}\n\+\+\+ )", re.MULTILINE)

# Colours of terminals: with the escape character, with what programs show in its place, or with what is left of them.
_COLOUR: Final = r"(?:\x1b|\^\[|␛|\\x1b|\\033|\\e|\\u001b)\[[0-9;]{0,20}[mK]"
_COLOURED = re.compile(rf"^(?:{_COLOUR}){{1,4}}(?:diff --|--- |\+\+\+ |@@)", re.MULTILINE)
_COLOURS = re.compile(rf"{_COLOUR}|\x1b\][^\x07\x1b\n]{{0,400}}(?:\x07|\x1b\\)")
_REST: Final = r"(?:\[[0-9;]{0,20}[mK]){1,4}"
_REST_COLOURED = re.compile(rf"^{_REST}(?:diff --|--- |\+\+\+ |@@)", re.MULTILINE)
_FIRST_REST = re.compile(rf"^{_REST}", re.MULTILINE)
_RESTS = re.compile(rf"(?<=^[+ -]){_REST}|{_REST}(?=\r?$|\r{_REST}$)|(?<=@@){_REST}", re.MULTILINE)

# What stands before each line of a diff that is quoted in a mail or a list, drawn as a graph, or shown with numbers.
_COUNT: Final = r"[ \t]{0,8}\d{1,7}(?:→|\t|: ?|\| ?)"
_MARGIN = re.compile(
    rf"^(?P<margin>[ \t>|*]{{1,16}}|{_COUNT})(?={_GIT_HEADER}|--- .{{1,400}}\n.{{0,24}}\+\+\+ )", re.MULTILINE
)
_NUMBER = re.compile(_COUNT)


def plain_lines(text: str) -> list[str]:
    """Returns the lines of a text without a byte order mark, colours, and the margin of a quoted or numbered diff.

    There are as many lines as before. Nothing is taken away unless the headers of the diff have it, too.
    """
    text = text.removeprefix("\ufeff")
    if _COLOURED.search(text):
        text = _COLOURS.sub("", text)
    elif _REST_COLOURED.search(text):
        text = _RESTS.sub("", _FIRST_REST.sub("", text))
    lines = text.split("\n")
    match = None if _PLAIN_HEADER.search(text) else _MARGIN.search(text)
    if match is None:
        return lines
    margin = match["margin"]
    if _NUMBER.fullmatch(margin):
        return [_NUMBER.sub("", line, count=1) if _NUMBER.match(line) else line for line in lines]
    return [
        line.removeprefix(margin) if line.startswith(margin) else line.removeprefix(margin.rstrip()) for line in lines
    ]


class Form(NamedTuple):
    """A form of a change that is not read: what it is called, and the number of the first line behind it."""

    name: str
    end: int


class _Rule(NamedTuple):
    """How a form begins, what its second line is, and which lines go on with it."""

    name: str
    first: re.Pattern[str]
    second: re.Pattern[str]
    inside: re.Pattern[str]


def _rule(name: str, first: str, inside: str, second: str = "") -> _Rule:
    return _Rule(name, *(re.compile(rf"\A(?:{pattern})") for pattern in (first, second, inside)))


_NORMAL: Final = r"\d{1,9}(?:,\d{1,9})?[acd]\d{1,9}(?:,\d{1,9})?\r?$"
_COMMITS: Final = r"(?:[0-9a-f]{7,64}\.{2,3}[0-9a-f]{7,64}\b|contains (?:modified|untracked) )"
_DOTS: Final = r"\[?(?:\.{3}|…)\]?\s{0,9}$"
_DIFFER: Final = r"Files .{1,300}? and .{1,300}? differ\r?$"
WORD_DIFF: Final = "a word diff"
LEFT_OUT: Final = "a note that something was left out"
UNNUMBERED: Final = "a hunk without line numbers"
BARE_HUNK: Final = "lines without the names of their file (`--- a/…` and `+++ b/…`)"

# Lines outside of any hunk that begin a change in another form.
_RULES: Final = (
    _rule("an apply_patch envelope", r"\*\*\* (?:Begin Patch|(?:Update|Add|Delete) File: )", r"(?!\*\*\* End Patch)"),
    _rule("a context diff", r"\*\*\* ", r"--- ", second=r"--- "),
    _rule("a context diff", r"\*{15}", r"\*\*\* |--- |[ !+-] "),
    _rule("a path whose merge is not finished", r"\* Unmerged path ", r"\* Unmerged path "),
    _rule("the log of a submodule", rf"Submodule \S.{{0,300}}? {_COMMITS}", r"  [<>] ", second=r"(?!diff --git )"),
    _rule("a file that only one side has", r"Only in .{1,400}?: ", r"Only in "),
    _rule("files of which it only says that they differ", _DIFFER, _DIFFER),
    _rule("a diff without context (`diff` without -u)", _NORMAL, rf"[<>] ?|---\r?$|\\ |{_NORMAL}", second="[<>]"),
    _rule("a block to search and replace", r"<{5,9} (?:SEARCH|ORIGINAL)", r"(?!>{5,9})"),
    _rule(LEFT_OUT, rf"{_DOTS}|[\[<(.…].{{0,80}}\b(?:truncated|omitted|elided|snipped|left out)\b.{{0,40}}$", ""),
    _rule(UNNUMBERED, r"@@(?! -\d)", r"[+ \\-]"),
    _rule(BARE_HUNK, r"@@ -\d{1,9}(?:,\d{1,9})? \+\d{1,9}(?:,\d{1,9})? @@", r"[+ \\-]"),
)
_FIRST: Final = frozenset("*SOF@0123456789[<(.…")
_NEXT_PART = re.compile(rf"{_GIT_HEADER}|Index: |```")


def foreign(lines: Sequence[str], at: int) -> Form | None:
    """Returns the form of a change other than a unified diff that begins at a line outside of any hunk, if one does."""
    if lines[at][:1] not in _FIRST:
        return None
    after = lines[at + 1] if at + 1 < len(lines) else ""
    rule = next((rule for rule in _RULES if rule.first.match(lines[at]) and rule.second.match(after)), None)
    if rule is None:
        return None
    end = at + 1
    while end < len(lines) and rule.inside.match(lines[end]) and not begins_file(lines, end):
        end += 1
    return Form(rule.name, end)


def begins_file(lines: Sequence[str], at: int) -> bool:
    """Returns whether a line is the first one of a file in a unified diff, or a fence behind the last one."""
    pair = lines[at].startswith("--- ") and at + 1 < len(lines) and lines[at + 1].startswith("+++ ")
    return pair or _NEXT_PART.match(lines[at]) is not None


# What a text looks like in which there is no diff at all: by its first characters, then by any of its lines.
_BEGINNINGS: Final = (
    ("an error message", r"(?:fatal|error): "),
    ("an HTML page", r"<(?:!DOCTYPE|html)\b"),
    ("JSON", r"[\[{]\s{0,40}[\"{\[\]}]"),
    (r"a diff whose line breaks are written as \n", r"(?:diff --git|---) [^\n\\]{0,400}\\n"),
)
_LINES: Final = (
    ("an ed script", r"\d{1,9}(?:,\d{1,9})?[acd]\r?\Z"),
    ("an RCS script", r"[ad]\d{1,9} \d{1,9}\r?\Z"),
    (
        "a summary of a change (`--stat`), without its lines",
        r" ?\d{1,7} files? changed| [^|\s][^|]{0,300}\| +(?:\d|Bin)",
    ),
    ("a summary of a change (`--numstat`), without its lines", r"(?:\d{1,9}|-)\t(?:\d{1,9}|-)\t\S"),
    ("a list of files (`--raw`), without their changes", r":\d{6} \d{6} [0-9a-f]{7,64} [0-9a-f]{7,64} [A-Z]"),
    ("a list of files (`--name-status`), without their changes", r"[AMDTRC]\d{0,3}\t\S"),
    ("a log without changes", r"commit [0-9a-f]{7,64}\b"),
    ("the status of a checkout, without its changes", r"On branch |(?:[MADRCU?][ MADRCU?]| [MADRCU]) \S{1,300}\Z"),
    ("changed lines without headers", r"[+-](?! [\w\"'(*])\s{0,80}[^\s+-]"),
)
_NAMED_BEGINNINGS: Final = tuple((name, re.compile(rf"\A(?:{pattern})")) for name, pattern in _BEGINNINGS)
_NAMED_LINES: Final = tuple((name, re.compile(rf"\A(?:{pattern})")) for name, pattern in _LINES)
_REVISION: Final = ("HEAD", "main", "master", "origin/")


def whole(text: str) -> str:
    """Returns what a text looks like that holds no diff, in words that go on with "it looks like"."""
    start = text.strip()[:1_000]
    lines = text.split("\n", MOST_LINES)[:MOST_LINES]
    if len(start.split()) == 1 and (".." in start or start.startswith(_REVISION)):
        return "a git range; that is given as a range"
    if start.endswith((".diff", ".patch")) and "\n" not in start:
        return "the name of a file; the text in it is wanted"
    by_beginning = (name for name, pattern in _NAMED_BEGINNINGS if pattern.match(start))
    by_line = (name for name, pattern in _NAMED_LINES if any(map(pattern.match, lines)))
    return next(by_beginning, "") or next(by_line, "") or (WORD_DIFF if is_word_diff(start) else "prose")


def is_word_diff(text: str) -> bool:
    """Returns whether changes are marked inside of lines instead of before them."""
    return ("[-" in text and "-]" in text) or ("{+" in text and "+}" in text)


# What makes a unified diff of a form, or what else to send; for any other form nothing but the diff helps.
_FIXES: Final = (
    (
        "the log of a submodule",
        "`--submodule=short` shows where a submodule points; review its own changes in its folder.",
    ),
    ("a context diff", "`diff -u` writes a unified one."),
    ("a diff without context", "`diff -u` writes a unified one."),
    ("an ed script", "`diff -u` writes a unified one."),
    ("an RCS script", "`diff -u` writes a unified one."),
    ("a file that only one side has", "`diff -N` shows such files, too."),
    ("files of which it only says", "`diff -u` shows how they differ."),
    ("a path whose merge", "Finish the merge first."),
    (WORD_DIFF, "Leave out `--word-diff`."),
    ("a summary", "Leave out `--stat`, or add `-p`."),
    ("a log without", "Add `-p`."),
    ("a hunk that is cut off", "Send all of its lines."),
    (LEFT_OUT, "Send what was left out."),
)


def fix(form: str) -> str:
    """Returns what to do about a text of a form, as a sentence; empty when there is nothing but to send a diff."""
    return next((sentence for begin, sentence in _FIXES if form.startswith(begin)), "")
