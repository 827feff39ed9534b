"""A PASS that its reviewer's own words contradict is asked for once more, wherever and however they stand."""

from __future__ import annotations

import json
from collections.abc import Callable

import growth
import hypothesis
import pytest
from hypothesis import strategies as st

from dispatch_mcp.review import answer_parser, contradictions, plan_reviews

BLOCK = '{"verdict": "PASS", "findings": []}'
MEDIUM = (
    '{"verdict": "PASS", "findings": [{"severity": "medium", "file": "a.py", "quote": "x", "claim": "I FAIL to see"}]}'
)

OBJECTIONS = [
    *("I FAIL this.", "This FAILS.", "So: FAIL", "REJECTED", "NACK", "PASS only if the tests are written first."),
    *("Ich sage FAIL.", "Lo dejo en FAIL.", "我说 FAIL。"),
]
SPOKEN = [
    "This is dangerous. Do not merge: SQL injection, I would reject it.",
    "I\u2019d reject this.",
    "Reject.",
    "Rejected",
    "My verdict is fail.",
    "I am blocking this until the tests exist.",
    "Please do not merge it.",
    "Do not ship this as it is.",
    "Severity: high. It logs the password.",
    "**Severity**: critical",
]
NAMED = [
    *("CHANGES REQUESTED", "Changes requested.", "**Changes requested**", "CHANGES_REQUESTED", "Requesting changes."),
    *("request changes", "I request changes.", "Changes requested: write the tests first.", "Not approved."),
    *("I would not approve this", "I wouldn't approve this as is.", "I cannot approve this.", "I can't approve it yet"),
    *(
        "I do not approve.",
        "I am not approving this change.",
        "I\u2019m not approving it.",
        "I will not sign off on this.",
    ),
    *("do not merge", "DO NOT MERGE", "Please don't merge this.", "I would not merge this.", "I won't ship it."),
    *("I don't think this should be merged.", "This is not ready to merge.", "The PR isn't ready for merging yet."),
]
NOT_AGAINST = [
    *(
        "No changes requested.",
        "Changes requested: none",
        "Changes requested: 0",
        "Changes requested earlier are made.",
    ),
    *("The changes requested in the last round are in.", "All changes requested by the author of #12 are made."),
    *("The client sends requests; changes requested by it are kept.", "Requesting changes to the schema is tested."),
    *("The handler answers NOT_APPROVED for such a user.", "Orders that are not approved stay where they are."),
    *(
        "I would not approve this without the lock, which it has.",
        "I would not merge this without a test; there is one.",
    ),
    *("I did not approve the first version; this one is right.", "I could not approve this before."),
    *("I cannot merge: I have no rights here.", "I do not merge anything myself.", "I would not do it otherwise."),
    *("Users who do not merge their carts keep both.", "The bot does not approve this by itself."),
    *(
        "I do not think this should wait.",
        "I don't think the cart should be locked.",
        "I do not pass judgement on style.",
    ),
    *("The branch is not ready to merge until CI ran, says the docstring.", "It is not approved users who get mails."),
    *(
        "The queue is ready to merge.",
        "This is not mergeable state, it is a copy.",
        "Merged heads are not merged again.",
    ),
    *("I would approve this.", "I approve.", "Nothing here is not ready."),
]
PLAIN = [
    "It logs `FAIL` and raises `Blocked` as before.",
    *(
        "LGTM, one nit that is not blocking.",
        "I was ready to reject this until I saw the check for None.",
        "I would merge this.",
    ),
    *(
        "ACK: three blockers of the last round are gone, two minor items are non-blocking.",
        "Nothing makes me hold the merge.",
    ),
    *(
        "No critical, high or medium issues; two low remarks.",
        "My earlier change request is resolved.",
        "Do merge after CI.",
    ),
    *(
        "The new test fails without the change and passes with it.",
        "The parser rejects negative amounts now, as asked.",
    ),
    *(
        "The middleware blocks requests without a token.",
        "This does not block anything.",
        "High confidence that this is right.",
    ),
    *(
        "Risk: low. Rollback: revert the commit.",
        "High-risk areas that I looked at: auth. It is not touched.",
        "Medium-sized change.",
    ),
    *(
        "The most critical part is the lock; it is held for the whole write.",
        "I could not run the tests, only read them.",
    ),
    *(
        "I checked how it fails: no network, a full disk, no file.",
        "The build failed once for want of a runner, then passed.",
    ),
    *(
        "I tried to break it with empty lists and could not.",
        "The author should not be asked for more.",
        "It logs as CRITICAL.",
    ),
    *("Ich habe alle Dateien gelesen. Keine kritischen Probleme.", "变更正确 没有发现严重问题", "Rien de bloquant."),
    *(
        "I disagree with the approach, yet the result is right.",
        "HTTP 403 (request blocked) is tested in test_guard.py.",
    ),
    *(
        "Approving. The approval stands on the merged head.",
        "I do not see anything that should change.",
        "I never saw it fail.",
    ),
]
OF_THE_CHANGE = [
    *("This change must not be merged.", "The change should be rejected.", "The diff must be blocked."),
    *(
        "This change, as it stands, must be rejected.",
        "This PR should not be approved.",
        "The patch has to be rejected.",
    ),
]
NOT_WEIGHED = [
    *("We must reject negative amounts.", "You should reject empty names, and this does.", "Reject empty names: done."),
    *("Do not merge headers twice: there is a test.", "The patch must be rejected by the parser when it is empty."),
    *("Blocked requests are counted.", "A critical section guards it.", "Nobody should approve twice."),
    *("Negative Beträge müssen abgelehnt werden.", "So darf das nicht ausgeliefert werden.", "Il faut refuser cela."),
    *("This will fail for an empty list, as it should.", "It should be blocked until the lock is free."),
]
OF_WHAT_CODE_DOES = [
    *("Without the fix this test would fail.", "The endpoint must reject negative amounts, and it does."),
    *("Invalid tokens should be rejected with 401; they are.", "A retry will not pass the same token twice."),
    *("The handler must not accept empty names; it checks that.", "Callers should not pass None."),
    *("The old code would fail on an empty list.", "Requests without a token will be blocked."),
    *("A second call must fail, and the test shows it.", "The server must not merge headers twice, and does not."),
    *("With this change invalid input will be rejected.", "I verified that it would fail without the fix."),
    *("This change will reject requests without a token.", "This ensures that expired tokens will be rejected."),
    *("The code must not accept empty names; it does not.", "I checked that we do not accept empty names."),
    *("Two carts must not be merged, and are not.", "This would fail without the fix."),
]
FINDINGS = ["CRITICAL: x1=1 drops the database.", "- **High**: it leaks", "> Blocker: no tests", "Medium: slow"]
HARMLESS = [
    *(
        'I looked at {x}, and at "y".',
        "I found nothing critical or high.",
        "Critical: none",
        "High: 0",
        "**Medium:** n/a",
    ),
    *("I could not find any problem.", "I did not see anything wrong in the diff.", "I fail to see any harm."),
    *("The rule: FAIL when a finding is critical, otherwise PASS.", "PASS or FAIL?", "The earlier FAIL is mended."),
    *(
        "No critical issue was found.",
        "High-level view: a small rename.",
        "`raise Error('FAIL')` is handled.",
        "0 FAILED",
    ),
    *("Callers must not be shown None.", "I read the diff and every file.", "Ich habe alles gelesen: bestanden."),
]
SETTINGS: dict[str, Callable[[str, str], str]] = {
    "before the block": lambda words, block: f"{words}\n\n```json\n{block}\n```",
    "right before the block": lambda words, block: f"{words}\n{block}",
    "behind the block": lambda words, block: f"```json\n{block}\n```\n\n{words}",
    "between a look and the block": lambda words, block: f"I looked.\n\n{words}\n\nSo:\n{block}\n",
    "in a wrapper": lambda words, block: json.dumps({"result": f"{words}\n{block}"}),
    "beside the answer in a wrapper": lambda words, block: json.dumps({"note": words, "answer": json.loads(block)}),
    "in a field that the form does not have": lambda words, block: json.dumps({**json.loads(block), "summary": words}),
}
LINES: dict[str, Callable[[str], str]] = {
    "before": lambda words: f"{words}\n\nVERDICT: PASS\nFINDINGS: none",
    "behind": lambda words: f"VERDICT: PASS\nFINDINGS: none\n\n{words}",
}


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("words", [*OBJECTIONS, *SPOKEN, *NAMED, *FINDINGS])
def test_a_pass_beside_words_against_it_is_asked_for_again_with_these_words(
    words: str, setting: Callable[[str, str], str]
) -> None:
    judgement = plan_reviews.judge("a", setting(words, BLOCK))
    assert judgement.ruling == "unusable"
    assert judgement.report.verdict is None
    assert "it says PASS, but" in judgement.why


@pytest.mark.parametrize("lines", LINES.values(), ids=LINES)
@pytest.mark.parametrize("words", [*OBJECTIONS, *SPOKEN, *NAMED, *FINDINGS])
def test_so_is_a_pass_in_lines(words: str, lines: Callable[[str], str]) -> None:
    assert plan_reviews.judge("a", lines(words)).ruling == "unusable"


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
@hypothesis.given(
    words=st.lists(st.sampled_from([*HARMLESS, *PLAIN]), max_size=4), block=st.sampled_from([BLOCK, MEDIUM])
)
def test_honest_words_beside_a_pass_leave_it_one(
    words: list[str], block: str, setting: Callable[[str, str], str]
) -> None:
    assert plan_reviews.judge("a", setting("\n".join(words), block)).why.startswith("it says PASS, and nothing")


def test_of_a_long_line_as_much_as_is_shown_stands_in_the_reason_with_the_words_in_its_middle() -> None:
    words = f"first\n{'a' * 300} FAIL {'b' * 300}\nlast"
    excerpt = f"{'a' * (contradictions.MAX_SHOWN // 2 - 1)} FAIL {'b' * (contradictions.MAX_SHOWN // 2 - 5)}"
    assert contradictions.of_words(words) == f"it says PASS, but also {excerpt!r}"
    assert contradictions.of_words("first\nI FAIL it.\nlast") == "it says PASS, but also 'I FAIL it.'"


def test_an_earlier_fail_does_not_hide_one_behind_it_and_both_are_told_as_they_were_written() -> None:
    line = "The earlier FAIL is mended, this one is a FAIL."
    assert contradictions.of_words(line) == f"it says PASS, but also {line!r}"


@pytest.mark.parametrize("words", OF_THE_CHANGE)
def test_what_should_become_of_the_change_contradicts_a_pass(words: str) -> None:
    assert plan_reviews.judge("a", f"{words}\n\n{BLOCK}").ruling == "unusable"


@pytest.mark.parametrize("words", [*PLAIN, *OF_WHAT_CODE_DOES, *NOT_WEIGHED, *NOT_AGAINST])
def test_what_ordinary_reviewers_write_beside_their_pass_is_not_asked_about(words: str) -> None:
    assert plan_reviews.judge("a", f"{words}\n\n{BLOCK}").ruling == "pass"


def test_a_finding_in_words_that_stands_in_the_form_too_is_none_in_words_only() -> None:
    assert plan_reviews.judge("a", f"MEDIUM: a.py is slow.\n{MEDIUM}").ruling == "pass"
    assert "'MEDIUM: a.py is slow.'" in plan_reviews.judge("a", f"MEDIUM: a.py is slow.\n{BLOCK}").why


@pytest.mark.parametrize(
    "text",
    [
        f"I would say {BLOCK} if the tests existed, but they do not.",
        f"I would never say {BLOCK}",
        f"{BLOCK} if the tests existed",
        f"{BLOCK}, unless somebody minds",
        f"Man könnte {BLOCK} sagen, wenn es Tests gäbe.",
        f"如果有测试我会说 {BLOCK}",
        json.dumps({"result": f"I would say {BLOCK}"}),
    ],
)
def test_a_block_in_a_sentence_is_a_mention_and_no_answer(text: str) -> None:
    report = answer_parser.report("a", text)
    assert report.verdict is None
    assert report.problem.startswith("its PASS ")


@pytest.mark.parametrize(
    ("before", "after"),
    [("", ""), ("Done.\n", ""), ("So: ", " Done."), ("```json\n", "\n```\nagentId: a1"), ("", "<\\system-reminder>")],
)
def test_a_block_that_stands_alone_is_an_answer(before: str, after: str) -> None:
    assert contradictions.of_place(before, after) == ""


@pytest.mark.parametrize("word", ["PASS?", "PASS ?", "PASS (?)", "PASS\uff1f", "~~PASS~~", "!PASS", "❌ PASS", "¬PASS"])
def test_a_verdict_with_a_mark_against_it_is_none(word: str) -> None:
    assert answer_parser.report("a", f"VERDICT: {word}\nFINDINGS: none").verdict is None
    assert answer_parser.report("a", {"verdict": word, "findings": []}).verdict is None


@pytest.mark.parametrize("word", ["**PASS**", "PASS.", "✅ PASS", "`pass`", "PASS!", "[PASS]"])
def test_other_marks_leave_a_verdict_one(word: str) -> None:
    assert answer_parser.report("a", {"verdict": word, "findings": []}).verdict == "PASS"


@pytest.mark.parametrize("line", ["a", "", "# Notes", "| a | b |"])
def test_an_answer_of_many_lines_takes_linear_time(line: str) -> None:
    def read(lines: int) -> object:
        return contradictions.of_words("\n".join([line] * lines))

    assert growth.is_at_most(9, read, 5_000, 20_000)
