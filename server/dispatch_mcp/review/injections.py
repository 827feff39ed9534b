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

MAX_FLAGS: Final = 100
_MAX_LINE = 1_000


class _Pattern(NamedTuple):
    kind: findings.Kind
    hints: tuple[str, ...]
    regex: re.Pattern[str]


def _pattern(kind: findings.Kind, hints: str, regex: str) -> _Pattern:
    return _Pattern(kind, tuple(hints.split()), re.compile(regex))


_READER = r"(?:review(?:er|ers|ing)?|assistant|model|agent|llm|\bai\b|gpt|claude|bot|council|auditor|sentinel|copilot)"
_RULES = (
    r"(?:instructions?|prompts?|rules?|guidelines?|directions?|directives?|orders?|context|task|policy"
    r"|policies|polic|checks?|criteria|constraints?|brief|training|safety)"
)
_PATTERNS: Final = (
    _pattern(
        "instruction",
        "ignore disregard forget override overrule bypass neglect instead 1gnore follow following obey",
        r"\b(?:[i1]gnore|disregard|forget|overr(?:ide|ule)|bypass|neglect|do not (?:follow|obey)|don't"
        rf" follow|stop following)\b.{{0,60}}\b(?:{_RULES}|everything|all of the above|above|previous|prior"
        r"|earlier|what you were told)\b",
    ),
    _pattern(
        "instruction",
        "instructions instruction task objective goal",
        r"\b(?:new|real|actual|updated|following|your only|your new|these) (?:instructions?|task|objective"
        r"|goal|orders?)\b|\binstructions? (?:for|to) (?:the |any |all )?" + _READER,
    ),
    _pattern(
        "instruction",
        "ignoriere ignora ignorez ignorer vergiss olvida oublie anweisungen instrucciones 忽略 無視 игнорируй"
        " ignorar istruzioni instruções negeer",
        r"\b(?:ignorier\w*|vergiss|ignora\w*|olvida\w*|ignore[zr]|oubli\w+|negeer)\b.{0,60}\b(?:anweisung\w*"
        r"|vorherig\w*|instruc\w+|instru\w+|consignes|istruzioni|instru\S+|regeln|reglas)|忽略.{0,12}(?:指令"
        r"|指示|说明|規則|规则)|(?:指示|命令).{0,8}無視|игнорируй.{0,30}(?:инструкции|указания)",
    ),
    _pattern(
        "verdict",
        "verdict pass approve approved lgtm passed findings",
        r"verdict[\"'*`\s]*[:=]+[\"'*`\s]*(?:pass|approve)|\b(?:output|answer|respond|reply|say"
        r"|write|print|give|emit|conclude|mark|vote|issue|report)\b.{0,40}\b(?:pass(?:ed)?\b|approv\w+"
        r"|lgtm|no findings|\[\])|"
        r"\breturn (?:only |just |a |the )*(?:verdict|pass|approv\w+)\b|"
        r"\b(?:please |must |should |just |always )(?:pass|approve)\b|\bapprove (?:this|the) (?:change"
        r"|diff|pr|pull request|commit|code|patch)|findings[\"']?\s*[:=]\s*\[\s*\]|\blgtm\b.{0,40}\b"
        rf"(?:verdict|pass)|{_READER}\b.{{0,60}}\b(?:pass|approve)\b",
    ),
    _pattern(
        "verdict",
        "bestanden aprobar aprobado approuver approuvé approva genehmig 通过 通過 合格",
        r"\b(?:bestanden|aprob\w+|approuv\w+|approva\w*|genehmig\w+)\b.{0,40}\b(?:urteil|verdict|cambio"
        r"|änderung|changement|modifica|pass)|(?:verdict|urteil|ergebnis|veredicto).{0,20}(?:bestanden"
        r"|pass|aprob)|(?:回答|返回|输出|評価|判定).{0,10}(?:pass|通过|通過|合格)",
    ),
    _pattern(
        "role",
        "act pretend roleplay persona simulate developer jailbreak dan unrestricted you",
        r"\byou are (?:now|no longer|a|an|the|in)\b.{0,60}\b(?:"
        + _READER
        + r"|mode|developer|admin|unrestricted|helpful|engineer|compiler|linter|expert|tool)|\b(?:act|behave"
        r"|respond) as (?:if|an?|the)\b.{0,40}\b(?:"
        + _READER
        + r"|admin|developer|approved?|mode)|\bpretend (?:that|to|you)\b|\bdeveloper mode\b|\bjailbr\w+|\bdan"
        r" mode\b|\bas an? (?:ai|llm|language model|reviewer)\b|\bfrom now on,? you\b",
    ),
    _pattern(
        "markup",
        "system assistant user inst untrusted im_start endoftext role ## goal output human begin_of_text"
        " tool_call function_results end-of start_header_id",
        r"<\|?(?:im_start|im_end|system|endoftext|assistant|user|start_header_id|begin_of_text|eot_id)\|?>"
        r"|\[/?inst\]|<</?sys>>|</?untrusted-|</?(?:system|assistant|human|instructions?|tool_call|function_result"
        r"s)>|^\W*(?:#{1,6}\s*)?(?:system|assistant|human)(?: prompt| message| note)?\s*:|"
        r"^[\s+\W]{0,6}##\s*(?:goal|role|constraints|context|output|instructions?|system)\b|[\"']role[\"']\s*:\s*["
        r"\"'](?:system|assistant)|end of (?:the )?(?:diff|review material|untrusted|file|data)\b.{0,40}"
        r"(?:begin|new|now|instruction|start)",
    ),
    _pattern(
        "silence",
        "report mention flag finding findings skip raise warn comment note tell issue issues review inspect look",
        r"\b(?:do not|don't|never|no need to|must not|should not|shouldn't|avoid|refrain from|stop)\b.{0,20}\b"
        r"(?:report|mention|flag|raise|warn|comment on|list|reveal|disclose|review|inspect|look at|analy[sz]e"
        r"|tell)\w*\b.{0,50}\b(?:this|these|it|any|finding|issue|line|block|file|secret|vulnerab|problem"
        r"|the user|code|function|below|section|anything)|"
        rf"\b{_READER}s?\b.{{0,20}}\b(?:skip|ignore|can skip|may skip|should skip|must skip)\b|\bskip (?:the"
        r" )?(?:review|security check|this file|analysis)|\bnothing (?:here )?(?:needs|to) (?:be )?(?:review"
        r"|see|report|flag)\w*",
    ),
    _pattern(
        "authority",
        "approved reviewed cleared audited signed authorised authorized verified sanctioned whitelisted"
        " pre-approved false",
        r"\b(?:already|previously|pre-?|been|was|fully)[\s-]*(?:approved|reviewed|cleared|audited|signed"
        r" off|authori[sz]ed|verified|sanctioned|whitelisted)\b.{0,60}\b(?:by|security|council|team|lead"
        r"|maintainer|ciso|reviewers?|human|admin|legal|audit)|\b(?:approved|cleared|signed off|authori[sz]ed)"
        r" by\b.{0,40}\b(?:security|council|team|lead|ciso|review|admin|human|anthropic|openai|management)"
        r"|known false positive|this is (?:only )?a (?:drill|test),? (?:so )?(?:pass|approve|ignore)",
    ),
    _pattern(
        "instruction",
        "note important attention dear hey hello to todo urgent message",
        r"\b(?:note|important|attention|dear|hey|hello|message|memo|urgent|hint|reminder)\b.{0,12}\b"
        rf"(?:to|for)?\s*(?:the |all |any |future |automated |code )*{_READER}s?\b\s*[:,!-]",
    ),
)


def flags(diff: unified_diff.Diff) -> tuple[findings.Flag, ...]:
    """Returns the lines of a change that address its reviewers, and those with unseen characters; at most a hundred."""
    found: list[findings.Flag] = []
    for change in diff.files:
        for flag in _of_file(change):
            found.append(flag)
            if len(found) >= MAX_FLAGS:
                return tuple(found)
    return tuple(found)


def _of_file(change: unified_diff.FileChange) -> Iterator[findings.Flag]:
    if kind := kind_of(change.path):
        yield findings.Flag(path=escape.one_line(change.path, limit=200), line=0, kind=kind)
    for hunk in change.hunks:
        if not _worth_reading("\n".join(hunk.lines)):
            continue
        for line in unified_diff.numbered(hunk):
            kind = kind_of(line.text)
            if kind and line.mark != "-":
                yield findings.Flag(path=escape.one_line(change.path, limit=200), line=line.number, kind=kind)


_HINTS: Final = frozenset(hint for pattern in _PATTERNS for hint in pattern.hints)


def _worth_reading(text: str) -> bool:
    folded = folded_text(text)
    return bool(fences.hidden(text)) or any(hint in folded for hint in _HINTS)


def kind_of(text: str) -> findings.Kind | None:
    """Returns what a line does to its reader, or None."""
    folded = folded_text(text[:_MAX_LINE])
    for pattern in _PATTERNS:
        if any(hint in folded for hint in pattern.hints) and pattern.regex.search(folded):
            return pattern.kind
    return "hidden" if any(kind != "control" for kind in fences.hidden(text)) else None


def folded_text(text: str) -> str:
    """Returns a text as it is compared: compatible characters as one, unseen ones gone, lower case."""
    if text.isascii():
        return text.lower()
    return escape.INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).lower()
