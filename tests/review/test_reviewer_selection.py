"""Who reviews a change: the right specialist, always the same, with reasons."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import diff_samples
import hypothesis
import labelled_diffs
import pytest

from dispatch_mcp import errors
from dispatch_mcp.agents import catalog
from dispatch_mcp.review import reviewer_selection
from dispatch_mcp.text import unified_diff

POOL = {
    "security-sentinel",
    "performance-oracle",
    "architecture-strategist",
    "test-coverage-auditor",
    "dependency-analyst",
    "legacy-healing-auditor",
}
CHOICE = POOL - {"architecture-strategist"}


def select(*changes: unified_diff.FileChange, other_paths: Sequence[str] = ()) -> reviewer_selection.Selection:
    return reviewer_selection.select(diff_samples.diff(*changes), labelled_diffs.pool(), skipped_paths=other_paths)


def reasons(selection: reviewer_selection.Selection, reviewer: str) -> tuple[str, ...]:
    return next((seat.why for seat in selection.seats if seat.reviewer == reviewer), ())


def test_the_pool_is_the_six_named_experts_and_an_advocate() -> None:
    pool = labelled_diffs.pool()
    assert {agent.name for agent in (*pool.always, *pool.choice)} == POOL
    assert [agent.name for agent in pool.always] == ["architecture-strategist"]
    assert pool.advocate is not None
    assert pool.advocate.name == "devils-advocate"


def test_a_catalogue_without_bundled_reviewers_has_an_empty_pool() -> None:
    pool = reviewer_selection.pool(catalog.merge([]))
    assert (pool.always, pool.choice, pool.own, pool.advocate) == ((), (), (), None)
    assert reviewer_selection.select(unified_diff.Diff(), pool).seats == ()


# Accuracy. Nothing that chooses reviewers today was fitted to these files, but the words of some triggers were written
# beside them, which flatters them a little. On 280 public commits that are not in the repository either, labelled by
# what their subject lines say, the right specialist sat in 83 of 100; any two of five would be right in 40.

SEEDED = labelled_diffs.load("seeded.diffs")
OTHERS = [case for name in ("varied.diffs", "unlike.diffs", "more.diffs") for case in labelled_diffs.load(name)]


def share(cases: Sequence[labelled_diffs.Case]) -> float:
    return sum(case.wanted in labelled_diffs.select(case.text).reviewers for case in cases) / len(cases)


def test_twelve_seeded_faults_in_three_languages_are_there() -> None:
    assert len(SEEDED) == 12
    assert {case.title.split(":")[0] for case in SEEDED} == {"python", "typescript", "go"}


def test_the_right_specialist_sits_for_most_seeded_faults() -> None:
    assert share(SEEDED) >= 0.83  # measured: 12 of 12


def test_the_right_specialist_sits_for_most_faults_in_other_words_and_languages() -> None:
    assert share(OTHERS) >= 0.80  # measured: 99 of 112


@pytest.mark.parametrize("reviewer", sorted(CHOICE))
def test_no_specialist_is_overlooked_in_most_changes_that_need_it(reviewer: str) -> None:
    assert share([case for case in (*SEEDED, *OTHERS) if case.wanted == reviewer]) >= 0.55


@pytest.mark.parametrize("case", SEEDED, ids=[case.title for case in SEEDED])
def test_the_architecture_strategist_always_sits_and_two_of_the_pool_beside(case: labelled_diffs.Case) -> None:
    selection = labelled_diffs.select(case.text)
    assert selection.reviewers[0] == "architecture-strategist"
    assert len(selection.reviewers) == 3
    assert set(selection.reviewers) <= POOL
    assert set(selection.passed_over) == POOL - set(selection.reviewers)
    assert selection.advocate == "devils-advocate"


@hypothesis.given(diff_samples.CHANGES)
def test_any_change_has_three_reviewers_of_which_none_scores_less_than_one_passed_over(
    changes: list[unified_diff.FileChange],
) -> None:
    selection = select(*changes)
    assert len(selection.seats) == 3
    assert min(seat.score for seat in selection.seats[1:]) >= max(selection.passed_over.values())
    assert all(seat.why for seat in selection.seats)


@pytest.mark.parametrize("seats", range(6))
def test_as_many_of_the_pool_sit_as_there_are_seats(seats: int) -> None:
    selection = reviewer_selection.select(unified_diff.parse(MONEY), labelled_diffs.pool(), seats=seats)
    assert len(selection.seats) == 1 + seats
    assert len(selection.passed_over) == 5 - seats


def test_equal_scores_go_in_a_fixed_order() -> None:
    selection = select(diff_samples.change("notes.xyz", "+q"))
    assert selection.reviewers == ("architecture-strategist", "security-sentinel", "test-coverage-auditor")
    assert selection.seats[1].score == 0
    assert selection.seats[1].why == ("nothing speaks for anybody else",)


@pytest.mark.slice(3, table="hash seeds")
def test_the_choice_is_the_same_under_every_hash_seed() -> None:
    program = (
        "import labelled_diffs\nfor name in ('seeded.diffs', 'unlike.diffs'):\n"
        "    for case in labelled_diffs.load(name): print(labelled_diffs.select(case.text).model_dump_json())\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=Path(labelled_diffs.__file__).parent,
            env={"PYTHONHASHSEED": seed, "PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "42")
    }
    assert len(outputs) == 1
    assert outputs.pop().count("\n") > 50


def test_the_languages_of_a_change_are_listed_by_their_lines() -> None:
    selection = select(
        diff_samples.change("a.py", "+x = 1", "+y = 2"), diff_samples.change("b.go", "+z"), diff_samples.change("none")
    )
    assert selection.languages == ("python", "go")


def agent(triggers: str, name: str = "own", layer: catalog.Layer = "user", more: str = "") -> catalog.Agent:
    text = f"---\nname: {name}\ndescription: Use to review.\ndomain: review\n{triggers}\n{more}\n---\nLook.\n"
    return catalog.read_agent(text, path=f"{name}.md", layer=layer, roster=str(layer), approved=frozenset())


def score(triggers: str, *changes: unified_diff.FileChange, other_paths: Sequence[str] = ()) -> float:
    """Returns what a reviewer with nothing but these triggers scores."""
    pool = reviewer_selection.Pool(choice=(agent(triggers),))
    [seat] = reviewer_selection.select(diff_samples.diff(*changes), pool, skipped_paths=other_paths).seats
    return seat.score


@pytest.mark.parametrize(
    "line",
    [
        "password = 1",
        "PASSWORD = 1",
        "user_password = 1",
        "userPassword = 1",
        "UserPasswordForm()",
        'send("password")',
    ],
)
def test_a_word_is_found_as_a_word_and_as_a_part_of_a_name(line: str) -> None:
    assert score("triggers: {password: 6}", diff_samples.change("a.py", f"+{line}")) == 3.0


@pytest.mark.parametrize("line", ["passwords = 1", "pass_word = pass + word", "passwor d", ""])
def test_a_word_is_not_found_in_another_one(line: str) -> None:
    spoiled = line.replace("pass_word", "pass_my_word")
    assert score("triggers: {password: 6}", diff_samples.change("a.py", f"+{spoiled}")) == 0


@pytest.mark.parametrize("line", ["cache()", "cached = 1", "memory_caches", "isCaching"])
def test_a_word_with_a_star_is_the_beginning_of_one(line: str) -> None:
    assert score('triggers: {"cach*": 6}', diff_samples.change("a.py", f"+{line}")) > 0
    assert score('triggers: {"cach*": 6}', diff_samples.change("a.py", "+attach_it")) == 0


@pytest.mark.parametrize("line", ["x = innerHTML", "set_inner_html(x)", "el.innerhtml = x"])
def test_a_name_of_two_words_is_found_in_every_spelling(line: str) -> None:
    assert score("triggers: {innerHTML: 6}", diff_samples.change("a.js", f"+{line}")) > 0


def test_anything_else_is_found_as_it_is_written_in_changed_lines_only() -> None:
    table = 'triggers: {"ALTER TABLE": 7}'
    assert score(table, diff_samples.change("a.sql", "+alter table users")) == 3.5
    assert score(table, diff_samples.change("a.sql", "+alter the table")) == 0
    assert score(table, diff_samples.change("a.sql", " ALTER TABLE users", "+x")) == 0


def test_a_removed_line_counts_as_much_as_an_added_one_and_an_unchanged_one_less() -> None:
    table = "triggers: {cookie: 4}"
    added, removed, unchanged = (
        score(table, diff_samples.change("a.py", f"{mark}cookie", "+x")) for mark in ("+", "-", " ")
    )
    assert added == removed > unchanged > 0


def test_words_of_tests_and_prose_count_half() -> None:
    table = "triggers: {cookie: 4}"
    code, test, prose = (
        score(table, diff_samples.change(path, "+cookie")) for path in ("a.py", "tests/test_a.py", "a.md")
    )
    assert code > test == prose > 0


def test_more_occurrences_count_for_more_but_never_for_more_than_the_weight() -> None:
    table = "triggers: {cookie: 4}"
    values = [score(table, diff_samples.change("a.py", *["+cookie"] * count)) for count in (1, 2, 8, 500)]
    assert values == sorted(set(values))
    assert values[-1] < 4


def test_many_weak_triggers_make_no_strong_one() -> None:
    words = [f"word{letter}" for letter in "abcdefghijklmnopqrst"]
    weak = "triggers: {" + ", ".join(f"{word}: 1" for word in words) + "}"
    change = diff_samples.change("a.py", *(f"+{word}" for word in words))
    assert score(weak, change) < score("triggers: {worda: 8}", change)


def test_the_path_of_a_file_counts_as_words_and_for_its_globs() -> None:
    change = diff_samples.change("src/Auth/login_form.py", "+x")
    assert score("triggers: {login: 4}", change) > 0
    assert score('path_triggers: {"**/auth/**": 5}', change) == 5
    assert score('path_triggers: {"**/*login*": 4}', change) == 4
    assert score('path_triggers: {"**/*.sql": 4}', change) == 0


def test_the_path_of_a_file_that_nobody_reviews_counts_for_its_globs() -> None:
    change = diff_samples.change("notes.py", "+x")
    assert score('path_triggers: {"**/uv.lock": 6}', change, other_paths=["uv.lock"]) == 6
    assert score('path_triggers: {"**/uv.lock": 6}', change) == 0


@pytest.mark.parametrize("table", ["triggers: many", "triggers: {x: heavy}", "triggers: {x: true}", "triggers: [x]"])
def test_a_table_that_is_none_speaks_for_nobody(table: str) -> None:
    assert score(table, diff_samples.change("a.py", "+x")) == 0


def test_no_weight_counts_for_more_than_nine_or_less_than_nothing() -> None:
    change = diff_samples.change("a.py", *["+cookie"] * 99)
    assert score("triggers: {cookie: 9000}", change) == score("triggers: {cookie: 9}", change)
    assert score("triggers: {cookie: -5}", change) == 0


def test_signs_are_found_wherever_they_stand_in_a_large_change() -> None:
    filler = [
        diff_samples.new_file(f"src/f{n}.py", *(f"value_{n}_{line} = compute({line})" for line in range(60)))
        for n in range(80)
    ]
    selection = select(*filler, diff_samples.new_file("src/run.py", "subprocess.run(f'rm {name}', shell=True)"))
    assert "security-sentinel" in selection.reviewers


def structure(subject: str, *changes: unified_diff.FileChange) -> list[str]:
    """Returns what the structure of a change says for a reviewer of a subject that has no triggers."""
    pool = reviewer_selection.Pool(choice=(agent("triggers: {}", more=f"subject: {subject}"),))
    [seat] = reviewer_selection.select(diff_samples.diff(*changes), pool).seats
    return [] if seat.score == 0 else [reason.partition(" (")[0] for reason in seat.why]


UNTESTED = diff_samples.change("app.py", "+def price(x):", "+    if x:", "+        return 1")
TESTED = diff_samples.change("tests/test_app.py", "+def test_price():", "+    assert price(1) == 1")


def test_behaviour_that_changes_without_a_test_calls_for_the_auditor_of_tests() -> None:
    assert structure("tests", UNTESTED) == ["behaviour changes and no test does"]
    assert structure("tests", UNTESTED, TESTED) == []


def test_code_without_branches_and_prose_need_no_test() -> None:
    assert structure("tests", diff_samples.change("app.py", "+x = 1")) == []
    assert structure("tests", diff_samples.change("README.md", "+if you return, else")) == []


def test_the_more_branches_change_the_heavier_it_weighs() -> None:
    few, many = (
        select(diff_samples.change("app.go", *["+  if (a) return b;"] * count)).model_dump(mode="json")["seats"]
        for count in (1, 3)
    )
    scores = [max(seat["score"] for seat in seats if "test-" in seat["reviewer"]) for seats in (few, many)]
    assert scores[0] < scores[1]


@pytest.mark.parametrize(
    "path",
    [
        *("tests/a.py", "src/__tests__/a.ts", "test_a.py", "a_test.go", "a.spec.ts", "e2e/a.js", "conftest.py"),
        *("ATest.java", "src/androidTest/A.kt", "spec/a_spec.rb", "AIT.java", "a.cy.ts"),
    ],
)
def test_files_with_tests_are_known_by_their_paths(path: str) -> None:
    assert reviewer_selection.is_test(path)


@pytest.mark.parametrize("path", ["src/a.py", "latest.py", "contest/a.py", "testimony.md", "attest.go", "Unit.java"])
def test_other_files_are_no_tests(path: str) -> None:
    assert not reviewer_selection.is_test(path)


def test_only_tests_that_change_call_for_their_auditor() -> None:
    assert "only tests change" in structure("tests", TESTED)
    assert structure("tests", diff_samples.change("tests/data.json", "+1")) == []


def test_tests_that_are_taken_away_call_for_their_auditor() -> None:
    gone = diff_samples.change("tests/test_app.py", "-def test_a():", "-    assert a()", " x")
    moved = diff_samples.change("tests/test_app.py", "-    assert a()", "+    assert b()")
    code = diff_samples.change("app.py", "+x = 1")
    assert structure("tests", gone, code) == ["tests or assertions are taken away"]
    assert structure("tests", moved, code) == []


@pytest.mark.parametrize(
    "line",
    [
        "@pytest.mark.skip",
        "@pytest.mark.xfail(reason='x')",
        "@unittest.skipIf(True, 'x')",
        "it.skip('adds', () => {})",
        "xit('adds', () => {})",
        "t.Skip()",
        "@Disabled",
        "@Ignore",
        "#[ignore]",
        "# def test_price():",
        "// it('adds', () => {",
    ],
)
@pytest.mark.parametrize("mark", "+-")
def test_a_test_that_is_skipped_or_revived_calls_for_their_auditor(line: str, mark: str) -> None:
    test = diff_samples.change("tests/test_app.py", f"{mark}{line}", " x")
    assert "a test is skipped, or is no longer" in structure("tests", test, diff_samples.change("app.py", "+x = 1"))


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("a.py", "def price(x):"),
        ("a.py", "    async def price(self):"),
        ("a.py", "class Price:"),
        ("a.ts", "export default function price(x) {"),
        ("a.ts", "export interface Price {"),
        ("a.go", "func (s *Shop) Price(x int) int {"),
        ("a.rs", "pub fn price(x: u8) -> u8 {"),
        ("A.java", "    public static int price(int x) {"),
        ("a.rb", "  def self.price(x)"),
        ("a.kt", "    override fun price(x: Int): Int {"),
    ],
)
def test_a_name_that_goes_calls_for_the_auditor_of_legacy(path: str, line: str) -> None:
    assert structure("legacy", diff_samples.change(path, f"-{line}")) == ["a name that others may use goes"]
    kept = structure("legacy", diff_samples.change(path, f"-{line}"), diff_samples.change(f"b/{path}", f"+{line}"))
    assert kept == []


def test_a_change_that_mostly_removes_code_calls_for_the_auditor_of_legacy() -> None:
    removal = diff_samples.change("a.py", *[f"-x{n} = 1" for n in range(9)], "+y = 1")
    exchange = diff_samples.change("a.py", *[f"-x{n} = 1" for n in range(9)], *[f"+y{n} = 1" for n in range(9)])
    assert structure("legacy", removal) == ["more code goes than comes"]
    assert structure("legacy", exchange) == []
    assert structure("legacy", diff_samples.change("a.md", *["-words"] * 9)) == []


@pytest.mark.parametrize(
    "lines",
    [
        (" for row in rows:", "+    row.owner = db.query(row.id)"),
        ("+for row in rows:", "     session.get(row)"),
        ("+  for (const id of ids) {", "+    const user = await load(id);"),
        ("+ids.forEach(id => {", "+  fetch(id)", "+})"),
        ("+users.each do |user|", "+  user.orders.count(1)"),
        ("+while more:", "+    if x:", "+        client.send(x)"),
    ],
)
def test_a_call_inside_a_loop_calls_for_the_oracle_of_performance(lines: tuple[str, ...]) -> None:
    assert structure("performance", diff_samples.change("a.py", *lines)) == ["a loop calls what may leave the process"]


@pytest.mark.parametrize(
    "lines",
    [
        (" for row in rows:", "     db.query(row)", "+x = 1"),
        ("+for row in rows:", "+    total += row.price"),
        ("+for row in rows:", "+    pass", "+db.query(rows)"),
        ("-for row in rows:", "-    db.query(row)", "+db.query(rows)"),
    ],
)
def test_a_call_outside_a_loop_or_one_that_was_there_does_not(lines: tuple[str, ...]) -> None:
    assert structure("performance", diff_samples.change("a.py", *lines)) == []


@pytest.mark.parametrize(
    "line",
    [
        "db.execute(f\"SELECT id FROM users WHERE name = '{name}'\")",
        'db.execute("SELECT id FROM users WHERE name = " + name)',
        'db.execute("DELETE FROM users WHERE id = %s" % id)',
        "db.query(`SELECT * FROM users WHERE id = ${id}`)",
        'db.Query(fmt.Sprintf("UPDATE users SET name = %s", name))',
    ],
)
def test_a_query_that_is_built_from_text_calls_for_the_sentinel_of_security(line: str) -> None:
    assert structure("security", diff_samples.change("a.py", f"+{line}")) == ["a query is built from text"]
    assert structure("security", diff_samples.change("a.py", f"-{line}")) == []


def test_a_query_with_bound_values_does_not() -> None:
    assert (
        structure("security", diff_samples.change("a.py", '+db.execute("SELECT id FROM users WHERE id = ?", x)')) == []
    )


def test_reasons_name_the_file_and_are_at_most_four() -> None:
    selection = labelled_diffs.select(SEEDED[0].text)
    assert "a query is built from text (shop/search.py)" in reasons(selection, "security-sentinel")
    assert all(1 <= len(seat.why) <= reviewer_selection.MAX_REASONS for seat in selection.seats)


def test_a_lock_file_that_nobody_reads_still_calls_the_dependency_analyst() -> None:
    selection = select(diff_samples.change("notes.py", "-a = 1", "+a = 2"), other_paths=["web/yarn.lock"])
    assert "dependency-analyst" in selection.reviewers


@pytest.mark.parametrize(
    ("path", "reviewer"),
    [
        (".github/workflows/ci.yml", "dependency-analyst"),
        ("Cargo.toml", "dependency-analyst"),
        ("shop/migrations/0002_total.py", "legacy-healing-auditor"),
        ("auth/views.py", "security-sentinel"),
        ("shop/cache.py", "performance-oracle"),
        ("tests/test_shop.py", "test-coverage-auditor"),
    ],
)
def test_the_place_of_a_change_calls_for_its_specialist(path: str, reviewer: str) -> None:
    assert reviewer in select(diff_samples.change(path, "-a: 1", "+a: 2")).reviewers


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


def reviewer(text: str, layer: catalog.Layer, approved: frozenset[str] = frozenset()) -> catalog.Agent:
    return catalog.read_agent(text, path="own.md", layer=layer, roster=str(layer), approved=approved)


def with_own(*agents: catalog.Agent) -> catalog.Catalog:
    return catalog.merge([*labelled_diffs.shipped().agents, *agents])


def chosen(text: str, *agents: catalog.Agent) -> reviewer_selection.Selection:
    return labelled_diffs.select(text, reviewer_selection.pool(with_own(*agents)))


def test_a_users_reviewer_takes_a_seat_of_its_own_and_displaces_nobody() -> None:
    plain = labelled_diffs.select(MONEY)
    selection = chosen(MONEY, reviewer(OWN, "user"))
    assert selection.reviewers == (*plain.reviewers, "money-reviewer")
    assert selection.seats[-1].own


def test_a_users_reviewer_stays_away_when_nothing_speaks_for_it() -> None:
    plain = labelled_diffs.select(SEEDED[0].text)
    assert chosen(SEEDED[0].text, reviewer(OWN, "user")).reviewers == plain.reviewers


def test_at_most_two_of_a_users_reviewers_sit_the_best_ones() -> None:
    weights = {"strong": 9, "middle": 8, "weak": 7}
    own = [agent(f"triggers: {{cents: {weight}, currency: {weight}}}", name) for name, weight in weights.items()]
    assert chosen(MONEY, *own).reviewers[3:] == ("strong", "middle")


def test_a_users_agent_of_a_shipped_name_replaces_nobody() -> None:
    known = with_own(reviewer(OWN.replace("money-reviewer", "security-sentinel"), "user"))
    selection = labelled_diffs.select(MONEY, reviewer_selection.pool(known))
    assert selection.reviewers[-1] == "user/security-sentinel"
    shipped = reviewer_selection.find(known, "security-sentinel")
    assert shipped is not None
    assert shipped.layer == "bundled"
    assert "security sentinel" in shipped.body


def test_a_workspaces_reviewer_sits_only_once_it_is_trusted() -> None:
    stranger = reviewer(OWN, "project")
    assert "money-reviewer" not in chosen(MONEY, stranger).reviewers
    assert "money-reviewer" in chosen(MONEY, reviewer(OWN, "project", frozenset({stranger.sha256}))).reviewers


@pytest.mark.parametrize("change", [("domain: review", "domain: finance"), ("triggers:", "words:")])
def test_a_users_agent_that_does_not_review_or_has_no_triggers_is_not_chosen(change: tuple[str, str]) -> None:
    text = OWN.replace("path_triggers:", "paths:").replace(*change)
    assert "money-reviewer" not in chosen(MONEY, reviewer(text, "user")).reviewers


@pytest.mark.parametrize("name", ["review-code", "review-business", "review-security"])
def test_the_review_roles_can_be_asked_for_by_name(name: str) -> None:
    [seat] = reviewer_selection.by_name(labelled_diffs.shipped(), [name, name])
    assert (seat.reviewer, seat.own, seat.why) == (name, True, ("asked for by name",))


@pytest.mark.parametrize("name", ["eng-backend", "nobody", ""])
def test_nobody_reviews_who_is_no_reviewer(name: str) -> None:
    with pytest.raises(errors.InputError, match="is no reviewer") as failure:
        reviewer_selection.by_name(labelled_diffs.shipped(), ["review-code", name])
    assert "review-code" in str(failure.value.hint)
