"""What whoever reads an answer or an error should do next: a value, which each interface puts into its own words.

An assistant reads tool calls and a person at a shell reads commands, so nothing below the interfaces names either.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

_MINUTE: Final = 60
_DAY: Final = 24
_MOST_NAMES: Final = 5
_MOST_CAUSES: Final = 2
_PLACES: Final = {"api": "ANTHROPIC_API_KEY is set", "claude": "Claude Code is installed"}
"""Which environment has the workers that not every one has."""


class StepKind(StrEnum):
    """The steps that there are; every interface has words for each of them."""

    # A run that goes on.
    DO_ASSIGNMENTS = "do_assignments"
    FETCH_ASSIGNMENTS = "fetch_assignments"
    FINISH_ASSIGNMENTS = "finish_assignments"
    KEEP_ASSIGNMENTS = "keep_assignments"
    AWAIT_RETRY = "await_retry"
    CARRY_ON = "carry_on"
    WATCH = "watch"
    DECIDE = "decide"
    RESUME = "resume"
    RAISE_LIMIT = "raise_limit"
    AGREE_TO_RAISE = "agree_to_raise"
    # A run that is over.
    READ_RESULTS = "read_results"
    SETTLE_FAILURES = "settle_failures"
    SETTLE_REVIEWS = "settle_reviews"
    READ_DECISION = "read_decision"
    HAVE_REVIEWED = "have_reviewed"
    LET_REVIEW_GO = "let_review_go"
    REOPEN = "reopen"
    # Why one task waits.
    WAITS_FOR_PERSON = "waits_for_person"
    WAITS_FOR_ASSISTANT = "waits_for_assistant"
    # Looking something up.
    LIST_RUNS = "list_runs"
    LIST_ALL_RUNS = "list_all_runs"
    READ_RUN = "read_run"
    LIST_TASKS = "list_tasks"
    AWAIT_RESULT = "await_result"
    CHECK_INSTALLATION = "check_installation"
    SHOW_SETTINGS = "show_settings"
    NAME_WORKSPACE = "name_workspace"
    HAND_IN_CHANGE = "hand_in_change"
    LIST_WORKTREES = "list_worktrees"
    # Plans.
    MAKE_PLAN = "make_plan"
    BEGIN_RUN = "begin_run"
    CORRECT_PLAN = "correct_plan"
    SPLIT_REQUEST = "split_request"
    REFUSE_ADDED = "refuse_added"
    BEGIN_ANEW = "begin_anew"
    # Merged changes.
    LOOK_AT_CHANGE = "look_at_change"
    NAME_REVISION = "name_revision"
    # Reviews.
    START_REVIEW = "start_review"
    BEGIN_REVIEW = "begin_review"
    NAME_CHANGE = "name_change"
    DO_REVIEWS = "do_reviews"
    WATCH_REVIEW = "watch_review"
    FINISH_REVIEW = "finish_review"
    REPEAT_REVIEW = "repeat_review"
    MEND = "mend"
    LEAVE_TO_USER = "leave_to_user"
    SAY_PASSED = "say_passed"


class LikeFailures(NamedTuple):
    """Attempts that failed alike: of which tasks, how many, the common cause, and what can be done about it.

    `cause` quotes what the first of them said, `kind` is the kind of its error.
    """

    tasks: tuple[str, ...]
    attempts: int
    cause: str
    cure: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True)
class NextStep:
    """One step, with what the words of an interface need; what a kind does not speak of stays empty.

    Attributes:
        kind: Which step it is.
        run: The id of the run or of the review that it is about.
        tasks: The tasks that it is about, by id.
        count: How many assignments, tasks or reviews there are to take care of.
        repeats: How many assignments beside those are out already and only repeated.
        out_s: For how many seconds the first of what is out has been out.
        retries: The tasks that are tried again after a pause.
        retry_s: In how many seconds the first of them begins.
        ownerless: The tasks of the server's workers that wait or had begun, where no living process carries the run on.
        needs: The workers that not everybody has and that carrying the run on takes.
        pass_on: The tasks at work to which the answer has messages.
        unread: The tasks that ended without having read a message that the answer has.
        notes_at: Where messages stand whole that the answer cuts or leaves out.
        whole_in: The views in which stands what the answer tells of without its words.
        plan: The id of a plan to carry out or to change.
        version: Its version, for a plan to change.
        revision: The commit that an offer of merged changes is about.
        limits: Ceilings to give a run, each as a name and its height.
        digest: The digest of the plan that a person has to have seen.
        advice: Sentences that hold in every interface; they come first.
        alike: What has failed alike, the most of it first.
        proven: How many tasks of the run are proven.
        unproven: How many are claimed and not proven.
        simulations: How many were only simulated, in a run that is no simulation.
        total: How many tasks the run was to do; what a person skipped is not among them.
        proof_losses: What edits took out of what was to show that tasks are done, a text for each task.
        losses: After how many attempts something of the user's was gone from the checkout.
        has_changes: Whether the run has merged changes that wait to be applied.
        by_name: Whether the reader's hooks begin attempts by their names and report them.
        has_findings: Whether a review has findings that a person could waive.
        by_pattern: Those of the tasks that a pattern brought along.
        person_skips: Those of the tasks that only a person may skip.
        no_skips: Those of the tasks that nobody may skip.
    """

    kind: StepKind
    run: str = ""
    tasks: tuple[str, ...] = ()
    count: int = 0
    repeats: int = 0
    out_s: float = 0.0
    retries: tuple[str, ...] = ()
    retry_s: float = 0.0
    ownerless: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    pass_on: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    notes_at: str = ""
    whole_in: tuple[str, ...] = ()
    plan: str = ""
    version: int = 0
    revision: str = ""
    limits: tuple[str, ...] = ()
    digest: str = ""
    advice: str = ""
    alike: tuple[LikeFailures, ...] = ()
    proven: int = 0
    unproven: int = 0
    simulations: int = 0
    total: int = 0
    proof_losses: tuple[str, ...] = ()
    losses: int = 0
    has_changes: bool = False
    by_name: bool = False
    has_findings: bool = False
    by_pattern: tuple[str, ...] = ()
    person_skips: tuple[str, ...] = ()
    no_skips: tuple[str, ...] = ()


Words = Callable[[NextStep], str]
"""What an interface says for a step."""


def proof(step: NextStep) -> str:
    """Returns how much of a run that is over is proven; an empty string where nothing is only claimed or simulated."""
    return f"{step.proven} of {step.total} proven" if step.unproven or step.simulations else ""


def proof_sentence(step: NextStep) -> str:
    """Returns `proof` as a sentence that says what the rest is; it comes before everything else."""
    rest = f", {step.unproven} UNVERIFIED (claimed, not proven)" if step.unproven else ""
    rest += f", {step.simulations} SIMULATED (nothing was done)" if step.simulations else ""
    return f"{proof(step)}{rest}." if rest else ""


def proof_loss_sentence(step: NextStep) -> str:
    """Returns which proof that was asked for the plan no longer asks for; an empty string for none."""
    texts = step.proof_losses[:_MOST_NAMES]
    more = len(step.proof_losses) - len(texts)
    rest = f"; and of {counted(more, 'more task')}" if more else ""
    return f"PROOF TAKEN OUT by an edit during the run: {'; '.join(texts)}{rest}." if texts else ""


def loss_sentence(step: NextStep) -> str:
    """Returns that something of the user's was gone or moved after attempts of a run; an empty string for nothing."""
    number = counted(step.losses, "attempt")
    text = f"SOMETHING OF YOURS IS GONE OR MOVED in the checkout, after {number} of the run: see its losses."
    return text if step.losses else ""


def counted(number: int, noun: str) -> str:
    """Returns the number with its noun, in the plural unless it is one."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def duration(seconds: float) -> str:
    """Returns a time as a person says it, rounded up: `40 s`, `3 min`, `2 h 5 min`."""
    whole = math.ceil(max(0.0, seconds))
    if whole < 2 * _MINUTE:
        return f"{whole} s"
    minutes = -(-whole // _MINUTE)
    hours, rest = divmod(minutes, _MINUTE)
    if not hours:
        return f"{minutes} min"
    return f"{hours} h {rest} min" if rest else f"{hours} h"


def age(seconds: float) -> str:
    """Returns how long ago something was, in its largest unit and rounded down: `40 s`, `3 min`, `2 h`, `3 days`."""
    minutes = int(max(0.0, seconds)) // _MINUTE
    hours = minutes // _MINUTE
    if hours >= 2 * _DAY:
        return f"{hours // _DAY} days"
    if hours:
        return f"{hours} h"
    return f"{minutes} min" if minutes else f"{int(max(0.0, seconds))} s"


def who_is_waited_for(state: str, work: Iterable[tuple[tuple[str, str], int]]) -> tuple[str, ...]:
    """Returns what of a run that goes on waits for whom, the person first.

    `work` is how many tasks are ready or at work, by who does them and by their state.
    """
    decisions, fetch, out, elsewhere = 0, 0, 0, 0
    for (worker, task_state), count in work:
        if worker == "human":
            decisions += count
        elif worker != "host":
            elsewhere += count
        elif task_state == "ready":
            fetch += count
        else:
            out += count
    lines = (
        (decisions, f"a person: {counted(decisions, 'decision')}"),
        (state == "paused", "a person: it is paused"),
        (out, f"the assistant: {counted(out, 'assignment')} out"),
        (fetch, f"the assistant: {counted(fetch, 'task')} to fetch"),
        (elsewhere, f"the server: {counted(elsewhere, 'task')}"),
    )
    return tuple(text for holds, text in lines if holds)


def have_been_out(step: NextStep, number: int) -> str:
    """Returns that so many assignments are out already, and for how long."""
    verb = "has" if number == 1 else "have"
    first = "" if number == 1 else ", the first"
    return f"{verb} already been out{first} for {duration(step.out_s)}"


def tried_again(step: NextStep) -> str:
    """Returns when the next attempt of what has failed begins, or an empty string."""
    first, *later = step.retries or ("",)
    rest = f" (and {len(later)} more later)" if later else ""
    return f"{first!r} is tried again in {duration(step.retry_s)}{rest}." if first else ""


def ended_unread(step: NextStep, noun: str) -> str:
    """Returns which tasks ended without having read what the noun says."""
    return f"{names(step.unread)} ended without having read {noun}"


def carried_on(step: NextStep, command: str) -> str:
    """Returns that nobody carries the run on, and with which command somebody does."""
    tasks = names(step.ownerless) or "THE RUN"
    return f"NOBODY CARRIES ON {tasks}: no process that lives has this run. {command} goes on with it{places(step)}."


def places(step: NextStep) -> str:
    """Returns where carrying the run on is possible, as a sentence goes on; empty where it is everywhere."""
    conditions = [_PLACES[name] for name in step.needs if name in _PLACES]
    return f" where {' and '.join(conditions)}" if conditions else ""


def failed_alike(step: NextStep) -> str:
    """Returns what has failed alike, one sentence for each common cause; an empty string for nothing."""
    lines = [f"{_subject(like)} failed alike: {sentences(like.cause, like.cure)}" for like in step.alike[:_MOST_CAUSES]]
    more = sum(len(like.tasks) for like in step.alike[_MOST_CAUSES:])
    return sentences(*lines, f"{counted(more, 'more task')} failed alike in other ways." if more else "")


def _subject(like: LikeFailures) -> str:
    tasks = len(like.tasks)
    if like.attempts > tasks and tasks <= 2:
        return f"{like.attempts} attempts of {names(like.tasks)}"
    return f"{counted(tasks, 'task')} ({names(like.tasks)})"


def settle_alike(step: NextStep) -> bool:
    """Returns whether everything that failed did so alike, so that nothing else has to be looked up."""
    return bool(step.alike) and set(step.tasks) <= {name for like in step.alike for name in like.tasks}


def names(ids: Sequence[str]) -> str:
    """Returns a few ids as a list in words: `'a'`, `'a' and 'b'`, `'a', 'b', 'c' and 4 more`."""
    first = [repr(name) for name in ids[:_MOST_NAMES]]
    more = len(ids) - len(first)
    last = f"{more} more" if more else first.pop() if first else ""
    return f"{', '.join(first)} and {last}" if first else last


def in_words(step: NextStep, phrase: str, messages: str, changes: str) -> str:
    """Returns a step in the words of an interface, in the order that all of them keep: what is proven comes first.

    `phrase`, `messages` and `changes` are what the interface says of the step itself, of messages and of changes that
    wait to be applied; empty where there is nothing to say.
    """
    return sentences(
        *(
            loss_sentence(step),
            proof_sentence(step),
            proof_loss_sentence(step),
            step.advice,
            failed_alike(step),
            phrase,
            tried_again(step),
            messages,
            changes,
        )
    )


def constant_words(text: str) -> Words:
    """Returns the words of a step that are the same whatever it is about."""
    return lambda _step: text


def sentences(*parts: str) -> str:
    """Returns the parts that say something, one behind the other."""
    return " ".join(filter(None, parts))
