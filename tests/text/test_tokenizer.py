"""Words of a text, in many languages and in names from code."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dispatch_mcp.text import tokenizer

_MIXED = st.text("aZ9'\u2019+# _-.éß日ーя", max_size=20)
_LATIN = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=12)


def forms(text: str) -> list[str]:
    return [word.form for word in tokenizer.words(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Explain the C++ and C# code.", ["explain", "the", "c++", "and", "c#", "code"]),
        ("F#, not x#y", ["f#", "not", "x", "y"]),
        ("don't stop", ["don't", "stop"]),
        ("'quoted' words'", ["quoted", "words"]),
        ("L\u2019été d\u2019automne", ["l'été", "d'automne"]),
        ("node.js v2.0", ["node", "js", "v2", "0"]),
        ("snake_case kebab-case", ["snake", "case", "kebab", "case"]),
        ("Straße", ["strasse"]),
        ("\uff21\uff22\uff23", ["abc"]),
        ("русский язык", ["русский", "язык"]),
        ("한국어 테스트", ["한국어", "테스트"]),
        ("日本語", ["日本", "本語"]),
        ("API日", ["api", "日"]),
        ("ログイン機能", ["ログ", "グイ", "イン", "ン機", "機能"]),
        ("", []),
        ("— … !?", []),
    ],
)
def test_a_text_is_split_at_the_boundaries_of_its_words(text: str, expected: list[str]) -> None:
    assert forms(text) == expected


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("getUserName", ["get", "user", "name"]),
        ("UserName", ["user", "name"]),
        ("parseHTTPResponse", ["parse", "http", "response"]),
        ("HTTPServer", ["http", "server"]),
        ("utf8Decoder", ["utf", "decoder"]),
        ("aWord", ["word"]),
        ("Username", []),
        ("HTTP", []),
        ("iOS", []),
        ("lower", []),
    ],
)
def test_a_name_from_code_also_gives_the_words_it_is_made_of(name: str, parts: list[str]) -> None:
    whole, *rest = tokenizer.words(f"call {name} twice")[1:-1]
    assert (whole.form, whole.part) == (name.lower(), False)
    assert [word.form for word in rest] == parts
    assert all(word.part and (word.start, word.end) == (whole.start, whole.end) for word in rest)


@given(_MIXED)
def test_every_word_stands_where_it_says_and_words_go_from_left_to_right(text: str) -> None:
    whole = [word for word in tokenizer.words(text) if not word.part]
    assert all(word.form == tokenizer.normal(text[word.start : word.end]) for word in whole)
    assert [word.start for word in whole] == sorted({word.start for word in whole})


@given(_MIXED)
@example("getUserName 日本 don't")
def test_the_stems_of_a_text_are_those_of_its_words(text: str) -> None:
    assert tokenizer.stems(text) == [word.stem for word in tokenizer.words(text)]


@pytest.mark.parametrize("text", ["déploiement café", "Đăng nhập người dùng", "contraseña", "Überprüfung"])
def test_accents_written_apart_are_part_of_their_letters(text: str) -> None:
    apart = unicodedata.normalize("NFD", text)
    assert apart != text
    assert forms(apart) == forms(text)
    assert tokenizer.key(apart) == tokenizer.key(text)


@pytest.mark.parametrize(
    ("form", "plain"),
    [("café", "cafe"), ("đăng", "dang"), ("über", "uber"), ("plain", "plain"), ("ñandú", "nandu"), ("日本", "日本")],
)
def test_a_folded_word_has_no_accents(form: str, plain: str) -> None:
    assert tokenizer.fold(form) == plain
    assert tokenizer.fold(unicodedata.normalize("NFD", form)) == plain


@pytest.mark.parametrize(
    "family",
    [
        "connect connects connected connecting",
        "deploy deploys deployed deploying deployment deployments",
        "optimize optimized optimizing optimization optimise optimisation optimizer",
        "validate validates validated validating validation validator validators",
        "configure configured configuring configuration configurations",
        "query queries querying",
        "cache caches cached caching",
        "migrate migrates migrated migrating migration migrations",
        "secure securely security secured",
        "generate generating generated generator generation",
        "run running runner ran",
        "log logs logging logged logger",
        "plan plans planning planned planner",
        "library libraries",
        "class classes",
        "box boxes",
        "branch branches",
        "index indexes indices indexing",
        "analyze analyse analysis analyzing analysing",
        "create creates created creating creation",
        "write writes writing written wrote writer",
        "user users user's",
        "slow slower slowly slowness",
        "authorize authorise authorization authorisation authorizing authorized",
    ],
)
def test_the_words_of_a_family_have_one_stem(family: str) -> None:
    assert len({tokenizer.stem(form) for form in family.split()}) == 1


@pytest.mark.parametrize(
    ("form", "stem"),
    [
        ("libraries", "librari"),
        ("policy", "polici"),
        ("deploy", "deploy"),
        ("dishes", "dish"),
        ("patches", "patch"),
        ("buzzes", "buzz"),
        ("passing", "pass"),
        ("stopped", "stop"),
        ("mapper", "map"),
        ("controlled", "controll"),
        ("readable", "read"),
        ("sensible", "sens"),
        ("performance", "perform"),
        ("existence", "exist"),
        ("fairness", "fair"),
        ("kindly", "kind"),
        ("abilities", "abil"),
        ("movement", "mov"),
        ("moment", "moment"),
        ("cement", "cement"),
        ("visible", "visibl"),
        ("table", "tabl"),
        ("apis", "apis"),
        ("dns", "dns"),
        ("bus", "bus"),
        ("axes", "ax"),
        ("adding", "add"),
        ("ring", "ring"),
        ("ties", "ty"),
        ("ipv6's", "ipv6"),
        ("utf8s", "utf8s"),
        ("école", "école"),
        ("файлы", "файлы"),
    ],
)
def test_an_ending_goes_only_where_enough_of_the_word_is_left(form: str, stem: str) -> None:
    assert tokenizer.stem(form) == stem


@pytest.mark.parametrize(
    "pair",
    [
        ("string", "str"),
        ("spring", "spr"),
        ("status", "statu"),
        ("server", "serve"),
        ("need", "ne"),
        ("process", "proces"),
        ("update", "upd"),
        ("station", "state"),
        ("number", "numb"),
        ("container", "contain"),
        ("docker", "dock"),
        ("national", "nation"),
        ("apply", "app"),
        ("user", "us"),
        ("rate", "rat"),
    ],
)
def test_words_that_only_look_alike_keep_apart(pair: tuple[str, str]) -> None:
    assert tokenizer.stem(pair[0]) != tokenizer.stem(pair[1])


@given(_LATIN)
def test_a_stem_is_never_empty_and_begins_as_its_word_does(form: str) -> None:
    stem = tokenizer.stem(form)
    assert stem
    assert stem[0] == form[0]
    assert len(stem) <= max(len(form), len("specific") + 2)


@settings(max_examples=50)
@given(_LATIN, st.sampled_from([" ", ", ", "-", "\n", " / "]), _LATIN)
def test_words_have_the_same_stems_whatever_separates_them(first: str, gap: str, last: str) -> None:
    assert tokenizer.stems(first + gap + last) == [tokenizer.stem(first), tokenizer.stem(last)]


@pytest.mark.parametrize(
    ("text", "stems"),
    [
        ("Validate the form and its fields", ["valid", "form", "field"]),
        ("the of and to", []),
        ("a b c", []),
        ("parse C++ and C#", ["pars", "c++", "c#"]),
        ("Valide le café", ["valid", "le", "café"]),
    ],
)
def test_the_content_of_a_text_is_its_stems_without_the_words_that_say_nothing(text: str, stems: list[str]) -> None:
    assert tokenizer.content(text) == stems
    assert not set(stems) & tokenizer.STOP


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Fix the login bug!", "fix  THE login, bug"),
        ("Don't stop", "don't stop."),
        ("L\u2019été", "l'été"),
        ("ÉCOLE", "école"),
    ],
)
def test_two_requests_that_differ_in_case_and_signs_count_as_the_same(first: str, second: str) -> None:
    assert tokenizer.key(first) == tokenizer.key(second) != ""


@given(st.text("ab日é .!", max_size=30))
def test_the_key_of_a_key_is_itself(text: str) -> None:
    assert tokenizer.key(tokenizer.key(text)) == tokenizer.key(text)


@pytest.mark.parametrize(
    ("stem", "beginnings"),
    [
        ("total", ("total",)),
        ("queri", ("quer",)),
        ("run", ("run", "ran")),
        ("person", ("person", "people")),
        ("write", ("write", "wrote", "written", "writing")),
        ("ski", ("ski",)),
    ],
)
def test_what_words_of_a_stem_begin_with_is_the_stem_but_for_irregular_forms(
    stem: str, beginnings: tuple[str, ...]
) -> None:
    assert tokenizer.beginnings(stem) == beginnings


@given(_LATIN | st.sampled_from(["queries", "notify", "built", "indices", "analyse", "people", "wrote", "happily"]))
def test_every_word_has_one_of_the_beginnings_of_its_stem(form: str) -> None:
    assert form.startswith(tokenizer.beginnings(tokenizer.stem(form)))
