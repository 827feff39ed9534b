from __future__ import annotations

import base64
import html
import json
import random
import string
from collections.abc import Callable
from pathlib import Path
from urllib import parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.text import redaction

ROOT = Path(__file__).parents[2]
ALNUM = string.ascii_letters + string.digits
HEX = "0123456789abcdef"


def made(pick: random.Random, alphabet: str, length: int) -> str:
    return "a1" + "".join(pick.choice(alphabet) for _ in range(length - 2))


def key_block(pick: random.Random) -> str:
    lines = "\n".join(made(pick, ALNUM + "+/", 64) for _ in range(6))
    return f"-----BEGIN {'RSA '}PRIVATE KEY-----\n{lines}\n-----END {'RSA '}PRIVATE KEY-----"


# Put together at run time, so that no scanner takes this file for a leak.
SHAPES: dict[str, Callable[[random.Random], str]] = {
    "dispatch-token": lambda pick: "dmcp_" + made(pick, ALNUM + "-_", 43),
    "anthropic-key": lambda pick: "sk-" + "ant-api03-" + made(pick, ALNUM + "-_", 80),
    "openai-key": lambda pick: "sk-" + "proj-" + made(pick, ALNUM, 48),
    "github-token": lambda pick: "ghp" + "_" + made(pick, ALNUM, 36),
    "gitlab-token": lambda pick: "glpat" + "-" + made(pick, ALNUM, 20),
    "aws-key-id": lambda pick: "AKIA" + "".join(pick.choice(string.ascii_uppercase) for _ in range(16)),
    "google-key": lambda pick: "AIza" + made(pick, ALNUM, 35),
    "google-token": lambda pick: "ya29" + "." + made(pick, ALNUM, 60),
    "slack-token": lambda pick: "xoxb" + "-" + made(pick, ALNUM, 40),
    "stripe-key": lambda pick: "sk_" + "live_" + made(pick, ALNUM, 24),
    "pypi-token": lambda pick: "pypi" + "-" + made(pick, ALNUM, 80),
    "npm-token": lambda pick: "npm" + "_" + made(pick, ALNUM, 36),
    "sendgrid-key": lambda pick: "SG" + "." + made(pick, ALNUM, 22) + "." + made(pick, ALNUM, 43),
    "twilio-key": lambda pick: "SK" + made(pick, HEX, 32),
    "mailgun-key": lambda pick: "key" + "-" + made(pick, HEX, 32),
    "huggingface-token": lambda pick: "hf" + "_" + made(pick, ALNUM, 34),
    "digitalocean-token": lambda pick: "dop" + "_v1_" + made(pick, HEX, 64),
    "telegram-token": lambda pick: "123456789:" + "AA" + made(pick, ALNUM, 33),
    "discord-token": lambda pick: (
        "M" + made(pick, ALNUM, 24) + "." + made(pick, ALNUM, 6) + "." + made(pick, ALNUM, 30)
    ),
    "shopify-token": lambda pick: "shpat" + "_" + made(pick, HEX, 32),
    "databricks-token": lambda pick: "dapi" + made(pick, HEX, 32),
    "vault-token": lambda pick: "hvs" + "." + made(pick, ALNUM, 28),
    "age-key": lambda pick: "AGE-SECRET" + "-KEY-1" + "".join(pick.choice(string.ascii_uppercase) for _ in range(58)),
    "provider-key": lambda pick: "gsk" + "_" + made(pick, ALNUM, 52),
    "doppler-token": lambda pick: "dp." + pick.choice(("pt.", "st.prod_eu.", "ct.", "sa.")) + made(pick, ALNUM, 43),
    "newrelic-key": lambda pick: pick.choice(
        ("NRAK" + "-" + made(pick, ALNUM, 27), "eu01xx" + made(pick, HEX, 30) + "NR" + "AL")
    ),
    "grafana-token": lambda pick: pick.choice(
        (
            "glsa" + "_" + made(pick, ALNUM, 32) + "_" + made(pick, HEX, 8),
            "glc" + "_" + made(pick, ALNUM, 60) + "==",
            "eyJrIjoi" + made(pick, ALNUM, 80),
        )
    ),
    "planetscale-token": lambda pick: "pscale" + pick.choice(("_tkn_", "_pw_", "_oauth_")) + made(pick, ALNUM, 43),
    "service-token": lambda pick: "dckr" + "_pat_" + made(pick, ALNUM, 27),
    "jwt": lambda pick: ".".join(["eyJ" + made(pick, ALNUM, 20), "eyJ" + made(pick, ALNUM, 40), made(pick, ALNUM, 43)]),
    "private-key": key_block,
}
INSIDE = {
    "url-password": ("postgres://admin:", "@db.example:5432/app"),
    "authorization": ("Authorization: Bearer ", ""),
    "aws-secret": ("aws_secret_access_key = ", ""),
    "slack-webhook": ("https://hooks.slack.com/services/", ""),
    "discord-webhook": ("https://discord.example/api/webhooks/123456789012345678/", ""),
    "azure-key": ("DefaultEndpointsProtocol=https;AccountKey=", ";EndpointSuffix=core"),
    "password": ('db_password = "', '"'),
    "variable": ("DEPLOY_TOKEN=", ""),
}
FRAMES = [
    "{}",
    "before {} after",
    'value: "{}",',
    "line\n{}\nline",
    "({})",
    "`{}`",
    "error: {}; retry",
    "x={}&y=1",
    "<b>{}</b>",
    r'"log\n{}\n"',
    "q%3D{}%26",
]


@pytest.mark.promise("S10")
@pytest.mark.parametrize("kind", SHAPES)
def test_a_planted_secret_of_each_shape_is_gone_in_every_surrounding(kind: str) -> None:
    pick = random.Random(kind)
    for frame in FRAMES:
        secret = SHAPES[kind](pick)
        shown = redaction.Redactor().redact(frame.format(secret))
        assert secret not in shown
        assert "[redacted:" in shown
        assert shown.startswith(frame.partition("{}")[0])


@pytest.mark.promise("S10")
@pytest.mark.parametrize("kind", INSIDE)
def test_a_secret_that_its_surroundings_give_away_is_gone_and_they_stay(kind: str) -> None:
    before, after = INSIDE[kind]
    pick = random.Random(kind)
    for _ in range(10):
        secret = made(pick, ALNUM, 40 if kind == "aws-secret" else 44)
        assert redaction.Redactor().redact(f"{before}{secret}{after}") == f"{before}[redacted:{kind}]{after}"


@pytest.mark.promise("S10")
@pytest.mark.parametrize("kind", sorted({*SHAPES} - {"private-key"}) + sorted(INSIDE))
@pytest.mark.parametrize("cut", [redaction.beginning, redaction.ending])
def test_where_a_text_is_cut_no_part_of_a_secret_stays(kind: str, cut: Callable[[str, int], str]) -> None:
    pick = random.Random(kind)
    secret = SHAPES[kind](pick) if kind in SHAPES else made(pick, ALNUM, 40 if kind == "aws-secret" else 44)
    before, after = INSIDE.get(kind, ("", ""))
    frames = (
        ("It is {} as before", "\u5bc6\u94a5 {}\nnext", "{} x", "x {}") if kind in SHAPES else ("last\n{} or\nnext",)
    )
    parts = {secret[at : at + redaction.SHORTEST] for at in range(8, len(secret) - redaction.SHORTEST)}
    for frame in frames:
        text = frame.format(f"{before}{secret}{after}")
        for limit in range(len(text) + 2):
            assert len(cut(text, limit)) <= limit
            shown = redaction.Redactor().redact(cut(text, limit))
            assert not [part for part in parts if part in shown], (text, limit, shown)


@pytest.mark.promise("S10")
def test_of_a_key_that_a_cut_leaves_without_its_end_no_line_stays() -> None:
    block = key_block(random.Random(1))
    for limit in range(1, len(block)):
        shown = redaction.Redactor().redact(redaction.beginning(f"{block}\nafter", limit))
        assert not [line for line in block.splitlines()[1:-1] if line[:20] in shown]


@pytest.mark.promise("S10")
@given(st.text(alphabet=ALNUM + "!#%&*", min_size=redaction.SHORTEST, max_size=40), st.text(), st.integers(0, 200))
def test_of_a_value_that_is_cut_no_part_stays(value: str, before: str, limit: int) -> None:
    text = f"{before} {value} behind"
    for cut in (redaction.beginning(text, limit), redaction.ending(text, limit)):
        assert cut in text
        shown = redaction.Redactor([value]).redact(cut)
        assert not any(word and word != value and word in value for word in set(shown.split()) - set(before.split()))


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [
        ("one two three", 20, "one two three"),
        ("one two three", 13, "one two three"),
        ("one two three", 7, "one two"),
        ("one two three", 8, "one two "),
        ("one two three", 9, "one two "),
        ("one", 2, ""),
        ('{"a":"bcd","e":"fgh"}', 13, '{"a":"bcd","'),
        ("\u4e00\u4e8c\u4e09\u56db", 2, "\u4e00\u4e8c"),
        ("", 0, ""),
    ],
)
def test_a_text_is_cut_between_words(text: str, limit: int, shown: str) -> None:
    assert redaction.beginning(text, limit) == shown
    assert redaction.ending(text[::-1], limit) == shown[::-1]


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [
        ("one two\nthree", 13, "one two\nthree"),
        ("one two\nthree", 11, "three"),
        ("one two\nthree", 5, "three"),
        ("one two\nthree", 4, ""),
        ("one two", 4, " two"),
        ("one two", 0, ""),
        ("one two\n", 5, " two\n"),
    ],
)
def test_of_the_end_of_a_text_a_cut_line_is_left_out(text: str, limit: int, shown: str) -> None:
    assert redaction.ending(text, limit) == shown


def test_each_pattern_has_a_planted_secret() -> None:
    assert {pattern.kind for pattern in redaction.PATTERNS} == SHAPES.keys() | INSIDE.keys()
    assert len(SHAPES) * len(FRAMES) + len(INSIDE) * 10 >= 300
    assert len({pattern.kind for pattern in redaction.PATTERNS}) >= 25


@pytest.mark.promise("S10")
@given(st.text(min_size=redaction.SHORTEST), st.text(), st.text())
def test_a_known_value_never_survives(secret: str, before: str, after: str) -> None:
    redactor = redaction.Redactor([secret])
    wanted = secret.strip()
    if len(wanted) < redaction.SHORTEST or wanted in "[redacted:secret]":
        return
    assert wanted not in redactor.redact(f"{before} {secret} {after}").replace("[redacted:secret]", "")


FORMS: list[Callable[[str], str]] = [
    lambda secret: json.dumps({"error": secret}),
    lambda secret: parse.quote(secret, safe=""),
    html.escape,
    lambda secret: base64.b64encode(secret.encode()).decode(),
]


@pytest.mark.promise("S10")
@pytest.mark.parametrize("form", FORMS)
def test_a_known_value_is_also_found_escaped_or_encoded(form: Callable[[str], str]) -> None:
    secret = 'p"ss&w/rd<é>17'
    shown = redaction.Redactor([secret]).redact(f"x {form(secret)} y")
    assert "[redacted:secret]" in shown
    assert "w/rd" not in shown


def test_every_long_line_of_a_known_value_is_found_on_its_own() -> None:
    block = "first line of a secret file\nsecond line of a secret file"
    assert redaction.Redactor([block]).redact("> second line of a secret file") == "> [redacted:secret]"


def test_the_longest_known_value_wins() -> None:
    assert redaction.Redactor(["hunter22", "hunter22-long"]).redact("hunter22-long") == "[redacted:secret]"


def test_short_values_are_left_alone() -> None:
    assert redaction.Redactor(["on", ""]).redact("it goes on") == "it goes on"


@pytest.mark.promise("S10")
def test_json_is_redacted_in_values_keys_and_under_telling_names() -> None:
    redactor = redaction.Redactor(["hunter22"])
    value = {"a": ["hunter22", 1, None, True, 1.5], "hunter22": "x", "db_password": "let me in", "input_tokens": 12}
    assert redactor.redact_json(value) == {
        "a": ["[redacted:secret]", 1, None, True, 1.5],
        "[redacted:secret]": "x",
        "db_password": "[redacted:field]",
        "input_tokens": 12,
    }


def test_nesting_without_end_is_cut_instead_of_failing() -> None:
    value: object = "x"
    for _ in range(5_000):
        value = [value]
    assert "too-deep" in json.dumps(redaction.Redactor().redact_json(value))


@given(st.text() | st.sampled_from([f"{before}{'a1' * 22}{after}" for before, after in INSIDE.values()]))
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    redactor = redaction.Redactor(["hunter22"])
    once = redactor.redact(text)
    assert redactor.redact(once) == once


@pytest.mark.parametrize(
    "text",
    [
        "password = os.environ['DB_PASSWORD']",
        "token: str = ''",
        'api_key="${API_KEY}"',
        "TOKEN=$(cat file)",
        "the password is checked by the server",
        "https://host:8080/path@version",
        "git@github.com:owner/repo.git",
        "sha256:" + "ab" * 32,
        "task-queue-with-a-long-name-and-many-parts",
        "sk-learn and ask-me-anything-about-routing-tables",
        "Bearer token in the Authorization header",
        "-----BEGIN PRIVATE KEY-----",
        '{"input_tokens": 12000, "output_tokens": 500}',
        "00000000-0000-4000-8000-000000000000",
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    assert redaction.Redactor().redact(text) == text


@pytest.mark.promise("S10")
def test_the_product_itself_has_next_to_no_false_positives() -> None:
    redactor = redaction.Redactor()
    paths = [path for part in ("server", "prompts", "agents", "knowledgebase") for path in (ROOT / part).rglob("*.*")]
    texts = [path.read_text("utf-8") for path in paths if path.suffix in {".py", ".md", ".j2", ".sql", ".json"}]
    lines = [line for text in texts for line in text.splitlines()]
    assert len(lines) > 1_000
    wrong = [line for line in lines if redactor.redact(line) != line]
    assert len(wrong) / len(lines) < 1e-4, wrong[:5]


@pytest.mark.promise("S10")
@pytest.mark.parametrize("limit", range(70, 540, 9))
def test_of_a_key_whose_head_is_cut_away_nothing_stays(limit: int) -> None:
    key = key_block(random.Random(limit))
    text = f"It reads:\n{key}\nThat was it."
    for end in (redaction.ending(text, limit), f"[... 99 bytes left out ...]\n{text[-limit:]}"):
        clean = redaction.Redactor().redact(end)
        assert [line for line in key.splitlines()[1:-1] if line[-20:] in clean] == []
        assert "That was it." in clean


def test_an_end_without_a_key_stays_as_it_is() -> None:
    words = "All of it is done\nand nothing is left"
    assert redaction.ending("x\n" + words, len(words)) == words
    assert redaction.Redactor().redact(f"[... 9 bytes left out ...]\n{words}").endswith(words)


def test_a_megabyte_of_anything_is_done_without_catastrophe() -> None:
    redactor = redaction.Redactor(["hunter22"])
    for unit in [
        "a",
        "-----BEGIN PRIVATE KEY-----\n",
        "eyJ",
        "://a:",
        "password=",
        "sk-",
        "xai-",
        "basic:",
        "eyJaaaaaaaaa-",
        "A_TOKEN=",
        "= \t",
        "left out ...]\nAAAA ",
    ]:
        assert redactor.redact(unit * (200_000 // len(unit)))


PREFIXES = {
    "github-token": [("gh" + letter + "_", 36) for letter in "pousr"] + [("github" + "_pat_", 40)],
    "gitlab-token": [("gl" + kind + "-", 24) for kind in ("pat", "dt", "rt", "cbt", "ptt")],
    "slack-token": [("xox" + letter + "-", 24) for letter in "abeoprs"] + [("xapp" + "-1-", 24)],
    "stripe-key": [(f"{letter}k_" + f"{mode}_", 24) for letter in "sr" for mode in ("live", "test")]
    + [("wh" + "sec_", 24)],
    "google-token": [("ya29" + ".", 40), ("GOCSPX" + "-", 28)],
    "vault-token": [("hv" + letter + ".", 28) for letter in "sb"],
    "provider-key": [
        (prefix + joint, 40) for prefix, joint in (("gsk", "_"), ("xai", "-"), ("pplx", "-"), ("r8", "_"))
    ],
    "service-token": [("dckr" + "_pat_", 27), ("lin" + "_api_", 40), ("ntn" + "_", 46), ("ATATT" + "3", 60)],
    "openai-key": [("sk-" + kind, 48) for kind in ("", "proj-", "svcacct-", "admin-", "or-v1-")],
}
HEX_PREFIXES = {
    "digitalocean-token": [(f"do{letter}" + "_v1_", 64) for letter in "oprt"],
    "shopify-token": [(f"shp{kind}" + "_", 32) for kind in ("at", "ca", "pa", "ss")],
}
UPPER_PREFIXES = {"aws-key-id": [(f"A{kind}", 16) for kind in ("KIA", "SIA", "BIA", "CCA")]}
EVERY_PREFIX = [
    (kind, prefix, length, alphabet)
    for table, alphabet in ((PREFIXES, ALNUM), (HEX_PREFIXES, HEX), (UPPER_PREFIXES, string.ascii_uppercase))
    for kind, rows in table.items()
    for prefix, length in rows
]


@pytest.mark.promise("S10")
@pytest.mark.parametrize(("kind", "prefix", "length", "alphabet"), EVERY_PREFIX, ids=lambda value: str(value)[:12])
def test_each_alternative_of_a_pattern_is_recognised_by_its_prefix(
    kind: str, prefix: str, length: int, alphabet: str
) -> None:
    pick = random.Random(prefix)
    body = "".join(pick.choice(alphabet) for _ in range(length))
    secret = prefix + (body if alphabet == string.ascii_uppercase else f"a1{body[2:]}")
    assert redaction.Redactor().redact(f"key {secret} end") == f"key [redacted:{kind}] end"


@pytest.mark.promise("S10")
@pytest.mark.parametrize(
    "name",
    [
        *("password", "passwd", "pwd", "secret", "api_key", "apikey", "api-key", "access_key", "auth_token"),
        *("access-token", "refresh_token", "DB_PASSWORD", "client.secret"),
    ],
)
def test_a_quoted_value_is_a_secret_under_each_name(name: str) -> None:
    value = "hunter" + "2hunter2"
    assert redaction.Redactor().redact(f'{name} = "{value}"') == f'{name} = "[redacted:password]"'
    assert redaction.Redactor().redact(f"{name}: '{value}'") == f"{name}: '[redacted:password]'"


@pytest.mark.parametrize(
    "text",
    [
        'password = "${DB_PASSWORD1}"',
        'password = "<your-password-1>"',
        'password: "your-password-1"',
        'password: "changeit"',
        "postgres://user:${PASSWORD}@host/db",
        "postgres://user@host:5432/db",
        "TOKEN_COUNT_LIMIT=none",
        "a word-with-sk-in-the-middle-of-it",
        "task-management-is-no-key-at-all",
        "Basic understanding of things",
    ],
)
def test_what_only_stands_where_a_secret_would_stays(text: str) -> None:
    assert redaction.Redactor().redact(text) == text


def test_a_value_is_found_escaped_encoded_and_line_by_line() -> None:
    secret = 'pa"ss\nline of a longer secret'
    redactor = redaction.Redactor([secret])
    for form in (secret, json.dumps(secret)[1:-1], parse.quote(secret, safe=""), html.escape(secret)):
        assert redactor.redact(f"<{form}>") == "<[redacted:secret]>"
    assert redactor.redact("a line of a longer secret!") == "a [redacted:secret]!"
    encoded = base64.b64encode(secret.encode()).decode()
    assert encoded.rstrip("=") not in redactor.redact(encoded)


def test_the_longer_of_two_secrets_is_taken_out_whole() -> None:
    assert redaction.Redactor(["abcdef", "abcdefghij"]).redact("abcdefghij") == "[redacted:secret]"


def test_json_that_is_nested_too_deeply_is_taken_out_and_not_walked() -> None:
    value: redaction.Json = "leaf"
    for _ in range(redaction.MAX_DEPTH + 5):
        value = [value]
    shown = redaction.Redactor().redact_json(value)
    assert "leaf" not in json.dumps(shown)
    assert "[redacted:too-deep]" in json.dumps(shown)


def test_strings_under_names_of_secrets_are_taken_out_whole_and_short_ones_stay() -> None:
    redactor = redaction.Redactor()
    assert redactor.redact_json({"client_secret": "anything at all", "secret": "no"}) == {
        "client_secret": "[redacted:field]",
        "secret": "no",
    }
    assert redactor.redact_json({"secretary": "anything at all", "n": 3, "b": None}) == {
        "secretary": "anything at all",
        "n": 3,
        "b": None,
    }


@pytest.mark.parametrize(
    ("known", "text", "shown"),
    [
        ("sixsix", "a sixsix b", "a [redacted:secret] b"),
        ("fives", "a fives b", "a fives b"),
        ("  sixsix\n", "a sixsix b", "a [redacted:secret] b"),
        ("  fives  ", "a fives b", "a fives b"),
        ("x" * 20 + "\nend", "a " + "x" * 20 + " b", "a [redacted:secret] b"),
        ("x" * 19 + "\nend", "a " + "x" * 19 + " b", "a " + "x" * 19 + " b"),
        ('p\u00e4"ssw', 'a {"k": "p\\u00e4\\"ssw"} b', 'a {"k": "[redacted:secret]"} b'),
        ('p\u00e4"ssw', 'a {"k": "p\u00e4\\"ssw"} b', 'a {"k": "[redacted:secret]"} b'),
        ("a b&c/d", "?q=a%20b%26c%2Fd&x", "?q=[redacted:secret]&x"),
        (".*.*.*", "a .*.*.* b abcdef", "a [redacted:secret] b abcdef"),
    ],
)
def test_known_values_are_found_from_six_characters_on_and_lines_of_them_from_twenty(
    known: str, text: str, shown: str
) -> None:
    assert redaction.Redactor([known]).redact(text) == shown


@pytest.mark.parametrize("before", ["cl\u00e9", "\u9375", "(", "\t"])
def test_a_letter_of_another_alphabet_before_a_token_does_not_hide_it(before: str) -> None:
    token = "ghp" + "_" + "a1" * 18
    assert redaction.Redactor().redact(before + token) == f"{before}[redacted:github-token]"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("export DB_PASSWORD=s3cr3tvalue", "export DB_PASSWORD=[redacted:variable]"),
        ("A=1\nGITHUB_TOKEN=abcdefg8\nB=2", "A=1\nGITHUB_TOKEN=[redacted:variable]\nB=2"),
        ("db_token=abcdefg8", "db_token=abcdefg8"),
        ("TOKEN=abcdefgh", "TOKEN=abcdefgh"),
        ("TOKEN=abcdef8", "TOKEN=abcdef8"),
        ("  TOKEN=abcdefg8", "  TOKEN=abcdefg8"),
        ("https://me:p4ss@host/x", "https://me:[redacted:url-password]@host/x"),
        ("a://b:c1@d e://f:g2@h", "a://b:[redacted:url-password]@d e://f:[redacted:url-password]@h"),
    ],
)
def test_variables_and_addresses_give_away_where_their_secrets_stand(text: str, shown: str) -> None:
    assert redaction.Redactor().redact(text) == shown


@pytest.mark.parametrize("before", ["-", "--", "--token-", "_", "TOKEN_", "-p", "-u", "/", ":", "=", '"', "\\n", "%20"])
def test_a_token_is_recognised_behind_whatever_joins_it_to_a_name(before: str) -> None:
    token = "ghp_" + "a1B2c3D4e5" * 3 + "f6G7h8"
    assert token not in redaction.Redactor().redact(f"use {before}{token} here")


@pytest.mark.parametrize("word", ["disk-usage-of-the-2nd-volume-here", "risk-assessment-2026-of-the-vault"])
def test_words_that_end_in_a_prefix_are_no_tokens(word: str) -> None:
    assert redaction.Redactor().redact(word) == word
