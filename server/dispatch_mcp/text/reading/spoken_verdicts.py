"""What somebody who looked at work says against it in plain words, where no form was asked for.

Only what can hardly be meant otherwise counts: a verdict as the first word or behind the label `Verdict:`, and a line
that is a finding with a grave severity as its label. Words that tell of failures, or of how grave something is, do not.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

from dispatch_mcp.text.reading import excerpts, severity_lists

MAX_SHOWN: Final = 100
"""Characters of a line that are shown as the reason."""

_FENCE = re.compile(r"[ \t]{0,8}(?:`{3}|~{3})")
_AGAINST = r"(?:FAIL(?:ED|S)?|REJECT(?:ED)?|BLOCK(?:ED)?|NACK|NO-GO)"
# What a verdict ends with: the line, a mark or a dash.
_END = r"(?=[\W_]{0,20}$|[*_]{0,3}[.:;!]|[*_]{0,3},| {1,3}[-\u2013\u2014] )"
# Marks and emoji before a word, and no `>`: what is quoted is somebody else's.
_MARKS = r"[^\w>`\"'\u201c(\[]{0,12}"
# What was asked for is no verdict against anything: "rejected, as it should be".
_AS_ASKED = r"(?!,? as (?:it (?:should|must)|expected|required|wanted|intended|specified)\b)"
# The word in capitals as the first one; or written small, alone in its line or with the reason behind it.
_FIRST = (
    re.compile(rf"^{_MARKS}{_AGAINST}{_AS_ASKED}(?:{_END}|(?= because\b))"),
    re.compile(rf"^(?:`{_AGAINST}`(?=$|:)|\[{_AGAINST}\])"),
    re.compile(rf"^[^\w>`\"'\u201c(\[]{{0,9}}(?:\*\*|__){_AGAINST}(?:\*\*|__)(?=[\s:.]|$)"),
    re.compile(rf"^{_MARKS}[Ff]ail(?:ed|s)?(?=[*_]{{0,3}}[.!]?[*_]{{0,3}}$|[*_]{{0,3}}: | {{1,3}}[-\u2013\u2014] )"),
)
# A label of a verdict at the beginning of a line, and behind it the word, with which the clause ends.
_CALLED = r"(?:verdict|result|decision|conclusion|outcome|overall)"
# Signs that mean FAIL before the word.
_SIGN = r"(?:[\u274c\u2717\u2718\U0001f534\u26d4]\ufe0f? ?)?"
_LABEL = rf"^{_MARKS}(?:(?:the|my) )?(?:(?:final|overall) )?{_CALLED}[*_]{{0,3}}(?: ?[:=]| is) ?[*_]{{0,3}} ?{_SIGN}"
# What negates a pass, in full or drawn together ("it does not pass", "not passed").
_NEGATED = (
    r"(?:(?:it|this) )?(?:(?:does|did|has|is|was) not|doesn['\u2019]t|didn['\u2019]t|not)(?: yet)? pass(?:ed|es|ing)?\b"
)
_STATUS = r"(?:[Ss]tatus|STATUS)[*_]{0,3} ?[:=] ?[*_]{0,3} ?"
_VERDICT_LINES = (
    re.compile(rf"{_LABEL}(?:{_AGAINST}{_AS_ASKED}{_END}|{_NEGATED})", re.IGNORECASE),
    # A state is told of many things: of one with a capital it is the answer's own.
    re.compile(rf"^{_MARKS}(?:(?:Final|Overall) )?{_STATUS}(?:{_AGAINST}|Failed){_END}"),
)
# The same for a verdict that lets through.
_PASS_LINES = (
    re.compile(rf"^{_MARKS}PASS(?:ED|ES)?[*_]{{0,3}}{_END}"),
    re.compile(rf"{_LABEL}PASS(?:ED|ES)?{_END}", re.IGNORECASE),
)
# A heading that is the label of what stands below it.
_LABEL_HEADING = re.compile(rf"^#{{1,6}} [*_]{{0,3}}(?:{_CALLED}|status)[*_]{{0,3}}:?$", re.IGNORECASE)
# What says alone in its line that there is none, and a label with such a word or a count of none behind it.
_NOTHING = r"(?:none|n/a|nil|nothing|no|zero|0)"
_NOTHING_LINE = re.compile(rf"^\W{{0,9}}{_NOTHING}(?: found)?\W{{0,9}}$", re.IGNORECASE)
# `FAIL: none of them runs` is a verdict, `Failed: none of them` a count.
_COUNTS_NONE = re.compile(
    rf"[:=] ?(?:0\b|{_NOTHING}\W{{0,9}}$|none[,;/|])|ailed[*_]{{0,3}}: ?(?:no|none)\b", re.IGNORECASE
)
_GRAVE = r"(?:critical|blocker|high)"
_ITEM = r"^[ \t*_#-]{0,9}(?:\d{1,3}[.)] {0,3})?[*_]{0,3}"
# `High: …`, `[HIGH] …`, `**High** - …` and `Severity: high`, each as an item of a list too.
_FINDINGS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"{_ITEM}{_GRAVE}[*_]{{0,3}}:[*_]{{0,3}}(.{{1,300}})",
        rf"{_ITEM}\[{_GRAVE}\][*_]{{0,3}}:?(.{{1,300}})",
        rf"^[ \t#-]{{0,9}}\*\*{_GRAVE}\*\* {{1,3}}[-\u2013\u2014](.{{1,300}})",
        rf"^[ \t*_#-]{{0,9}}severity[*_]{{0,3}}:[ *_]{{0,6}}{_GRAVE}\b(.{{0,300}})",
    )
)
# A line that says that there is none: by a word alone, by what there is none of, and one that counts by severity.
_NONE = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"^\W{0,9}(?:(?:none|n/a|nil|not applicable|not found|all (?:good|clear|fine))\b|(?:no|zero|0)\W{0,9}$)",
        r"^\W{0,9}nothing(?: (?:found|critical|serious|here|open|left|to report))?\W{0,9}$",
        r"^\W{0,9}(?:no|zero|0|not any) (?:\w{1,20} ){0,2}(?:finding|issue|problem|bug|vulnerabilit|error|fault)",
        r"^.{0,200}\b(?:medium|minor|low)[*_]{0,3}:",
    )
)
# What has been mended, unless that is denied.
_GONE = re.compile(
    r"(?<!not )(?<!never )(?<!n't )(?<!be )\b(?:fixed|resolved|mended|addressed|solved)\b", re.IGNORECASE
)
_BOTH = re.compile(r"(?<!not )(?<!not yet )(?<!n['\u2019]t )\bPASS", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]{2,40}")


def verdict(answer: str) -> str:
    """Returns the line in which an answer gives a verdict against what it looked at, or an empty string.

    One that also says PASS in that line names both words, and gives no verdict with it.
    """
    lines = [line.strip() for line in _own_lines(answer) if line.strip()]
    below = dict(pairwise(lines))
    first = next(iter(lines), "")
    candidates = [first] if any(pattern.search(first) for pattern in _FIRST) else []
    candidates += [line for line in lines if any(pattern.search(line) for pattern in _VERDICT_LINES)]
    candidates += [
        line
        for heading, line in pairwise(lines)
        if _LABEL_HEADING.match(heading) and any(pattern.search(line) for pattern in _FIRST)
    ]
    return next((_shown(line) for line in candidates if not _is_harmless(line, below.get(line, ""))), "")


def is_pass(answer: str) -> bool:
    """Returns whether an answer gives the verdict PASS, as its first word or by a label."""
    lines = [line.strip() for line in _own_lines(answer) if line.strip()]
    first, label = _PASS_LINES
    return any(first.search(line) for line in lines[:1]) or any(label.search(line) for line in lines)


def grave_finding(answer: str) -> str:
    """Returns the line of an answer that is a critical or high finding by its label, or the heading of a list of them.

    An empty string is returned where there is none.
    """
    lines = _own_lines(answer)
    text = "\n".join(lines)
    heading = next((entry for entry in severity_lists.entries(text) if entry.heads_list), None)
    if heading is not None:
        return _shown(text[heading.start :].partition("\n")[0])
    for line in lines:
        match = next(filter(None, (pattern.match(line) for pattern in _FINDINGS)), None)
        if match is None or any(pattern.match(match[1]) for pattern in _NONE) or _GONE.search(match[1]):
            continue
        if len(_WORD.findall(match[1])) > 1 or "severity" in line.lower():
            return _shown(line)
    return ""


def _own_lines(answer: str) -> list[str]:
    """Returns the lines of an answer without blocks of code, unless it is nothing but one."""
    lines: list[tuple[str, bool]] = []
    is_code = False
    for line in excerpts.REVIEW.of(answer).splitlines():
        is_fence = bool(_FENCE.match(line))
        is_code = is_code != is_fence
        lines.append((line, is_code or is_fence))
    own = [line for line, is_hidden in lines if not is_hidden]
    return own if any(line.strip() for line in own) else [line for line, _ in lines if not _FENCE.match(line)]


def _is_harmless(line: str, below: str) -> bool:
    """Returns whether a line names both verdicts, or counts or heads what there is none of."""
    return bool(_BOTH.search(line) or _COUNTS_NONE.search(line) or (line[:1] in "#*_" and _NOTHING_LINE.match(below)))


def _shown(line: str) -> str:
    return line.strip()[:MAX_SHOWN]
