"""Secrets taken out of text before it is written anywhere (promise S10)."""

from __future__ import annotations

import base64
import functools
import html
import json
import re
import string
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final, NamedTuple
from urllib import parse

from dispatch_mcp.text import json_types
from dispatch_mcp.text.json_types import Json

SHORTEST: Final = 6
"""Shorter secrets are not looked for by value: they would blot out ordinary words."""

MAX_DEPTH: Final = 100
"""How deeply nested JSON is walked; what lies deeper is taken out whole."""

_LONG_LINE = 20
"""A secret of several lines (a key block) is also looked for line by line, in lines that are no ordinary words."""


class SecretPattern(NamedTuple):
    """How one kind of secret looks. The text is searched only when it holds one of `hints`.

    The group `secret`, if there is one, is what is taken out; else the whole match.
    """

    kind: str
    hints: tuple[str, ...]
    source: str
    flags: re.RegexFlag

    @property
    def regex(self) -> re.Pattern[str]:
        """The pattern, compiled when a text first holds a hint: most are never needed, and a start waits for none."""
        return _compiled(self.source, self.flags)

    def may_be_in(self, text: str) -> bool:
        """Returns whether a text holds one of the hints."""
        for hint in self.hints:  # noqa: SIM110  # `any` would make a generator for each pattern and string
            if hint in text:
                return True
        return False


def _pattern(kind: str, hints: str, regex: str, flags: re.RegexFlag = re.NOFLAG) -> SecretPattern:
    return SecretPattern(kind, tuple(hints.split()), regex, flags | re.ASCII)


@functools.cache
def _compiled(source: str, flags: re.RegexFlag) -> re.Pattern[str]:
    return re.compile(source, flags)


# Before a token: no letter or digit, unless it is an option's (`-p`) or ends an escape (`\n`, `%3D`) of encoded text.
_START = r"(?:(?<![A-Za-z0-9])|(?<=-[A-Za-z])|(?<=\\[nrt])|(?<=%[0-9A-Fa-f]{2}))"
# The same behind the first character of a token: where most texts hold the hint, the rare first character leads.
_BEHIND_FIRST = r"(?:(?<![A-Za-z0-9].)|(?<=-[A-Za-z].)|(?<=\\[nrt].)|(?<=%[0-9A-Fa-f]{2}.))"
# The same for a token that may itself hold what begins one: it would be looked for again behind every hyphen of a text.
_START_OF_PARTS = r"(?:(?<![\w-])|(?<=\\[nrt])|(?<=%[0-9A-Fa-f]{2}))"
_KEY_HEAD = r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
_KEY_FOOT = r"-----END (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
_BASE64_LINE = r"[A-Za-z0-9+/=]{40,}"
# What is left of a key whose head was cut away: nothing but Base64 up to its foot.
_KEY_REST = rf"[A-Za-z0-9+/=\s]+{_KEY_FOOT}"
# Names under which programs and documents keep a secret; all its alternatives may be written with `_`, `-` or neither.
_NAMES = r"(?:password|passwd|pwd|secret|api[_-]?key|access[_-]?key|auth[_-]?token|access[_-]?token|refresh[_-]?token)"
# What stands where a secret would, and is none: a mark of ours, a variable to fill in, a word of an example.
_NOT_A_VALUE = r"(?!\[redacted|[$<{%*]|(?:your|my|the|an?|some|test|fake|dummy|example|change|none|null|true|false)\b)"

# Scheme, user, then the password up to the `@`; not a template such as `://user:${PASSWORD}@`.
_URL_LOGIN = r"\b[A-Za-z][A-Za-z0-9+.-]{0,30}://[^\s/@:'\"<>]*:(?P<secret>(?![{$<])[^\s/@'\"]+)@"

# A letter and a digit at least, so that no word with hyphens is one; the prefixes say which of its keys it is.
_OPENAI_KEY = r"sk-(?:proj-|svcacct-|admin-|or-v1-)?(?=[\w-]{0,200}\d)(?=[\w-]{0,200}[A-Za-z])\w[\w-]{19,}"

# It has no form of its own but 40 characters of Base64: only its name gives it away.
_AWS_NAME = r"(?i:aws_?secret_?(?:access_?)?key|secretAccessKey)"
_AWS_SECRET = rf"{_AWS_NAME}[\"']?\s*[:=]\s*[\"']?(?P<secret>[A-Za-z0-9/+]{{40}})\b"

# A name, `=` or `:`, and a quoted value of one word with a digit or sign in it; the letters are those that names have.
_QUOTED_VALUE = rf"(?P<secret>(?i:{_NOT_A_VALUE})(?=[^\"'\s]{{0,200}}[\d!@#%^&*])[^\"'\s]{{8,200}})"
_PASSWORD = rf"(?=[PpSsAaRr])(?i:{_NAMES})[\"']?\s{{0,4}}[:=]\s{{0,4}}([\"']){_QUOTED_VALUE}\1"

# A line of an environment file or a shell: the name in capitals, and a value without quotes that has a digit.
_VARIABLE_NAME = r"[A-Z0-9_]{0,40}(?:PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|PRIVATE_KEY)[A-Z0-9_]{0,40}"
_PLAIN_VALUE = rf"(?P<secret>(?i:{_NOT_A_VALUE})(?=\S{{0,200}}\d)[^\s\"'`()\[\]]{{8,}})"

# Of a person, the command line and so on; a service token may name its environment before the body.
_DOPPLER_KIND = r"(?:(?:pt|ct|sa|said|scim|audit)\.|st\.(?:[a-z0-9_-]{2,35}\.)?)"

# Kinds with a prefix; a licence key has only its end: a region, hexadecimal digits, NRAL.
_NEW_RELIC_KEY = r"(?:NR(?:AK|AA|RA|II|IQ|SP|JS)-[A-Za-z0-9_-]{19,}|[A-Za-z0-9]{6}[0-9a-fA-F]{30}NRAL\b)"

# Service accounts with a checksum; cloud access policies; older keys, which are Base64 of an object with the name `k`.
_GRAFANA_FORM = r"(?:glsa_[A-Za-z0-9]{32}_[0-9a-fA-F]{8}\b|(?:glc_|eyJrIjoi)[A-Za-z0-9+/]{32,}={0,2})"

PATTERNS: Final[tuple[SecretPattern, ...]] = (
    _pattern("private-key", "-----BEGIN", rf"{_KEY_HEAD}(?:[^-\"']|-(?!----)){{1,20000}}?{_KEY_FOOT}"),
    _pattern(
        "private-key",
        "-----BEGIN",
        rf"{_KEY_HEAD}(?P<secret>(?:\s|\\[nr])+{_BASE64_LINE}(?:(?:\s|\\[nr])+{_BASE64_LINE})*)",
    ),
    _pattern("private-key", "left out ...]", rf"left out \.\.\.\]\s(?P<secret>(?:[^\n]{{0,80}}-\n)?{_KEY_REST})"),
    _pattern("jwt", "eyJ", rf"{_START_OF_PARTS}eyJ[\w-]{{8,}}\.eyJ[\w-]{{8,}}\.[\w-]*"),
    _pattern("url-password", "://", _URL_LOGIN),
    _pattern("authorization", "earer asic", r"\b(?i:bearer|basic)[ :]+(?P<secret>(?=\S{0,200}\d)[\w.~+/-]{16,}=*)"),
    _pattern("dispatch-token", "dmcp_", rf"{_START}dmcp_[\w-]{{40,}}"),
    _pattern("anthropic-key", "sk-ant-", rf"{_START}sk-ant-[\w-]{{16,}}"),
    _pattern("openai-key", "sk-", rf"{_START}{_OPENAI_KEY}"),
    _pattern(
        "github-token", "ghp_ gho_ ghu_ ghs_ ghr_ github_pat_", rf"{_START}(?:gh[pousr]_\w{{30,}}|github_pat_\w{{22,}})"
    ),
    _pattern("gitlab-token", "glpat- gldt- glrt- glcbt- glptt-", rf"{_START}gl(?:pat|dt|rt|cbt|ptt)-[\w-]{{20,}}"),
    _pattern("aws-key-id", "AKIA ASIA ABIA ACCA", rf"{_START}A(?:KIA|SIA|BIA|CCA)[A-Z0-9]{{16}}\b"),
    _pattern("aws-secret", "aws AWS secretAccessKey", _AWS_SECRET),
    _pattern("google-key", "AIza", rf"{_START}AIza[\w-]{{35}}"),
    _pattern("google-token", "ya29. GOCSPX-", rf"{_START}(?:ya29\.[\w-]{{20,}}|GOCSPX-[\w-]{{20,}})"),
    _pattern("slack-token", "xox xapp-", rf"{_START}(?:xox[abeoprs]-|xapp-\d-)[\w-]{{10,}}"),
    _pattern("slack-webhook", "hooks.slack.com", r"hooks\.slack\.com/(?:services|workflows)/(?P<secret>[\w/]{20,})"),
    _pattern("discord-webhook", "/api/webhooks/", r"/api/webhooks/\d{15,}/(?P<secret>[\w-]{40,})"),
    _pattern("stripe-key", "_live_ _test_ whsec_", rf"{_START}(?:[sr]k_(?:live|test)_|whsec_)[A-Za-z0-9]{{16,}}"),
    _pattern("pypi-token", "pypi-", rf"{_START}pypi-[\w-]{{50,}}"),
    _pattern("npm-token", "npm_", rf"{_START}npm_[A-Za-z0-9]{{36}}\b"),
    _pattern("sendgrid-key", "SG.", rf"{_START}SG\.[\w-]{{16,}}\.[\w-]{{16,}}"),
    _pattern("twilio-key", "SK", rf"{_START}SK[0-9a-f]{{32}}\b"),
    _pattern("mailgun-key", "key-", rf"{_START}key-[0-9a-f]{{32}}\b"),
    _pattern("huggingface-token", "hf_", rf"{_START}hf_[A-Za-z0-9]{{30,}}"),
    _pattern("digitalocean-token", "_v1_", rf"{_START}do[oprt]_v1_[0-9a-f]{{64}}\b"),
    _pattern("telegram-token", ":AA", rf"{_START}\d{{8,10}}:AA[\w-]{{32,35}}"),
    _pattern("discord-token", ".", rf"[MNO]{_BEHIND_FIRST}[A-Za-z0-9_-]{{23,27}}\.[\w-]{{6}}\.[\w-]{{27,40}}\b"),
    _pattern(
        "azure-key",
        "AccountKey= SharedAccessKey= sig=",
        r"(?:AccountKey|SharedAccessKey|sig)=(?P<secret>[\w+/%-]{40,}=*)",
    ),
    _pattern("shopify-token", "shpat_ shpca_ shppa_ shpss_", rf"{_START}shp(?:at|ca|pa|ss)_[0-9a-fA-F]{{32}}\b"),
    _pattern("databricks-token", "dapi", rf"{_START}dapi[0-9a-f]{{32}}\b"),
    _pattern("vault-token", "hvs. hvb.", rf"{_START}hv[sb]\.[\w-]{{24,}}"),
    _pattern("age-key", "AGE-SECRET-KEY-1", rf"{_START}AGE-SECRET-KEY-1[A-Z0-9]{{58}}"),
    _pattern(
        "provider-key", "gsk_ xai- pplx- r8_", rf"{_START}(?:gsk_|xai-|pplx-|r8_)(?=[\w-]{{0,200}}\d)[A-Za-z0-9]{{32,}}"
    ),
    _pattern(
        "service-token", "dckr_pat_ lin_api_ ntn_ ATATT3", rf"{_START}(?:dckr_pat_|lin_api_|ntn_|ATATT3)[\w=-]{{24,}}"
    ),
    _pattern("doppler-token", "dp.", rf"{_START}dp\.{_DOPPLER_KIND}[A-Za-z0-9]{{40,44}}\b"),
    _pattern("newrelic-key", "NRAK- NRAA- NRRA- NRII- NRIQ- NRSP- NRJS- NRAL", rf"{_START}{_NEW_RELIC_KEY}"),
    _pattern("grafana-token", "glsa_ glc_ eyJrIjoi", rf"{_START}{_GRAFANA_FORM}"),
    _pattern("planetscale-token", "pscale_", rf"{_START}pscale_(?:tkn|pw|oauth|otkn)_[\w.=-]{{32,}}"),
    _pattern("password", "= :", _PASSWORD),
    _pattern("variable", "=", rf"^(?:export )?{_VARIABLE_NAME}={_PLAIN_VALUE}", re.MULTILINE),
)

_SECRET_KEY = re.compile(rf"(?:^|[_.-])(?:{_NAMES}|authorization|private[_-]?key|client[_-]?secret)$", re.IGNORECASE)


class Redactor:
    """Takes out the values it was given and whatever looks like a secret. Redacting twice changes nothing more."""

    def __init__(self, secrets: Collection[str] = ()) -> None:
        # Longest first: a secret that begins with another one must not be cut in two.
        forms = {form for secret in secrets for form in _forms(secret)}
        alternatives = sorted(forms, key=lambda form: (-len(form), form))
        self._exact = re.compile("|".join(map(re.escape, alternatives))) if alternatives else None

    def redact(self, text: str) -> str:
        """Returns `text` with each secret replaced by `[redacted:<kind>]`."""
        return _without(text, self._exact, _possible(text))

    def redact_json(self, value: Json) -> Json:
        """Returns a JSON value with its strings and keys redacted, and strings under names such as `password` whole."""
        # Most values have very many short strings and few of the hints: those are looked for in all of it at once.
        whole = "\n".join(_strings(value))
        exact = self._exact if self._exact is not None and self._exact.search(whole) else None
        return _JsonWalk(exact, _possible(whole)).walk(value, 0)


class _JsonWalk:
    """Walks one JSON value with those patterns that can match in it."""

    def __init__(self, exact: re.Pattern[str] | None, patterns: Sequence[SecretPattern]) -> None:
        self._exact, self._patterns = exact, patterns
        self._names: dict[str, tuple[str, bool]] = {}

    def walk(self, value: Json, depth: int) -> Json:
        """Returns a value that lies so deep without secrets."""
        if isinstance(value, str):
            return _without(value, self._exact, self._patterns)
        if depth >= MAX_DEPTH:
            return value if isinstance(value, bool | int | float) or value is None else _mark("too-deep")
        if json_types.is_list(value):
            return [self.walk(item, depth + 1) for item in value]
        if json_types.is_object(value):
            return dict([self._field(key, item, depth + 1) for key, item in value.items()])
        return value

    def _field(self, key: str, value: Json, depth: int) -> tuple[str, Json]:
        name, is_secret = self._name(key)
        if is_secret and isinstance(value, str) and len(value) >= SHORTEST:
            return name, value if value.startswith("[redacted:") else _mark("field")
        return name, self.walk(value, depth)

    def _name(self, key: str) -> tuple[str, bool]:
        """Returns a key redacted, and whether it names a secret; most keys of a value come again and again."""
        if key not in self._names:
            self._names[key] = _without(key, self._exact, self._patterns), bool(_SECRET_KEY.search(key))
        return self._names[key]


_HINTS: Final = tuple((hint, place) for place, pattern in enumerate(PATTERNS) for hint in pattern.hints)


def _possible(text: str) -> list[SecretPattern]:
    """Returns the patterns of which a text holds a hint, in their order."""
    return [PATTERNS[place] for place in sorted({place for hint, place in _HINTS if hint in text})]


def _without(text: str, exact: re.Pattern[str] | None, patterns: Iterable[SecretPattern]) -> str:
    """Returns a text without what these patterns find."""
    if exact is not None:
        text = exact.sub(_mark("secret"), text)
    for pattern in patterns:
        if pattern.may_be_in(text):
            text = pattern.regex.sub(_Replacement(pattern.kind), text)
    return text


def _strings(value: Json) -> Iterator[str]:
    """Yields the strings and keys in a JSON value, however deep."""
    rest = [value]
    while rest:
        item = rest.pop()
        if isinstance(item, str):
            yield item
        elif json_types.is_list(item):
            rest += item
        elif json_types.is_object(item):
            yield from item
            rest += item.values()


class _Replacement(NamedTuple):
    kind: str

    def __call__(self, match: re.Match[str]) -> str:
        if "secret" not in match.re.groupindex:
            return _mark(self.kind)
        start, end = match.span("secret")
        head, tail = match.string[match.start() : start], match.string[end : match.end()]
        return f"{head}{_mark(self.kind)}{tail}"


_GRAPHIC: Final = string.ascii_letters + string.digits + string.punctuation
_WITHIN_TOKENS: Final = _GRAPHIC.translate(str.maketrans("", "", "\"'`{}[](),;<>|"))


def beginning(text: str, limit: int) -> str:
    """Returns the first characters of a text, without a word that would be cut: nobody recognises half a secret."""
    return _without_last(text[:limit], text[limit : limit + 1])


def ending(text: str, limit: int) -> str:
    """Returns the last characters of a text, without a line that would be cut, or a word of the only one.

    A name may stand before a secret that is recognised by nothing else. Of a key that would be cut nothing stays.
    """
    end = _whole_lines(text, limit)
    return re.sub(rf"\A{_KEY_REST}", _mark("private-key"), end) if limit < len(text) else end


def _whole_lines(text: str, limit: int) -> str:
    tail, before = text[len(text) - limit :] if limit < len(text) else text, text[: max(0, len(text) - limit)][-1:]
    rest = tail.partition("\n")[2]
    if before not in ("", "\n") and rest.strip():
        return rest
    return _without_last(tail[::-1], before)[::-1]


def _without_last(text: str, behind: str) -> str:
    """Returns a text without its last word, if the character behind it belongs to that too."""
    if not behind or behind not in _GRAPHIC:
        return text
    return text.rstrip(_GRAPHIC) or text.rstrip(_WITHIN_TOKENS)


def _mark(kind: str) -> str:
    return f"[redacted:{kind}]"


def _forms(secret: str) -> Iterator[str]:
    """Yields the ways in which a secret may stand in text: as it is, escaped, encoded, and line by line."""
    core = secret.strip()
    if len(core) < SHORTEST:
        return
    yield from {secret, core, parse.quote(core, safe=""), html.escape(core)}
    yield from {json.dumps(core)[1:-1], json.dumps(core, ensure_ascii=False)[1:-1]}
    yield base64.b64encode(core.encode("utf-8", "replace")).decode().rstrip("=")
    yield from (line.strip() for line in core.splitlines() if len(line.strip()) >= _LONG_LINE)
