"""How Claude Code is called: its arguments and its environment (docs/rules.md#claude-code-calls)."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from dispatch_mcp.model import Json, work_order
from dispatch_mcp.process import child_environment
from dispatch_mcp.workers import answer_room, attempt_scope

PASSED: Final = frozenset(
    {
        *("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", "CLAUDE_CODE_OAUTH_TOKEN"),
        *("CLAUDE_CONFIG_DIR", "CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX"),
        *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
        *("NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    }
)
"""What Claude Code needs of the server's variables to log in and to reach its provider."""

FIXED: Final[Mapping[str, str]] = {
    "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "CLAUDE_CODE_MAX_RETRIES": "2",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "DISABLE_TELEMETRY": "1",
}
MAX_ANSWER: Final = "CLAUDE_CODE_MAX_OUTPUT_TOKENS"
"""How many tokens of Claude Code's one answer may have."""

_FLAG: Final = re.compile(r"--[a-z][a-z-]+")


@dataclass(frozen=True, slots=True)
class ClaudeCall:
    """One start of Claude Code. `session` is its id; `resume` goes on with it. `system_file` is a path.

    `model` is a full name, `schema` what the answer is held to.
    """

    session: str
    resume: bool
    model: str
    schema: Mapping[str, Json]
    effort: str
    tools: tuple[str, ...]
    system_file: str
    max_turns: int
    max_dollars: float | None = None


def flags_in(text: str) -> frozenset[str]:
    """Returns the flags that a help text names."""
    return frozenset(_FLAG.findall(text))


def arguments(call: ClaudeCall, flags: Collection[str]) -> list[str]:
    """Returns the arguments after the program; every value that is not ours stands behind its own `=`.

    The prompt is not among them: it is read from standard input, so that no text can become a flag and none is too
    long or visible to other users. `known` are the flags of the installed version.
    """
    tools = ",".join(call.tools)
    return [
        *("-p", "--output-format=stream-json", "--verbose", "--include-partial-messages"),
        *_isolation_flags(flags),
        *("--strict-mcp-config", "--permission-mode=dontAsk", f"--tools={tools}", f"--allowedTools={tools}"),
        f"--system-prompt-file={call.system_file}",
        f"--json-schema={json.dumps(call.schema, separators=(',', ':'))}",
        f"--model={call.model}",
        *([f"--effort={call.effort}"] if call.effort and "--effort" in flags else []),
        f"--max-turns={call.max_turns}",
        *([f"--max-budget-usd={call.max_dollars:.6f}"] if call.max_dollars is not None else []),
        f"--resume={call.session}" if call.resume else f"--session-id={call.session}",
    ]


def _isolation_flags(flags: Collection[str]) -> list[str]:
    """Returns the flags that keep the user's own settings, hooks, plugins and memory out.

    Not `--bare`: it lacks tools that find files, and never reads the login of a subscription.
    """
    switches = [flag for flag in ("--safe-mode", "--restricted", "--disable-slash-commands") if flag in flags]
    return [*switches, *(["--setting-sources="] if "--setting-sources" in flags else [])]


def variables(
    policy: child_environment.ChildPolicy, work: work_order.WorkOrder, room: answer_room.Room | None = None
) -> dict[str, str]:
    """Returns the whole environment of the child; `room` is how long its answers may be, None for its own choice."""
    login = {name: value for name, value in policy.variables.items() if name in PASSED and value and "\0" not in value}
    answers = {MAX_ANSWER: str(room.tokens)} if room is not None else {}
    return policy.environment(
        {**login, **FIXED, **answers, **attempt_scope.git_log(work)}, dollars=work.ceiling.dollars
    )
