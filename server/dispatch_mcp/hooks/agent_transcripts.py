"""What a subagent's transcript tells: which attempt it carries out, and what each model used for it.

Transcripts are files of the host; what stands in them is what models wrote, so they are data and never trusted. Only
regular files below the folder of the session's own transcript are read, up to a limit.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from dispatch_mcp.hooks import agent_parents, hook_events
from dispatch_mcp.process import safe_paths
from dispatch_mcp.text import attempt_names, json_types

MOST_BYTES: Final = 64 << 20
"""Bytes of a transcript that are read: several hours of a subagent's work."""

MOST_LINE: Final = 8 << 20
"""Bytes of a line that are read; a longer one holds no usage."""

MOST_TOKENS: Final = 100_000_000
"""Tokens that one answer can have used; a higher figure is none."""

_AGENT: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ENDING: Final = ".jsonl"
_FILE: Final = re.compile(rf"agent-{_AGENT.pattern}\{_ENDING}")

MOST_SESSIONS: Final = 2_000
"""Sessions of a project among which the parts of a transcript are looked for."""
_USAGE: Final = b'"usage"'

Row = Mapping[str, json_types.Json]
NO_ROW: Final[Row] = {}


class FirstPrompt(NamedTuple):
    """Which attempt a subagent was called for, None for none of ours; `has_brief` is whether it got the brief.

    `call` is the call by which it was started, empty where the host does not say.
    """

    name: attempt_names.AttemptName | None
    has_brief: bool
    call: str = ""

    def is_of(self, attempt: int, call: str | None, agent: str) -> bool:
        """Returns whether the attempt with that number, begun by `call`, is not another call's.

        A subagent that was given its brief late has begun its attempt itself. Yes where nobody can tell.
        """
        is_own = self.name is not None and self.name.attempt == attempt
        return not is_own or not self.call or not call or call in (self.call, agent)


NO_PROMPT: Final = FirstPrompt(None, has_brief=False)


@dataclass(slots=True)
class Transcript:
    """What a subagent was called with, and the usage of each answer, also of the subagents that it has started."""

    prompt: FirstPrompt = NO_PROMPT
    answers: dict[str, tuple[str, Row]] = field(default_factory=dict[str, tuple[str, Row]])

    def model_usage(self) -> dict[str, json_types.Json]:
        """Returns what each model used: the figures of its answers, summed by name."""
        sums: dict[str, json_types.Json] = {}
        for model, usage in self.answers.values():
            total = sums.setdefault(model, {})
            for name, amount in usage.items():
                if name.endswith("_tokens") and type(amount) is int and 0 <= amount <= MOST_TOKENS:
                    total[name] = total.get(name, 0) + amount
        return sums


def path_of(session_transcript: str, agent_id: str) -> str:
    """Returns where the host keeps the transcript of a session's subagent; empty for no name of one."""
    if not session_transcript.endswith(_ENDING) or not _AGENT.fullmatch(agent_id):
        return ""
    return str(Path(session_transcript.removesuffix(_ENDING), "subagents", f"agent-{agent_id}{_ENDING}"))


def read(path: str, session_transcript: str) -> Transcript:
    """Returns what a transcript says; an empty one for a file that is not the session's, or cannot be read."""
    transcript = Transcript(first_prompt_in(path, session_transcript))
    if transcript.prompt.name is not None:
        for part in (path, *agent_parents.descendants(path)):
            for row in islice(_all_rows(part, session_transcript), 1, None):
                _add(transcript, row)
    return transcript


def first_prompt_in(path: str, session_transcript: str) -> FirstPrompt:
    """Returns what a transcript begins with; nothing for a file that is none of ours, or cannot be read.

    What a subagent of ours has started itself does its work: it carries out no attempt, whatever it was called with.
    """
    prompt = _head(path, session_transcript)
    if prompt.name is None:
        return NO_PROMPT
    birth = _birth(path, session_transcript)
    is_part = any(_head(parent, session_transcript).name for parent in _parents(birth, session_transcript))
    return NO_PROMPT if is_part else prompt._replace(call=birth.call)


def prompt_of_call(event: hook_events.Event) -> FirstPrompt:
    """Returns what a call has started its subagent with; nothing where it was made in the course of an attempt."""
    if attempt_of_caller(event) is not None:
        return NO_PROMPT
    prompt = first_prompt_of(hook_events.text(event, "tool_input", "prompt"))
    return prompt._replace(call=hook_events.text(event, "tool_use_id"))


def attempt_of_caller(event: hook_events.Event) -> attempt_names.AttemptName | None:
    """Returns the attempt in whose course a call was made: by its subagent, or by one that this has started."""
    session_transcript = hook_events.text(event, "transcript_path")
    path = path_of(session_transcript, hook_events.text(event, "agent_id"))
    if not path:
        return None
    paths = [path, *_parents(_birth(path, session_transcript), session_transcript)]
    return next((name for caller in paths if (name := _head(caller, session_transcript).name)), None)


def _parents(birth: agent_parents.Birth, session_transcript: str) -> list[str]:
    """Returns the transcripts of the subagents that have led to a birth, the nearest first."""
    return agent_parents.ancestors(path_of(session_transcript, birth.parent))


def _head(path: str, session_transcript: str) -> FirstPrompt:
    """Returns what a transcript begins with, whoever has written it."""
    return next((first_prompt_of(_prompt(row)) for row in _all_rows(path, session_transcript)), NO_PROMPT)


def _birth(path: str, session_transcript: str) -> agent_parents.Birth:
    """Returns who started a subagent, as it stands beside its transcript or the part that another session has."""
    births = (agent_parents.birth(part) for part in (path, *_parts(path, session_transcript)))
    return next((birth for birth in births if birth.call), agent_parents.NO_BIRTH)


def leaves_others(event: hook_events.Event) -> bool:
    """Returns whether a subagent has answered while one that it has started still works."""
    path, session_transcript = (hook_events.text(event, name) for name in ("agent_transcript_path", "transcript_path"))
    paths = {path_of(session_transcript, agent) for agent in hook_events.running_agents(event)}
    return bool(paths) and not paths.isdisjoint(agent_parents.descendants(path))


def first_prompt_of(prompt: str) -> FirstPrompt:
    """Returns what a subagent was called with."""
    return FirstPrompt(attempt_names.begun(prompt), attempt_names.marked(prompt) is not None)


def _all_rows(path: str, session_transcript: str) -> Iterator[Row]:
    """Yields what was said to a subagent first, and then its answers with their usage; nothing of a foreign file.

    A session that is cleared goes on in another folder, and with it the transcripts of its subagents: the rest of one
    stands in a file of the same name there.
    """
    if not _is_below(path, session_transcript):
        return
    first = path if _is_beginning(path) else next(filter(_is_beginning, _parts(path, session_transcript)), "")
    if first:
        yield from _rows(first, "user")
        for part in dict.fromkeys((path, *_parts(path, session_transcript))):
            if part != first:
                yield from _rows(part, "assistant")


def _parts(path: str, session_transcript: str) -> list[str]:
    """Returns the files of that name that other sessions of the project have."""
    if not _FILE.fullmatch(os.path.basename(path)):  # noqa: PTH119  # a name, as Claude Code writes it
        return []
    try:
        folders = sorted(islice(Path(session_transcript).parent.iterdir(), MOST_SESSIONS))
    except OSError:
        return []
    files = [str(folder / "subagents" / Path(path).name) for folder in folders]
    return [file for file in files if file != path and _is_there(file) and _is_below(file, session_transcript)]


def _is_there(file: str) -> bool:
    """Returns whether there is such a file; no where nobody may look."""
    return os.path.exists(file)  # noqa: PTH110  # `Path.exists` raises there


def _is_beginning(path: str) -> bool:
    """Returns whether a transcript begins with what was said to the subagent first."""
    row = next(_rows(path, "user", "assistant"), NO_ROW)
    return row.get("type") == "user" and not row.get("parentUuid")


def _is_below(path: str, session_transcript: str) -> bool:
    """Returns whether a path leads into the folder of the session's transcript, also after all links."""
    if not path or not session_transcript or "\0" in path + session_transcript or len(path) > safe_paths.LONGEST:
        return False
    try:
        folder = Path(session_transcript).parent.resolve()
        return Path(path).is_absolute() and Path(path).resolve().is_relative_to(folder)
    except (OSError, RuntimeError, ValueError):  # links that lead in a circle, or what is no text
        return False


def _rows(path: str, *types: str) -> Iterator[Row]:
    """Yields the first row of one of these types, and then what has usage; nothing of a file that cannot be read."""
    try:
        with os.fdopen(os.open(path, safe_paths.READ), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return
            rest = MOST_BYTES
            while rest > 0 and (line := file.readline(min(MOST_LINE, rest))):
                rest -= len(line)
                row = _row(line) if "user" in types or _USAGE in line else NO_ROW
                if row.get("type") in types:
                    types = ("assistant",)
                    yield row
    except OSError:
        return


def _row(line: bytes) -> Row:
    try:
        row: json_types.Json = json.loads(line)
    except (ValueError, RecursionError):
        return NO_ROW
    return row if json_types.is_object(row) else NO_ROW


def _object(row: Row, name: str) -> Row:
    value = row.get(name)
    return value if json_types.is_object(value) else NO_ROW


def _prompt(row: Row) -> str:
    """Returns the text of what was said, of several parts the one that names an attempt."""
    content = _object(row, "message").get("content")
    parts = content if json_types.is_list(content) else [{"text": content}]
    texts = [part.get("text") for part in parts if json_types.is_object(part)]
    return next((text for text in texts if isinstance(text, str) and attempt_names.begun(text)), "")


def _add(transcript: Transcript, row: Row) -> None:
    message = _object(row, "message")
    usage, name = _object(message, "usage"), message.get("model")
    if usage and isinstance(name, str):
        # An answer of several blocks stands in several rows with the same id; the last one has all that it used.
        transcript.answers[str(message.get("id") or row.get("uuid"))] = name, usage
