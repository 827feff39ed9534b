"""An attempt as the host gets it: the exact arguments of the host's own subagent call."""

from __future__ import annotations

from collections.abc import Sequence

from dispatch_mcp import model
from dispatch_mcp.model import short_ids

INLINE_LIMIT = 6_000
"""Characters of a prompt up to which the host holds it itself; a longer one goes by reference."""

GENERALS = ("general-purpose", "generalPurpose", "general", "default", "worker", "generalist")
"""What hosts call the subagent that becomes a specialist through its prompt (docs/rules.md#specialists-by-prompt), the
first one unless a host says that it has another."""


def names_called(agent: str | None, stand_ins: Sequence[model.StandIn]) -> tuple[str, ...]:
    """Returns the names under which somebody was to be called for a task of `agent`, each once, the newest last."""
    chain = (model.StandIn(agent or ""), *stand_ins)
    return tuple(dict.fromkeys(link.subagent or link.agent or GENERALS[0] for link in chain))


class HostCall(model.Value):
    """The arguments of the host's subagent tool, named as the host names them (docs/rules.md#subagent-call).

    `model` is one of the host's own aliases, or None to keep what the subagent or the session has.
    """

    subagent_type: str
    description: str
    prompt: str
    run_in_background: bool
    model: str | None = None


class Assignment(model.Value):
    """One attempt that waits for the host until `lease_until`, in seconds since the epoch; any contact renews it.

    An attempt with a `timeout_s` ends so many seconds after it was handed out, whoever is in contact.
    `prompt_ref` is the address of the whole prompt when `call.prompt` only points to it; `prompt_file` is the same as
    a file, where the call does not name it. `instructions` are for hosts that have no subagents. `in_place_of` are
    those that could not be started for the task before. `already_out` says since when, if it is only repeated: it was
    handed out before. `gap` says what its brief lacks and why, if anything. Without a `run_id` it is of the answer's
    own run.
    """

    run_id: short_ids.Handle = ""
    task_id: str
    attempt: int
    agent: str = ""
    in_place_of: tuple[str, ...] = ()
    call: HostCall
    prompt_ref: str = ""
    prompt_file: str = ""
    instructions: str = ""
    lease_until: float | None = None
    timeout_s: float | None = None
    already_out: str = ""
    gap: str = ""
