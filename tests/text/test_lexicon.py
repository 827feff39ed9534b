"""What words of software work mean."""

from __future__ import annotations

import importlib.resources
import itertools
import unicodedata
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch_mcp.agents import loader
from dispatch_mcp.text import lexicon, tokenizer

SMALL = """
// a remark, with a comma, is no term
# auth > security:0.5
login, log in, sign-in, token^0.4, authentic*
# security > risk:0.5
vulnerab*, sql injection
# risk
danger
# cache
cache, caching layer, đệm, キャッシュ, APIキー
"""


def meanings(text: str, words: lexicon.Lexicon | None = None) -> list[tuple[str, dict[str, float]]]:
    """Returns the places of a text that mean something, with the shares of their concepts by name."""
    words = words or lexicon.parse([SMALL])
    listed = tokenizer.words(text)
    whole = [word for word in listed if not word.part]
    return [
        (
            text[match.start : match.end]
            if match.first < 0
            else text[whole[match.first].start : whole[match.last - 1].end],
            {words.names[concept]: share for concept, share in match.meanings},
        )
        for match in words.matches(listed, text)
    ]


AUTH = {"auth": 1.0, "security": 0.5, "risk": 0.25}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("login", [("login", AUTH)]),
        ("Logins fail", [("Logins", AUTH)]),
        ("users log in", [("log in", AUTH)]),
        ("the sign-in page", [("sign-in", AUTH)]),
        ("authentication", [("authentication", AUTH)]),
        ("a token", [("token", {"auth": 0.4, "security": 0.2, "risk": 0.1})]),
        (
            "vulnerable to SQL injections",
            [("vulnerable", {"security": 1.0, "risk": 0.5}), ("SQL injections", {"security": 1.0, "risk": 0.5})],
        ),
        ("logIn", [("logIn", AUTH)]),
        ("danger", [("danger", {"risk": 1.0})]),
        ("add a caching layer", [("caching layer", {"cache": 1.0})]),
        ("bộ đệm", [("đệm", {"cache": 1.0})]),
        ("このキャッシュを消す", [("キャッシュ", {"cache": 1.0})]),
        ("新しいapiキーを作る", [("apiキー", {"cache": 1.0})]),
        ("nothing of this", []),
        ("blogin", []),
        ("authentix", []),
        ("", []),
    ],
)
def test_a_term_means_its_concept_and_what_that_implies(
    text: str, expected: list[tuple[str, dict[str, float]]]
) -> None:
    assert meanings(text) == [(place, pytest.approx(shares)) for place, shares in expected]


def test_of_two_terms_that_begin_at_one_word_the_longer_is_meant() -> None:
    words = lexicon.parse(["# a\nload\n# b\nload balancer\n# c\nbalancer*\n"])
    assert meanings("load the load balancer", words) == [("load", {"a": 1.0}), ("load balancer", {"b": 1.0})]
    runs = lexicon.parse(["# a\n認証\n# b\n認証基盤\n"])
    assert meanings("認証と認証基盤", runs) == [("認証", {"a": 1.0}), ("認証基盤", {"b": 1.0})]
    beginnings = lexicon.parse(["# a\nauth*\n# b\nauthoriz*\n"])
    assert meanings("authorizing authors", beginnings) == [("authorizing", {"b": 1.0}), ("authors", {"a": 1.0})]


def test_a_term_without_its_accents_is_still_understood_when_it_is_long_enough() -> None:
    words = lexicon.parse(["# auth\nđăng nhập, phiên\n# role\nrôle*\n"])
    assert meanings("dang nhap", words) == [("dang nhap", {"auth": 1.0})]
    assert meanings("roles", words) == [("roles", {"role": 1.0})]
    assert meanings("phien", words) == []


def test_a_term_of_two_concepts_means_both_and_the_stronger_way_to_a_third_counts() -> None:
    words = lexicon.parse(["# a > c:0.3\nport\n# b > c:0.8\nport^0.5\n# c\n"])
    assert meanings("port", words) == [("port", pytest.approx({"a": 1.0, "b": 0.5, "c": 0.4}))]


def test_what_is_implied_weakly_or_in_a_circle_ends() -> None:
    words = lexicon.parse(["# a > b:0.5\nfirst\n# b > a:0.9 c:0.15\n# c > d\n# d\n"])
    assert meanings("first", words) == [("first", pytest.approx({"a": 1.0, "b": 0.5}))]
    halves = lexicon.parse(["# a > b\nfirst\n# b\n"])
    assert meanings("first", halves) == [("first", {"a": 1.0, "b": 0.5})]


def test_a_concept_may_be_continued_in_another_file() -> None:
    words = lexicon.parse(["# a > b:0.5\nfirst\n# b\n", "# a > c:0.5\nzweite\n# c\n"])
    assert words.names == ("a", "b", "c")
    assert meanings("first, zweite", words) == [(term, {"a": 1.0, "b": 0.5, "c": 0.5}) for term in ("first", "zweite")]


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("# a > nowhere:0.5\nfirst\n", "nowhere"),
        ("# a\nslow quer*\n", "slow quer"),
        ("# a\ne-mail*\n", "e-mail"),
        ("# a\nbug*\n", "4 letters"),
        ("# a\n*\n", "4 letters"),
        ("# a\nfirst^much\n", "much"),
    ],
)
def test_a_line_that_could_never_mean_anything_is_refused(source: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        lexicon.parse([source])


def test_the_digest_changes_with_every_file_and_with_the_everyday_words() -> None:
    sources = [["# a\nx1\n"], ["# a\nx2\n"], ["# a\nx1\n", "# b\n"], ["# a\nx1\n# b\n"]]
    digests = [lexicon.parse(texts).digest for texts in sources]
    digests.append(lexicon.parse(sources[0], ["the", "of"]).digest)
    digests.append(lexicon.parse(sources[0], ["of", "the"]).digest)
    assert len(set(digests)) == len(digests)
    assert lexicon.parse(sources[0]).digest == digests[0]


def test_everyday_words_are_ranked_from_the_commonest() -> None:
    assert lexicon.parse([], ["the", "of", "server"]).common == {"the": 0, "of": 1, "server": 2}


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("login danger", 1.0),
        ("please fix the login", 0.5),
        ("a token for nobody special", 0.2 * 2 / 3),
        ("unheard words only", 0.0),
        ("", 0.0),
        ("キャッシュ", 1.0),
    ],
)
def test_the_cover_is_the_share_of_words_that_mean_something(text: str, share: float) -> None:
    words = lexicon.parse([SMALL])
    listed = tokenizer.words(text)
    assert words.cover(listed, list(words.matches(listed, text))) == pytest.approx(share)


def shipped_terms() -> Iterator[tuple[str, str]]:
    """Yields the concepts and terms of the files that come with the product, without weights and asterisks."""
    for file in (importlib.resources.files("dispatch_mcp") / "text" / "data").iterdir():
        concept = ""
        for line in file.read_text(encoding="utf-8").splitlines() if file.name.startswith("concepts") else ():
            if line.startswith("# "):
                concept = line[2:].partition(">")[0].strip()
            elif not line.startswith("//"):
                yield from ((concept, term.partition("^")[0].strip().rstrip("*")) for term in line.split(","))


def test_each_term_that_comes_with_the_product_means_its_concept_however_its_accents_are_written() -> None:
    words = loader.words()
    terms = [(concept, term) for concept, term in shipped_terms() if term]
    assert len(terms) > 3_000
    decomposed = [(concept, unicodedata.normalize("NFD", term)) for concept, term in terms if not _japanese(term)]
    for concept, term in [*terms, *decomposed]:
        assert any(concept in shares for _, shares in meanings(term, words)), (concept, term)


def _japanese(term: str) -> bool:
    return any("\u3040" <= char <= "\u30ff" for char in term)


@settings(max_examples=40)
@given(st.lists(st.sampled_from(["login", "sql injection", "danger", "and", "キャッシュ", "logIn", "x"]), max_size=8))
def test_matches_never_overlap_and_every_share_is_one(parts: list[str]) -> None:
    text = " ".join(parts)
    words = lexicon.parse([SMALL])
    listed = tokenizer.words(text)
    matches = list(words.matches(listed, text))
    phrases = [match for match in matches if match.first >= 0]
    assert all(before.last <= after.first for before, after in itertools.pairwise(phrases))
    assert all(0 < share <= 1 for match in matches for _, share in match.meanings)
    assert 0 <= words.cover(listed, matches) <= 1
    assert len(matches) == sum(part not in {"and", "x"} for part in parts)


def test_an_empty_lexicon_understands_nothing() -> None:
    assert meanings("login キャッシュ", lexicon.EMPTY) == []
