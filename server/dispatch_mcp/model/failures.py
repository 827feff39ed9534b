"""The ways in which an attempt fails, and whether another attempt could end differently.

The one place that decides it for git and for the server's workers: what must fail again is neither tried nor paid for
again; what may pass, or what the next attempt is told about, is.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

Ours = Literal[
    "git_failed",  # a lock, a full disk, a slow machine
    "host_lost",  # a machine that did work for a run driven elsewhere fell silent
    "internal_error",  # a fault of this program, or of the machine that it runs on
    "not_kept",  # a lock, a full disk, a slow machine
]
"""What no worker can do anything about: what it has answered still holds."""

MayPass = Literal[
    "budget",  # a higher ceiling may have been given
    "conflict",  # the provider is busy with an earlier request
    "cut_off",  # the connection broke
    "given_up",  # the worker's own answer says so; another one may get further
    "interrupted",  # something ended the program from outside
    "max_tokens",  # the next attempt gets more room
    "max_turns",  # the next attempt goes on where this one stopped
    "merge_conflict",  # the next attempt begins from the merged state
    "no_connection",
    "no_handoff",  # the next attempt is told which form was missing
    "no_result",  # something ended the program from outside
    "not_started",  # the machine is short of memory or processes
    "overloaded",
    "rate_limit",  # holds the worker, and counts as no failure
    "rate_limited",
    "server_error",
    "simulated_transient",
    "timeout",  # may be quicker, or go on where it stopped
    "token_budget",  # a higher ceiling may have been given
]
MustFailAgain = Literal[
    "bad_call",  # the installed version does not know the call
    "bad_command",
    "bad_request",  # the same request is refused again
    "bad_script",
    "billing",
    "broken_filter",  # a filter that the repository needs is missing or fails
    "context_full",
    "depth_limit",
    "exit_code",  # the same program on the same files
    "inner_repository",  # a repository was made inside a worktree, and git does not keep it
    "lost_edits",  # what the user had not committed is gone from the checkout, and would be again
    "moved_branch",  # a worker moved a branch of the user's, and would again
    "no_permission",
    "no_price",  # a ceiling of dollars, and a model whose price nobody knows
    "no_program",
    "no_workspace",
    "no_worktree",  # the repository, or what is no repository
    "not_allowed",
    "not_logged_in",  # no key, or one that is not valid
    "prompt_too_long",
    "refusal",
    "set_back",  # a command went behind the commit that its worktree began from, and would again
    "signal",  # the same program on the same files
    "simulated_permanent",
    "submodule",  # work inside of a submodule is never merged
    "too_large",
    "unknown_model",
    "unstartable",  # the file is no program that this machine can start
]
FailureKind = Ours | MayPass | MustFailAgain

_OURS: Final = frozenset[str](get_args(Ours))
_MAY_PASS: Final = frozenset[str]((*get_args(Ours), *get_args(MayPass)))


def is_avoidable(kind: str) -> bool:
    """Returns whether whoever is told of such a failure can do the same work otherwise; a command cannot be told."""
    return kind == "set_back"


def is_retryable(kind: str) -> bool:
    """Returns whether another attempt could end differently."""
    return kind in _MAY_PASS


def is_ours(kind: str) -> bool:
    """Returns whether a failure is nobody's but ours, or the machine's: it counts as a crash and not as a failure."""
    return kind in _OURS


def keeps_answer(kind: str) -> bool:
    """Returns whether a failure leaves what a worker has answered as good as it was."""
    return is_ours(kind) or kind in ("broken_filter", "no_worktree")
