"""Everything of ours that reads what others wrote: how each is called, and how it refuses."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from dispatch_mcp import configuration, errors
from dispatch_mcp.agents import catalog, frontmatter, loader, rosters
from dispatch_mcp.context import chunks, context_query, gitignore, requirements
from dispatch_mcp.hooks import agent_transcripts, hook_events
from dispatch_mcp.mcp_server import stdio_messages
from dispatch_mcp.mcp_server.handshake import input_lines
from dispatch_mcp.model import Json, agent_refusals, usage_reader
from dispatch_mcp.planning import acceptance, plan_checks, plan_documents
from dispatch_mcp.planning.drafts import classifier
from dispatch_mcp.registration import toml_tables
from dispatch_mcp.review import answer_parser, plan_reviews, quotes
from dispatch_mcp.routing import request_parts
from dispatch_mcp.runs import handoff_parser, report_reader
from dispatch_mcp.text import (
    commented_json,
    damaged_json,
    escape,
    fences,
    json_types,
    path_globs,
    redaction,
    tokenizer,
    unified_diff,
)
from dispatch_mcp.text.reading import excerpts, reported_failures

CORPUS = Path(__file__).parent / "corpus"

_GROUND = quotes.ground(
    unified_diff.parse(
        "--- a/shop/cart.py\n+++ b/shop/cart.py\n@@ -1,2 +1,2 @@\n def total(items):\n-    return 0\n+    return 1\n"
    )
)
_KEYS = ("mcpServers", "dispatch")


class Reader(NamedTuple):
    """How a text of somebody else's is read, and with which exceptions that may be refused."""

    read: Callable[[str, Path], object]
    refusals: tuple[type[Exception], ...] = ()


def _diff(text: str, _folder: Path) -> object:
    reading = unified_diff.read(text)
    return [list(unified_diff.lines_with_numbers(hunk)) for file in reading.diff.files for hunk in file.hunks]


def _agent(text: str, _folder: Path) -> object:
    content, _ = loader.text_of(text.encode("utf-8", "replace"))
    return catalog.read_agent(content, path="/a/b/writer.md", layer="project")


def _plan(text: str, _folder: Path) -> object:
    reading = plan_documents.read_document(json.loads(text)).reading
    return plan_checks.check(reading.tasks, agents=None, models=())


def _report(text: str, _folder: Path) -> object:
    value: Json = json.loads(text)
    return report_reader.read(value if json_types.is_list(value) else [value, text], {})


def _answer(text: str, _folder: Path) -> object:
    report = quotes.check(answer_parser.report("critic", text), _GROUND)
    return report, plan_reviews.judge("critic", text, _GROUND)


def _settings(text: str, folder: Path) -> object:
    (folder / configuration.FILE_NAME).write_text(text, encoding="utf-8", errors="replace")
    (folder / configuration.FILE_NAME).chmod(0o600)
    return configuration.load({}, home=folder, cwd=folder)


def _variables(text: str, folder: Path) -> object:
    name, _, value = text.partition("\n")
    env = {f"DISPATCH_MCP_{name.strip().upper()}": value}
    return configuration.load(env, home=folder / "none", cwd=folder)


def _transcript(text: str, folder: Path) -> object:
    path = folder / "session" / "subagents" / "agent-abc.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", errors="replace")
    return agent_transcripts.read(str(path), str(folder / "session.jsonl")).model_usage()


def _comments(text: str, _folder: Path) -> object:
    changed = commented_json.put(text, _KEYS, {"command": "x", "args": ["serve"]})
    value: Any = commented_json.parse(changed)
    assert value["mcpServers"]["dispatch"] == {"command": "x", "args": ["serve"]}
    return commented_json.take_out(changed, _KEYS)


def _tables(text: str, _folder: Path) -> object:
    changed = toml_tables.put(text, _KEYS, {"command": "x", "args": ["serve"]})
    value: Any = toml_tables.parse(changed)
    assert value["mcpServers"]["dispatch"] == {"command": "x", "args": ["serve"]}
    return toml_tables.take_out(changed, _KEYS)


def _front_matter(text: str, _folder: Path) -> object:
    return frontmatter.read_front_matter(text), frontmatter.parse(text)


def _roster(text: str, _folder: Path) -> object:
    return rosters.read("own", text)


def _usage(text: str, _folder: Path) -> object:
    for value in (text, _json(text)):
        try:
            usage_reader.read(value)
        except usage_reader.UnreadableUsage:
            continue
    return None


def _line(text: str, _folder: Path) -> object:
    lines = input_lines.Lines(io.BytesIO(text.encode("utf-8", "replace")), most=1_000)
    return [stdio_messages.read(line) for line in iter(lines.next, None)]


def _event(text: str, _folder: Path) -> object:
    event = hook_events.read(io.BytesIO(text.encode("utf-8", "replace")))
    if event is None:
        return None
    return [hook_events.may_be_ours(name, event) for name in ("PreToolUse", "SubagentStop", "Stop", "SessionStart")]


def _request(text: str, _folder: Path) -> object:
    words = tokenizer.words(excerpts.request(text))
    return words, request_parts.parts(text), request_parts.names_code(text), classifier.choose(text)


def _prose(text: str, _folder: Path) -> object:
    refusal = agent_refusals.read(text, ("reviewer", "writer"))
    return refusal, reported_failures.of_text(text), fences.hidden(text), escape.one_line(text, limit=200)


def _handoff(text: str, _folder: Path) -> object:
    return handoff_parser.parse_answer(text)


def _ignore_file(text: str, _folder: Path) -> object:
    return gitignore.parse(text).rules


def _criteria(text: str, _folder: Path) -> object:
    return [acceptance.read(line, "/work") for line in text.split("\n")[:20]]


def _globs(text: str, _folder: Path) -> object:
    pattern, _, path = text.partition("\n")
    return path_globs.matches(pattern, path), path_globs.touch(pattern, path), path_globs.selects(pattern, path)


def _keys(text: str, _folder: Path) -> object:
    return requirements.parse_all(text.split("\n")[:20]), context_query.read(text)


def _parts(text: str, _folder: Path) -> object:
    name, _, body = text.partition("\n")
    return chunks.divide(body, name[:100])


def _secrets(text: str, _folder: Path) -> object:
    return redaction.Redactor(["hunter2hunter2"]).redact(text)


def _damaged(text: str, _folder: Path) -> object:
    return list(damaged_json.objects(text)), damaged_json.without_reminders(text)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


_NO_JSON = (ValueError, RecursionError)

READERS: dict[str, Reader] = {
    "diff": Reader(_diff),
    "handoff": Reader(_handoff),
    "front_matter": Reader(_front_matter),
    "plan_document": Reader(_plan, (errors.DispatchError, *_NO_JSON)),
    "agent_file": Reader(_agent),
    "roster": Reader(_roster, (errors.DispatchError,)),
    "reviewer_answer": Reader(_answer),
    "settings": Reader(_settings, (errors.ConfigError,)),
    "variables": Reader(_variables, (errors.ConfigError,)),
    "transcript": Reader(_transcript),
    "commented_json": Reader(_comments, (commented_json.Unreadable,)),
    "toml": Reader(_tables, (toml_tables.UnreadableToml,)),
    "report": Reader(_report, _NO_JSON),
    "usage": Reader(_usage),
    "line": Reader(_line),
    "hook_event": Reader(_event),
    "request": Reader(_request),
    "prose": Reader(_prose),
    "acceptance": Reader(_criteria),
    "ignore_file": Reader(_ignore_file),
    "glob": Reader(_globs),
    "context_key": Reader(_keys, (errors.DispatchError,)),
    "source_file": Reader(_parts),
    "secret": Reader(_secrets),
    "damaged_json": Reader(_damaged),
}
"""Every reader by name."""


def corpus(name: str) -> list[str]:
    """Returns the texts that a reader begins from."""
    return json.loads((CORPUS / f"{name}.json").read_text(encoding="utf-8"))
