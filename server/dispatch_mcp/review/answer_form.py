"""The one form of a reviewer's answer: as prompts ask for it, as role files show it, and as a schema that holds it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

from dispatch_mcp import model
from dispatch_mcp.review import findings

VERDICTS: Final[tuple[findings.Verdict, ...]] = ("PASS", "FAIL")
RULINGS: Final[tuple[findings.Ruling, ...]] = ("gone", "stands", "refuted")

FIELDS: Final[Mapping[str, str]] = {
    "severity": " | ".join(findings.SEVERITIES),
    "file": "path as in the diff",
    "line": "",
    "quote": "copied from the diff, character for character",
    "claim": "what is wrong, in one sentence",
    "evidence": "the input, path or figure that shows it",
    "fix": "the smallest change that removes it",
}
"""The fields of a finding and what stands in them; `line` is a number."""

FILES: Final = "path as in the diff, of each file of it that you have read, at most 20"

_EXAMPLE: Final[Mapping[str, model.Json]] = {
    "verdict": " or ".join(VERDICTS),
    "files": [FILES],
    "findings": [{name: words or 0 for name, words in FIELDS.items()}],
}

RULES: Final = """\
FAIL when at least one finding is critical or high, otherwise PASS; with nothing to report `"findings": []`. A PASS \
that names no file of the change counts for nothing. `line` is the line of the quote in the new version of the file \
(for a removed line, in the old one). The server looks up every quote in the change: a finding whose quote is not \
there counts for nothing."""

FORM: Final = f"""\
End your answer with one fenced JSON block of this form and nothing after it:
```json
{json.dumps(_EXAMPLE)}
```
{RULES}"""

SCHEMA_FORM: Final = f"Answer in the structured form that you are asked for, without a fenced block. {RULES}"
"""What is said in place of `FORM` to whoever is held to the schema."""

OUTPUT: Final = f"A verdict, {' or '.join(VERDICTS)}, with the files that you have read and what you have found in them"
"""What a review hands over; its form stands below it once, as `FORM` or `SCHEMA_FORM`."""

_RULING: Final[Mapping[str, model.Json]] = {
    "finding": "id",
    "ruling": " | ".join(RULINGS),
    **{name: 0 if name == "line" else "" for name in ("file", "line", "quote", "evidence")},
}

_RULINGS: Final = (
    "with one entry for each earlier finding: `gone` quotes what now stands there instead, `refuted` quotes the "
    "counter-evidence, `stands` needs neither."
)

EARLIER_FORM: Final = f"""\

Add `"earlier": [{json.dumps(_RULING)}]` {_RULINGS}"""

EARLIER_SCHEMA_FORM: Final = f"\nFill in `earlier` {_RULINGS}"


def schema(*, earlier: bool = False) -> dict[str, model.Json]:
    """Returns the JSON schema of an answer, closed and with every field required; with rulings if `earlier`."""
    finding = _object({name: _field(name) for name in FIELDS} | {"severity": _words(findings.SEVERITIES)})
    ruling = _object({name: _field(name) for name in _RULING} | {"ruling": _words(RULINGS)})
    answer: dict[str, model.Json] = {
        "verdict": _words(VERDICTS),
        "files": {"type": "array", "items": {"type": "string", "description": FILES}},
        "findings": {"type": "array", "items": finding},
    }
    return _object(answer | ({"earlier": {"type": "array", "items": ruling}} if earlier else {}))


def _field(name: str) -> dict[str, model.Json]:
    kind: dict[str, model.Json] = {"type": "integer" if name == "line" else "string"}
    return {**kind, "description": FIELDS[name]} if FIELDS.get(name) else kind


def _words(words: Sequence[str]) -> dict[str, model.Json]:
    return {"type": "string", "enum": list(words)}


def _object(properties: Mapping[str, model.Json]) -> dict[str, model.Json]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


SCHEMA: Final[Mapping[str, model.Json]] = schema()
"""The schema of an answer to a first round."""
