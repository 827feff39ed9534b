"""Who can carry out work here, and who does when nobody is named (`worker: auto`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from dispatch_mcp.model import WorkerKind

WorkerName = Literal["auto", "host", "api", "claude", "command", "scripted"]
"""Who may be asked for whole runs: every kind of worker but people, or whoever can."""


class Pick(NamedTuple):
    """A worker, and why it is this one."""

    kind: WorkerKind
    why: str


@dataclass(frozen=True, slots=True)
class AvailableWorkers:
    """What there is. `chat` is whether an assistant calls, `subagents` whether it brings its own.

    `key` is whether there is a key for the API, `claude` the path of Claude Code or empty, `preferred` what the user
    has configured.
    """

    chat: bool = True
    subagents: bool = False
    key: bool = False
    claude: str = ""
    preferred: WorkerKind | None = None

    @property
    def kinds(self) -> frozenset[WorkerKind]:
        """Everybody who can be asked here."""
        kinds = {WorkerKind.COMMAND, WorkerKind.SCRIPTED}
        kinds |= {WorkerKind.HOST} if self.chat else set[WorkerKind]()
        kinds |= {WorkerKind.API} if self.key else set[WorkerKind]()
        return frozenset(kinds | ({WorkerKind.CLAUDE} if self.claude else set[WorkerKind]()))

    def missing(self, kind: WorkerKind) -> str:
        """Returns why a worker cannot be asked here, or an empty string."""
        if kind in self.kinds:
            return ""
        reasons = {
            WorkerKind.API: "no ANTHROPIC_API_KEY is set here",
            WorkerKind.CLAUDE: "Claude Code is not on the PATH, and the setting `claude_program` names none",
            WorkerKind.HOST: "no assistant calls; it is the one who has a chat",
        }
        return reasons.get(kind, "it is not for whole runs")

    def pick(self) -> Pick:
        """Returns who does the tasks that name nobody.

        From a chat: the assistant, unless there is a key that is this server's own. A host that brings its own
        subagents hands its own key down to every server, so such a key says nothing. From a shell: the API if there
        is a key, else Claude Code.
        """
        if self.preferred is not None and self.preferred in self.kinds:
            return Pick(self.preferred, f"{self.preferred.value}: the default_worker of your settings")
        return self._in_chat() if self.chat else self._in_shell()

    def _in_chat(self) -> Pick:
        if self.subagents:
            return Pick(
                WorkerKind.HOST,
                "called from an assistant: its own subagents do the work; tasks with a command run here",
            )
        if self.key:
            return Pick(WorkerKind.API, "called from an assistant without subagents, and this server has a key: api")
        return Pick(
            WorkerKind.HOST,
            "called from an assistant, and this server has no key: the assistant does the work; tasks with a command "
            "run here",
        )

    def _in_shell(self) -> Pick:
        if self.key:
            return Pick(WorkerKind.API, "called from a shell, and there is a key: api unless a task says otherwise")
        if self.claude:
            return Pick(
                WorkerKind.CLAUDE,
                "called from a shell without a key, and Claude Code is installed: claude unless a task says otherwise",
            )
        return Pick(
            WorkerKind.API,
            "called from a shell with neither a key nor Claude Code: only tasks with a command can be done",
        )
