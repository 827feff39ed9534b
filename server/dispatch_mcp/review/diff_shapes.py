"""What the shape of a change says about its subjects: loops around queries, code without tests, names that go."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from dispatch_mcp.review import diff_facts, review_scope, signs, signs_dependencies, signs_performance
from dispatch_mcp.text import unified_diff


class Found(NamedTuple):
    """A sign that was found, where, and how often."""

    name: str
    subject: signs.Subject
    weight: float
    said: str
    path: str = ""
    times: int = 1


LOOP: Final = signs.lowered(
    r"^\s*(?:\}?\s*(?:for|while|foreach|loop|until)\b|.*\.(?:for_?each|map|flat_?map|each|each_with_index"
    r"|each_with_object|reduce|filter|select|times|"
    r"collect|find_each)\b\s*(?:\(|do\b|\{)|.*\bdo\s*\|\w|@(?:for|foreach)\b|.*\{%-?\s*for\b|.*\bv-for="
    r"|.*\*ngFor|.*<%\s*.*\.each|go func)"
)
_ON_ONE_LINE = signs.lowered(r"\bfor\b.+\bin\b|\.(?:map|for_?each|each|collect|flat_?map)\s*[\(\{]")
_STRONG = signs.lowered(
    r"\.objects\b|query|cursor\.execute|session\.\w+\(|\bselect\b.+\bfrom\b|\b(?:requests|axios|httpx"
    r"|prisma|knex|redis)\b|fetch\(|http\.|\.find(?:one|by|unique|first|all|many|_by|byid|bypk)\w*\("
    r"|"
    r"repo(?:sitory)?\w*\.|\.where\(|\bdb\.|dao\.|await\s|urlopen|client\.|\.execute\w*\(|\.exec\(|\.save\(|service\."
)
_AWAITED = signs.lowered(r"\bawait\b(?!\s+(?:asyncio\.)?(?:gather|promise\.all|sleep))")
_IN_LOOP_COSTS = signs.lowered(
    r"\bin\s+\w*(?:list|seen|result|items|visited|names|ids|all_\w+|users|existing)\b\s*(?:\)|:|\{"
    r"|and|or)|\.(?:index|indexof|includes|contains|count|find|findindex|some|filter|remove|splice"
    r"|shift|insert)\(|\+=\s*[\"'f`\w].*[\"'`]|"
    r"re\.compile|new regexp|regexp\.mustcompile|pattern\.compile|deepcopy|json\.(?:parse|loads|dumps"
    r"|stringify)|open\(|connect\w*\(|\.sort\(|sorted\(|new \w*(?:client|connection)|pd\.concat|\.append\(.*\+"
    r"|concat\(|len\(|strings?\.\w*\(|\.clone\(\)"
)
_VARIABLE = re.compile(
    r"\bfor\s*\(?\s*(?:const|let|var|auto|final|\w+\s+)?&?\s*(\w+)\s*(?:,\s*\w+\s*)?(?:\)\s*)?(?:in"
    r"|of|:|:=\s*range)\b|\{%-?\s*for\s+(\w+)\s+in|\|(\w+)\||\(?(\w+)\)?\s*=>",
    re.IGNORECASE,
)
_ASYNC = signs.lowered(
    r"^\s*(?:async\s+def|async\s+function|async\s+\w+\s*\(|suspend\s+fun|(?:export\s+)?(?:const|let)\s+\w+\s*="
    r"\s*async|public\s+async|async\s+fn|pub\s+async)"
)
_BLOCKS = signs.lowered(
    r"time\.sleep\(|requests\.\w+\(|\w+sync\(|thread\.sleep|open\([^)]*\)\.read|subprocess\.run|urlopen"
    r"|\.result\b|std::fs::|psycopg2|cursor\.execute"
)

_LOOPING = re.compile(r"\bfor|while|until|loop|each|async|\.(?:map|flat|reduce|filter|select|times|collect)|\bdo\b")

BRANCH: Final = re.compile(
    r"\b(?:if|elif|else|for|while|switch|case|match|when|catch|except|raise|throw|return|rescue|guard"
    r"|unless)\b|\?\s*.+:|&&|\|\|"
)
_DEFINES = re.compile(
    r"^\s*(?:export\s+)?(?:default\s+)?(?:public\s+|protected\s+|internal\s+|static\s+|final\s+|abstract\s+"
    r"|override\s+|async\s+|pub(?:\(\w+\))?\s+|open\s+|suspend\s+|sealed\s+|data\s+|virtual\s+)*"
    r"(?:(?:def|class|function|func|fn|fun|interface|struct|enum|trait|type|module|record|protocol)\s+"
    r"(?:\([^)]*\)\s*)?(?:self\.)?([A-Za-z]\w*[?!]?)|"
    r"(?:[A-Za-z_][\w<>\[\],.?]*\s+)([A-Za-z]\w*)\s*\([^;]*\)\s*(?:throws\s+[\w, ]+)?\s*\{)|"
    r"^\s*export\s+(?:const|let|var)\s+([A-Za-z]\w*)",
)
_PUBLIC_ONLY = re.compile(r"^\s*(?:private|protected)\b|^\s*(?:def|fn|func)\s+_")
_COMMENTED_CODE = re.compile(
    r"^\s*(?:#|//|--|/\*|\*)\s*(?:[\w.]+\s*\(.*\)\s*[;:{]?|[\w.\[\]]+\s*[+-]?=\s*\S.*|(?:if|for|while"
    r"|return|def|else|try|await|const|let|var|import|from)\b.*[;:{(\w)])\s*$"
)
_IMPORT = {
    "python": re.compile(r"^\s*(?:import|from)\s+([A-Za-z_]\w*)", re.MULTILINE),
    "javascript": re.compile(
        r"(?:^|\n)\s*(?:import\b[^\n]*?from\s*|import\s*|(?:const|let|var)\s[^\n]*=\s*require\(\s*|export\s[^\n]*f"
        r"rom\s*)[\"']((?:@[\w.-]+/)?[\w.-]+)"
    ),
    "go": re.compile(
        r"^\s*(?:import\s+)?(?:\w+\s+)?\"((?:github|gitlab|golang|gopkg|go)\.\w[\w.-]*/[\w./-]+|go\.\w+\.\w+/[\w./"
        r"-]+)\"",
        re.MULTILINE,
    ),
    "ruby": re.compile(r"^\s*require\s+[\"']([\w-]+)", re.MULTILINE),
    "rust": re.compile(
        r"^\s*(?:use|extern crate)\s+(?!crate|self|super|std|core|alloc)([a-z_]\w*)(?:::|;)", re.MULTILINE
    ),
    "php": re.compile(r"^\s*use\s+(?!App\\|function|const)([A-Z]\w+)\\", re.MULTILINE),
}
_IMPORT["typescript"] = _IMPORT["javascript"]
_BUILT_IN = frozenset(sys.stdlib_module_names) | frozenset(
    [
        "fs",
        "path",
        "os",
        "http",
        "https",
        "url",
        "util",
        "crypto",
        "events",
        "stream",
        "child_process",
        "net",
        "zlib",
        "assert",
        "buffer",
        "process",
        "cluster",
        "readline",
        "tls",
        "dns",
        "vm",
        "node",
        "react",
        "set",
        "json",
        "time",
        "date",
        "securerandom",
        "digest",
        "fileutils",
        "yaml",
        "csv",
        "erb",
        "logger",
        "open-uri",
        "pathname",
        "tempfile",
        "uri",
        "bundler",
        "minitest",
        "test",
        "rails",
        "app",
        "src",
        "lib",
        "tests",
    ]
)
_NORMALISES = re.compile(
    r"\b(?:round|decimal|utc|timezone|strip|trim|lower|sorted|order_by|default|coalesce|isoformat|ceil"
    r"|floor|tofixed|valueerror|keyerror|copy|quantize|null|none|or\s+\d)\b",
    re.IGNORECASE,
)
_TESTED_ELSEWHERE = frozenset(
    {"docker", "terraform", "sql", "html", "css", "make", "protobuf", "graphql", "shell", "groovy"}
)


def look(known: diff_facts.Facts) -> list[Found]:
    """Returns what the shape of a change says, one entry a sign."""
    return [found for shape in _SHAPES for found in shape(known)]


def _loops(known: diff_facts.Facts) -> Iterator[Found]:
    tally: dict[str, list[str]] = {}
    for source in known.of("code"):
        if source.added:
            for name in _of_loops(source):
                tally.setdefault(name, []).append(source.path)
    for name, paths in tally.items():
        weight, said = _LOOP_SIGNS[name]
        yield Found(name, "performance", weight, said, paths[0], len(paths))


_LOOP_SIGNS: Final = {
    "query-in-loop": (9.0, "a query or call per element of a loop"),
    "call-in-loop": (6.5, "what may be a query per element of a loop"),
    "relation-in-loop": (6.0, "a related record per element of a loop"),
    "await-in-loop": (7.0, "one awaited call after the other in a loop"),
    "cost-in-loop": (6.0, "a step in a loop that costs more the more there is"),
    "loop-in-loop": (6.0, "a loop in a loop"),
    "blocks-async": (8.0, "a blocking call in asynchronous code"),
}


@dataclass(slots=True)
class _Frame:
    """A line that others are indented below. `loop` is the loop it opens, if it does."""

    indent: int
    new: bool
    loop: str = ""
    asynchronous: bool = False
    function: bool = False


class _Lines:
    """Follows the new side of a hunk and knows, at every line, the loops around it."""

    def __init__(self) -> None:
        self._frames: list[_Frame] = []

    def step(self, text: str, *, new: bool) -> tuple[_Frame | None, bool]:
        """Returns the innermost loop around a line, and whether the line is in asynchronous code."""
        frames = self._frames
        indent = len(text) - len(text.lstrip())
        while frames and frames[-1].indent >= indent:
            frames.pop()
        loop, asynchronous = self._around()
        low = text.lower()
        opens = text if _may_loop(low) and LOOP.match(low) else ""
        function = not opens and _may_define(text) and bool(_DEFINES.match(text))
        parallel = ("async" in text or "suspend" in text) and bool(_ASYNC.match(low))
        frames.append(_Frame(indent, new, opens, parallel, function))
        return loop, asynchronous

    def _around(self) -> tuple[_Frame | None, bool]:
        """Looks from the inside to the innermost function and no further."""
        loop: _Frame | None = None
        for frame in reversed(self._frames):
            if frame.loop and loop is None:
                loop = frame
            if frame.asynchronous:
                return loop, True
            if frame.function:
                break
        return loop, False


def _may_loop(text: str) -> bool:
    """Whether it is worth looking for a loop in a line; `in` is many times faster than a pattern."""
    return "for" in text or "while" in text or "each" in text or ".map" in text or "do" in text or _BLOCK_CALL in text


def _may_define(text: str) -> bool:
    return "def " in text or "fun" in text or "fn " in text or "class " in text or text.rstrip().endswith("{")


_BLOCK_CALL = ".select"


def _of_loops(source: diff_facts.Source) -> set[str]:
    found: set[str] = set()
    for hunk in source.hunks:
        if not _LOOPING.search("\n".join(hunk.lines)):
            continue
        lines = _Lines()
        for line in hunk.lines:
            text = line[1:]
            if line[0] in " +" and text and not text.isspace():
                new = line[0] == "+"
                loop, asynchronous = lines.step(text, new=new)
                if new or (loop and loop.new):
                    found |= _of_line(loop.loop if loop else "", text, asynchronous=asynchronous)
    return found


def _of_line(loop: str, text: str, *, asynchronous: bool) -> set[str]:
    """Returns the signs in one line, given the header of the loop around it, if there is one."""
    plain = text.replace("->", ".").replace("::", ".").replace("?.", ".")
    low = plain.lower()
    checks = {
        "call-in-loop": not loop and _is_comprehended(low),
        "blocks-async": asynchronous and "await" not in low and bool(_BLOCKS.search(low)),
    }
    if loop:
        opens = bool(LOOP.match(low))
        queries = not opens and bool(signs_performance.QUERY.search(low))
        strong = queries and bool(_STRONG.search(low))
        checks |= {
            "query-in-loop": strong,
            "call-in-loop": queries and not strong,
            "await-in-loop": bool(_AWAITED.search(low)),
            "loop-in-loop": opens,
            "cost-in-loop": bool(_IN_LOOP_COSTS.search(low)),
            "relation-in-loop": _is_related(loop, plain),
        }
    return {name for name, true in checks.items() if true}


def _is_comprehended(text: str) -> bool:
    """Whether a line holds a loop of its own with a query in it."""
    if not _may_loop(text) or not _ON_ONE_LINE.search(text):
        return False
    called = bool(signs_performance.QUERY.search(text)) and bool(_STRONG.search(text))
    return called and "await" not in text.split("for", maxsplit=1)[0]


def _is_related(header: str, text: str) -> bool:
    """Whether a line goes from the element of a loop to something behind one of its attributes."""
    names = _VARIABLE.search(header)
    name = next((group for group in names.groups() if group), "") if names else ""
    tails = text.split(f"{name}.")[1:] if name else []
    if any(_GETS_MANY.match(tail) for tail in tails):
        return True
    reached = [tail for tail in tails if _REACHED.match(tail)]
    return bool(reached) and bool(_STORED.search(header + text))


_GETS_MANY = re.compile(
    r"get[A-Z]\w*(?:s|List|Set|Collection)\(\)|\w+_set\b|\w+s\.(?:all|count|first|last|exists|sum|length)\b"
)
_REACHED = re.compile(r"\w+\.(?!(?:append|add|strip|lower|upper|format|split|join|get|items|keys)\b)\w+")
_STORED = re.compile(
    r"objects|query|\.all|find|order|user|post|item|book|author|invoice|customer|record|row|model|entit", re.IGNORECASE
)


def _untested(known: diff_facts.Facts) -> Iterator[Found]:
    code = [
        source
        for source in known.of("code")
        if source.change.language not in _TESTED_ELSEWHERE and source.change.kind != "deleted"
    ]
    added = [
        line
        for source in code
        for line in source.added.split("\n")
        if line.strip() and not line.lstrip().startswith(("#", "//", "*", "import ", "from ", "/*"))
    ]
    tested = any(True for _ in known.of("test"))
    if not added or tested or all(_is_migration(source.path) for source in code):
        return
    branches = sum(bool(BRANCH.search(line)) for line in added[:400])
    defines = sum(bool(_DEFINES.match(line)) for line in added[:400])
    weight = 4.3 + min(2.2, 0.5 * branches) + (0.9 if defines else 0.0) + (0.6 if len(added) >= 25 else 0.0)
    yield Found(
        "no-test",
        "tests",
        weight if branches or defines else 3.5,
        "behaviour changes and no test does",
        code[0].path,
        len(added),
    )


def _tests_gone(known: diff_facts.Facts) -> Iterator[Found]:
    for source in known.of("test"):
        lost = len(_CLAIM.findall(source.removed)) - len(_CLAIM.findall(source.added))
        if lost > 0 and source.change.kind != "deleted":
            yield Found("test-removed", "tests", 9.0, "tests or assertions are taken away", source.path, lost)
        if source.change.kind == "deleted" and source.change.language not in unified_diff.NOT_CODE:
            yield Found("test-file-gone", "tests", 9.0, "a file of tests is deleted", source.path)
        elif _TEST.search(source.added) and not _PROVES.search(source.added):
            yield Found("test-without-assertion", "tests", 9.0, "a test asserts nothing", source.path)


_CLAIM = re.compile(
    r"\bdef test|\b(?:it|test|specify|scenario)\s*\(|@Test\b|\bassert|\bexpect\b|\[(?:Fact|Theory|Test)"
    r"|func Test|#\[test\]"
    r"|\.should\b|require\.\w+\(t|\bt\.(?:Error|Fatal)|\bverify\("
)
_TEST = re.compile(r"def test_|\bit\(|\btest\(|@Test|func Test|#\[test\]|\[Fact\]")
_PROVES = re.compile(r"assert|expect|should|verify|require\.|raises|\bt\.(?:error|fatal)|check", re.IGNORECASE)


def _is_migration(path: str) -> bool:
    return bool(re.search(r"(?:^|/)(?:migrations?|migrate|alembic|changelog)/|\.sql$", path, re.IGNORECASE))


def _names(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in text.split("\n"):
        match = _DEFINES.match(line)
        if match and not _PUBLIC_ONLY.match(line):
            name = match[1] or match[2] or match[3]
            if name not in ("if", "for", "while", "switch", "catch", "return", "else"):
                found.setdefault(name, line.strip())
    return found


def _contracts(known: diff_facts.Facts) -> Iterator[Found]:
    sources = [source for source in known.of("code") if source.removed]
    gone: list[str] = []
    changed: list[str] = []
    defaults: list[str] = []
    added = {name: line for source in known.of("code") for name, line in _names(source.added).items()}
    for source in sources:
        for name, line in _names(source.removed).items():
            if name not in added:
                gone.append(source.path)
            elif added[name].rstrip(" {:") != line.rstrip(" {:"):
                (defaults if _DEFAULT.findall(line) and not _kept(line, added[name]) else changed).append(source.path)
    gone += [source.path for source in known.sources if _constants(source.removed) - _constants(source.added)]
    if gone:
        yield Found("public-name-gone", "legacy", 6.0, "a name that others may use goes", gone[0], len(gone))
    if defaults:
        yield Found("default-changed", "legacy", 8.0, "a default or parameter of a public name changes", defaults[0])
    if changed:
        yield Found("signature-changed", "legacy", 5.5, "a signature changes", changed[0], len(changed))


_DEFAULT = re.compile(r"(\w+)\s*(?::[^=,()]+)?=\s*([^,()=]+|\([^()]*\))")
_CONSTANT = re.compile(
    r"^\s*\|?\s*[\"']?([A-Z][A-Z0-9_]{2,})[\"']?(?:\([^)]*\)|\s*=\s*[\w\"'.]+)?\s*[,;]?\s*$", re.MULTILINE
)


def _constants(text: str) -> set[str]:
    """Returns names that stand alone in their lines, as the members of enumerations do."""
    return set(_CONSTANT.findall(text))


def _kept(before: str, after: str) -> bool:
    """Whether every default of a signature is still there with its value."""
    return set(_DEFAULT.findall(before)) <= set(_DEFAULT.findall(after))


def _rewrites(known: diff_facts.Facts) -> Iterator[Found]:
    for source in known.of("code"):
        added, removed = _count(source.added), _count(source.removed)
        if source.change.kind == "deleted":
            yield Found("file-gone", "legacy", 5.0, "a file of code is deleted", source.path)
        elif min(added, removed) >= 6 and max(added, removed) <= 4 * min(added, removed):
            yield Found("rewritten", "legacy", 4.0, "existing code is written anew", source.path)
        elif source.change.kind == "renamed":
            yield Found("moved", "legacy", 3.0, "a file moves", source.path)
        lost = {word.lower() for word in _NORMALISES.findall(source.removed)} - {
            word.lower() for word in _NORMALISES.findall(source.added)
        }
        if lost and added:
            yield Found(
                "behaviour-differs", "legacy", 4.5, f"`{min(lost)}` goes from lines that are written anew", source.path
            )


def _count(text: str) -> int:
    return text.count("\n") + 1 if text else 0


def _commented_out(known: diff_facts.Facts) -> Iterator[Found]:
    for source in known.of("code", "test"):
        lines = [line for line in source.added.split("\n") if _COMMENTED_CODE.match(line)]
        if len(lines) >= 3:
            yield Found("commented-out", "legacy", 6.5, "code is commented out", source.path, len(lines))


def _interfaces(known: diff_facts.Facts) -> Iterator[Found]:
    """Yields published interfaces from which something goes."""
    for source in known.sources:
        if source.removed and _PUBLISHED.search(source.path):
            yield Found("interface-changed", "legacy", 7.0, "a published interface loses or changes lines", source.path)


_PUBLISHED = re.compile(
    r"(?:^|/)(?:openapi|swagger|asyncapi)[^/]*\.(?:ya?ml|json)$|\.(?:proto|avsc|graphqls?|gql|thrift|wsdl|xsd|raml)$"
    r"|(?:^|/)schema\.(?:json|graphql|prisma|rb|sql)$|(?:^|/)api/[^/]+\.ya?ml$",
    re.IGNORECASE,
)
_BARE = re.compile(r"\s*[A-Za-z][\w.-]*(?:\[[\w,-]+\])?\s*$")


def _manifests(known: diff_facts.Facts) -> Iterator[Found]:
    for source in known.sources:
        if signs_dependencies.MANIFESTS.search(source.path) and (source.added or source.removed):
            lines = [*source.added.split("\n"), *source.removed.split("\n")]
            bare = source.path.endswith((".txt", ".in"))
            named = sum(
                bool(signs_dependencies.MANIFEST_ENTRY.match(line) or (bare and _BARE.match(line))) for line in lines
            )
            if named:
                yield Found(
                    "manifest-changed",
                    "dependencies",
                    9.0,
                    "a manifest names other packages or versions",
                    source.path,
                    named,
                )
            else:
                yield Found("manifest-touched", "dependencies", 3.0, "a manifest is touched", source.path)


def _locks(known: diff_facts.Facts) -> Iterator[Found]:
    locks = [path for path in known.unreviewed if path.rsplit("/", 1)[-1].lower() in review_scope.LOCK_FILES]
    if locks:
        declared = any(signs_dependencies.MANIFESTS.search(source.path) for source in known.sources)
        said = "a lock file changes" + ("" if declared else " and no manifest does")
        yield Found("lock-changed", "dependencies", 5.0 if declared else 8.0, said, locks[0])


def _imports(known: diff_facts.Facts) -> Iterator[Found]:
    own = {part.rsplit(".", 1)[0] for path in known.paths for part in path.split("/")}
    strange: list[tuple[str, str]] = []
    for source in known.of("code"):
        pattern = _IMPORT.get(source.change.language)
        if pattern is None or not source.added:
            continue
        before = set(pattern.findall(source.removed)) | set(pattern.findall("\n".join(_context(source))))
        names = [name for name in pattern.findall(source.added) if name not in before and name not in own]
        strange += [
            (source.path, name) for name in names if name.split("/")[0] not in _BUILT_IN and name not in _WELL_KNOWN
        ]
    if strange:
        declared = any(signs_dependencies.MANIFESTS.search(source.path) for source in known.sources)
        path, name = strange[0]
        said = f"`{name}` is imported" + ("" if declared else " and no manifest changes")
        yield Found("import-added", "dependencies", 3.5 if declared else 5.0, said, path, len(strange))


_WELL_KNOWN = frozenset(
    [
        "django",
        "flask",
        "fastapi",
        "sqlalchemy",
        "rest_framework",
        "pytest",
        "numpy",
        "pandas",
        "requests",
        "pydantic",
        "react",
        "vue",
        "express",
        "lodash",
        "axios",
        "vitest",
        "jest",
        "next",
        "serde",
        "tokio",
        "rspec",
        "rails",
        "psycopg2",
        "typing_extensions",
        "react-dom",
        "alembic",
        "celery",
        "boto3",
        "click",
        "unittest",
        "mocha",
        "chai",
        "zod",
        "mongoose",
        "sequelize",
        "typeorm",
        "attr",
        "attrs",
        "anyhow",
        "thiserror",
        "django-rest",
        "werkzeug",
        "jinja2",
        "yaml",
    ]
)


def _context(source: diff_facts.Source) -> Iterator[str]:
    return (line[1:] for hunk in source.hunks for line in hunk.lines if line[0] == " ")


_SHAPES: Final[tuple[Callable[[diff_facts.Facts], Iterator[Found]], ...]] = (
    _loops,
    _untested,
    _tests_gone,
    _contracts,
    _rewrites,
    _commented_out,
    _interfaces,
    _manifests,
    _locks,
    _imports,
)
