"""Answers whose own status says that the work failed, or no end that anybody knows, whatever others call their end.

Only what is meant for machines is read: fields that say how the work ended, and the lines that harnesses and providers
send in place of an answer. Prose is not weighed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal

from dispatch_mcp.text import damaged_json, escape, json_types
from dispatch_mcp.text.reading import excerpts, host_notices

Meaning = Literal["succeeded", "failed", "cancelled", "partial", "out"]
"""What a word for a state means: an end, one with some of the work done, or none, as it is still out."""

_WORDS: Final[Mapping[Meaning, str]] = {
    "succeeded": "succeeded success successful succeed done ok okay complete completed finished finish passed pass "
    "successfully all_done completed_successfully successfully_completed fully_completed fixed resolved implemented",
    "failed": "failed failure fail error errored crashed broken blocked rejected refused timeout timed_out "
    "unsuccessful not_done not_ok nok ko",
    "cancelled": "cancelled canceled cancel aborted abort killed stopped interrupted terminated skipped",
    "partial": "partial partially partially_done partially_complete partially_completed incomplete unfinished",
    "out": "out running in_progress pending queued started working waiting active launched async_launched",
}
MEANINGS: Final[Mapping[str, Meaning]] = {word: meaning for meaning, words in _WORDS.items() for word in words.split()}
"""What hosts and workers call the states of work."""

LEAD: Final = "The answer itself reports that the work failed: "
"""How the error of such an answer begins."""

_SHOWN: Final = 160
_ENDS: Final = "succeeded, partial, failed and cancelled are, and it can be left out"

_BEGINS_OBJECT: Final = re.compile(r"\s*+(?:```\w{0,9}\s*+)?\{")
_BLOCK_AT_THE_END: Final = re.compile(r":\s{1,9}```[^`]{0,4000}```\s{0,9}\Z")
_SENTENCE_END: Final = re.compile(r"\n|[.!?] ")
_EXAMPLE: Final = re.compile(r"(?i)\b(?:examples?|samples?|snippet|docs|returns?|responds|prints)\b")
"""Words in front of such a block which call it an example of what something else says."""
_NO_LETTERS: Final = re.compile(r"[^a-z]+")
_OF_REVIEWS: Final = frozenset({"verdict", "findings"})
_WRAPPERS: Final = ("handoff", "payload", "result", "response")
_NO_ERRORS: Final = frozenset({"", "none", "no", "null", "n/a", "-", "false"})


def meaning(word: json_types.Json) -> Meaning | None:
    """Returns what a word for the state of work means; None for anything else."""
    return MEANINGS.get(_NO_LETTERS.sub("_", word.casefold()).strip("_")) if isinstance(word, str) else None


def of_value(value: json_types.Json) -> str:
    """Returns what a handoff or another object says of its work's failure, quoted; an empty string if it says none."""
    if not json_types.is_object(value):
        return ""
    fields = {json_types.plain_name(name): inner for name, inner in value.items()}
    if _OF_REVIEWS & fields.keys():
        return ""
    return _of_fields(fields) or next(filter(None, (of_value(fields.get(name)) for name in _WRAPPERS)), "")


def _of_fields(fields: Mapping[str, json_types.Json]) -> str:
    ends = {name: meaning(fields.get(name)) for name in ("status", "state")}
    for name, end in ends.items():
        if end in ("failed", "cancelled", "partial") or fields.get(name) is False:
            return f"its {name} is {json_types.quoted(fields[name])}"
    if fields.get("is_error") is True or fields.get("success") is False:
        return "is_error is true" if fields.get("is_error") is True else "success is false"
    error = fields.get("error")
    is_error = bool(error) and not (isinstance(error, str) and error.strip().casefold() in _NO_ERRORS)
    return f"its error is {json_types.quoted(error)}" if is_error and "succeeded" not in ends.values() else ""


def of_text(text: str) -> str:
    """Returns what an answer says of a failure in the object that ends it, or by being a message of a harness."""
    notice = host_notices.read(text)
    if notice.kind == "failed":
        return f"it is {escape.one_line(notice.text, limit=_SHOWN)!r}"
    return of_value(last_object(notice.text))


def at_the_end(answer: str) -> str:
    """Returns what the object that ends a field for words says of a failure; one shown as an example says none."""
    block = _BLOCK_AT_THE_END.search(answer)
    lead = _SENTENCE_END.split(answer[: block.start()])[-1] if block else ""
    return "" if _EXAMPLE.search(lead) else of_value(last_object(answer))


def doubt(handoff: json_types.Json) -> str:
    """Returns why a handoff leaves open how its work ended: a word that names no end; an empty string if it does not.

    Only words that are known to say so say that work is done; one in another language, or that it goes on, does not.
    """
    if not json_types.is_object(handoff):
        return ""
    fields = {json_types.plain_name(name): inner for name, inner in handoff.items()}
    if _OF_REVIEWS & fields.keys():
        return ""
    for name in ("status", "state"):
        value = fields.get(name)
        if not json_types.is_left_out(value) and value is not True and meaning(value) in (None, "out"):
            return f"its {name} is {json_types.quoted(value)}, which is no end; {_ENDS}"
    return next(filter(None, (doubt(fields.get(name)) for name in _WRAPPERS)), "")


def last_object(text: str) -> json_types.Json:
    """Returns the JSON object that ends an answer, also within a fence, or None."""
    tail = excerpts.HANDOFF.of(text.strip()).rstrip("`~ \n\t")
    if not tail.endswith("}"):
        return None
    pieces = [piece for piece in damaged_json.objects(tail) if piece.whole and piece.end == len(tail)]
    return pieces[-1].value if pieces else None


def own_object(text: str) -> json_types.Json:
    """Returns the JSON object that ends an answer, or the one that it begins with, or None."""
    last = last_object(text)
    if last is not None or not _BEGINS_OBJECT.match(text):
        return last
    return next((piece.value for piece in damaged_json.objects(excerpts.HANDOFF.of(text)) if piece.whole), None)
