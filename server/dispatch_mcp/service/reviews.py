"""Rounds of the review council: an ordinary plan of reviewers without edges, joined by a pure function.

Rules: docs/rules.md#review-council.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from dispatch_mcp import errors, model
from dispatch_mcp.engine import review_attempt, run_view
from dispatch_mcp.model import assignments, records, transitions
from dispatch_mcp.next_steps import NextStep, StepKind, Words
from dispatch_mcp.planning import plan_documents
from dispatch_mcp.review import (
    council_decision,
    diff_parts,
    finding_redaction,
    findings,
    injections,
    quotes,
    review_scope,
    review_tasks,
    reviewer_calibration,
    reviewer_roster,
    reviewer_selection,
    rounds,
)
from dispatch_mcp.service import dispatcher, review_answers, review_fixes, review_subjects
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.text import unified_diff

KEY = "council:"
"""What the request key of every round begins with."""

DECIDED = "council_decided"
WAIVED = "finding_waived"
MAX_DIFF_CHARS = 20_000_000
HISTORY = 60
"""Runs among which a round of the same change is looked for."""

CALIBRATED = 20
"""Rounds that calibration looks back; each is decided again from its reports."""

MANY_EVENTS = 500


class Asked(NamedTuple):
    """What shall be reviewed: one of a diff, a range or a run; else the working tree.

    `after` is the round before; `reviewers` sit beside those whom the council chooses.
    """

    diff: str = ""
    range: str = ""
    run_id: str = ""
    after: str = ""
    reviewers: tuple[str, ...] = ()
    worker: str = "auto"
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Council:
    """The council of one dispatcher, with the means that its face has handed in."""

    app: dispatcher.Dispatcher

    @property
    def means(self) -> review_subjects.Means:
        """Where changes come from, and what the settings decide."""
        return self.app.means

    async def review(self, asked: Asked) -> review_answers.Reviewed:
        """Starts a round, or says where it stands when it has been started before; a round named by its run is read.

        Raises:
            InputError: more than one thing is to be reviewed, or there is no such reviewer, range or run.
        """
        given = [
            name for name, value in (("diff", asked.diff), ("range", asked.range), ("run_id", asked.run_id)) if value
        ]
        if len(given) > 1:
            raise errors.InputError(
                f"Give one of diff, range and run_id, not {' and '.join(given)}.", hint="Without any: the working tree."
            )
        subject: run_view.RunView | None = None
        if asked.run_id:
            subject = await self._loaded(asked.run_id)
            if is_round(subject.run):
                return await self._continued(subject)
        before = await self._before(asked.after)
        change = await self._change(asked, subject)
        return await self._opened(asked, change, subject, before)

    async def decision(self, loaded: run_view.RunView) -> council_decision.Decision | None:
        """Returns what a round decided, recording it the first time; None while somebody is still asked."""
        if loaded.run.state not in model.RUN_FINAL:
            return None
        known, _ = await self._known(loaded)
        return await decided(self.app.store, loaded, known, self._noted)

    async def look(self, run_id: str) -> review_answers.Reviewed | None:
        """Returns where a round stands, without handing anything out; None for a run that is no round."""
        loaded = await self._loaded(run_id)
        return await self._standing(loaded) if is_round(loaded.run) else None

    async def decided(self, run_id: str) -> council_decision.Decision | None:
        """Returns the whole decision of a round; None while somebody is still asked, or for a run that is none."""
        loaded = await self._loaded(run_id)
        return await self.decision(loaded) if is_round(loaded.run) else None

    async def waive(self, run_id: str, finding: str, reason: str, by: str) -> review_answers.Reviewed:
        """Records that a person lets a finding go, and returns where the round stands now.

        Only interfaces that have asked a person call this.

        Raises:
            InputError: there is no such finding, no reason, or the round is not over.
        """
        loaded = await self._loaded(run_id)
        if not is_round(loaded.run):
            raise review_attempt.unknown_round(loaded.run.id)
        decision = await self.decision(loaded)
        if decision is None:
            raise errors.InputError(
                f"Review {loaded.run.id} is not over.", hint="Wait for its decision; then waive what should not block."
            )
        ids = [one.id for one in decision.findings]
        if finding not in ids:
            raise errors.InputError(
                f"There is no finding {finding[:40]!r}.", hint=f"Findings: {', '.join(ids) or 'none'}."
            )
        if not reason.strip():
            raise errors.InputError("A waiver needs a reason.", hint="Say why this finding may stay.")
        data: dict[str, model.Json] = {"finding": finding, "reason": self.means.clean(reason.strip()[:2_000]), "by": by}
        await self._noted(loaded.run.id, transitions.Note(WAIVED, data=data))
        after = await self._loaded(run_id)
        known, _ = await self._known(after)
        await decided(self.app.store, after, known, self._noted)
        return await self._standing(after)

    async def waivable(self, run_id: str) -> list[council_decision.Merged]:
        """Returns the findings of a round that a person could let go: those that keep it from passing."""
        loaded = await self._loaded(run_id)
        decision = await self.decision(loaded) if is_round(loaded.run) else None
        if decision is None or decision.outcome == "PASS":
            return []
        return [one for one in decision.findings if one.standing in ("open", "unproven")]

    # -- inside

    async def _loaded(self, run_id: str) -> run_view.RunView:
        return await run_view.load(self.app.store, await self.app.run_handle(run_id), self.app.principal)

    async def _known(self, loaded: run_view.RunView) -> tuple[review_tasks.Manifest, str]:
        assigned = next((place for task in loaded.plan.tasks if (place := review_tasks.place(task))), None)
        if assigned is None:
            raise review_attempt.unknown_round(loaded.run.id)
        return await review_attempt.manifest(self.app.store, assigned.manifest), assigned.manifest

    async def _before(
        self, run_id: str
    ) -> tuple[run_view.RunView, review_tasks.Manifest, council_decision.Decision] | None:
        """Returns the round before with its decision. Raises InputError when it is none, or not over."""
        if not run_id:
            return None
        loaded = await self._loaded(run_id)
        if not is_round(loaded.run):
            raise review_attempt.unknown_round(loaded.run.id)
        decision = await self.decision(loaded)
        if decision is None:
            raise errors.InputError(
                f"Review {loaded.run.id} is not over.", hint=NextStep(StepKind.FINISH_REVIEW, loaded.run.id)
            )
        known, _ = await self._known(loaded)
        if known.round >= known.rules.rounds:
            raise errors.NotAllowed(
                f"This was round {known.round} of {known.rules.rounds}; a person decides what becomes of it now.",
                hint=NextStep(
                    StepKind.LEAVE_TO_USER, loaded.run.id, advice="The setting `council_rounds` bounds the loop."
                ),
            )
        return loaded, known, decision

    async def _change(self, asked: Asked, subject: run_view.RunView | None) -> review_scope.Change:
        if asked.diff:
            return review_scope.Change(asked.diff, "a diff")
        changes = self.means.changes
        if changes is None:
            raise errors.InputError("There is no repository to look at here.", hint="Send the change as diff.")
        workspace = self.app.rules.workspace
        if asked.range:
            return await changes.of_range(workspace, asked.range)
        if subject is None:
            return await changes.of_tree(workspace)
        candidate = await self.means.candidate(subject)
        if candidate is not None:
            return candidate
        paths = sorted({path for paths in (await self._files(subject)).values() for path in paths})
        return await changes.of_tree(subject.run.workspace or workspace, paths)

    async def _files(self, subject: run_view.RunView) -> dict[str, tuple[str, ...]]:
        """Returns the files of each task of a run: those it declares, and those it says it changed."""
        outcomes = await self.app.store.outcomes(subject.run.id, [task.id for task in subject.tasks if task.result])
        found: dict[str, tuple[str, ...]] = {}
        for task in subject.plan.tasks:
            said = outcomes[task.id].handoff.files_modified if task.id in outcomes else ()
            if task.files or said:
                found[task.id] = tuple(dict.fromkeys((*task.files, *said)))
        return found

    async def _opened(
        self,
        asked: Asked,
        change: review_scope.Change,
        subject: run_view.RunView | None,
        before: tuple[run_view.RunView, review_tasks.Manifest, council_decision.Decision] | None,
    ) -> review_answers.Reviewed:
        if len(change.text) > MAX_DIFF_CHARS:
            raise errors.InputError(
                f"The change has {len(change.text)} characters; at most {MAX_DIFF_CHARS} are reviewed at once.",
                hint="Review it in ranges.",
            )
        seen = review_scope.of(unified_diff.parse(change.text))
        clean = finding_redaction.cleaned(seen.diff, self.means.clean)
        known = await self._draft(asked, change, seen, clean=clean, subject=subject, before=before)
        reviewed = await self._narrowed(clean.diff, before)
        divided = diff_parts.split(reviewed if reviewed.files else clean.diff)
        if not divided.parts or (not reviewed.files and not known.earlier):
            return review_answers.nothing(known)
        known = known.model_copy(
            update={
                "spans": tuple(part.spans for part in divided.parts),
                "unseen": divided.unseen,
                "cut": tuple(span for part in divided.parts for span in part.cut),
            }
        )
        return await self._started(asked, known, divided)

    async def _narrowed(
        self,
        now: unified_diff.Diff,
        before: tuple[run_view.RunView, review_tasks.Manifest, council_decision.Decision] | None,
    ) -> unified_diff.Diff:
        """Returns what of a change this round looks at: all of it, or what is new since the round before."""
        if before is None:
            return now
        _, known, decision = before
        old = unified_diff.parse(await review_attempt.text(self.app.store, known.diff))
        return rounds.since(old, now, rounds.earlier(decision))

    async def _draft(
        self,
        asked: Asked,
        change: review_scope.Change,
        seen: review_scope.Scope,
        *,
        clean: finding_redaction.Cleaned,
        subject: run_view.RunView | None,
        before: tuple[run_view.RunView, review_tasks.Manifest, council_decision.Decision] | None,
    ) -> review_tasks.Manifest:
        """Returns everything about the round that the change itself says."""
        catalog = self.app.catalog()
        chosen = reviewer_selection.select(
            seen.diff, reviewer_selection.pool(catalog), unreviewed=[one.path for one in seen.excluded]
        )
        extra = reviewer_selection.named(catalog, [*self.means.reviewers, *asked.reviewers])
        seats = (*chosen.seats, *(seat for seat in extra if seat.reviewer not in chosen.reviewers))
        draft = review_tasks.Manifest(
            source=change.about,
            subject=subject.run.id if subject else "",
            seats=seats,
            passed_over=chosen.passed_over,
            advocate=chosen.advocate,
            rules=self.means.rules,
            languages=chosen.languages,
            files=tuple(one.path for one in seen.diff.files),
            lines=seen.diff.lines,
            excluded=tuple(seen.excluded),
            flags=injections.flags(clean.diff),
            redacted=clean.lines,
            diff=await review_attempt.stored(self.app.store, "\n".join(map(unified_diff.render, clean.diff.files))),
            owners=await self._files(subject) if subject else {},
            reviewed=change.head,
        )
        if before is None:
            return draft
        loaded, known, decision = before
        return draft.model_copy(
            update={
                "round": known.round + 1,
                "after": loaded.run.id,
                "earlier": rounds.earlier(decision),
                "waivers": tuple(await waivers(self.app.store, loaded.run.id, known)),
                "subject": draft.subject or known.subject,
                "owners": draft.owners or known.owners,
            }
        )

    async def _started(
        self, asked: Asked, known: review_tasks.Manifest, divided: diff_parts.Split
    ) -> review_answers.Reviewed:
        document = known.model_dump_json(exclude_defaults=True)
        digest = await review_attempt.stored(self.app.store, document)
        texts = [await review_attempt.stored(self.app.store, part.text) for part in divided.parts]
        tasks = review_tasks.tasks(known, digest, texts, self._focuses(known))
        key = await self._key(asked, digest, texts)
        plan_id = hashlib.sha256(f"{self.app.principal}\0{key}\0{review_attempt.told(texts)}".encode()).hexdigest()[:32]
        raw = [task.model_dump(mode="json", by_alias=True, exclude_defaults=True) for task in tasks]
        if await self._is_new(plan_id):
            plans = self.app.plans
            unwatched = replace(plans, rules=replace(plans.rules, review_policy="off"))
            await unwatched.plan_document(
                plan_documents.Document(plan_documents.read_tasks(raw), min(model.MAX_PARALLEL, max(1, len(tasks)))),
                request=f"Review {known.source}",
                plan_id=plan_id,
            )
        progress = await self.app.dispatch(
            plan_id=plan_id, worker=asked.worker, request_key=key, fresh=asked.fresh, dry_run=asked.worker == "scripted"
        )
        loaded = await self._loaded(progress.run_id)
        return await self._standing(loaded, progress.assignments)

    async def _is_new(self, plan_id: str) -> bool:
        try:
            await self.app.store.plan(plan_id, principal=self.app.principal)
        except errors.UnknownHandle:
            return True
        return False

    async def _key(self, asked: Asked, digest: str, texts: Sequence[str]) -> str:
        """Returns the request key of a round: the same change finds its round, one without a decision is tried anew."""
        stem = hashlib.sha256(review_attempt.told([digest, list(texts), asked.worker]).encode()).hexdigest()[:24]
        count = 0
        for record in await self.app.store.runs(self.app.principal, limit=HISTORY):
            if not record.request_key.startswith(f"{KEY}{stem}:"):
                continue
            count += 1
            again = asked.fresh and record.state in model.RUN_FINAL
            if not again and not await self._undecided(record):
                return record.request_key
        return f"{KEY}{stem}:{count}"

    async def _undecided(self, record: records.RunRecord) -> bool:
        """Returns whether a round is over and could not say anything."""
        if record.state not in model.RUN_FINAL:
            return False
        decision = await self.decision(await run_view.load(self.app.store, record.id, self.app.principal))
        return decision is None or decision.outcome == "INCONCLUSIVE"

    def _focuses(self, known: review_tasks.Manifest) -> Mapping[str, str]:
        catalog = self.app.catalog()
        found: dict[str, str] = {}
        for seat in known.seats:
            agent = reviewer_roster.find(catalog, seat.reviewer)
            focus = agent.extra.get("focus") if agent else ""
            found[seat.reviewer] = focus if isinstance(focus, str) else ""
        return found

    async def _continued(self, loaded: run_view.RunView) -> review_answers.Reviewed:
        if loaded.run.state in model.RUN_FINAL:
            return await self._standing(loaded)
        progress = await self.app.dispatch(run_id=loaded.run.id)
        return await self._standing(await self._loaded(loaded.run.id), progress.assignments)

    async def _standing(
        self, loaded: run_view.RunView, assigned: Sequence[assignments.Assignment] = ()
    ) -> review_answers.Reviewed:
        known, _ = await self._known(loaded)
        decision = None
        if loaded.run.state in model.RUN_FINAL:
            decision = await decided(self.app.store, loaded, known, self._noted)
        return review_answers.reviewed(loaded.run, known, decision, assigned, await self._mend(loaded, known, decision))

    async def _mend(
        self, loaded: run_view.RunView, known: review_tasks.Manifest, decision: council_decision.Decision | None
    ) -> str:
        """Returns the plan by which the owners mend what blocks; empty when there is nothing to mend, or no owner."""
        if decision is None or decision.outcome != "BLOCK" or not known.subject or known.round >= known.rules.rounds:
            return ""
        subject = await self._loaded(known.subject)
        return await review_fixes.plan(self.app, loaded.run.id, subject, known, decision)

    async def _noted(self, run_id: str, note: transitions.Note) -> None:
        await self.app.store.advance(run_id, records.Step(now=self.app.clock(), notes=[note]))


Noted = Callable[[str, transitions.Note], Awaitable[None]]


def is_round(record: records.RunRecord) -> bool:
    """Returns whether a run is a round of the council."""
    return record.request_key.startswith(KEY)


async def decided(
    store: sqlite_store.Store, loaded: run_view.RunView, known: review_tasks.Manifest, noted: Noted | None = None
) -> council_decision.Decision:
    """Returns what a round that is over decides, with what people have waived since; `noted` records what is new."""
    reports = await review_attempt.reports(store, loaded)
    where = quotes.ground(unified_diff.parse(await review_attempt.text(store, known.diff)))
    carried = rounds.carry(known.earlier, reports, where)
    decision = council_decision.decide(
        [*reports, *carried.reports],
        known.rules,
        waivers=await waivers(store, loaded.run.id, known),
        refutations=carried.refutations,
        unseen=[span.label for span in known.unseen],
    )
    if noted is not None:
        await _record(store, loaded.run.id, known, decision, carried=carried, noted=noted)
    return decision


async def _record(
    store: sqlite_store.Store,
    run_id: str,
    known: review_tasks.Manifest,
    decision: council_decision.Decision,
    *,
    carried: rounds.Carried,
    noted: Noted,
) -> None:
    data: dict[str, model.Json] = {
        "outcome": decision.outcome,
        "blocks": decision.blocks,
        "why": decision.why,
        "rules": decision.rules,
        "round": known.round,
        "open": [one.id for one in decision.of("open")][: review_answers.MAX_LISTED],
        "waived": [one.id for one in decision.of("waived")],
        "refuted": [one.id for one in decision.of("refuted")],
        "gone": list(carried.gone),
        "verdicts": {voice.reviewer: voice.verdict or "INCONCLUSIVE" for voice in decision.voices},
    }
    last = [event.data for event in await events(store, run_id) if event.kind == DECIDED][-1:]
    if last != [data]:
        await noted(run_id, transitions.Note(DECIDED, data=data))


async def events(store: sqlite_store.Store, run_id: str) -> list[model.Event]:
    """Returns all events of a run."""
    found: list[model.Event] = []
    while True:
        page = await store.events(run_id, after=found[-1].seq if found else 0, limit=MANY_EVENTS)
        found += page
        if len(page) < MANY_EVENTS:
            return found


async def waivers(store: sqlite_store.Store, run_id: str, known: review_tasks.Manifest) -> list[findings.Waiver]:
    """Returns what people have let go in a round, and in those before it."""
    found = list(known.waivers)
    for event in await events(store, run_id):
        if event.kind == WAIVED:
            data = event.data
            found.append(
                findings.Waiver(
                    finding=str(data.get("finding")),
                    reason=str(data.get("reason")),
                    by=str(data.get("by")),
                    at=event.at,
                )
            )
    return found


async def calibration(store: sqlite_store.Store, principal: str) -> list[reviewer_calibration.Record]:
    """Returns how reviewers have done in the last rounds of a principal."""
    found: dict[str, tuple[review_tasks.Manifest, reviewer_calibration.Round]] = {}
    for record in await store.runs(principal, limit=HISTORY):
        if not is_round(record) or record.state not in model.RUN_FINAL or record.dry_run:
            continue
        if len(found) >= CALIBRATED:
            break
        loaded = await run_view.load(store, record.id, principal)
        assigned = next((place for task in loaded.plan.tasks if (place := review_tasks.place(task))), None)
        if assigned is None:
            continue
        known = await review_attempt.manifest(store, assigned.manifest)
        reports = tuple(await review_attempt.reports(store, loaded))
        decision = await decided(store, loaded, known)
        found[record.id] = (known, reviewer_calibration.Round(reports=reports, decision=decision))
    later = {known.after: one.reports for known, one in found.values() if known.after}
    rulings = {
        run_id: tuple(ruling for report in later.get(run_id, ()) for ruling in report.rulings) for run_id in found
    }
    return reviewer_calibration.calibrate(
        one.model_copy(update={"later": rulings[run_id]}) for run_id, (_, one) in found.items()
    )


async def told(app: dispatcher.Dispatcher, run_id: str, words: Words) -> dict[str, model.Json]:
    """Returns what a trace of a round says besides: its decision, and how its reviewers have done; else nothing."""
    found = await Council(app).look(run_id)
    if found is None:
        return {}
    names = {line.name for line in found.reviewers}
    past = await calibration(app.store, app.principal) if found.outcome else []
    shown = [one.shown() for one in past if one.reviewer in names]
    keys = ("outcome", "blocks", "why", "rules", "round", "of", "reviewers", "findings", "coverage", "mend_plan")
    whole = found.wire(words)
    return {"council": {**{key: whole[key] for key in keys if key in whole}, "calibration": shown}}
