"""Which files are never shown, and which are not worth reading."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.text import secret_paths

SECRETS = (
    *(".env", ".env.production", "prod.env", ".envrc", "server.pem", "tls.key", "store.p12", "app.jks", "vault.kdbx"),
    *("mail.asc", "vpn.ovpn", "main.tfvars", "terraform.tfstate", "terraform.tfstate.1", "id_rsa", "id_ed25519.pub"),
    *("deploy_rsa", ".netrc", "_netrc", ".npmrc", ".yarnrc", ".yarnrc.yml", ".pypirc", ".git-credentials", ".boto"),
    *(".gitconfig", ".pgpass", ".my.cnf", ".htpasswd", ".dockercfg", ".vault-token", ".s3cfg", ".terraformrc"),
    *("credentials", "aws_credentials.csv", "google_credentials.json", "secrets.yaml", "secret.toml", "known_hosts"),
    *("my-service-account.json", "client_secret_1.json", "authorized_keys", "shadow", ".bash_history", ".claude.json"),
)
_FOLDERS = st.sampled_from(["", "src/", "a b/deep/", "x.y/src/z/"])


@pytest.mark.promise("S4")
@given(_FOLDERS, st.sampled_from(SECRETS), st.sampled_from([str, str.upper, str.title]))
def test_a_secret_file_is_one_in_any_folder_and_in_any_case(folder: str, name: str, case: Callable[[str], str]) -> None:
    assert secret_paths.secret(f"{folder}{case(name)}")
    assert not secret_paths.readable(f"{folder}{case(name)}", in_git=True)


@pytest.mark.promise("S4")
@pytest.mark.parametrize("folder", [".git", ".hg", ".svn", ".ssh", ".aws", ".gnupg", ".kube", ".docker", ".azure"])
def test_whatever_lies_in_a_secret_folder_is_secret(folder: str) -> None:
    assert secret_paths.secret(f"home/{folder}/plain.txt")
    assert secret_paths.secret(folder)


@pytest.mark.promise("S4")
@pytest.mark.parametrize("path", [".env.", ".env ", ".env::$DATA", "a\\.env", ".git:stream/config", ".SSH./id"])
def test_other_ways_to_write_a_secret_name_do_not_help(path: str) -> None:
    assert secret_paths.secret(path)


@pytest.mark.parametrize(
    "path",
    ["env.py", "keys/view.ts", "monkey.py", "secrets.md", "credentials/form.tsx", "tfvars.go", "id.py"],
)
def test_ordinary_names_are_none(path: str) -> None:
    assert not secret_paths.secret(path)


@pytest.mark.parametrize("name", ["yarn.lock", "a.min.js", "logo.PNG", "x.jpeg", "lib.so", "go.sum", "Thumbs.db"])
def test_generated_and_binary_files_are_dull(name: str) -> None:
    assert secret_paths.dull(name)
    assert not secret_paths.readable(name)


@pytest.mark.parametrize("name", ["lock.py", "min.js", "png.go", "csv", "package.json", "sum.go"])
def test_files_that_people_write_are_not_dull(name: str) -> None:
    assert not secret_paths.dull(name)


def test_built_folders_count_only_at_the_top_and_for_what_git_does_not_know() -> None:
    assert not secret_paths.readable("build/step.py")
    assert secret_paths.readable("build/step.py", in_git=True)
    assert secret_paths.readable("src/build/step.py")
    assert not secret_paths.readable("src/node_modules/x.js", in_git=True)


@pytest.mark.parametrize(
    ("path", "in_git", "expected"),
    [
        ("src/app.py", False, True),
        (".github/workflows/ci.yml", False, True),
        ("src/.hidden/app.py", False, True),
        (".env", True, False),
        ("src/.env.local", True, False),
        (".ssh/config", True, False),
        ("src/.ssh/config", True, False),
        ("src/.docker/config.json", True, False),
        ("src/yarn.lock", True, False),
        ("node_modules/x/index.js", True, False),
        ("web/third_party/x.js", True, False),
        ("Pods/x.m", False, False),
        (".venv/lib/x.py", False, False),
        ("dist/app.py", False, False),
        ("dist/app.py", True, True),
        ("web/dist/app.py", False, True),
        ("coverage/index.py", False, False),
    ],
)
def test_what_may_be_indexed_is_known_by_the_path(path: str, *, in_git: bool, expected: bool) -> None:
    assert secret_paths.readable(path, in_git=in_git) is expected


@pytest.mark.parametrize(
    ("folder", "top", "expected"),
    [
        ("node_modules", False, True),
        ("__pycache__", False, True),
        (".git", False, True),
        (".GIT", False, True),
        (".ssh", True, True),
        ("build", True, True),
        ("build", False, False),
        ("target", True, True),
        ("src", True, False),
        (".github", True, False),
    ],
)
def test_folders_of_other_people_and_of_tools_are_left_out(folder: str, *, top: bool, expected: bool) -> None:
    assert secret_paths.skipped_folder(folder, top=top) is expected


@pytest.mark.promise("S4")
@given(st.sampled_from(SECRETS), st.text("ab.\n", min_size=1, max_size=5))
def test_a_secret_stays_one_as_a_file_in_a_folder_of_any_name(name: str, folder: str) -> None:
    assert secret_paths.secret(f"{folder}/{name}")
    assert secret_paths.unread_file(name)


@pytest.mark.promise("S4")
@pytest.mark.parametrize("name", [".env.a\nb", "id_rsa.pub", ".env-backup", "terraform.tfstate.backup", "prod\n.env"])
def test_a_secret_name_with_more_in_it_is_still_one(name: str) -> None:
    assert secret_paths.secret(name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x" * 400, False),
        ("x" * 401, True),
        (("x" * 398 + "\n") * 20, False),
        ("short\n" * 10_000 + "x" * 20_000, False),
        ("short\n" * 10_000 + "x" * 20_001, True),
        ("short\n" * 10_000 + "x" * 20_001 + "\nshort", True),
        ("\n" * 6_000, False),
        ("def f(): ...\n" * 5_000, False),
        ("", False),
    ],
)
def test_text_is_made_by_machines_from_a_length_of_lines_on(text: str, *, expected: bool) -> None:
    assert secret_paths.machine_made(text) is expected
