"""Sentences in a change that speak to its reviewers instead of to people and machines (promise S6).

Flagging is a help to reviewers, not the protection: a change is data in a fence whatever it says.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Final, NamedTuple

from dispatch_mcp.review import findings
from dispatch_mcp.text import escape, fences, unified_diff
from dispatch_mcp.text.reading import excerpts

MAX_FLAGS: Final = 100


def _one_of(*lists: str) -> str:
    """Returns an alternation of words and phrases, given in lists with commas."""
    return f"(?:{'|'.join(', '.join(lists).split(', '))})"


# The words of such sentences: who is spoken to, what is to be given up, and what is to be answered instead.
_READER = _one_of(
    "review, reviewer, reviewers, reviewing, assistant, model, agent, llm",
    r"\bai\b, gpt, claude, bot, council, auditor, sentinel, copilot",
)
_RULES = _one_of(
    "instructions?, prompts?, rules?, guidelines?, directions?, directives?, orders?, context, task, policy, policies, "
    "checks?, criteria, constraints?, brief, training, safety, everything, all of the above, above, previous, prior, "
    "earlier, what you were told"
)
_DISOBEY = _one_of(
    "[i1]gnore, disregard, forget, override, overrule, bypass, neglect, do not follow, do not obey, don't follow, "
    "stop following"
)
_OTHER = _one_of("new, real, actual, updated, following, your only, your new, these")
_ORDERS = _one_of("instructions?, task, objective, goal, orders?")
_DISOBEY_ABROAD = _one_of(r"ignorier\w*, vergiss, ignora\w*, olvida\w*, ignore[zr], oubli\w+, negeer")
_RULES_ABROAD = _one_of(r"anweisung\w*, vorherig\w*, instru\S+, consignes, istruzioni, regeln, reglas")
_ANSWER = _one_of("output, answer, respond, reply, say, write, print, give, emit, conclude, mark, vote, issue, report")
_PASSING = _one_of(r"pass(?:ed)?\b, approv\w+, lgtm, no findings, \[\]")
_CHANGE = _one_of("change, diff, pr, pull request, commit, code, patch")
_PASSED_ABROAD = _one_of(r"bestanden, aprob\w+, approuv\w+, approva\w*, genehmig\w+")
_CHANGE_ABROAD = _one_of("urteil, verdict, cambio, änderung, changement, modifica, pass")
_ROLE = _one_of(f"{_READER}, mode, developer, admin, unrestricted, helpful, engineer, compiler, linter, expert, tool")
_TOKENS = _one_of("im_start, im_end, system, endoftext, assistant, user, start_header_id, begin_of_text, eot_id")
_TAGS = _one_of("system, assistant, human, instructions?, tool_call, function_results")
_HEADS = _one_of("goal, role, constraints, context, output, instructions?, system")
_NEVER = _one_of("do not, don't, never, no need to, must not, should not, shouldn't, avoid, refrain from, stop")
_REPORT = _one_of(
    "report, mention, flag, raise, warn, comment on, list, reveal, disclose, review, inspect, look at, analy[sz]e, tell"
)
_FAULT = _one_of(
    "this, these, it, any, finding, issue, line, block, file, secret, vulnerab, problem, the user, code, function, "
    "below, section, anything"
)
_CLEARED = _one_of("approved, reviewed, cleared, audited, signed off, authori[sz]ed, verified, sanctioned, whitelisted")
_WHO = _one_of("by, security, council, team, lead, maintainer, ciso, reviewers?, human, admin, legal, audit")
_BOSS = _one_of("security, council, team, lead, ciso, review, admin, human, anthropic, openai, management")
_CALL = _one_of("note, important, attention, dear, hey, hello, message, memo, urgent, hint, reminder")

# A line is searched for a pattern only when it holds one of the hints, which costs little. The languages are those in
# which such sentences are usual; each pattern has an example in the tests.
_TABLE: Final[tuple[tuple[findings.Kind, str, tuple[str, ...]], ...]] = (
    (
        "instruction",
        "ignore disregard forget override overrule bypass neglect instead 1gnore follow following obey",
        (rf"\b{_DISOBEY}\b.{{0,60}}\b{_RULES}\b",),
    ),
    (
        "instruction",
        "instructions instruction task objective goal",
        (rf"\b{_OTHER} {_ORDERS}\b", rf"\binstructions? (?:for|to) (?:the |any |all )?{_READER}"),
    ),
    (
        "instruction",
        "ignorier ignora ignore vergiss olvida oublie anweisung instru istruzioni negeer 忽略 無視 игнорируй",
        (
            rf"\b{_DISOBEY_ABROAD}\b.{{0,60}}\b{_RULES_ABROAD}",
            *(
                r"忽略.{0,12}(?:指令|指示|说明|規則|规则)",
                r"(?:指示|命令).{0,8}無視",
                r"игнорируй.{0,30}(?:инструкции|указания)",
            ),
        ),
    ),
    (
        "verdict",
        "verdict pass approv lgtm findings",
        (
            r"verdict[\"'*`\s]*[:=]+[\"'*`\s]*(?:pass|approve)",
            rf"\b{_ANSWER}\b.{{0,40}}\b{_PASSING}",
            r"\breturn (?:only |just |a |the )*(?:verdict|pass|approv\w+)\b",
            r"\b(?:please |must |should |just |always )(?:pass|approve)\b",
            rf"\bapprove (?:this|the) {_CHANGE}",
            r"findings[\"']?\s*[:=]\s*\[\s*\]",
            r"\blgtm\b.{0,40}\b(?:verdict|pass)",
            rf"{_READER}\b.{{0,60}}\b(?:pass|approve)\b",
        ),
    ),
    (
        "verdict",
        "bestanden aprobar aprobado approuver approuvé approva genehmig 通过 通過 合格",
        (
            rf"\b{_PASSED_ABROAD}\b.{{0,40}}\b{_CHANGE_ABROAD}",
            r"(?:verdict|urteil|ergebnis|veredicto).{0,20}(?:bestanden|pass|aprob)",
            r"(?:回答|返回|输出|評価|判定).{0,10}(?:pass|通过|通過|合格)",
        ),
    ),
    (
        "role",
        "act behave respond pretend developer jailbr dan unrestricted you",
        (
            rf"\byou are (?:now|no longer|a|an|the|in)\b.{{0,60}}\b{_ROLE}",
            rf"\b(?:act|behave|respond) as (?:if|an?|the)\b.{{0,40}}\b(?:{_READER}|admin|developer|approved?|mode)",
            *(r"\bpretend (?:that|to|you)\b", r"\bdeveloper mode\b", r"\bjailbr\w+", r"\bdan mode\b"),
            *(r"\bas an? (?:ai|llm|language model|reviewer)\b", r"\bfrom now on,? you\b"),
        ),
    ),
    (
        "markup",
        "system sys> assistant user inst untrusted im_ endoftext role ## human begin_of tool_call function_results _id",
        (
            *(rf"<\|?{_TOKENS}\|?>", r"\[/?inst\]", r"<</?sys>>", "</?untrusted-", f"</?{_TAGS}>"),
            r"^\W*(?:#{1,6}\s*)?(?:system|assistant|human)(?: prompt| message| note)?\s*:",
            rf"^[\s+\W]{{0,6}}##\s*{_HEADS}\b",
            r"[\"']role[\"']\s*:\s*[\"'](?:system|assistant)",
            r"end of (?:the )?(?:diff|review material|untrusted|file|data)\b.{0,40}(?:begin|new|now|instruction|start)",
        ),
    ),
    (
        "silence",
        "report mention flag finding findings skip raise warn comment note tell issue issues review inspect look",
        (
            rf"\b{_NEVER}\b.{{0,20}}\b{_REPORT}\w*\b.{{0,50}}\b{_FAULT}",
            rf"\b{_READER}s?\b.{{0,20}}\b(?:skip|ignore|can skip|may skip|should skip|must skip)\b",
            r"\bskip (?:the )?(?:review|security check|this file|analysis)",
            r"\bnothing (?:here )?(?:needs|to) (?:be )?(?:review|see|report|flag)\w*",
        ),
    ),
    (
        "authority",
        "approved reviewed cleared audited signed authorised authorized verified sanctioned whitelisted false drill",
        (
            rf"\b(?:already|previously|pre-?|been|was|fully)[\s-]*{_CLEARED}\b.{{0,60}}\b{_WHO}",
            rf"\b(?:approved|cleared|signed off|authori[sz]ed) by\b.{{0,40}}\b{_BOSS}",
            *("known false positive", r"this is (?:only )?a (?:drill|test),? (?:so )?(?:pass|approve|ignore)"),
        ),
    ),
    (
        "instruction",
        "note important attention dear hey hello to todo urgent message",
        (rf"\b{_CALL}\b.{{0,12}}\b(?:to|for)?\s*(?:the |all |any |future |automated |code )*{_READER}s?\b\s*[:,!-]",),
    ),
)


class _Pattern(NamedTuple):
    kind: findings.Kind
    hints: tuple[str, ...]
    regex: re.Pattern[str]


_PATTERNS: Final = tuple(
    _Pattern(kind, tuple(hints.split()), re.compile("|".join(alternatives))) for kind, hints, alternatives in _TABLE
)


def flags(diff: unified_diff.Diff) -> tuple[findings.Flag, ...]:
    """Returns the lines of a change that address its reviewers, and those with unseen characters; at most a hundred."""
    results: list[findings.Flag] = []
    for change in diff.files:
        for flag in _of_file(change):
            results.append(flag)
            if len(results) >= MAX_FLAGS:
                return tuple(results)
    return tuple(results)


def _of_file(change: unified_diff.FileChange) -> Iterator[findings.Flag]:
    if kind := kind_of(change.path):
        yield findings.Flag(path=escape.one_line(change.path, limit=200), line=0, kind=kind)
    for hunk in change.hunks:
        if not _worth_reading("\n".join(hunk.lines)):
            continue
        for line in unified_diff.lines_with_numbers(hunk):
            kind = kind_of(line.text)
            if kind and line.mark != "-":
                yield findings.Flag(path=escape.one_line(change.path, limit=200), line=line.number, kind=kind)


_HINTS: Final = frozenset(hint for pattern in _PATTERNS for hint in pattern.hints)


def _worth_reading(text: str) -> bool:
    plain = folded_text(text)
    return bool(fences.hidden(text)) or any(hint in plain for hint in _HINTS)


def kind_of(text: str) -> findings.Kind | None:
    """Returns what a line does to its reader, or None."""
    plain = folded_text(excerpts.CHANGED_LINE.of(text))
    for pattern in _PATTERNS:
        if any(hint in plain for hint in pattern.hints) and pattern.regex.search(plain):
            return pattern.kind
    return "hidden" if any(kind != "control" for kind in fences.hidden(text)) else None


def folded_text(text: str) -> str:
    """Returns a text as it is compared: compatible characters as one, unseen ones gone, lower case."""
    if text.isascii():
        return text.lower()
    return escape.INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).lower()
