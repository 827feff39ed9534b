"""How a request is read: what counts, how much, and where it was written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.agents import loader
from dispatch_mcp.routing import agent_index, request_reader
from dispatch_mcp.text import lexicon, tokenizer

LEXICON = lexicon.parse(
    ["# login\nlogin, sign in, anmelden\n# storage > files:0.5\ndatabase, table\n# files\nfile, 登录"],
    common=["the", "people", "time"],
)
INDEX = agent_index.build([agent_index.AgentText("db", "Tables of the database.")], LEXICON)


def read(text: str) -> request_reader.Request:
    return request_reader.read(text, INDEX, LEXICON)


@given(st.text(max_size=200))
def test_every_term_and_match_is_a_part_of_the_request(text: str) -> None:
    request = read(text)
    for term in request.terms:
        assert 0 < term.weight <= 1
        assert text[term.start : term.end]
    for start, end, meanings in request.matches:
        assert 0 <= start < end <= len(text)
        assert meanings


@given(st.text(max_size=300))
def test_reading_is_bounded_and_the_same_every_time(text: str) -> None:
    request = read(text)
    assert request == read(text)
    assert len(request.stem_weights) <= request_reader.MAX_TERMS
    assert len(request.matches) <= request_reader.MAX_MATCHES
    assert 0 <= request.cover <= 1


def test_small_words_are_no_terms() -> None:
    assert [term.stem for term in read("Please add the table to it").terms] == ["add", "tabl"]


@pytest.mark.parametrize(
    ("text", "stems"),
    [
        ("app/cart.py", ["cart", "py"]),
        ("src/main/App.tsx", ["tsx"]),
        ("see lib/index.ts", ["ts"]),
        ("main.go", ["go"]),
        ("packages\\core\\tax", ["tax"]),
        ("my app", ["app"]),
        ("the main core", ["main", "cor"]),
        ("the end of the app.", ["end", "app"]),
    ],
)
def test_names_that_every_project_has_are_no_words_of_a_path(text: str, stems: list[str]) -> None:
    assert [term.stem for term in read(text).terms if term.stem != "see"] == stems


def test_a_term_says_where_it_was_written() -> None:
    text = "Fix  the Tables!"
    assert [text[term.start : term.end] for term in read(text).terms] == ["Fix", "Tables"]


@pytest.mark.parametrize(("rank", "weight"), [(0, 0.6), (599, 0.6), (600, 0.8), (1999, 0.8), (2000, 1.0)])
def test_the_commonest_words_count_less(rank: int, weight: float) -> None:
    vocabulary = lexicon.Lexicon(common={"word": rank})
    assert request_reader.everyday("word", vocabulary) == weight


def test_a_word_that_is_no_english_counts_in_full() -> None:
    assert request_reader.everyday("kubectl", loader.words()) == 1.0


def test_parts_of_a_compound_name_count_half() -> None:
    weights = {term.stem: term.weight for term in read("Rename parseQuota").terms}
    assert weights["quota"] == request_reader.PART
    assert weights["parsequota"] == 1.0


def test_a_word_that_repeats_counts_once_with_its_highest_weight() -> None:
    request = read("quota parseQuota quota")
    assert dict(request.stem_weights)["quota"] == 1.0
    assert len([stem for stem, _ in request.stem_weights if stem == "quota"]) == 1


def test_what_is_ruled_out_counts_like_everything_else() -> None:
    negated, bare = read("Don't touch the database"), read("touch the database")
    assert dict(negated.stem_weights)["databas"] == dict(bare.stem_weights)["databas"]
    assert negated.concepts == bare.concepts


def test_a_mistyped_word_stays_as_it_is_written() -> None:
    assert [term.stem for term in read("databse").terms] == [tokenizer.stem("databse")]


def test_concepts_come_with_what_they_imply() -> None:
    names = {LEXICON.names[concept]: share for concept, share in read("a database").concepts.items()}
    assert names == {"storage": 1.0, "files": 0.5}


def test_a_concept_that_is_meant_twice_counts_a_little_more() -> None:
    once, twice = read("a database"), read("a database and a table")
    storage = LEXICON.names.index("storage")
    assert twice.concepts[storage] == pytest.approx(once.concepts[storage] + request_reader.REPEATED)


def test_meaning_is_found_in_other_languages_and_scripts() -> None:
    text = "修复登录"
    [(start, end, _)] = read(text).matches
    assert text[start:end] == "登录"
    assert {LEXICON.names[concept] for concept in read("bitte anmelden").concepts} == {"login"}


def test_cover_is_the_share_of_words_that_mean_something() -> None:
    assert read("database table").cover == 1.0
    assert read("database zebra").cover == 0.5
    assert read("zebra").cover == 0.0


def test_of_very_many_words_those_that_tell_agents_apart_are_kept() -> None:
    many = " ".join(f"w{number:03}" for number in range(60))
    stems = {term.stem for term in read(f"{many} database").terms}
    assert "databas" in stems
    assert len(stems) == request_reader.MAX_TERMS


def test_a_request_too_long_to_be_an_example_is_not_compared_with_examples() -> None:
    short, long = read("tidy the table"), read("tidy the table " * 40)
    assert (short.key, short.gist) == ("tidy the table", "tabl tidi")
    assert (long.key, long.gist) == ("", "")


@pytest.mark.parametrize("text", ["", "   ", "the of and", "…!?", "2+2"])
def test_a_request_without_content_has_no_terms(text: str) -> None:
    request = read(text)
    assert (request.terms, request.stem_weights, request.cover) == ((), (), 0.0)


@pytest.mark.parametrize("marks", ['"{}"', "'{}'", "„{}“", "«{}»"])
def test_words_in_quotation_marks_count_less_as_they_name_what_the_request_is_not_about(marks: str) -> None:
    frame = "The badge that says {} in the corner of the page is misaligned"
    bare, mention = read(frame.format("database login")), read(frame.format(marks.format("database login")))
    weights, less = dict(bare.stem_weights), dict(mention.stem_weights)
    assert {stem for stem in weights if less[stem] < weights[stem]} == {"databas", "login"}
    assert all(0 < mention.concepts[concept] < weight for concept, weight in bare.concepts.items())
