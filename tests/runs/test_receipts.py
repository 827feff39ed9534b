from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.model import AttemptState, Receipt, transitions
from dispatch_mcp.planning import acceptance
from dispatch_mcp.runs import receipts
from dispatch_mcp.text import file_states

CLAIM = model.Outcome(state=AttemptState.SUCCEEDED, summary="All done")


def criterion(text: str) -> acceptance.Criterion:
    [only] = acceptance.criteria_of(model.Task(id="t", do="x", acceptance=(text,)), "/project")
    return only


def in_docs(path: str) -> bool:
    return path.startswith("docs/")


HOLDS = receipts.proven(criterion("file:a.txt"), "there it is")
FALSE = receipts.refuted(criterion("command: pytest -q"), "exit code 1")
OPEN = receipts.unproven(criterion("glob:*.py"), "nobody looked")
WORDS = receipts.unproven(criterion("It is quick"), "nobody looked")

any_receipt = st.builds(
    Receipt,
    kind=st.sampled_from(["exit_code", "file", "diff", "touched", "claim", "words", "simulated"]),
    ok=st.booleans(),
    detail=st.text(max_size=20),
    criterion=st.sampled_from(["", "file:a", "it is good"]),
    checked=st.booleans(),
)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("file:a.txt", "file"),
        ("absent:a.txt", "file"),
        ("glob:*.py", "file"),
        ("command: true", "exit_code"),
        ("diff", "diff"),
        ("It is quick", "words"),
    ],
)
def test_a_receipt_is_of_the_kind_that_its_criterion_asks_for(text: str, kind: str) -> None:
    for receipt in (receipts.proven(criterion(text), "x"), receipts.refuted(criterion(text), "x")):
        assert (receipt.kind, receipt.criterion) == (kind, text)


@pytest.mark.parametrize(
    ("command", "path"),
    [
        ("python -m tools.check", "tools/check.py"),
        ("python -m tools", "tools/__main__.py"),
        ("python -m tools.lint", "tools/lint/__main__.py"),
        ("python -m unittest tests.test_app", "tests/test_app.py"),
        ("python tools/check.py", "tools/check.py"),
        ("./check.sh", "check.sh"),
        ("pytest tests/test_app.py::test_it", "tests/test_app.py"),
    ],
)
def test_a_command_proves_nothing_once_somebody_has_changed_what_it_starts(command: str, path: str) -> None:
    criterion_of_it = criterion(f"command: {command}")
    for files in (receipts.FileChanges(changed=(path,)), receipts.FileChanges(undeclared=(path,))):
        receipt = receipts.from_command(criterion_of_it, "exit code 0", files, ["app.py"], has_failed=True)
        assert (receipt.checked, receipt.suspects) == (False, (path,))
    other = receipts.FileChanges(changed=("app.py", "tools/other.py"), undeclared=("src/check.py",))
    assert receipts.from_command(criterion_of_it, "exit code 0", other, ["app.py"], has_failed=True).checked


@pytest.mark.parametrize("recipe", ["Makefile", "package.json", "pyproject.toml"])
def test_a_command_proves_nothing_once_somebody_has_changed_a_recipe(recipe: str) -> None:
    files = receipts.FileChanges(changed=("app.py",), undeclared=(recipe,))
    receipt = receipts.from_command(criterion("command: make test"), "exit code 0", files, ["app.py"], has_failed=True)
    assert (receipt.checked, receipt.suspects) == (False, (recipe,))


def test_a_command_that_rests_on_what_the_work_itself_was_to_change_says_so() -> None:
    tests = criterion("command: pytest tests/test_app.py")
    files = receipts.FileChanges(changed=("app.py", "tests/test_app.py"))
    receipt = receipts.from_command(tests, "exit code 0", files, ["app.py", "tests/test_app.py"], has_failed=True)
    words = "exit code 0; `tests/test_app.py`, which can decide what it checks, was changed by the work"
    assert (receipt.checked, receipt.ok, receipt.detail) == (True, True, words)
    other = receipts.from_command(tests, "exit code 0", receipts.FileChanges(("app.py",)), ["app.py"], has_failed=True)
    assert other.detail == "exit code 0"


def test_a_claim_whose_every_criterion_holds_is_verified_whoever_made_it() -> None:
    judged = receipts.judge(CLAIM.model_copy(update={"unverified": True}), [HOLDS])
    assert (judged.state, judged.unverified, judged.receipts) == (AttemptState.SUCCEEDED, False, (HOLDS,))


def test_a_claim_against_evidence_is_a_failure_that_says_which_criterion_and_may_be_tried_again() -> None:
    judged = receipts.judge(CLAIM, [HOLDS, FALSE])
    assert (judged.state, judged.error_kind, judged.retryable) == (AttemptState.FAILED, transitions.NOT_ACCEPTED, True)
    assert "- `command: pytest -q`: exit code 1" in judged.error
    assert "a.txt" not in judged.error
    assert judged.receipts == (HOLDS, FALSE)


def test_what_nobody_could_check_leaves_the_work_unverified() -> None:
    judged = receipts.judge(CLAIM, [HOLDS, OPEN])
    assert judged.unverified
    assert receipts.doubts(judged) == ("`glob:*.py`: nobody looked",)


def test_words_prove_nothing_and_refute_nothing() -> None:
    assert not receipts.judge(CLAIM, [WORDS]).unverified
    assert receipts.judge(CLAIM.model_copy(update={"unverified": True}), [WORDS]).unverified
    assert WORDS.detail == "in words: for whoever reviews it"


def test_declared_files_that_did_not_change_fail_the_attempt_whatever_else_holds() -> None:
    untouched = receipts.from_changes(receipts.FileChanges(untouched=("a.py",)))
    judged = receipts.judge(CLAIM, [*untouched, HOLDS])
    assert (judged.state, judged.error_kind, judged.retryable) == (
        AttemptState.FAILED,
        transitions.NOTHING_CHANGED,
        True,
    )
    assert judged.error.splitlines()[1:] == [
        "- no declared file was changed; untouched: `a.py`",
        "- if nothing is left to change, the task can be skipped",
    ]


@pytest.mark.parametrize(
    "files",
    [
        receipts.FileChanges(untouched=("a.py",), unclear="an earlier attempt may have changed it"),
        receipts.FileChanges(untouched=("a.py",), earlier=("a.py",)),
        receipts.FileChanges(problem="the repository is too large"),
    ],
    ids=["nobody looked before", "another task strayed", "not measured"],
)
def test_files_that_may_have_been_changed_before_refute_nothing_and_prove_nothing(files: receipts.FileChanges) -> None:
    claim = CLAIM.model_copy(update={"unverified": True})
    evidence = (*receipts.from_changes(files), receipts.from_diff(criterion("diff"), files))
    judged = receipts.judge(claim, evidence)
    assert (judged.state, judged.unverified) == (AttemptState.SUCCEEDED, True)
    assert receipts.from_claim(["a.py"], files, []) == ()


def test_a_task_that_was_to_change_files_and_left_its_worktree_as_it_was_has_failed() -> None:
    judged = receipts.nothing_changed(CLAIM)
    assert (judged.state, judged.error_kind, judged.retryable) == (
        AttemptState.FAILED,
        transitions.NOTHING_CHANGED,
        True,
    )


CHANGED = receipts.FileChanges(("src/a.py",), ("src/b.py", "docs"), ("new.txt",))


@pytest.mark.parametrize(
    ("claims", "refuted"),
    [
        ((), False),
        (("src/a.py",), False),
        (("/project/src/a.py",), False),
        (("./src\\a.py",), False),
        (("a.py",), False),
        (("`src/a.py` - prices are checked",), False),
        (("src/a.py:12",), False),
        (("src/",), False),
        (("new.txt",), False),
        (("src/b.py",), True),
        (("src/b.py (added a check)",), True),
        (("b.py",), True),
        (("docs/guide.md",), True),
        (("app/theirs.py",), True),
        (("src/b.py", "app/theirs.py"), True),
        (("src/b.py", "src/a.py"), False),
        (("src/b.py", "some file of mine"), False),
        (("lib/unknown.py",), False),
        (("src/b.pyc",), False),
        (("other/src/b.py.bak",), False),
        (("",), False),
        (("src/b.py",) * (receipts.MAX_CLAIMS + 1), False),
    ],
)
def test_a_claim_is_refuted_only_when_every_file_it_names_is_untouched_or_anothers(
    claims: tuple[str, ...],
    refuted: bool,  # noqa: FBT001  # a table
) -> None:
    found = receipts.from_claim(claims, CHANGED, ["app/theirs.py"], "/project")
    assert bool(found) == refuted
    judged = receipts.judge(CLAIM, [*receipts.from_changes(CHANGED), *found])
    assert judged.error_kind == (transitions.WRONG_CLAIM if refuted else "")


def test_without_git_only_what_is_declared_can_refute_a_claim() -> None:
    files = receipts.FileChanges(("a.py",), ("b.py",), None)
    assert receipts.from_claim(["c.py"], files, []) == ()
    assert receipts.from_claim(["b.py"], files, [])[0].detail == (
        "of the files that it says it changed: `b.py` untouched"
    )


path_like = st.sampled_from(["a.py", "src/a.py", "src", "src/*", "docs/b.md", "c d.txt", "x"])


@given(
    st.lists(path_like, min_size=1, max_size=4),
    st.lists(path_like, max_size=4),
    st.lists(path_like, max_size=3),
    st.booleans(),
    st.lists(any_receipt, max_size=4),
    st.lists(path_like, max_size=3),
    st.booleans(),
)
def test_no_outcome_with_a_receipt_that_refutes_it_ends_as_succeeded(  # noqa: PLR0917  # hypothesis hands over by place
    declared: list[str],
    changed: list[str],
    others: list[str],
    everything: bool,  # noqa: FBT001
    more: list[Receipt],
    claims: list[str],
    unverified: bool,  # noqa: FBT001
) -> None:
    files = receipts.compare_changes(declared, changed, others.__contains__, everything=everything)
    evidence = [*more, *receipts.from_changes(files), *receipts.from_claim(claims, files, others)]
    judged = receipts.judge(CLAIM.model_copy(update={"unverified": unverified}), evidence)
    if not files.changed or any(map(receipts.is_refuted, evidence)):
        assert judged.state is AttemptState.FAILED
        assert judged.error_kind in transitions.REFUTATIONS
        assert judged.retryable
    else:
        assert judged.state is AttemptState.SUCCEEDED


def test_a_failure_stays_as_it_is_whatever_the_evidence() -> None:
    failure = model.Outcome(state=AttemptState.FAILED, error="no")
    assert receipts.judge(failure, [HOLDS]) is failure


@given(st.lists(any_receipt, max_size=6), st.booleans())
def test_a_claim_fails_exactly_when_it_is_refuted_and_keeps_all_of_its_receipts(
    found: list[Receipt],
    unverified: bool,  # noqa: FBT001  # hypothesis hands it over by place
) -> None:
    judged = receipts.judge(CLAIM.model_copy(update={"unverified": unverified}), found)
    refuted = any(receipts.is_refuted(receipt) for receipt in found)
    assert (judged.state is AttemptState.FAILED) == refuted
    assert judged.receipts == tuple(found)
    if not refuted and receipts.doubts(judged):
        assert judged.unverified


@given(st.lists(any_receipt, max_size=6), any_receipt)
def test_more_evidence_against_a_claim_never_makes_it_better(found: list[Receipt], more: Receipt) -> None:
    before, after = receipts.judge(CLAIM, found), receipts.judge(CLAIM, [*found, more])
    if before.state is AttemptState.FAILED:
        assert after.state is AttemptState.FAILED
    if before.unverified and after.state is AttemptState.SUCCEEDED:
        assert after.unverified or receipts.mark(more) == "ok"


def test_an_endless_error_is_cut() -> None:
    endless = receipts.refuted(criterion("file:a.txt"), "x" * 10_000)
    assert len(receipts.judge(CLAIM, [endless]).error) == receipts.ERROR_CHARS + 1


def test_changes_are_told_apart_by_whose_they_are() -> None:
    touched = receipts.compare_changes(
        ["src/", "./README.md"],
        ["src/a.py", "docs/guide.md", "tests/b.py"],
        in_docs,
        workspace="/project",
        everything=True,
    )
    assert touched == receipts.FileChanges(("src/a.py",), ("README.md",), ("tests/b.py",))


def test_nothing_is_said_about_other_files_when_only_the_declared_ones_were_looked_at() -> None:
    touched = receipts.compare_changes(["a.py"], ["a.py", "b.py"], in_docs, everything=False)
    assert touched.undeclared is None
    [diff, others] = receipts.from_changes(touched)
    assert (diff.ok, others.kind, others.checked) == (True, "touched", False)


def test_only_an_earlier_change_of_what_was_asked_for_excuses_that_nothing_changed() -> None:
    files = receipts.FileChanges(earlier=("src/a.py",))
    assert "`src/a.py`" in files.excuse("src/**")
    assert "`src/a.py`" in files.excuse()
    assert files.excuse("docs/**") == ""
    assert receipts.is_refuted(receipts.from_diff(criterion("diff:docs/**"), files))
    assert not receipts.is_refuted(receipts.from_diff(criterion("diff:src/**"), files))


def test_a_declared_folder_that_was_made_is_a_change() -> None:
    files = receipts.with_folders(receipts.FileChanges(("a.py",), ("out", "b.py")), ["out"])
    assert (files.changed, files.untouched) == (("a.py", "out"), ("b.py",))
    [receipt] = receipts.from_changes(files._replace(undeclared=()))
    assert receipt.detail == "changed `a.py`; made the folder `out`; untouched: `b.py`"
    assert receipts.with_folders(receipts.FileChanges(("a.py",)), []) == receipts.FileChanges(("a.py",))


def test_a_removal_alone_proves_nothing_and_says_what_would() -> None:
    files = receipts.FileChanges(("a.py",), kinds={"a.py": file_states.Kind.DELETED})
    [receipt] = receipts.from_changes(files._replace(undeclared=()))
    assert receipt.checked is False
    assert "(`absent:a.py` in its acceptance proves a removal)" in receipt.detail


def test_work_that_was_proven_by_what_held_before_says_so_where_nothing_else_is_open() -> None:
    earlier = HOLDS.model_copy(update={"earlier": True})
    unsure = CLAIM.model_copy(update={"receipts": (earlier,), "unverified": True})
    assert receipts.doubts(unsure) == (receipts.describe(earlier),)
    assert receipts.doubts(unsure.model_copy(update={"receipts": (OPEN, earlier)})) == (receipts.describe(OPEN),)


@given(st.lists(st.sampled_from(["a", "b", "src/x", "src/y", "docs/z"])), st.sets(st.sampled_from("abc")))
def test_a_change_is_declared_or_foreign_or_undeclared_but_never_two_of_these(
    changed: list[str], declared: set[str]
) -> None:
    touched = receipts.compare_changes(declared, changed, in_docs, everything=True)
    assert not set(touched.changed) & set(touched.undeclared or ())
    assert set(touched.changed) | set(touched.undeclared or ()) == {path for path in changed if path != "docs/z"}
    assert set(touched.untouched) == declared - set(changed)


def test_undeclared_changes_are_shown_and_hold_nothing_up() -> None:
    found = receipts.from_changes(receipts.FileChanges(("a.py",), (), ("b.py",)))
    assert [receipts.mark(receipt) for receipt in found] == ["ok", "seen"]
    assert found[1].detail == "changed meanwhile too, by whoever works here: `b.py`"
    judged = receipts.judge(CLAIM, [*found, HOLDS])
    assert (judged.state, judged.unverified) == (AttemptState.SUCCEEDED, False)


def test_what_was_not_measured_is_not_refuted() -> None:
    unknown = receipts.FileChanges(problem="the repository is too large")
    [receipt] = receipts.from_changes(unknown)
    assert (receipt.checked, receipt.detail) == (False, "changes were not measured: the repository is too large")
    assert not receipts.is_refuted(receipts.from_diff(criterion("diff"), unknown))


@pytest.mark.parametrize(
    ("text", "changed", "mark"),
    [
        ("diff", ("a.py",), "ok"),
        ("diff", (), "not ok"),
        ("diff:src/**", ("src/a.py",), "ok"),
        ("diff:src/**", ("a.py",), "not ok"),
    ],
)
def test_a_diff_criterion_asks_for_a_change_that_matches(text: str, changed: tuple[str, ...], mark: str) -> None:
    assert receipts.mark(receipts.from_diff(criterion(text), receipts.FileChanges(changed))) == mark


def test_every_receipt_has_a_word() -> None:
    [simulated] = receipts.simulated([criterion("file:a.txt")])
    marks = [receipts.mark(receipt) for receipt in (HOLDS, FALSE, OPEN, WORDS, simulated)]
    assert marks == ["ok", "not ok", "unproven", "unproven", "simulated"]
    assert not receipts.doubts(CLAIM.model_copy(update={"receipts": (simulated, WORDS)}))


def test_a_receipt_fits_on_a_line() -> None:
    line = receipts.describe(receipts.proven(criterion("file:a.txt"), "many\nlines " * 100), 80)
    assert len(line) <= 80
    assert line.startswith("`file:a.txt`: many")


REFUSAL = "Claimed to be done, but the receipts say otherwise:"


@pytest.mark.parametrize(
    ("error", "texts"),
    [
        (f"{REFUSAL}\n- `file:a.py`: there is none\n- `diff`: none", ["file:a.py"]),
        ("It broke:\n- `src/parser.py`: missing import of re", []),
        ("- `file:a.py`: there is none", []),
        (f"It was said: {REFUSAL}\n- `file:a.py`: there is none", []),
    ],
)
def test_only_what_the_server_refused_an_attempt_for_can_have_been_taken_out_by_an_edit(
    error: str, texts: list[str]
) -> None:
    details = [receipt.detail for receipt in receipts.of_edits(error, ["diff"])]
    assert [detail.split("`")[1] for detail in details] == texts


def test_the_criteria_of_a_refusal_are_read_from_its_own_words() -> None:
    refuted = receipts.refuted(criterion("file:a.py"), "there is none")
    outcome = receipts.judge(model.Outcome(state=AttemptState.SUCCEEDED), [refuted])
    assert receipts.refused_criteria(outcome.error) == ("file:a.py",)


def test_a_check_that_takes_the_users_work_away_is_not_made_again() -> None:
    claim = model.Outcome(state=AttemptState.SUCCEEDED, unverified=True)
    loss = model.Receipt(kind="loss", ok=False, detail="`own.txt` is gone", criterion="command: make clean")
    judged = receipts.judge(claim, [loss, model.Receipt(kind="diff", ok=False, detail="nothing", criterion="diff")])
    assert (judged.error_kind, judged.retryable) == (transitions.LOST_EDITS, False)
    assert "`own.txt` is gone" in receipts.reasons(judged, 400)


@pytest.mark.parametrize(("count", "rest"), [(1, 0), (2, 0), (3, 0), (4, 2), (9, 7)])
def test_of_many_reasons_the_first_can_be_read_and_the_rest_are_counted(count: int, rest: int) -> None:
    paths = [f"src/click/a_rather_long_module_name_for_number_{number}.py" for number in range(count)]
    lines = [receipts.refuted(criterion(f"file:{path}"), "there is none") for path in paths]
    text = receipts.reasons(receipts.judge(CLAIM, lines), 220)
    assert all(path in text for path in paths[: count - rest])
    assert not any(path in text for path in paths[count - rest :])
    assert text.endswith(f"; and {rest} more") is bool(rest)
    assert len(text) <= 240
