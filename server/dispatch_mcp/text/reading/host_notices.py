"""What hosts hand on around a subagent's answer, or in its place: the answer within, or what happened instead.

Claude Code frames an answer, tells of one in the background by a `<task-notification>`, and says in fixed sentences
that a subagent was refused, has begun, was cut off or said nothing; opencode and Codex have forms of their own. Only a
text that is such a form and nothing else is read as one: an answer may quote any of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from dispatch_mcp.text import json_types

Kind = Literal["answer", "empty", "out", "unstarted", "failed", "partial"]
"""What became of the work: an answer, none, still at work, never begun, cut off, or only a part of it done."""

MOST_BARE: Final = 4_000
"""Characters of a text that can be nothing but a message of a host or a provider."""

_ASK_USER: Final = "the user refused it, so ask how to go on, and call it again only if that is wanted"
_FORBIDDEN: Final = "a rule of this host forbids it, so have it allowed, or do the task yourself"
_BY_HOOK: Final = "a hook refused it, so do what it says"
_FULL: Final = "as many are at work as this host allows, so call it when another one has ended"
_ALONE: Final = "this host starts no more, so do the task yourself and report what you did"
_AGAIN: Final = "nothing refused it, so call it again if it is still wanted"

_UNSTARTED: Final[tuple[tuple[str, str], ...]] = (
    ("The user doesn't want to proceed with this tool use", _ASK_USER),
    ("The user doesn't want to take this action right now", _ASK_USER),
    ("The user rejected permission to use this specific tool call", _ASK_USER),
    ("User rejected tool use", _ASK_USER),
    ("User denied permission", _ASK_USER),
    ("Permission to use Agent ", _FORBIDDEN),
    ("Permission to use Task ", _FORBIDDEN),
    ("Permission for this tool use was denied", _FORBIDDEN),
    ("Claude requested permissions to use Agent,", _FORBIDDEN),
    ("Claude requested permissions to use Task,", _FORBIDDEN),
    ("The user has specified a rule which prevents you from using this specific tool call", _FORBIDDEN),
    ("PreToolUse:Agent hook error", _BY_HOOK),
    ("PreToolUse:Task hook error", _BY_HOOK),
    ("Subagent spawn denied by a plugin", _FORBIDDEN),
    ("Concurrent subagent limit reached.", _FULL),
    ("collab spawn failed: agent thread limit reached", _FULL),
    ("agent thread limit reached", _FULL),
    ("Subagent nesting limit reached (", _ALONE),
    ("Budget limit reached ($", _ALONE),
    ("No such tool available: Agent", _ALONE),
    ("No such tool available: Task", _ALONE),
    ("[Tool call skipped", _AGAIN),
    ("This tool call was refused and did not run", _AGAIN),
    ("This call was denied and did not run", _FORBIDDEN),
)
"""How hosts begin to say that they did not start a subagent, and what can be done about it."""

_STOPPED_WHILE_RUNNING: Final = "Correction to the text above: this call was stopped while running"
_OUT: Final = (
    "PreToolUse:Agent hook error: A subagent of this session does",  # our own hook, of a second call for one attempt
    *("Async agent launched", "Cloud agent launched", "Remote agent launched", "Spawned successfully. ("),
    *("The agent has not finished. It", "The task is working in the background", "Wait timed out."),
)
"""How hosts begin to say that a subagent is at work; its answer comes by itself later."""
_FAILED: Final = (
    *("API Error:", "API Error (", "Error: ", "[Request interrupted by user", "Agent terminated early due to"),
    *("Claude AI usage limit reached", "Claude usage limit reached", "Usage limit reached"),
    *(
        "You're out of usage credits",
        "[Tool call did not complete",
        "Tool execution aborted",
        "Operation stopped by hook",
    ),
    "The user doesn't want to proceed with this tool use",
)
"""How hosts and providers begin what they send in place of an answer."""
_FAILED_WHOLE: Final = frozenset({"Execution error", "Prompt is too long", "Credit balance is too low"})
_LIMIT: Final = re.compile(r"You've (?:hit|reached) your [^\n.]{0,60}limit\b")
# Permission to use Write has been denied … · Claude requested permissions to write to x, but you haven't granted it yet
_DENIED: Final = re.compile(
    r"(?:Permission to use|Claude requested permissions to) [^\n]{1,300}(?:denied|granted it)\b"
)
_EMPTY: Final = frozenset(
    {
        *("", "(no content)", "(no text output)", "(no output)", "[Empty text removed]"),
        "(Subagent completed but returned no output.)",
    }
)
_HANDED_OVER: Final = '"completed_work"'

_FRAME, _FOLLOWS, _TAIL = "[Subagent hand-back]", "The report follows:\n", "\nagentId: "
_MOST_TAIL: Final = 1_500
# What the harness puts above an answer; its names of tools have no angle brackets.
_TOOLS_USED: Final = re.compile(r"\A\s*<tools-used-before-summary>[^<>]{0,2000}</tools-used-before-summary>\s*")
_CUT_SHORT: Final = re.compile(r"NOTE: this agent stopped at its \d{1,6}-turn limit before finishing\.")
_NOTICE: Final = "<task-notification>", "</task-notification>"
_ENDED: Final = frozenset({"failed", "killed", "stopped", "cancelled", "blocked"})
_REMINDER: Final = "<system-reminder>", "</system-reminder>"
_MOST_HEADER: Final = 600
_CODEX_NOTICE: Final = "<subagent_notification>", "</subagent_notification>"
# The first line of what the `task` tool answers, in its newer and in its older form.
_OPENCODE: Final = re.compile(r'\A(?:<task id="[^"]{0,200}" state="(?P<state>\w{1,20})">|task_id: [^\n]{0,300}\n)')
_OPENCODE_BODY: Final = ("task_result", "task_error")
_ENDED_OTHERWISE: Final = frozenset({"interrupted", "shutdown", "not_found"})


class HostNotice(NamedTuple):
    """What a text of a host says: the answer within it, or what the host itself says and what can be done about it."""

    kind: Kind
    text: str = ""
    advice: str = ""


def read(text: str) -> HostNotice:
    """Returns what a text that is handed on as an answer is; the text without what the host put around it."""
    body = _unescaped(text.strip())
    return _of_notification(body) or _of_task_element(body) or _of_codex(body) or _of_frame(body)


def _unescaped(body: str) -> str:
    """Returns a form of a host that was escaped once too often, as models do with long texts, as the host wrote it."""
    if "\n" in body or "\\n" not in body or not any(mark in body for mark in (_FRAME, _NOTICE[0], _CODEX_NOTICE[0])):
        return body
    try:
        return str(json.loads(f'"{body}"')).strip()
    except ValueError:
        return body


def _of_notification(body: str) -> HostNotice | None:
    """Returns what Claude Code's news of a subagent in the background says."""
    if body.startswith(_REMINDER[0]) and body.endswith(_REMINDER[1]):
        start = body.find(_NOTICE[0])
        body = body[start : -len(_REMINDER[1])].rstrip() if 0 <= start <= _MOST_HEADER else ""
    if not (body.startswith(_NOTICE[0]) and body.endswith(_NOTICE[1])):
        return None
    status, summary = (between(body, tag) or "" for tag in ("status", "summary"))
    whole = between(body, "result", last=True)
    if status != "completed":
        return HostNotice("failed" if status in _ENDED else "out", summary or f"the subagent ended as {status!r}")
    if "is waiting on its own background work" in summary:
        return HostNotice("out", summary)
    if "-turn limit" in summary:
        return HostNotice("partial", _plain(whole or ""))
    return _sentence(_plain(whole or ""), may_be_unstarted=False)


def _of_task_element(body: str) -> HostNotice | None:
    """Returns what opencode's `task` tool says."""
    start = _OPENCODE.match(body)
    if start is None:
        return None
    whole = next((part for tag in _OPENCODE_BODY if (part := between(body, tag, last=True)) is not None), None)
    if whole is None:
        return None
    state = start["state"] or "completed"
    if state == "error":
        return HostNotice("failed", whole.strip())
    return HostNotice("out", whole.strip()) if state == "running" else _sentence(whole.strip(), may_be_unstarted=False)


def _of_codex(body: str) -> HostNotice | None:
    """Returns what Codex says of a subagent that it has started, waited for or been told of."""
    is_notice = body.startswith(_CODEX_NOTICE[0]) and body.endswith(_CODEX_NOTICE[1])
    inner = body[len(_CODEX_NOTICE[0]) : -len(_CODEX_NOTICE[1])] if is_notice else body
    fields = _object(inner) if is_notice or len(body) <= MOST_BARE or '"timed_out"' in body[-MOST_BARE:] else None
    if fields is None:
        return None
    if is_notice:
        return _of_codex_status(fields.get("status"))
    if set(fields) == {"agent_id", "nickname"}:
        return HostNotice("out", body)
    if set(fields) - {"message", "status"} != {"timed_out"}:
        return None
    statuses = fields.get("status")
    ends = list(statuses.values()) if json_types.is_object(statuses) else []
    if not ends:
        return HostNotice("out", body)
    return _of_codex_status(ends[0]) if len(ends) == 1 else None


def _of_codex_status(status: json_types.Json) -> HostNotice:
    if json_types.is_object(status):
        for kind, value in status.items():
            words = value if isinstance(value, str) else ""
            is_answer = kind == "completed"
            return _sentence(words.strip(), may_be_unstarted=False) if is_answer else HostNotice("failed", words)
    if isinstance(status, str) and status in _ENDED_OTHERWISE:
        return HostNotice("failed", f"the subagent ended as {status!r}")
    return HostNotice("out", str(status))


def _of_frame(body: str) -> HostNotice:
    """Returns what stands in Claude Code's frame around an answer, or what a text without one is."""
    begin = body.find(_FRAME)
    is_framed = begin == 0 or (begin > 0 and body[begin - 1] == "\n" and _is_notes(body[:begin]))
    follows = body.find(_FOLLOWS, begin) if is_framed else -1
    if follows < 0:
        report, notes = _without_tail(body), ""
    else:
        lines = _without_tail(body[follows + len(_FOLLOWS) :]).split("\n")
        report, notes = "\n".join(line.removeprefix("  ") for line in lines), body[:begin]
    has_run = follows >= 0 or report != body
    plain = _plain(report)
    if _CUT_SHORT.search(notes) or _CUT_SHORT.match(plain):
        return HostNotice("partial", plain)
    return _sentence(plain, may_be_unstarted=not has_run)


def _is_notes(text: str) -> bool:
    """Returns whether a text is what the harness notes above an answer: every line of it is indented."""
    return all(line.startswith("  ") or not line for line in text.split("\n")[1:])


def _without_tail(report: str) -> str:
    """Returns a report without the lines in which Claude Code says how to go on with its subagent."""
    begin = report.rfind(_TAIL)
    tail = report[begin:] if begin >= 0 else ""
    is_tail = 0 < len(tail) <= _MOST_TAIL and ("<usage>" in tail or "to continue this agent" in tail)
    return report[:begin] if is_tail else report


def _plain(report: str) -> str:
    """Returns a report without the list of tools that the harness puts before it."""
    return _TOOLS_USED.sub("", report, count=1).strip()


def _sentence(body: str, *, may_be_unstarted: bool) -> HostNotice:
    """Returns what a text says if it is nothing but one sentence of a host; else that it is an answer."""
    if body in _EMPTY:
        return HostNotice("empty")
    if len(body) > MOST_BARE or _HANDED_OVER in body:
        return HostNotice("answer", body)
    bare = body.removeprefix("<tool_use_error>").removesuffix("</tool_use_error>").strip()
    if bare.startswith(_OUT):
        return HostNotice("out", body)
    advice = _advice(bare.removeprefix("Error: ")) if may_be_unstarted else ""
    if advice:
        return HostNotice("unstarted", body, advice)
    is_failure = bare in _FAILED_WHOLE or bare.startswith(_FAILED) or _LIMIT.match(bare) or _DENIED.match(bare)
    return HostNotice("failed" if is_failure else "answer", body)


def _advice(sentence: str) -> str:
    """Returns what can be done about a subagent that a sentence says was not started; empty for any other sentence."""
    if _STOPPED_WHILE_RUNNING in sentence:
        return ""
    return next((advice for words, advice in _UNSTARTED if sentence.startswith(words)), "")


def between(text: str, tag: str, *, last: bool = False) -> str | None:
    """Returns what stands in an element: up to its first closing tag, or up to its last; None without the element."""
    opening, closing = f"<{tag}>", f"</{tag}>"
    begin = text.find(opening)
    end = text.rfind(closing) if last else text.find(closing)
    return text[begin + len(opening) : end] if 0 <= begin < end else None


def _object(text: str) -> Mapping[str, json_types.Json] | None:
    try:
        value: json_types.Json = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if json_types.is_object(value) else None
