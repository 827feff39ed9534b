from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import configuration, errors
from dispatch_mcp.cli import shell_wording
from dispatch_mcp.process import child_environment

KEY = "-".join(("sk", "ant", "0123456789abcdef"))
OTHER_VALUES: dict[str, tuple[Any, str]] = {
    # Of every setting a value that is not the default, and how it is written in the environment.
    "allow_commands": ([["make", "test"]], '[["make", "test"]]'),
    "allow_read_only_git": (False, "false"),
    "pass_env": (["CI", "JAVA_HOME"], "CI, JAVA_HOME"),
    "default_worker": ("host", "host"),
    "max_parallel": (7, "7"),
    "lease_minutes": (10.5, "10.5"),
    "task_timeout_s": (60.0, "60"),
    "grace_s": (2.0, "2"),
    "output_cap_bytes": (4096, "4096"),
    "inline_output_chars": (512, "512"),
    "direct_from": (0.9, "0.9"),
    "review_from": (0.6, ".6"),
    "supervise_from": (0.1, "1e-1"),
    "route_with": ("model", "model"),
    "reviews": ("each", "each"),
    "review_policy": ("strict", "strict"),
    "unproven_runs": ("partial", "partial"),
    "council_inconclusive_blocks": (False, "no"),
    "council_quorum": ("any", "any"),
    "council_devils_advocate": (False, "no"),
    "council_rounds": (5, "5"),
    "council_reviewers": (["review-code"], "review-code"),
    "depth_limit": (1, "1"),
    "max_dollars": (2.5, "2.5"),
    "max_tokens": (100_000, "100000"),
    "max_minutes": (90.0, "90"),
    "max_attempts": (40, "40"),
    "max_tasks": (20, "20"),
    "max_fan_out": (3, "3"),
    "claude_program": ("claude-beta", "claude-beta"),
    "claude_uses_key": (False, "no"),
    "worker_commands": (True, "yes"),
    "worker_turns": (12, "12"),
    "api_in_flight": (3, "3"),
    "context_tokens": (0, "0"),
    "handle_wait_s": (1.5, "1.5"),
    "context_wait_s": (3.5, "3.5"),
    "worker_context_wait_s": (0.0, "0"),
    "learn": (False, "no"),
    "hooks": ("report", "report"),
    "engine": ("temporal", "temporal"),
    "temporal_queue": ("gpu", "gpu"),
    "temporal_slots": (0, "0"),
    "temporal_per_second": (2.5, "2.5"),
    "temporal_read_only": (True, "yes"),
    "temporal_blobs": ("s3://agents/blobs", "s3://agents/blobs"),
    "log_level": ("debug", "debug"),
    "notify": ("desktop", "desktop"),
    "notify_command": (["/opt/tell", "me"], '["/opt/tell", "me"]'),
    "notify_url": ("https://example.com/runs", "https://example.com/runs"),
    "notify_on": (["failed", "waiting"], "failed, waiting"),
    "warn_at": (0.5, "0.5"),
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)


def write(home: Path, text: str) -> Path:
    path = home / "config.toml"
    path.write_text(text)
    path.chmod(0o600)
    return path


def comparable(value: Any) -> Any:
    return json.loads(json.dumps(value)) if isinstance(value, tuple) else value


def test_the_defaults(home: Path, project: Path) -> None:
    loaded = configuration.load({}, home=home, cwd=project)
    settings = loaded.settings
    assert (settings.max_parallel, settings.lease_minutes, settings.task_timeout_s) == (5, 30, 300)
    assert (settings.direct_from, settings.review_from, settings.supervise_from) == (0.95, 0.70, 0.40)
    assert (settings.default_worker, settings.depth, settings.depth_limit) == ("auto", 0, 2)
    assert settings.workspace == project
    assert settings.trusted_agents == home / "trusted-agents.json"
    assert settings.allow_commands == ()
    assert {str(loaded.origin[key]) for key in OTHER_VALUES} == {"default"}
    assert loaded.warnings == ()
    assert loaded.origin.keys() == configuration.Settings.model_fields.keys()


def test_every_setting_has_a_case_below() -> None:
    assert configuration.KEYS - OTHER_VALUES.keys() == {
        "workspace",
        "trusted_agents",
        "agent_dirs",
        "trusted_repositories",
    }


@pytest.mark.parametrize("key", OTHER_VALUES)
def test_a_flag_beats_a_variable_beats_the_file_beats_the_default(home: Path, project: Path, key: str) -> None:
    value, text = OTHER_VALUES[key]
    file = write(home, f"{key} = {toml(value)}\n")
    default = getattr(configuration.load({}, home=home.parent, cwd=project).settings, key)
    flag = value if default is None else default
    variable = "DISPATCH_MCP_" + key.upper()
    layers: list[tuple[dict[str, str], dict[str, object], str, Any]] = [
        ({}, {}, f"file {file}", value),
        ({variable: text}, {}, f"env {variable}", value),
        ({variable: ""}, {}, f"file {file}", value),
        ({variable: "${" + key + "}"}, {}, f"file {file}", value),
        ({variable: text}, {key: flag}, "flag --" + key.replace("_", "-"), comparable(flag)),
        ({variable: text}, {key: None}, f"env {variable}", value),
    ]
    for env, flags, origin, expected in layers:
        loaded = configuration.load(env, flags=flags, home=home, cwd=project)
        assert comparable(getattr(loaded.settings, key)) == expected
        assert str(loaded.origin[key]) == origin


def test_the_home_comes_from_the_caller_a_flag_the_environment_or_the_platform(tmp_path: Path, project: Path) -> None:
    env = {"DISPATCH_MCP_HOME": str(tmp_path / "env")}
    flag = {"home": tmp_path / "flag"}

    def home_of(**given: Any) -> tuple[Path, str]:
        loaded = configuration.load(given.pop("env", {}), cwd=project, **given)
        return loaded.settings.home, loaded.origin["home"].layer

    assert home_of(env=env, flags=flag, home=tmp_path / "mine") == (tmp_path / "mine", "flag")
    assert home_of(env=env, flags=flag) == (tmp_path / "flag", "flag")
    assert home_of(env=env) == (tmp_path / "env", "env")
    assert home_of(env={"DISPATCH_MCP_HOME": "state"}) == (project / "state", "env")
    assert home_of() == (configuration.default_home(), "default")


@pytest.mark.parametrize(
    "value",
    [
        *("${workspaceFolder}", "${workspaceFolder}/server", "/home/${USER}/shop", "${user_config.workspace}"),
        *("${CLAUDE_PROJECT_DIR:-}", "$PWD", "$HOME/shop", "%USERPROFILE%\\shop", "%CD%", "{{workspace}}"),
    ],
)
def test_a_path_with_a_variable_that_was_not_filled_in_counts_for_nothing_and_that_is_told(
    value: str, home: Path, project: Path
) -> None:
    for env, flags in (
        ({"DISPATCH_MCP_WORKSPACE": value}, {}),
        ({"CLAUDE_PROJECT_DIR": value}, {}),
        ({"DISPATCH_MCP_HOME": value}, {}),
        ({}, {"workspace": value}),
    ):
        loaded = configuration.load(env, flags=flags, cwd=project)
        assert loaded.settings.workspace == project
        assert loaded.guesses_workspace
        assert loaded.settings.home == configuration.default_home()
        if "CLAUDE_PROJECT_DIR" not in env and not value.endswith("}"):
            assert "was not filled in; it is ignored" in " ".join(loaded.warnings)


def test_dollars_and_percent_signs_may_stand_in_names_of_folders(home: Path, project: Path) -> None:
    for name in ("100% sure", "us$ prices", "a{b}", "50%off"):
        (project / name).mkdir()
        loaded = configuration.load({"DISPATCH_MCP_WORKSPACE": str(project / name)}, home=home, cwd=project)
        assert loaded.settings.workspace == project / name
        assert not loaded.guesses_workspace


def test_a_workspace_that_is_gone_is_only_told_of_where_none_is_needed(home: Path, project: Path) -> None:
    env = {"DISPATCH_MCP_WORKSPACE": str(project / "gone")}
    loaded = configuration.load(env, home=home, cwd=project, needs_workspace=False)
    assert "gone' is not an existing directory" in " ".join(loaded.warnings)


def test_a_folder_is_guessed_unless_somebody_has_named_it(home: Path, project: Path) -> None:
    named, hosts = {"DISPATCH_MCP_WORKSPACE": str(project)}, {"CLAUDE_PROJECT_DIR": str(project)}
    assert [configuration.load(env, home=home, cwd=project).guesses_workspace for env in ({}, hosts, named)] == [
        *(True, True, False)
    ]


def test_the_workspace_comes_from_us_then_the_host_then_the_directory(home: Path, project: Path) -> None:
    ours, hosts = home / "ours", home / "hosts"
    ours.mkdir()
    hosts.mkdir()
    env = {"DISPATCH_MCP_WORKSPACE": str(ours), "CLAUDE_PROJECT_DIR": str(hosts)}
    for expected in (ours, hosts, project):
        loaded = configuration.load(env, home=home, cwd=project)
        assert loaded.settings.workspace == expected
        env.pop(next(iter(env), ""), None)
    assert str(configuration.load({}, home=home, cwd=project).origin["workspace"]) == "default current directory"


def test_a_project_directory_that_is_gone_is_ignored_with_a_warning(home: Path, project: Path) -> None:
    loaded = configuration.load({"CLAUDE_PROJECT_DIR": "/no/such"}, home=home, cwd=project)
    assert loaded.settings.workspace == project
    assert "/no/such" in loaded.warnings[0]


def test_nothing_in_the_workspace_is_read(home: Path, project: Path) -> None:
    for name in ("config.toml", "dispatch-mcp.toml", ".dispatch-mcp.toml", "pyproject.toml", ".env"):
        (project / name).write_text(
            'max_parallel = 64\nallow_commands = [["rm", "**"]]\n[tool.dispatch-mcp]\ndepth_limit = 8\n'
        )
    (project / ".dispatch-mcp").mkdir()
    (project / ".dispatch-mcp" / "config.toml").write_text("max_parallel = 64\n")
    loaded = configuration.load({}, home=home, cwd=project)
    assert {origin.layer for origin in loaded.origin.values()} == {"default", "flag"}
    assert loaded.settings.commands().find(["rm", "-rf", "/"]) is None


@pytest.mark.parametrize("key", ["agent_dirs", "trusted_repositories"])
def test_relative_paths_start_where_they_are_written(home: Path, project: Path, key: str) -> None:
    write(home, f'{key} = ["agents", "/abs"]\n')
    assert getattr(configuration.load({}, home=home, cwd=project).settings, key) == (home / "agents", Path("/abs"))
    env = {f"DISPATCH_MCP_{key.upper()}": os.pathsep.join(("a", "~/b"))}
    assert getattr(configuration.load(env, home=home, cwd=project).settings, key) == (
        project / "a",
        Path("~/b").expanduser(),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max_parallel = 0", ["line 1: `max_parallel` is 0, but has to be a whole number from 1 to 64."]),
        ("max_parallel = 65", ["`max_parallel` is 65, but has to be a whole number from 1 to 64."]),
        ("max_parallel = true", ["`max_parallel` is True, but has to be a whole number from 1 to 64."]),
        ("max_parallel = 'many'", ["`max_parallel` is 'many', but has to be a whole number from 1 to 64."]),
        ("lease_minutes = nan", ["nan, but has to be a number above 0 to 1,440."]),
        ("task_timeout_s = inf", ["inf, but has to be a number above 0 to 86,400."]),
        ("learn = true\n\n direct_from = 1.5", ["line 3: `direct_from` is 1.5, but has to be a number from 0 to 1."]),
        ("direct_from = 0.5", ["line 1: `direct_from`", "0.7", "must not rise"]),
        ("default_worker = 'robot'", ["'robot', but has to be one of auto, ", "host"]),
        ("log_level = 7", ["`log_level` is 7, but has to be one of debug, info, warning, error."]),
        ("allow_commands = ['git log']", ["`allow_commands` is ['git log'], but has to be a list of lists of texts."]),
        ("allow_commands = [['./evil']]", ["./evil", "relative path"]),
        ("allow_commands = [['*']]", ["pattern in the place of the program"]),
        ("pass_env = ['A=B']", ["A=B", "not the name"]),
        ("pass_env = 'PATH'", ["`pass_env` is 'PATH', but has to be a list of texts."]),
        ("agent_dirs = 'x'", ["`agent_dirs` is 'x', but has to be a list of paths."]),
        ("agent_dirs = [7]", ["`agent_dirs` is [7], but has to be a list of paths."]),
        ("workspace = 7", ["`workspace` is 7, but has to be a path."]),
        ("learn = 'perhaps'", ["`learn` is 'perhaps', but has to be true or false."]),
        ("max_dollars = 'a'", ["`max_dollars` is 'a', but has to be a number above 0 to "]),
        ("claude_program = 7", ["`claude_program` is 7, but has to be a text."]),
        ("workspace = '/no/such/place'", ["/no/such/place", "not an existing directory"]),
        ('trusted_agents = "a\\u0000b"', ["NUL"]),
        ("agent_dirs = ['~no-such-user-here/x']", ["no-such-user-here"]),
        ("max_paralel = 5", ["line 1: there is no setting 'max_paralel'", "Did you mean 'max_parallel'?"]),
        ("Max-Parallel = 5", ["Did you mean 'max_parallel'?"]),
        ("zzz = 5", ["line 1: there is no setting 'zzz'", "Correct or remove it."]),
        ("home = '/x'", ["home"]),
        ("depth = 0", ["there is no setting 'depth'"]),
        ("learn = true\n[limits]\nx = 1", ["line 2: there is no setting 'limits'"]),
        ("max_parallel = ", ["line 1 is not TOML: 'max_parallel = '"]),
        (
            "max_parallel = 5\nmax_parallel = 6",
            ["line 2 gives a setting that stands above it already: 'max_parallel = 6'.", "Keep one of the two"],
        ),
        ("learn = true\nfoo bar\nlog_level = 'info'", ["line 2 is not TOML: 'foo bar'"]),
        ("learn = true\n\nworkspace = 'x", ['line 3 is not TOML: "workspace = \'x"']),
    ],
)
def test_a_mistake_in_the_file_names_file_value_and_remedy(
    home: Path, project: Path, text: str, said: list[str]
) -> None:
    path = write(home, text + "\n")
    with pytest.raises(errors.ConfigError) as raised:
        configuration.load({}, home=home, cwd=project)
    for words in said:
        assert words in str(raised.value)
    assert str(path) in str(raised.value) or "must not rise" in said or "NUL" in said or "no-such-user-here" in said
    assert raised.value.hint


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("MAX_PARALLEL", "many"),
        ("ALLOW_COMMANDS", "git log"),
        ("ALLOW_COMMANDS", "[git]"),
        ("DEPTH", "-1"),
        ("DEPTH", "deep"),
        ("WORKSPACE", "/no/such/place"),
    ],
)
def test_a_mistake_in_a_variable_names_it(home: Path, project: Path, name: str, text: str) -> None:
    with pytest.raises(errors.ConfigError, match="DISPATCH_MCP_" + name) as raised:
        configuration.load({"DISPATCH_MCP_" + name: text}, home=home, cwd=project)
    assert raised.value.hint


def test_all_mistakes_are_told_at_once(home: Path, project: Path) -> None:
    write(home, "max_parallel = 0\ngrace_s = -1\n")
    with pytest.raises(errors.ConfigError, match=r"max_parallel[\s\S]*grace_s"):
        configuration.load({}, home=home, cwd=project)


def test_names_that_are_no_settings_are_told_with_the_values_that_do_not_fit(home: Path, project: Path) -> None:
    write(home, "max_paralel = 3\nmax_parallel = 0\nzzz = 1\n")
    with pytest.raises(errors.ConfigError) as raised:
        configuration.load({}, home=home, cwd=project)
    first, second, third = raised.value.message.splitlines()
    assert first.endswith("line 1: there is no setting 'max_paralel'. Did you mean 'max_parallel'?")
    assert second.startswith("line 2: `max_parallel` is 0")
    assert third == "line 3: there is no setting 'zzz'."
    assert raised.value.message.count(str(home)) == 1, "the file is named once"
    assert raised.value.advice(shell_wording.words).startswith("Correct each or remove it.")


def test_a_value_of_the_environment_is_told_behind_those_of_the_file(home: Path, project: Path) -> None:
    write(home, "learn = 5\nmax_parallel = 0\n")
    with pytest.raises(errors.ConfigError) as raised:
        configuration.load({"DISPATCH_MCP_GRACE_S": "soon"}, home=home, cwd=project)
    first, second, third = raised.value.message.splitlines()
    assert first.startswith(f"{str(home / 'config.toml')!r}, line 1: `learn`")
    assert second.startswith("line 2: `max_parallel`")
    assert third.startswith("DISPATCH_MCP_GRACE_S: ")


def test_an_unknown_flag_is_an_error(home: Path, project: Path) -> None:
    with pytest.raises(errors.ConfigError, match="Did you mean 'max_parallel'"):
        configuration.load({}, flags={"max_paralel": 5}, home=home, cwd=project)


def test_an_unknown_variable_is_a_warning_because_newer_versions_may_know_it(home: Path, project: Path) -> None:
    env = {"DISPATCH_MCP_MAX_PARALEL": "5", "DISPATCH_MCP_CHAOS": "full", "DISPATCH_MCP_FAILPOINT": "x"}
    assert configuration.load(env, home=home, cwd=project).warnings == (
        "The variable DISPATCH_MCP_MAX_PARALEL is not known. Did you mean 'max_parallel'?",
    )


def test_an_unknown_key_that_looks_like_a_secret_is_not_shown(home: Path, project: Path) -> None:
    write(home, "api_key = 'hunter2hunter2'\n")
    with pytest.raises(errors.ConfigError, match="only from the environment") as raised:
        configuration.load({}, home=home, cwd=project)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"x" * (1 << 20) + b"x"], ids=["not utf-8", "too large"])
def test_a_file_that_is_no_text_of_ours_is_refused(home: Path, project: Path, content: bytes) -> None:
    write(home, "").write_bytes(content)
    with pytest.raises(errors.ConfigError):
        configuration.load({}, home=home, cwd=project)


def test_a_file_as_editors_of_windows_save_it_is_read_like_any_other(home: Path, project: Path) -> None:
    write(home, "\ufeffmax_parallel = 3\r\nlearn = false\r\n")
    settings = configuration.load({}, home=home, cwd=project).settings
    assert (settings.max_parallel, settings.learn) == (3, False)


def test_a_folder_in_the_place_of_the_file_is_refused(home: Path, project: Path) -> None:
    (home / "config.toml").mkdir()
    with pytest.raises(errors.ConfigError, match="cannot be read"):
        configuration.load({}, home=home, cwd=project)


def test_a_file_that_others_can_write_gives_no_rights(home: Path, project: Path) -> None:
    write(home, "").chmod(0o666)
    with pytest.raises(errors.ConfigError, match="every user"):
        configuration.load({}, home=home, cwd=project)


def test_a_file_of_another_user_gives_no_rights(home: Path, project: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can give files away")
    os.chown(write(home, ""), 12345, -1)
    with pytest.raises(errors.ConfigError, match="another user"):
        configuration.load({}, home=home, cwd=project)


def test_a_home_inside_the_workspace_is_warned_about(project: Path) -> None:
    loaded = configuration.load({}, home=project / "state", cwd=project)
    assert "inside the workspace" in loaded.warnings[0]


def test_the_depth_is_handed_down_by_the_environment_only(home: Path, project: Path) -> None:
    settings = configuration.load({child_environment.DEPTH: "1"}, home=home, cwd=project).settings
    assert settings.child_policy({}).environment()[child_environment.DEPTH] == "2"
    assert not settings.child_policy({}).too_deep
    assert configuration.load({child_environment.DEPTH: "2"}, home=home, cwd=project).settings.child_policy({}).too_deep


def test_the_settings_make_the_allow_list_and_the_child_policy(home: Path, project: Path) -> None:
    write(home, 'allow_commands = [["make", "*"]]\nallow_read_only_git = false\npass_env = ["CI"]\n')
    settings = configuration.load({}, home=home, cwd=project).settings
    assert settings.commands().find(["make", "test"])
    assert settings.commands().find(["git", "log"]) is None
    assert settings.child_policy({"CI": "1", "X": "2"}).environment().keys() >= {"CI"}


def test_secrets_are_collected_and_never_shown(home: Path, project: Path) -> None:
    env = {"ANTHROPIC_API_KEY": KEY, "PLAIN": "word"}
    loaded = configuration.load(env, home=home, cwd=project)
    assert loaded.secrets == configuration.secret_values(env) == {KEY}
    assert "sk-ant" not in repr(loaded)


@given(
    env=st.dictionaries(
        st.sampled_from(
            ["DISPATCH_MCP_" + key.upper() for key in configuration.Settings.model_fields if key != "home"]
        ),
        st.text(max_size=12) | st.sampled_from(["[]", "[[]]", "[1]", "NaN", "-1", "1e999", "~", "/", "true"]),
        max_size=4,
    )
)
def test_no_variable_does_anything_but_load_or_fail_with_a_hint(env: dict[str, str]) -> None:
    try:
        loaded = configuration.load(env, home=Path("/no/such/home"), cwd=Path("/"))
        told: object = loaded.settings.workspace.is_dir()
    except errors.ConfigError as error:
        told = error.hint
    assert told


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('notify = "pager"', "notify"),
        ('notify = "command"', "`notify_command` says nothing"),
        ('notify = "webhook"', "`notify_url` says nothing"),
        ('notify_url = "http://example.com/"', "everything else needs https"),
        ('notify_url = "https://192.168.1.1/"', "no public address"),
        ('notify_url = "https://ann:pw@example.com/"', "no user name"),
        ('notify_command = ["tell", "*"]', "without patterns"),
        ('notify_command = ["./tell"]', "./tell"),
        ('notify_command = [""]', "notify_command"),
        ('notify_on = ["sometimes"]', "notify_on"),
        ("warn_at = 0", "warn_at"),
        ("warn_at = 1.5", "warn_at"),
    ],
)
def test_a_way_of_telling_people_that_cannot_be_is_refused_where_it_stands(
    home: Path, project: Path, text: str, reason: str
) -> None:
    write(home, f"{text}\n")
    with pytest.raises(errors.ConfigError, match=re.escape(reason)):
        configuration.load({}, home=home, cwd=project)


def test_a_command_to_tell_people_in_the_environment_is_json(home: Path, project: Path) -> None:
    with pytest.raises(errors.ConfigError, match="must be a JSON list, not 'tell me'"):
        configuration.load({"DISPATCH_MCP_NOTIFY_COMMAND": "tell me"}, home=home, cwd=project)
