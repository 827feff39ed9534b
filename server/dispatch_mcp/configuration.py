"""Where settings come from: flag > environment `DISPATCH_MCP_*` > `config.toml` of the state directory > default.

Nothing is ever read from the workspace: privilege comes from configuration, and a repository must not be able to
raise its own rights (promise S7). The model has no way to change a setting either.
"""

from __future__ import annotations

import difflib
import functools
import json
import os
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Final, Literal

import platformdirs
import pydantic
from pydantic import AfterValidator, Field
from pydantic_core import ErrorDetails

from dispatch_mcp import errors, model
from dispatch_mcp.model import bounds, worker_choice
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.process import allowlist, child_environment, private_files, web_address

APP = "dispatch-mcp"
FILE_NAME = "config.toml"
PREFIX = "DISPATCH_MCP_"
RESERVED = frozenset({child_environment.DEPTH, PREFIX + "FAILPOINT", PREFIX + "CHAOS"})
"""Variables of ours that are no settings."""

MAX_FILE_BYTES = 1 << 20
MOST_PROBLEMS = 10
"""Wrong settings that are told of at once."""

_OF_OURS = "Value error, "
"""What pydantic writes before the words of a check of ours."""
_PLACEHOLDER = re.compile(r"^\$\{[^}]*\}$")
_UNFILLED = re.compile(r"\$\{[^}]{0,200}\}|^\$[A-Za-z_]\w{0,100}(?=[/\\]|$)|%[A-Za-z_]\w{0,100}%|\{\{[^}]{0,200}\}\}")
"""A variable in a path that a host has not filled in: `${…}`, `$NAME` in front, `%NAME%`, `{{…}}`."""
_LINE = re.compile(r"line (\d{1,9})\b", re.ASCII)
_VARIABLE = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
_TILDE = "~"
_PROJECT = "CLAUDE_PROJECT_DIR"
"""Where Claude Code says that its session was started: wherever its user happened to be."""

Layer = Literal["flag", "env", "file", "default"]


def _variable(name: str) -> str:
    if not _VARIABLE.fullmatch(name):
        raise ValueError(f"{name!r} is not the name of an environment variable")
    return name


def _entries(entries: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
    try:
        allowlist.parse(entries, defaults=False)
    except errors.ConfigError as error:
        raise ValueError(str(error)) from None
    return entries


def _argv(argv: tuple[str, ...]) -> tuple[str, ...]:
    if not argv:
        return argv
    if any(mark in word for word in argv for mark in "*?["):
        raise ValueError("a command to tell people is one command, without patterns (*, ?, [)")
    return _entries((argv,))[0]


def _address(url: str) -> str:
    fault = web_address.fault(url) if url else ""
    if fault:
        raise ValueError(fault)
    return url


NOTIFY_REASONS: Final = ("finished", "failed", "waiting", "near_ceiling")
"""What people can be told of."""

Share = Annotated[bounds.Number, Field(ge=0, le=1)]


class Settings(model.Value):
    """Everything a user can set; the names are the keys of `config.toml` and, in capitals, of the environment."""

    home: Path
    workspace: Path
    allow_commands: Annotated[tuple[tuple[str, ...], ...], AfterValidator(_entries)] = ()
    allow_read_only_git: bool = True
    pass_env: tuple[Annotated[str, AfterValidator(_variable)], ...] = ()
    agent_dirs: tuple[Path, ...] = ()
    trusted_repositories: tuple[Path, ...] = ()
    trusted_agents: Path
    default_worker: worker_choice.WorkerName = "auto"
    max_parallel: Annotated[bounds.Count, Field(ge=1, le=bounds.MAX_PARALLEL)] = 5
    lease_minutes: Annotated[bounds.Number, Field(gt=0, le=1440)] = 30.0
    task_timeout_s: Annotated[bounds.Number, Field(gt=0, le=86_400)] = 300.0
    grace_s: Annotated[bounds.Number, Field(ge=0, le=60)] = 1.0
    output_cap_bytes: Annotated[bounds.Count, Field(ge=1024, le=64 << 20)] = 1 << 20
    inline_output_chars: Annotated[bounds.Count, Field(ge=256, le=262_144)] = 16_384
    direct_from: Share = 0.95
    review_from: Share = 0.70
    supervise_from: Share = 0.40
    route_with: Literal["words", "model"] = "words"
    reviews: Literal["end", "each", "none"] = "end"
    review_policy: Literal["standard", "strict", "off"] = "standard"
    unproven_runs: model.UnprovenEnd = "succeeded"
    council_inconclusive_blocks: bool = True
    council_quorum: Literal["all", "any"] = "all"
    council_devils_advocate: bool = True
    council_rounds: Annotated[bounds.Count, Field(ge=1, le=10)] = 3
    council_reviewers: Annotated[tuple[str, ...], Field(max_length=8)] = ()
    depth: Annotated[bounds.Count, Field(ge=0, le=64)] = 0
    depth_limit: Annotated[bounds.Count, Field(ge=0, le=8)] = 2
    max_dollars: bounds.DollarCeiling | None = None
    max_tokens: bounds.TokenCeiling | None = None
    max_minutes: bounds.MinuteCeiling | None = None
    max_attempts: bounds.AttemptCeiling | None = None
    max_tasks: bounds.TaskCeiling | None = None
    max_fan_out: bounds.FanOutCeiling | None = None
    claude_program: Annotated[str, Field(max_length=4096)] = ""
    claude_uses_key: bool = True
    worker_commands: bool = False
    worker_turns: Annotated[bounds.Count, Field(ge=1, le=1000)] = 60
    api_in_flight: Annotated[bounds.Count, Field(ge=1, le=256)] = 8
    context_tokens: Annotated[bounds.Count, Field(ge=0, le=200_000)] = 5_000
    handle_wait_s: Annotated[bounds.Number, Field(ge=0, le=30)] = 0.2
    context_wait_s: Annotated[bounds.Number, Field(ge=0, le=30)] = 1.0
    worker_context_wait_s: Annotated[bounds.Number, Field(ge=0, le=600)] = 30.0
    learn: bool = True
    hooks: Literal["full", "report", "off"] = "full"
    notify: Literal["off", "desktop", "command", "webhook"] = "off"
    notify_command: Annotated[tuple[str, ...], Field(max_length=64), AfterValidator(_argv)] = ()
    notify_url: Annotated[str, Field(max_length=2048), AfterValidator(_address)] = ""
    notify_on: tuple[Literal["finished", "failed", "waiting", "near_ceiling"], ...] = NOTIFY_REASONS
    warn_at: Annotated[bounds.Number, Field(gt=0, le=1)] = 0.8
    engine: Literal["embedded", "temporal"] = "embedded"
    temporal_queue: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")] = "agents"
    temporal_slots: Annotated[bounds.Count, Field(ge=0, le=1000)] = 5
    temporal_per_second: Annotated[bounds.Number, Field(gt=0, le=10_000)] | None = None
    temporal_read_only: bool = False
    temporal_blobs: Annotated[str, Field(max_length=2048, pattern=r"^$|^(s3|gs|az|file)://[^\s?#]+$")] = ""
    log_level: Literal["debug", "info", "warning", "error"] = "warning"

    def ceilings(self) -> model.Limits:
        """Returns the most that any run may be given; None where the user has set none."""
        names = ("dollars", "tokens", "minutes", "attempts", "tasks", "fan_out")
        return model.Limits(**{name: getattr(self, f"max_{name}") for name in names})

    def commands(self) -> allowlist.AllowList:
        """Returns the allow-list of the `command` worker."""
        return allowlist.parse(self.allow_commands, defaults=self.allow_read_only_git)

    def how_to_allow(self, argv: Sequence[str], beside: Sequence[Sequence[str]] = ()) -> str:
        """Returns what the user writes where so that a command may start, and those beside it."""
        file = str(self.home / FILE_NAME)
        variable = PREFIX + allowlist.SETTING.upper()
        return allowlist.how_to_allow(argv, self.allow_commands, config_file=file, variable=variable, beside=beside)

    def child_policy(self, env: Mapping[str, str]) -> child_environment.ChildPolicy:
        """Returns what children receive of `env`."""
        return child_environment.ChildPolicy(env, frozenset(self.pass_env), self.depth, self.depth_limit)


KEYS = frozenset(Settings.model_fields) - {"home", "depth"}
"""Keys of `config.toml`: `home` says where that file is, and `depth` is handed down from server to server."""

_LAYERS_LEFT_OUT: tuple[frozenset[Layer], ...] = (
    frozenset(),
    frozenset({"file"}),
    frozenset({"env"}),
    frozenset({"file", "env"}),
)
_PARTS = pydantic.TypeAdapter(list[object])
_PATHS = frozenset({"home", "workspace", "trusted_agents"})
_FOLDERS = frozenset({"agent_dirs", "trusted_repositories"})


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from; `name` is the flag, the variable or the file, empty for a default."""

    layer: Layer
    name: str = ""

    def __str__(self) -> str:
        return f"{self.layer} {self.name}".rstrip()


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """The settings, the origin of each by name, what looked odd, the values to redact, and why a layer is left out."""

    settings: Settings
    origin: Mapping[str, Origin]
    warnings: tuple[str, ...] = ()
    secrets: frozenset[str] = field(default=frozenset(), repr=False)
    fault: errors.ConfigError | None = None
    read_again: Callable[[], LoadedSettings] | None = field(default=None, repr=False, compare=False)

    def mended(self) -> LoadedSettings:
        """Returns these if nothing was wrong, else those that are read now. Raises ConfigError: something still is."""
        return self.read_again() if self.fault and self.read_again else self

    @property
    def guesses_workspace(self) -> bool:
        """Whether nobody has named the workspace: it is where the program was started."""
        origin = self.origin["workspace"]
        return origin.layer == "default" or origin.name == _PROJECT


@dataclass(slots=True)
class _Draft:
    """Values with their origins while the layers are laid over each other, the weakest first."""

    values: dict[str, object] = field(default_factory=dict[str, object])
    origin: dict[str, Origin] = field(default_factory=dict[str, Origin])
    warnings: list[str] = field(default_factory=list[str])
    lines: dict[str, int] = field(default_factory=dict[str, int])
    """The line of the file on which each key of it stands."""
    unknown: dict[str, tuple[str, str | NextStep]] = field(default_factory=dict[str, tuple[str, "str | NextStep"]])
    """What is said of each key of the file that is no setting, and what to do about it."""
    left_out: frozenset[str] = frozenset()
    """Keys of the file and the environment that are not read."""

    def place(self, key: str) -> str:
        """Returns where the value of a key stands, as a sentence begins."""
        origin = self.origin.get(key, Origin("default"))
        line = self.lines.get(key)
        if origin.layer == "file" and line:
            return f"{origin.name!r}, line {line}"
        return origin.name or str(origin)

    def put(self, key: str, value: object, origin: Origin) -> None:
        self.values[key], self.origin[key] = value, origin


def load(
    env: Mapping[str, str],
    *,
    flags: Mapping[str, object] | None = None,
    home: Path | None = None,
    cwd: Path,
    without: frozenset[Layer] = frozenset(),
    left_out: frozenset[str] = frozenset(),
    needs_workspace: bool = True,
) -> LoadedSettings:
    """Returns the settings in force. A flag of None and an empty variable count as not given.

    `home` is the state directory if the caller has decided on it; `cwd` is the absolute directory that relative
    paths from flags and the environment start from, and the workspace of last resort. Layers in `without` are not
    read, nor are keys in `left_out`. What does not need a workspace can do without one that is not there.

    Raises:
        ConfigError: an unknown key or flag, a value that does not fit, or a file that cannot be trusted or read.
    """
    flag_values = {key: value for key, value in (flags or {}).items() if value is not None}
    _check_flags(flag_values)
    draft = _Draft(left_out=left_out)
    _lay_home(draft, env, flag_values, home, cwd)
    base = Path(str(draft.values["home"]))
    _lay_workspace_guess(draft, env, cwd)
    draft.put("trusted_agents", base / "trusted-agents.json", Origin("default"))
    if "file" not in without:
        _lay_file(draft, base / FILE_NAME)
    if "env" not in without:
        _lay_env(draft, env, cwd)
    for key in flag_values.keys() - {"home"}:
        if key == "workspace" and _left_unfilled(draft, "--workspace", flag_values[key]):
            continue
        draft.put(key, _absolute(key, flag_values[key], cwd), Origin("flag", "--" + key.replace("_", "-")))
    settings = _validated(draft)
    _check_together(settings, draft, needs_workspace=needs_workspace)
    origin = {key: draft.origin.get(key, Origin("default")) for key in Settings.model_fields}
    secrets = child_environment.secret_values(env) | set(filter(None, [web_address.secret_part(settings.notify_url)]))
    return LoadedSettings(settings, origin, tuple(draft.warnings), secrets)


def load_what_can_be(
    env: Mapping[str, str], *, flags: Mapping[str, object], cwd: Path, needs_workspace: bool = True
) -> LoadedSettings:
    """Returns the settings without what cannot be used, and why not in `fault`; for who has to say that.

    Left out are the settings that are wrong; where it is none of them alone, the file, the environment, or both.

    Raises:
        ConfigError: nothing can be left out so that the rest can be used.
    """
    read = functools.partial(load, env, flags=flags, cwd=cwd, needs_workspace=needs_workspace)
    faults: list[errors.ConfigError] = []
    wrong: frozenset[str] = frozenset()
    layers = list(_LAYERS_LEFT_OUT)
    while layers:
        try:
            settings = read(without=layers[0], left_out=wrong)
        except errors.ConfigError as trouble:
            if trouble.settings <= wrong:
                layers.pop(0)
            wrong |= trouble.settings
            faults += [] if str(trouble) in map(str, faults) else [trouble]
            continue
        return replace(settings, fault=_together(faults), read_again=read)
    raise faults[0]


def _together(faults: Sequence[errors.ConfigError]) -> errors.ConfigError | None:
    """Returns what is wrong as one error, None where nothing is."""
    if len(faults) < 2:
        return next(iter(faults), None)
    text = "\n".join(fault.message for fault in faults)
    return errors.ConfigError(text, hint=NextStep(StepKind.SHOW_SETTINGS, advice="Correct each or remove it."))


def secret_values(env: Mapping[str, str]) -> frozenset[str]:
    """Returns the values of secret-like variables, for redaction; they are never shown."""
    return child_environment.secret_values(env)


def default_home() -> Path:
    """Returns the platform's user data directory of dispatch-mcp."""
    return Path(platformdirs.user_data_dir(APP, appauthor=False))


def _check_flags(flag_values: Mapping[str, object]) -> None:
    for key in flag_values.keys() - Settings.model_fields.keys():
        raise errors.ConfigError(f"There is no setting {key!r}.", hint=_nearest(key, Settings.model_fields))


def _lay_home(
    draft: _Draft, env: Mapping[str, str], flag_values: Mapping[str, object], home: Path | None, cwd: Path
) -> None:
    variable = PREFIX + "HOME"
    if home is not None:
        draft.put("home", _path(home, cwd), Origin("flag", "home"))
    elif "home" in flag_values:
        draft.put("home", _path(flag_values["home"], cwd), Origin("flag", "--home"))
    elif _usable(env.get(variable)) and not _left_unfilled(draft, variable, env[variable]):
        draft.put("home", _path(env[variable], cwd), Origin("env", variable))
    else:
        draft.put("home", default_home(), Origin("default"))


def _lay_workspace_guess(draft: _Draft, env: Mapping[str, str], cwd: Path) -> None:
    project = env.get(_PROJECT)
    if not _usable(project) or _UNFILLED.search(project or ""):
        draft.put("workspace", cwd, Origin("default", "current directory"))
        return
    path = _path(project, cwd)
    if path.is_dir():
        draft.put("workspace", path, Origin("env", _PROJECT))
    else:
        draft.put("workspace", cwd, Origin("default", "current directory"))
        draft.warnings.append(f"{_PROJECT} is {project!r}, which is no directory; it is ignored.")


def _lay_file(draft: _Draft, path: Path) -> None:
    text = _read_file(path)
    for key, value in _parsed(path, text).items():
        if key in draft.left_out:
            continue
        line = draft.lines[key] = _line_of(key, text)
        if key not in KEYS:
            draft.unknown[key] = (f"{str(path)!r}, line {line}: there is no setting {key!r}.", _key_hint(key))
            continue
        draft.put(key, _absolute(key, value, path.parent), Origin("file", str(path)))


def _read_file(path: Path) -> str:
    """Returns what the file holds, nothing where there is none. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            _check_owner(path, os.fstat(file.fileno()))
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return ""
    except NotADirectoryError as error:
        raise errors.ConfigError(
            f"The state folder {str(path.parent)!r} cannot be used: {private_files.obstacle(path.parent)}.",
            hint="Set DISPATCH_MCP_HOME to a folder that can be written.",
        ) from error
    except OSError as error:
        raise errors.ConfigError(
            f"{str(path)!r} cannot be read: {error.strerror}.", hint="It must be a regular file that you may read."
        ) from error
    if len(data) > MAX_FILE_BYTES:
        raise errors.ConfigError(f"{str(path)!r} is larger than 1 MiB.", hint="Keep only settings in it.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise errors.ConfigError(f"{str(path)!r}, line {line} is not UTF-8.", hint="Save it as UTF-8.") from error


_TWICE = "Cannot overwrite a value"
"""How tomllib says that a key stands twice in a document."""


def _parsed(path: Path, text: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        rows = text.split("\n")
        reason, _, place = str(error).rpartition(" (at ")
        number = _LINE.match(place)
        line = int(number[1]) if number else len(text.rstrip().split("\n"))
        place = f"{str(path)!r}, line {line}"
        if reason == _TWICE:
            message = f"{place} gives a setting that stands above it already: {_brief(rows[line - 1])}."
            raise errors.ConfigError(
                message, hint="Keep one of the two; entries of a list stand in one list."
            ) from error
        raise errors.ConfigError(
            f"{place} is not TOML: {_brief(rows[line - 1])}: {reason or error}.", hint="Correct that line."
        ) from error


def _line_of(key: str, text: str) -> int:
    """Returns the line on which a key of a TOML document stands for the first time, 1 where it cannot be told."""
    name = rf"""(?:{re.escape(key)}|"{re.escape(key)}"|'{re.escape(key)}')"""
    place = re.search(rf"^[ \t]*(?:\[+[ \t]*)?{name}[ \t]*[=.\]]", text, re.MULTILINE)
    return text.count("\n", 0, place.start()) + 1 if place else 1


def _check_owner(path: Path, status: os.stat_result) -> None:
    """Refuses a file by which somebody else could give rights."""
    if os.name != "posix":
        return
    if status.st_uid not in (os.getuid(), 0):
        raise errors.ConfigError(
            f"{str(path)!r} belongs to another user (uid {status.st_uid}).",
            hint="It decides which programs may run, so it must be yours.",
        )
    if status.st_mode & 0o002:
        raise errors.ConfigError(
            f"{str(path)!r} can be written by every user of this machine.",
            hint="It decides which programs may run; take that right away with `chmod o-w`.",
        )


def _lay_env(draft: _Draft, env: Mapping[str, str], cwd: Path) -> None:
    for name in sorted(env):
        if not name.startswith(PREFIX) or name in RESERVED - {child_environment.DEPTH} or name == PREFIX + "HOME":
            continue
        key = name.removeprefix(PREFIX).lower()
        if key in draft.left_out:
            continue
        if name != PREFIX + key.upper() or key not in Settings.model_fields:
            draft.warnings.append(f"The variable {name} is not known. {_nearest(key, Settings.model_fields)}".strip())
        elif _usable(env[name]) and not (key in _PATHS and _left_unfilled(draft, name, env[name])):
            draft.put(key, _absolute(key, _from_text(name, key, env[name]), cwd), Origin("env", name))


def _left_unfilled(draft: _Draft, name: str, value: object) -> bool:
    """Returns whether a path holds a variable that nobody has filled in, and so counts for nothing; notes that."""
    variable = _UNFILLED.search(str(value))
    if variable:
        draft.warnings.append(f"{name} is {_brief(value)}, in which {variable[0]!r} was not filled in; it is ignored.")
    return variable is not None


_EXAMPLES: Final = {
    "allow_commands": ("a JSON list of lists", '[["pytest", "-q"]]'),
    "notify_command": ("a JSON list", '["/opt/tell", "--loud"]'),
}
"""Lists that nothing but JSON can say, and how one looks."""


def _from_text(name: str, key: str, text: str) -> object:
    """Returns the value that a variable's text stands for: lists are JSON, or names or paths in a row."""
    if key not in ("allow_commands", "pass_env", "council_reviewers", "notify_on", "notify_command", *_FOLDERS):
        return text.strip()
    if text.lstrip().startswith("["):
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            reason = f"{name} is not a JSON list: {error}."
            raise errors.ConfigError(reason, hint="Check its quotes.", settings=[key]) from error
    if key in _EXAMPLES:
        kind, example = _EXAMPLES[key]
        reason = f"{name} must be {kind}, not {_brief(text)}."
        raise errors.ConfigError(reason, hint=f"Such as `{example}`.", settings=[key])
    parts = text.split(os.pathsep if key in _FOLDERS else ",")
    return [part.strip() for part in parts if part.strip()]


def _absolute(key: str, value: object, base: Path) -> object:
    if key in _PATHS and isinstance(value, str | Path):
        return _path(value, base)
    if key in _FOLDERS and isinstance(value, list | tuple):
        return [_path(part, base) if isinstance(part, str | Path) else part for part in _PARTS.validate_python(value)]
    return value


def _path(value: object, base: Path) -> Path:
    text = str(value)
    if "\0" in text:
        raise errors.ConfigError(f"The path {_brief(text)} contains a NUL character.", hint="Write a plain path.")
    try:
        path = Path(text).expanduser() if text.startswith(_TILDE) else Path(text)
    except RuntimeError as error:
        raise errors.ConfigError(f"The path {text!r} names no known home: {error}", hint="Write it in full.") from error
    return Path(os.path.normpath(base / path))


def _validated(draft: _Draft) -> Settings:
    """Returns the settings. Raises ConfigError with everything that is wrong with them, at most `MOST_PROBLEMS`."""
    faults = {key: f"{text} {hint}" if isinstance(hint, str) else text for key, (text, hint) in draft.unknown.items()}
    wrong = set(draft.unknown)
    try:
        settings = Settings.model_validate(draft.values)
    except pydantic.ValidationError as error:
        problems = error.errors(include_url=False, include_context=False)
        for key, problem in ((str(problem["loc"][0]), problem) for problem in problems):
            faults.setdefault(key, _problem(key, problem, draft))
        wrong |= {str(problem["loc"][0]) for problem in problems}
    else:
        if not draft.unknown:
            return settings
    lines = [text for _, text in sorted(faults.items(), key=lambda fault: draft.lines.get(fault[0], MAX_FILE_BYTES))]
    if len(draft.unknown) == len(lines) == 1:
        [(line, hint)] = draft.unknown.values()
        raise errors.ConfigError(line, hint=hint, settings=wrong)
    advice = "Correct the value or remove it." if len(lines) == 1 else "Correct each or remove it."
    raise errors.ConfigError(
        "\n".join(_naming_once(lines[:MOST_PROBLEMS])),
        hint=NextStep(StepKind.SHOW_SETTINGS, advice=advice),
        settings=wrong,
    ) from None


def _naming_once(lines: Sequence[str]) -> list[str]:
    """Returns lines, of which those that are about the file come first, with its name in the first alone."""
    file = lines[0].partition(", line ")[0]
    return [lines[0], *(line.removeprefix(f"{file}, ") for line in lines[1:])]


def _problem(key: str, problem: ErrorDetails, draft: _Draft) -> str:
    """Returns what is wrong with a value: in its own words where a check of ours has some, else what it could be."""
    form = bounds.form(Settings.model_fields[key])
    fault = problem["msg"].removeprefix(_OF_OURS) if problem["type"] == "value_error" else ""
    rule = f": {fault.rstrip('.')}" if fault and fault != bounds.NO_NUMBER else f", but has to be {form}"
    return f"{draft.place(key)}: `{key}` is {_brief(draft.values[key])}{rule}."


def _check_together(settings: Settings, draft: _Draft, *, needs_workspace: bool) -> None:
    bands = (settings.direct_from, settings.review_from, settings.supervise_from)
    if not bands[0] >= bands[1] >= bands[2]:
        key = next(key for key in ("direct_from", "review_from", "supervise_from") if key in draft.origin)
        raise errors.ConfigError(
            f"{draft.place(key)}: `direct_from`, `review_from` and `supervise_from` must not rise, but are {bands!r}.",
            hint="The defaults are 0.95, 0.7 and 0.4.",
            settings=("direct_from", "review_from", "supervise_from"),
        )
    for way, key in (("command", "notify_command"), ("webhook", "notify_url")):
        if settings.notify == way and not getattr(settings, key):
            raise errors.ConfigError(
                f"{draft.place('notify')}: `notify` is {way!r}, and `{key}` says nothing.",
                hint=f"Set `{key}`, or `notify` to off.",
                settings=["notify"],
            )
    if not settings.workspace.is_dir():
        missing = f"{draft.place('workspace')}: the workspace {str(settings.workspace)!r} is not an existing directory."
        if needs_workspace:
            hint = "Name the folder of your project, with --workspace or in DISPATCH_MCP_WORKSPACE."
            raise errors.ConfigError(missing, hint=hint)
        draft.warnings.append(missing)
    if draft.origin["home"].layer != "default" and settings.home.is_relative_to(settings.workspace):
        draft.warnings.append(
            f"The state folder {str(settings.home)!r} lies inside the workspace; whoever may write there can give "
            "itself rights. Choose a DISPATCH_MCP_HOME elsewhere."
        )


def _usable(text: str | None) -> bool:
    """Returns whether a host really filled the variable in; an unexpanded `${…}` counts as empty."""
    return bool(text and text.strip() and not _PLACEHOLDER.match(text.strip()))


def _key_hint(key: str) -> str | NextStep:
    if child_environment.looks_secret(key, ""):
        return "Keys and passwords are never read from this file, only from the environment; remove it."
    return _nearest(key, KEYS) or NextStep(StepKind.SHOW_SETTINGS, advice="Correct or remove it.")


def _nearest(key: str, names: Mapping[str, object] | frozenset[str]) -> str:
    close = difflib.get_close_matches(key.lower().replace("-", "_"), sorted(names), n=1, cutoff=0.6)
    return f"Did you mean {close[0]!r}?" if close else ""


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"
