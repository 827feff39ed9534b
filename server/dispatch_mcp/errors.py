"""Every error that dispatch-mcp raises on purpose.

DispatchError
├── InputError            the caller can fix the call
│   ├── UnknownHandle     no plan, run, task or agent of that name for this caller
│   ├── PlanRejected      the plan has problems; all of them are listed
│   └── StaleVersion      the plan has moved on since the caller read it
├── NotAllowed            configuration forbids it; content cannot change that
├── Fenced                an older attempt or owner tried to write
├── StoreError             the state file cannot serve
│   ├── StoreBusy          another process holds the write lock for too long
│   ├── StoreUnavailable   disk full, read-only, I/O error
│   ├── StoreDamaged       not a store, or corrupt pages
│   ├── StoreMoved         removed or replaced while it was open
│   └── StoreTooNew        written by a newer dispatch-mcp
├── WorkerError           an attempt could not be carried out
└── ConfigError           a setting is wrong
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dispatch_mcp.next_steps import NextStep, Words, sentences

__all__ = [
    "ConfigError",
    "DispatchError",
    "Fenced",
    "InputError",
    "NotAllowed",
    "PlanRejected",
    "StaleVersion",
    "StoreBusy",
    "StoreDamaged",
    "StoreError",
    "StoreMoved",
    "StoreTooNew",
    "StoreUnavailable",
    "UnknownHandle",
    "WorkerError",
]


class DispatchError(Exception):
    """dispatch-mcp could not do what was asked.

    The hint says what to do next: advice that holds in every interface, or a step that an interface puts into words.
    """

    def __init__(self, message: str = "", *, hint: str | NextStep = "") -> None:
        super().__init__(message or (self.__doc__ or "").strip())
        self.hint = hint

    def __str__(self) -> str:
        return self.full_text(_advice_alone)

    def full_text(self, words: Words) -> str:
        """Returns what was wrong and what to do next, a step in these words."""
        advice = self.advice(words)
        is_open = bool(advice) and self.message[-1:].isalnum()  # as the words of other programs often are
        return sentences(f"{self.message}." if is_open else self.message, advice)

    def advice(self, words: Words) -> str:
        """Returns what to do next, a step in these words."""
        return words(self.hint) if isinstance(self.hint, NextStep) else self.hint

    @property
    def message(self) -> str:
        """What was wrong, without the hint."""
        return str(self.args[0])


class InputError(DispatchError):
    """The call does not say something that can be done."""


class UnknownHandle(InputError):
    """There is nothing under that name."""


class PlanRejected(InputError):
    """The plan has problems."""

    def __init__(self, message: str = "", *, hint: str | NextStep = "", problems: tuple[object, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.problems = problems


class StaleVersion(InputError):
    """The plan has a newer version: `version`, which differs from the caller's in `changes` (ids by kind of change)."""

    def __init__(
        self,
        message: str = "",
        *,
        hint: str | NextStep = "",
        version: int = 0,
        changes: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.version = version
        self.changes = changes or {}


class NotAllowed(DispatchError):
    """The configuration does not allow this."""


class Fenced(DispatchError):
    """A newer attempt or owner has taken over."""


class StoreError(DispatchError):
    """The store cannot serve."""


class StoreBusy(StoreError):
    """Another process holds the store's write lock."""


class StoreUnavailable(StoreError):
    """The store's disk cannot be written or read."""


class StoreDamaged(StoreError):
    """The file is not a readable store."""


class StoreMoved(StoreError):
    """The store's file was removed or replaced while it was open."""


class StoreTooNew(StoreError):
    """The store was written by a newer dispatch-mcp."""


class WorkerError(DispatchError):
    """The attempt could not be carried out."""


class ConfigError(DispatchError):
    """A setting is wrong.

    `settings` are those that have to be left out so that the others can be used, if any.
    """

    def __init__(self, message: str = "", *, hint: str | NextStep = "", settings: Iterable[str] = ()) -> None:
        super().__init__(message, hint=hint)
        self.settings = frozenset(settings)


def _advice_alone(step: NextStep) -> str:
    return step.advice
