from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.process import child_environment

NAMES = st.text(min_size=1, max_size=12)
VALUES = st.text(max_size=20)

SECRETS = [
    ("ANTHROPIC_API_KEY", "x" * 20),
    ("OPENAI_APIKEY", "x" * 20),
    ("AWS_SECRET_ACCESS_KEY", "x" * 20),
    ("AWS_SESSION_TOKEN", "x" * 20),
    ("PGPASSWORD", "postgres://u:hunter2hunter2@db/x"),
    ("DB_PASSWORD", "x" * 20),
    ("DB_PASS", "x" * 20),
    ("NPM_AUTH", "x" * 20),
    ("client_secret", "x" * 20),
    ("HARMLESS", "-".join(("sk", "ant", "api03", "0123456789abcdef"))),
    ("HARMLESS", "prefix ghp_0123456789abcdefghijABCDEF012345"),
    ("HARMLESS", "0123456789ABCDEF".join(("AKIA", ""))),
    ("HARMLESS", " ".join(("-----BEGIN OPENSSH", "PRIVATE KEY-----"))),
    ("HARMLESS", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.x"),
    ("HARMLESS", "https://user:hunter2hunter2@host/path"),
]
PLAIN = [
    ("PATH", "/usr/bin"),
    ("PWD", "/home/me"),
    ("OLDPWD", "/home/me"),
    ("KEYBOARD", "de"),
    ("TOKENIZERS_PARALLELISM", "false"),
    ("SSH_AUTH_SOCK", "/run/agent"),
    ("MONKEY", "see"),
    ("HOMEPAGE", "https://host:80/a@b"),
    ("PASSAGE", "x"),
]


@pytest.mark.parametrize(("name", "value"), SECRETS)
def test_a_secret_is_known_by_its_name_or_its_value(name: str, value: str) -> None:
    assert child_environment.looks_secret(name, value)
    assert value in child_environment.secret_values({name: value})


@pytest.mark.parametrize(("name", "value"), PLAIN)
def test_an_ordinary_variable_is_no_secret(name: str, value: str) -> None:
    assert not child_environment.looks_secret(name, value)
    assert child_environment.secret_values({name: value}) == frozenset()


def test_a_password_inside_a_url_is_redacted_on_its_own_and_decoded() -> None:
    values = child_environment.secret_values({"DATABASE_URL": "postgres://me:p%40ssw0rd99@db/x"})
    assert {"p%40ssw0rd99", "p@ssw0rd99"} <= values


def test_short_values_are_left_out_because_they_are_words() -> None:
    assert child_environment.secret_values({"API_KEY": "true"}) == frozenset()


@given(variables=st.dictionaries(NAMES, VALUES, max_size=8), named=st.frozensets(NAMES, max_size=3))
def test_a_child_gets_nothing_that_is_not_allowed_by_name(variables: dict[str, str], named: frozenset[str]) -> None:
    policy = child_environment.ChildPolicy(variables, named, depth=1)
    child = policy.environment()
    free = child_environment.BASE_NAMES | named | child_environment.FIXED.keys() | {child_environment.DEPTH}
    assert all(name in free or name.startswith("LC_") for name in child)
    assert child[child_environment.DEPTH] == "2"


@pytest.mark.promise("S2")
@given(name=st.sampled_from(sorted(child_environment.BASE_NAMES)), secret=st.sampled_from(SECRETS[9:]))
def test_an_allowed_name_does_not_carry_a_secret_out(name: str, secret: tuple[str, str]) -> None:
    variables = {name: secret[1]}
    assert name not in child_environment.ChildPolicy(variables).environment()
    assert child_environment.ChildPolicy(variables, frozenset({name})).environment()[name] == secret[1]


def test_the_depth_cannot_be_passed_through_by_name() -> None:
    policy = child_environment.ChildPolicy(
        {child_environment.DEPTH: "0"}, frozenset({child_environment.DEPTH}), depth=3
    )
    assert policy.environment({child_environment.DEPTH: "0"})[child_environment.DEPTH] == "4"


@pytest.mark.parametrize(("depth", "limit", "too_deep"), [(0, 0, True), (0, 1, False), (1, 2, False), (2, 2, True)])
def test_a_child_may_stand_as_deep_as_the_limit(depth: int, limit: int, *, too_deep: bool) -> None:
    assert child_environment.ChildPolicy({}, depth=depth, depth_limit=limit).too_deep is too_deep


def test_a_policy_does_not_show_the_variables() -> None:
    assert "hunter2" not in repr(child_environment.ChildPolicy({"PASSWORD": "hunter2"}))


LETTERS = "Abcdef0123456789" * 3
SHAPES = {
    "openai or anthropic": ["sk-" + LETTERS],
    "github": [f"gh{letter}_" + LETTERS for letter in "pousr"],
    "github, fine-grained": ["github" + "_pat_" + LETTERS],
    "gitlab": ["glpat" + "-" + LETTERS],
    "slack": [f"xox{letter}-" + LETTERS for letter in "abeoprs"],
    "aws": [start + "0123456789ABCDEF" for start in ("AKIA", "ASIA")],
    "google": ["AIza" + LETTERS],
    "npm": ["npm" + "_" + LETTERS],
    "pypi": ["pypi" + "-" + LETTERS],
    "hugging face": ["hf" + "_" + LETTERS],
    "stripe": [f"{letter}k_{mode}_" + LETTERS for letter in "rs" for mode in ("live", "test")],
    "jwt": ["eyJ" + LETTERS + ".eyJ" + LETTERS + ".x"],
    "private key": [f"-----BEGIN {kind}PRIVATE KEY-----" for kind in ("", "RSA ", "OPENSSH ")],
}


def test_each_shape_has_a_planted_secret() -> None:
    assert SHAPES.keys() == child_environment.SECRET_SHAPES.keys()


@pytest.mark.promise("S8")
@pytest.mark.parametrize("issuer", SHAPES)
def test_a_value_is_withheld_for_its_shape_whatever_its_name(issuer: str) -> None:
    for value in SHAPES[issuer]:
        assert child_environment.looks_secret("LC_HARMLESS", value), value
        policy = child_environment.ChildPolicy({"LC_HARMLESS": value})
        assert "LC_HARMLESS" not in policy.environment()
        assert policy.environment().keys() == child_environment.FIXED.keys() | {child_environment.DEPTH}


@pytest.mark.parametrize(
    "word",
    [
        *("api_key", "apikeys", "key", "token", "tokens", "secret", "secrets", "pass", "passwd", "password"),
        *("passphrase", "credential", "credentials", "auth", "cookie", "dsn", "pat", "db_pwd"),
    ],
)
def test_a_word_of_a_name_gives_a_secret_away_alone_and_between_others(word: str) -> None:
    for name in (word, f"MY_{word}", f"{word}_1", f"MY_{word.upper()}_PROD"):
        assert child_environment.looks_secret(name, "x"), name
    for name in (f"MY{word}", f"{word}ING"):
        assert not child_environment.looks_secret(name.replace("_", ""), "x"), name


@pytest.mark.parametrize("end", ["SOCK", "FILE", "PATH", "DIR"])
def test_a_name_that_says_where_a_secret_lies_is_none(end: str) -> None:
    assert not child_environment.looks_secret(f"SSH_KEY_{end}", "/somewhere")
    assert child_environment.looks_secret(f"SSH_KEY_{end}_TEXT", "/somewhere")


@pytest.mark.promise("S18")
@pytest.mark.parametrize(("depth", "limit", "too_deep"), [(0, 2, False), (1, 2, False), (2, 2, True), (0, 0, True)])
def test_each_child_stands_one_deeper_and_nothing_can_say_otherwise(depth: int, limit: int, *, too_deep: bool) -> None:
    policy = child_environment.ChildPolicy(
        {child_environment.DEPTH: "0"}, frozenset({child_environment.DEPTH}), depth, limit
    )
    assert policy.too_deep is too_deep
    assert policy.environment({child_environment.DEPTH: "0"})[child_environment.DEPTH] == str(depth + 1)


def test_what_is_added_wins_over_what_is_passed_and_that_over_what_is_fixed() -> None:
    policy = child_environment.ChildPolicy({"TERM": "xterm", "HOME": "/me"}, frozenset({"TERM"}))
    assert policy.environment()["TERM"] == "xterm"
    assert policy.environment({"TERM": "vt100", "HOME": "/other"}) | {"x": ""} == {
        **child_environment.FIXED,
        "TERM": "vt100",
        "HOME": "/other",
        child_environment.DEPTH: "1",
        "x": "",
    }


def test_the_variables_of_a_policy_are_not_shown() -> None:
    assert "hunter2" not in repr(child_environment.ChildPolicy({"DB_PASSWORD": "hunter2"}))


@pytest.mark.parametrize(("dollars", "budget"), [(None, None), (0.25, "0.250000"), (1e-6, "0.000001")])
def test_a_child_is_told_what_it_may_spend_and_nothing_can_raise_it(dollars: float | None, budget: str | None) -> None:
    policy = child_environment.ChildPolicy({})
    extra = {} if budget is None else {child_environment.BUDGET: "1000"}
    assert policy.environment(extra, dollars=dollars).get(child_environment.BUDGET) == budget
