from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
KINDS = ("prompts", "agents", "knowledgebase")


def sources(kind: str) -> set[str]:
    """Returns the files of a bundled folder that git would track, relative to the repository."""
    return {
        path.relative_to(REPOSITORY).as_posix()
        for path in (REPOSITORY / kind).rglob("*.md*")
        if path.is_file() and path.suffix in {".md", ".j2"}
    }


def build(target: str, folder: Path) -> Path:
    """Builds with the backend itself: no isolation, no network."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a folder that holds what installing the wheel puts into site-packages."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def test_the_wheel_installs_one_package_and_nothing_beside_it(site: Path) -> None:
    top = {path.name for path in site.iterdir() if not path.name.endswith(".dist-info")}
    assert top == {"dispatch_mcp"}
    assert (site / "dispatch_mcp" / "py.typed").is_file()


@pytest.mark.parametrize("kind", KINDS)
def test_the_wheel_carries_every_bundled_file(kind: str, site: Path) -> None:
    carried = {
        f"{kind}/{path.relative_to(site / 'dispatch_mcp/_bundled' / kind).as_posix()}"
        for path in (site / "dispatch_mcp/_bundled" / kind).rglob("*.md*")
    }
    assert carried == sources(kind)


def test_the_wheel_carries_every_module_and_schema_file(site: Path) -> None:
    package = REPOSITORY / "server" / "dispatch_mcp"
    expected = {path.relative_to(package) for suffix in ("*.py", "*.sql") for path in package.rglob(suffix)}
    assert expected == {
        path.relative_to(site / "dispatch_mcp")
        for suffix in ("*.py", "*.sql")
        for path in (site / "dispatch_mcp").rglob(suffix)
    }


def test_the_wheel_names_the_licences_of_all_that_is_in_it_and_has_their_texts(site: Path) -> None:
    (info,) = site.glob("*.dist-info")
    metadata = (info / "METADATA").read_text(encoding="utf-8")
    assert "License-Expression: MIT AND Apache-2.0\n" in metadata
    vectors = "server/dispatch_mcp/text/data/word_vectors"
    texts = {name: (info / "licenses" / name).read_text("utf-8") for name in ("LICENSE", f"{vectors}.LICENSE")}
    assert "MIT License" in texts["LICENSE"]
    assert "Apache License" in texts[f"{vectors}.LICENSE"]
    assert "END OF TERMS AND CONDITIONS" in texts[f"{vectors}.LICENSE"]
    assert "Apache License, Version 2.0" in (info / "licenses" / f"{vectors}.NOTICE").read_text("utf-8")
    assert (site / "dispatch_mcp" / "text" / "data" / "word_vectors.LICENSE").is_file()


@pytest.mark.parametrize("kind", KINDS)
def test_an_installed_copy_finds_its_own_bundled_files(kind: str, site: Path, tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r})\n"
        "from dispatch_mcp.agents import bundled_files\n"
        f"assert {str(site)!r} in bundled_files.__file__, bundled_files.__file__\n"
        f"print(len(bundled_files.entries({kind!r})), bundled_files.shipped_folder({kind!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    count, folder = done.stdout.split(maxsplit=1)
    assert (int(count), folder.strip()) == (len(sources(kind)), str(site / "dispatch_mcp" / "_bundled" / kind))


def test_the_source_archive_can_build_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    archive = build("sdist", tmp_path / "sdist")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    with zipfile.ZipFile(wheel) as built:
        modules = {name for name in built.namelist() if name.endswith(".py")}
    assert {f"server/{name}" for name in modules} <= names
    assert {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "Makefile", "tests/conftest.py"} <= names
    assert set().union(*map(sources, KINDS)) <= names
    assert not any(name.startswith((".venv", ".git/")) for name in names)
