"""Who reviews a change: the right specialist, always the same, with reasons."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import labelled_diffs
import pytest

from dispatch_mcp import errors
from dispatch_mcp.agents import catalog
from dispatch_mcp.review import reviewer_selection
from dispatch_mcp.text import unified_diff

SEEDED = labelled_diffs.load("seeded.diffs")
VARIED = [case for name in ("varied.diffs", "unlike.diffs", "more.diffs") for case in labelled_diffs.load(name)]
POOL = {
    "security-sentinel",
    "performance-oracle",
    "architecture-strategist",
    "test-coverage-auditor",
    "dependency-analyst",
    "legacy-healing-auditor",
}


def titled(cases: list[labelled_diffs.Case]) -> list[str]:
    return [case.title for case in cases]


def test_the_pool_is_the_six_named_experts_and_an_advocate() -> None:
    found = labelled_diffs.pool()
    assert {agent.name for agent in (*found.always, *found.choice)} == POOL
    assert [agent.name for agent in found.always] == ["architecture-strategist"]
    assert found.advocate is not None
    assert found.advocate.name == "devils-advocate"


def test_twelve_seeded_faults_in_three_languages_are_there() -> None:
    assert len(SEEDED) == 12
    assert {case.title.split(":")[0] for case in SEEDED} == {"python", "typescript", "go"}


@pytest.mark.parametrize("case", SEEDED, ids=titled(SEEDED))
def test_the_right_specialist_sits_for_every_seeded_fault(case: labelled_diffs.Case) -> None:
    assert case.wanted in labelled_diffs.select(case.text).reviewers


@pytest.mark.parametrize("case", VARIED, ids=titled(VARIED))
def test_the_right_specialist_sits_for_faults_in_other_words_and_languages(case: labelled_diffs.Case) -> None:
    assert case.wanted in labelled_diffs.select(case.text).reviewers


@pytest.mark.parametrize("case", SEEDED, ids=titled(SEEDED))
def test_the_architecture_strategist_always_sits_and_two_of_the_pool_beside(case: labelled_diffs.Case) -> None:
    found = labelled_diffs.select(case.text)
    assert found.reviewers[0] == "architecture-strategist"
    assert len(found.reviewers) == 3
    assert set(found.reviewers) <= POOL
    assert set(found.passed_over) == POOL - set(found.reviewers)
    assert found.advocate == "devils-advocate"


def test_every_seat_says_why() -> None:
    found = labelled_diffs.select(SEEDED[0].text)
    assert all(seat.why for seat in found.seats)
    assert found.seats[1].why[0] == "a query is built from text (shop/search.py)"


def test_equal_scores_go_in_a_fixed_order() -> None:
    text = "diff --git a/LICENSE.txt b/LICENSE.txt\n--- a/LICENSE.txt\n+++ b/LICENSE.txt\n@@ -1 +1 @@\n-a\n+b\n"
    found = labelled_diffs.select(text)
    assert found.reviewers == ("architecture-strategist", "security-sentinel", "test-coverage-auditor")
    assert found.seats[1].score == 0


def test_the_choice_is_the_same_under_every_hash_seed(tmp_path: Path) -> None:
    program = (
        "import labelled_diffs\nfor name in ('seeded.diffs', 'unlike.diffs'):\n"
        "    for case in labelled_diffs.load(name): print(labelled_diffs.select(case.text).model_dump_json())\n"
    )
    found = set()
    for seed in ("0", "1", "42"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=Path(labelled_diffs.__file__).parent,
            env={"PYTHONHASHSEED": seed, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
        )
        found.add(done.stdout)
    assert len(found) == 1
    assert found.pop().count("\n") > 50


def reviewer(
    text: str, layer: catalog.Layer, approved: frozenset[str] = frozenset(), name: str = "own"
) -> catalog.Agent:
    return catalog.read_agent(text, path=f"{name}.md", layer=layer, roster=str(layer), approved=approved)


OWN = """---
name: money-reviewer
description: Use to review money code.
domain: review
triggers: {cents: 9, currency: 8, round: 7, invoice: 6}
path_triggers: {"**/billing/**": 9}
---
Look at money.
"""
MONEY = (
    "diff --git a/billing/total.py b/billing/total.py\n--- a/billing/total.py\n+++ b/billing/total.py\n"
    "@@ -1,1 +1,2 @@\n-x = 1\n+cents = round(invoice.total * 100)\n+currency = 'EUR'\n"
)


def with_own(*agents: catalog.Agent) -> catalog.Catalog:
    return catalog.of([*labelled_diffs.shipped().agents, *agents])


def test_a_users_reviewer_takes_a_seat_of_its_own_and_displaces_nobody() -> None:
    plain = labelled_diffs.select(MONEY)
    found = labelled_diffs.select(MONEY, reviewer_selection.pool(with_own(reviewer(OWN, "user"))))
    assert found.reviewers == (*plain.reviewers, "money-reviewer")
    assert found.seats[-1].own
    assert labelled_diffs.select(
        SEEDED[0].text, reviewer_selection.pool(with_own(reviewer(OWN, "user")))
    ).reviewers == (labelled_diffs.select(SEEDED[0].text).reviewers)


def test_a_users_agent_of_a_shipped_name_replaces_nobody() -> None:
    text = OWN.replace("money-reviewer", "security-sentinel")
    known = with_own(reviewer(text, "user"))
    found = labelled_diffs.select(MONEY, reviewer_selection.pool(known))
    assert found.reviewers[-1] == "user/security-sentinel"
    shipped = reviewer_selection.find(known, "security-sentinel")
    assert shipped is not None
    assert shipped.layer == "bundled"
    assert "security sentinel" in shipped.body


def test_a_workspaces_reviewer_sits_only_once_it_is_trusted() -> None:
    stranger = reviewer(OWN, "project")
    assert "money-reviewer" not in labelled_diffs.select(MONEY, reviewer_selection.pool(with_own(stranger))).reviewers
    known = reviewer(OWN, "project", frozenset({stranger.sha256}))
    assert "money-reviewer" in labelled_diffs.select(MONEY, reviewer_selection.pool(with_own(known))).reviewers


@pytest.mark.parametrize("name", ["review-code", "review-business", "review-security"])
def test_the_review_roles_can_be_asked_for_by_name(name: str) -> None:
    [seat] = reviewer_selection.by_name(labelled_diffs.shipped(), [name])
    assert seat.reviewer == name
    assert seat.own


def test_nobody_reviews_who_is_no_reviewer() -> None:
    with pytest.raises(errors.InputError, match="is no reviewer"):
        reviewer_selection.by_name(labelled_diffs.shipped(), ["eng-backend"])


def test_a_lock_file_that_nobody_reads_still_calls_the_dependency_analyst() -> None:
    lock = "diff --git a/uv.lock b/uv.lock\n--- a/uv.lock\n+++ b/uv.lock\n@@ -1,1 +1,1 @@\n-a\n+b\n"
    note = "diff --git a/notes.py b/notes.py\n--- a/notes.py\n+++ b/notes.py\n@@ -1,1 +1,1 @@\n-a = 1\n+a = 2\n"
    assert "dependency-analyst" in labelled_diffs.select(lock + note).reviewers


def test_signs_are_found_wherever_they_stand_in_a_large_change() -> None:
    filler = "".join(
        f"diff --git a/src/f{n}.py b/src/f{n}.py\n--- a/src/f{n}.py\n+++ b/src/f{n}.py\n@@ -1,0 +1,60 @@\n"
        + "".join(f"+value_{n}_{line} = compute({line})\n" for line in range(60))
        for n in range(80)
    )
    bad = "diff --git a/src/run.py b/src/run.py\n--- a/src/run.py\n+++ b/src/run.py\n@@ -1,0 +1,1 @@\n"
    found = labelled_diffs.select(filler + bad + "+subprocess.run(f'rm {name}', shell=True)\n")
    assert unified_diff.parse(filler).lines == 4800
    assert "security-sentinel" in found.reviewers
