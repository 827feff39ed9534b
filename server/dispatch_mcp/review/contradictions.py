"""What an answer says in words beside its PASS: that it fails all the same, or that it holds more findings.

What proves anything is the form: its words in capitals or as labels, and where a block stands, both the same in every
language. Of prose only what can hardly be meant otherwise counts, in English: the reviewer's own verdict ("I would
reject"), an order ("do not merge"), and what should become of the change by its name ("this PR must not be approved").
All other prose is not weighed, as it tells what code does or has to do more often than it contradicts a PASS ("we must
reject negative amounts"); what a reviewer has against a change belongs into findings (docs/rules.md#review-council).
Fields beside the form count too where they say the opposite of a PASS: `approved: false`, `blocking: true`; so do those
of a mild finding that call it graver. Deeper in an answer only names count that can be nothing but a judgement of the
change: `rejected: true` tells there of a bad password, `failed: 1` of a test.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Final, TypeGuard

from dispatch_mcp import model
from dispatch_mcp.review import finding_fields, findings
from dispatch_mcp.text import damaged_json, json_types
from dispatch_mcp.text.reading import severity_lists

MAX_CLAIM: Final = 400
"""Characters of a finding's claim that are read for another severity."""

MAX_SHOWN: Final = 100
"""Characters of the words that are shown as the reason."""

_CODE_SPAN = re.compile(r"`[^`\n]{0,300}`")
_TAG = re.compile(r"<[^<>\n]{0,200}>")
_FENCE = re.compile(r"(?:```)?\b(?:json|jsonc|json5)\Z", re.IGNORECASE)
_ANNOUNCEMENT = re.compile(r"\b(?:verdict|answer|result)\Z", re.IGNORECASE)

# The rule of the form repeated, what is said not to be so, and an earlier round.
_HARMLESS = tuple(
    re.compile(pattern)
    for pattern in (
        r"PASS\W{0,6}(?:or|vs\.?)?\W{0,6}FAIL\b",
        r"(?<!I )\bFAIL(?:S|ED)?\W{1,3}(?:only )?(?:when|if|for|requires|needs|is for)\b",
        r"\b(?:[Nn]o|[Nn]ot|0|[Zz]ero|[Nn]ever|[Ww]ithout)\s+(?:a\s+)?FAIL(?:S|ED|URES?)?\b",
        r"\bFAIL(?:S|ED)?\W{1,3}without (?:the|this|that) (?:change|fix|patch|PR|commit)\b",
        r"\b(?i:earlier|previous|prior|former|last)\s+(?:\w{1,20}\s+)?FAIL(?:S|ED|URES?)?\b",
    )
)
# The state of a review by its name stands alone in its line, or with what is asked for behind it.
_ALONE = r"(?:[.!*_ \t]{0,9}$|:[*_]{0,3}[ \t]{1,3}(?!\W{0,3}(?:none|no|nothing|zero|0|n/a)\b))"
_STATE = r"(?:changes[ _]requested|requesting changes|not approved)"
_OBJECTIONS = tuple(
    re.compile(pattern)
    for pattern in (
        # What a forge calls the state of a review that does not approve.
        rf"(?im)^[\W_]{{0,9}}{_STATE}[*_]{{0,3}}{_ALONE}",
        r"\bFAIL(?:S|ED|ING)?\b",
        r"\b(?:REJECT(?:ED)?|NACK|NO-GO|BLOCK(?:ED)?)\b",
        r"\bPASS[\"'*]{0,3},?\s+(?:would|if|unless|once|only|provided|after)\b",
    )
)

# Words of a verdict, and of what follows from a PASS. A word that code would be the subject of ("rejects") is none.
_NO = r"(?:not|never|no|nothing|none|neither|nor|without|cannot|[a-z]{1,7}n['\u2019]t)"
_AGAINST = r"(?:fail(?! to\b)|reject|block|request changes|nack)(?:e?d|ing)?(?![\w-])"
_FOR = r"(?:merge|approve|pass|ship|accept)(?:d|ed)?(?![\w-])"
# The change by one of its names.
_NAMED = r"(?:this|the) (?:changes?|changeset|PR|MR|(?:pull|merge) request|diff|patch|commit)(?:, as it stands,)?"
_MUST = r"(?:should|must|needs? to|has to)"
_MUST_NOT = r"(?:(?:must|should|can|may|shall)(?: not|n['\u2019]t|not))"
_END = r"(?:\W*$| ?[,;)]| (?:as|until|unless|yet|before|because)\b)"
_OBJECT = rf"(?:{_END}| (?:it|this)\b| {_NAMED}\b)"
# What a reviewer does with the change: an object, or nothing more in the clause, so that no condition follows.
_DONE = r"(?:\W*$| ?[,;)]| (?:as|until|unless|yet|because)\b)"
_IT = rf"(?: (?:it|this|{_NAMED}))"
# In full or drawn together: "I'm not", "I will not", "I wouldn't".
_I_DO_NOT = r"(?:['\u2019](?:m|d|ll) not| (?:am|do|would|will|shall) not| (?:do|would|wo)n['\u2019]t)"
_I_CANNOT = r" (?:can(?:not| not|['\u2019]t))"
# Either verb as it stands after these; of `can` only what needs no rights: "I cannot merge this" may tell of them.
_APPROVE = r"(?:approv(?:e|ing)|sign(?:ing)? off(?: on)?)"
_TAKE = r"(?:merg(?:e|ing)|ship(?:ping)?|accept(?:ing)?|pass(?:ing)?)"
_READY = r"(?:mergeable|approved|ready (?:to be |to |for )(?:merg|ship|approv)[a-z]{0,4})"
# By the reviewer, as a whole clause, as a verdict by name, as an order, of the change by its name.
_SPOKEN = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?<![\w-])I(?:['\u2019](?:m|d|ll|ve)\b| am\b)?(?: (?!{_NO}\b)[a-z]{{1,20}}){{0,2}} {_AGAINST}",
        rf"(?<![\w-])I{_I_DO_NOT} (?:yet )?{_TAKE}{_IT}(?={_DONE})",
        rf"(?<![\w-])I(?:{_I_DO_NOT}|{_I_CANNOT}) (?:yet )?{_APPROVE}{_IT}?(?={_DONE})",
        rf"(?<![\w-])I do(?: not|n['\u2019]t) think(?: that)?{_IT} should be {_FOR}(?={_DONE})",
        rf"^\W{{0,9}}(?:it|this|{_NAMED}) is(?: not|n['\u2019]t) (?:yet )?{_READY}(?={_DONE})",
        rf"^\W{{0,9}}{_AGAINST}\W*$",
        rf"\b(?:verdict|decision|recommendation|vote) (?:is|would be)\W{{1,4}}(?:to )?{_AGAINST}",
        rf"(?:^\W{{0,9}}|, ?|\b(?:please|so|then) )do(?: not|n['\u2019]t) (?:merge|approve|ship)(?={_OBJECT})",
        rf"(?<![\w-]){_NAMED} (?:{_MUST} be {_AGAINST}|{_MUST_NOT} be {_FOR})(?={_END})",
    )
)
_CLAUSE_END = re.compile(r"(?<=[.!?;:])\s+|\n")

# A line that begins with a severity, as lists of findings do, or the name of that field with one.
_SEVERITY = r"(critical|blocker|high|major|medium)\b"
_LABELS = (
    re.compile(rf"^[ \t>*_#-]{{0,9}}{_SEVERITY}[*_]{{0,4}}:[ \t*_]{{0,9}}(.{{0,200}})", re.IGNORECASE | re.MULTILINE),
    re.compile(rf"\bseverity[*_`]{{0,3}}:[ \t*_`]{{0,9}}{_SEVERITY}(.{{0,200}})", re.IGNORECASE),
)
# The same before a claim, in brackets or bold.
_MARKED = re.compile(
    r"\s{0,9}(?:[\[(](?P<bracketed>critical|blocker|high)[\])]|(?:\*\*|__)(?P<bold>(?-i:CRITICAL|BLOCKER|HIGH))(?:\*\*|__))",
    re.IGNORECASE,
)
_NONE = re.compile(r"\W*(?:(?:none|0|zero|nothing|n/a)\b|no (?:finding|issue|problem)s?\b|\Z)", re.IGNORECASE)


# What fields beside the form say: those that a PASS would have as true, and those that it would have empty.
_FOR_IT: Final = frozenset(
    (
        *("approve", "approved", "approval", "accept", "accepted", "acceptable", "lgtm", "mergeable", "merge"),
        *("can_merge", "safe_to_merge", "ready_to_merge", "ok_to_merge", "should_merge", "ship", "ship_it", "can_ship"),
        *("pass", "passed", "passes", "ok"),
    )
)
_STOPS: Final = frozenset(
    (
        *("block", "blocks", "blocking", "blocker", "blockers", "blocking_issues", "is_blocking", "is_blocker"),
        *("blocks_merge", "merge_blocking", "do_not_merge", "must_fix", "critical", "is_critical"),
    )
)
_AGAINST_IT: Final = _STOPS | frozenset(
    (
        *("blocked", "reject", "rejected", "fail", "fails", "failed", "nack", "needs_work"),
        *("needs_changes", "request_changes", "requests_changes", "requires_changes", "changes_requested"),
        *("changes_required", "high", "has_critical", "has_high", "has_blockers", "critical_issues"),
        *("high_issues", "critical_findings", "high_findings", "critical_count", "high_count"),
    )
)
# Those that can be nothing but a judgement of the change, so that they count at any depth.
_DEEP: Final = frozenset(
    (
        *("verdict", "decision", "review_decision", "approve", "approved", "approval", "lgtm", "mergeable"),
        *("can_merge", "safe_to_merge", "ready_to_merge", "ok_to_merge", "should_merge", "can_ship"),
        *("blocking", "is_blocking", "is_blocker", "blockers", "blocking_issues", "blocks_merge", "merge_blocking"),
        *("do_not_merge", "must_fix", "needs_changes", "request_changes", "requests_changes", "requires_changes"),
        *("changes_requested", "changes_required", "critical_findings", "high_findings"),
    )
)
_JUDGEMENTS: Final = frozenset(("verdict", "decision", "recommendation", "conclusion", "outcome", "review_decision"))
_WORST: Final = frozenset(("severity", "max_severity", "highest_severity", "worst_severity", "overall_severity"))
_NOES: Final = frozenset(
    ("reject", "rejected", "block", "blocked", "fail", "failed", "nack", "no_go", "needs_work")
) | {
    *("request_changes", "changes_requested", "needs_changes", "do_not_merge", "not_approved", "no"),
}
_PASSES: Final = frozenset(("pass", "passed", "passes", "all_passed", "ok", "approved"))
_FALSE: Final = frozenset(("false", "no", "0"))
_TRUE: Final = frozenset(("true", "yes"))


def of_fields(value: model.Json, depth: int = 0, *, is_within: bool = False) -> str:
    """Returns which field of an answer contradicts its PASS, or an empty string; rulings on earlier findings do not.

    `is_within` is whether it stands within an object with a verdict.
    """
    if depth > json_types.MAX_DEPTH or not (json_types.is_object(value) or json_types.is_list(value)):
        return ""
    if depth and finding_fields.is_finding(value):
        return _of_finding(value)
    parts = value
    if json_types.is_object(value):
        fields = {key: item for key, item in value.items() if finding_fields.name(key) not in ("earlier", "files")}
        is_form = "verdict" in map(finding_fields.name, value)
        is_top = not depth or (is_form and not is_within)
        key = next((key for key, item in fields.items() if _is_against(key, item, is_top=is_top)), None)
        if key is not None:
            return f"it says PASS, but also {key}: {finding_fields.shown(fields[key])}"
        parts, is_within = fields.values(), is_within or is_form
    return next(filter(None, (of_fields(part, depth + 1, is_within=is_within) for part in parts)), "")


def _is_against(key: str, value: model.Json, *, is_top: bool) -> bool:
    """Returns whether a field says the opposite of a PASS; one that holds findings says what they do."""
    name = finding_fields.plain(key)
    if not is_top and (name not in _DEEP or (finding_fields.plain_word(value) == "no" and name in _JUDGEMENTS)):
        return False
    return not finding_fields.within(value) and _speaks_against(name, value)


def _of_finding(item: Mapping[str, model.Json]) -> str:
    """Returns what in a finding says that it is graver than its severity, or an empty string."""
    for key, value in item.items():
        name = finding_fields.plain(key)
        is_grave = name == "priority" and finding_fields.SEVERITIES.get(finding_fields.plain_word(value)) == "critical"
        if is_grave or (name in _STOPS and _speaks_against(name, value)):
            return f"it says PASS, but also {key}: {finding_fields.shown(value)}"
    fields = finding_fields.named(item)
    own, quote = finding_fields.SEVERITIES.get(finding_fields.plain_word(fields.get("severity"))), fields.get("quote")
    claims = [value[:MAX_CLAIM] for key, value in item.items() if _is_claim(key, value)]
    for claim in claims if own not in findings.BLOCKING else ():
        for severity, word in _called(claim):
            is_of_code = isinstance(quote, str) and word in quote  # a constant of that name
            if severity in findings.BLOCKING and not is_of_code:
                return f"it says PASS, but calls what is {own} also {severity}: {finding_fields.shown(claim)!r}"
    return ""


def _is_claim(key: str, value: model.Json) -> TypeGuard[str]:
    return isinstance(value, str) and finding_fields.name(key) == "claim"


def _called(claim: str) -> Iterator[tuple[findings.Severity, str]]:
    """Yields the severities that a claim is labelled with, as words of the form and as they are written."""
    for severity, at in _named_findings(claim):
        yield severity, claim[at:].partition(":")[0].strip("*_ ")
    match = _MARKED.match(claim)
    if match:
        word = match["bracketed"] or match["bold"]
        yield finding_fields.SEVERITIES[word.lower()], word


def of_flags(value: model.Json) -> str:
    """Returns which field of an answer in no form says that it does not pass, or an empty string.

    Only what a PASS would have as true counts: `rejected: true` may be what was asked for.
    """
    fields: Mapping[str, model.Json] = value if json_types.is_object(value) else {}
    inner = fields.get("result")
    flags = [*fields.items(), *(inner.items() if json_types.is_object(inner) else ())]
    return next((key for key, flag in flags if finding_fields.plain(key) in _PASSES and _is_false(flag)), "")


def _is_false(value: model.Json) -> bool:
    return value is False or (isinstance(value, str) and value.strip().lower() == "false")


def _speaks_against(name: str, value: model.Json) -> bool:
    word = finding_fields.plain(value) if isinstance(value, str) else ""
    if name in _FOR_IT:
        return value is False or word in _FALSE
    if name in _AGAINST_IT:
        is_count = isinstance(value, (int, float)) and value > 0
        return is_count or word in _TRUE or (json_types.is_list(value) and any(_tells(name, item) for item in value))
    if name in _WORST:
        return finding_fields.SEVERITIES.get(word) in findings.BLOCKING
    return name in _JUDGEMENTS and word in _NOES


def _tells(name: str, item: model.Json) -> bool:
    """Returns whether an item of a list is something that stands against a change; a block may be one of code."""
    if isinstance(item, str):
        return finding_fields.plain_word(item) not in ("", "none", "nothing", "n/a")
    return bool(item) and name not in ("block", "blocks")


def of_words(words: str, severities: Collection[str] = ()) -> str:
    """Returns what in a reviewer's own words contradicts its PASS, or an empty string.

    `severities` are those of the findings that it gives in the form: only others are findings in words alone.
    """
    plain = harmless = _CODE_SPAN.sub("`code`", damaged_json.without_reminders(words, "\n"))
    for pattern in _HARMLESS:
        harmless = pattern.sub(lambda match: "_" * len(match[0]), harmless)
    for pattern in _OBJECTIONS:
        objection = pattern.search(harmless)
        if objection:
            return f"it says PASS, but also {_excerpt(plain, objection.start())!r}"
    for start, clause in _clauses(harmless):
        at = _spoken_at(clause)
        if at >= 0:
            return f"it says PASS, but also {_excerpt(plain, start + at)!r}"
    whole = damaged_json.without_reminders(words, "\n")
    labels = [(plain, severity, at) for severity, at in _named_findings(plain)]
    for text, severity, at in (
        *labels,
        *((whole, finding_fields.SEVERITIES[entry.severity], entry.start) for entry in severity_lists.entries(whole)),
    ):
        if severity not in severities:
            return f"it says PASS, but names a {severity} finding in words only: {_excerpt(text, at)!r}"
    return ""


def of_place(before: str, after: str) -> str:
    """Returns why a block that says PASS is no answer where it stands, or an empty string.

    `before` and `after` are the texts around it. In the middle of a sentence it is a mention, whatever the language.
    """
    line = damaged_json.without_reminders(before).rpartition("\n")[2].rstrip(" \t\r`*_\"'“([{")
    line = _FENCE.sub("", line).rstrip(" \t`*_")
    if line and line[-1].isalnum() and not _ANNOUNCEMENT.search(line):
        return f"its PASS stands in the middle of a sentence: {line.strip()[-MAX_SHOWN:]!r}"
    rest = _TAG.sub("", damaged_json.without_reminders(after)).lstrip(" \t\r`*_\"'”)]}.,;:—\u2013-")
    if rest[:1].isalnum() and not rest[0].isupper():
        return f"its PASS goes on as a sentence: {rest.strip().partition(chr(10))[0][:MAX_SHOWN]!r}"
    return ""


def _clauses(text: str) -> Iterator[tuple[int, str]]:
    """Yields the clauses of a text, each with where it begins."""
    start = 0
    for end in _CLAUSE_END.finditer(text):
        yield start, text[start : end.start()]
        start = end.end()
    yield start, text[start:]


def _spoken_at(clause: str) -> int:
    """Returns where in a clause somebody speaks against the change; -1 for nowhere."""
    return next((match.start() for pattern in _SPOKEN if (match := pattern.search(clause))), -1)


def _named_findings(words: str) -> Iterator[tuple[findings.Severity, int]]:
    line, field = _LABELS
    for match in line.finditer(words):
        if not _NONE.match(match[2]):
            yield finding_fields.SEVERITIES[match[1].lower()], match.start(1)
    for match in field.finditer(words):
        yield finding_fields.SEVERITIES[match[1].lower()], match.start()


def _excerpt(text: str, at: int) -> str:
    """Returns the line around a place, or as much of it as is shown."""
    first = max(text.rfind("\n", 0, at) + 1, at - MAX_SHOWN // 2)
    return text[first : first + MAX_SHOWN].partition("\n")[0].strip()
