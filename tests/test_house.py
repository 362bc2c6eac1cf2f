"""The rules of the house that no other tool checks: the package list, the import rule, links, and what text may say."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ROOMS = ("broker", "models", "nodes", "scripts")
NOT_OURS = {"build", "dist", "runs", "__pycache__"}
TEXT = {".py", ".md", ".toml", ".yaml", ".svg", ".typed", ""}
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:home|Users|root|work|opt)/\w+")


def texts() -> Iterator[Path]:
    """Every text file that belongs to the project."""
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        ours = not any(part in NOT_OURS or part.endswith(".egg-info") for part in parts)
        hidden = parts[0].startswith(".") and parts[0] not in {".ci", ".gitignore", ".pre-commit-config.yaml"}
        if path.is_file() and ours and not hidden and path.suffix in TEXT:
            yield path


def folders() -> set[str]:
    """Import names of the folders that are packages."""
    found = {init.parent.relative_to(ROOT) for room in ROOMS for init in (ROOT / room).rglob("__init__.py")}
    return {"nervenet", *(".".join(("nervenet", *folder.parts)) for folder in found)}


def broken_links(text: str, folder: Path) -> list[str]:
    return [link for link in LINK.findall(text) if not (folder / link).exists()]


def test_pyproject_lists_every_package_and_no_other() -> None:
    assert set(PYPROJECT["tool"]["setuptools"]["packages"]) == folders()
    mapped = {"nervenet": "namespace", **{f"nervenet.{room}": room for room in ROOMS}}
    assert PYPROJECT["tool"]["setuptools"]["package-dir"] == mapped


def test_every_folder_with_modules_is_a_package_and_the_rooms_are_typed() -> None:
    for room in ROOMS:
        with_modules = {module.parent for module in (ROOT / room).rglob("*.py")}
        assert [folder for folder in with_modules if not (folder / "__init__.py").exists()] == []
        assert (ROOT / room / "py.typed").exists()


def test_one_name_is_installed() -> None:
    try:
        found = importlib.metadata.distribution("nervenet")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("run from the folders, not from an installation")
    # An egg-info that a build leaves in this folder is found first where the folder is on the path (python -m pytest).
    if found.locate_file("").resolve() == ROOT:
        pytest.skip("run from the folders, not from an installation")
    files = found.files or []
    tops = {file.parts[0] for file in files if file.suffix == ".py"}
    assert tops == {"nervenet"}


def test_no_folder_shadows_the_installed_package_for_who_starts_python_here() -> None:
    assert not (ROOT / "nervenet").exists()


@pytest.mark.e2e
def test_the_import_rule_holds() -> None:
    command = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    assert command, "import-linter belongs to the extra dev"
    ended = subprocess.run([command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stdout


def test_every_dependency_has_its_line() -> None:
    record = next((ROOT / "docs" / "decisions").glob("*-dependencies.md")).read_text(encoding="utf-8")
    extras = {name: lines for name, lines in PYPROJECT["project"]["optional-dependencies"].items() if name != "dev"}
    required = [*PYPROJECT["project"]["dependencies"], *(line for lines in extras.values() for line in lines)]
    names = [re.split(r"[<>=\[]", requirement)[0] for requirement in required]
    assert [name for name in names if name != "nervenet" and f"\n| {name} " not in record] == []


def test_links_between_documents_lead_somewhere() -> None:
    documents = [path for path in texts() if path.suffix == ".md"]
    assert len(documents) > 10
    broken = {str(path): broken_links(path.read_text(encoding="utf-8"), path.parent) for path in documents}
    assert {path: links for path, links in broken.items() if links} == {}


def test_the_picture_names_files_that_exist() -> None:
    named = set(re.findall(r"[\w/]+\.py", (ROOT / "docs" / "architecture.svg").read_text(encoding="utf-8")))
    assert len(named) > 10
    folders = [ROOT / room for room in ROOMS]
    assert [name for name in named if not any((folder / name).exists() for folder in folders)] == []


def too_long(sources: Iterator[tuple[str, str]]) -> list[str]:
    """Modules of more than 450 lines, and classes of more than 300: what is that long is several ideas."""
    found = []
    for name, source in sources:
        lengths = [(name, len(source.splitlines()), 450)]
        lengths += [
            (f"{name}: class {node.name}", (node.end_lineno or 0) - node.lineno + 1, 300)
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.ClassDef)
        ]
        found += [f"{what}: {length} lines, at most {most}" for what, length, most in lengths if length > most]
    return found


def test_no_module_and_no_class_is_too_long() -> None:
    paths = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    assert len(paths) > 100
    assert too_long((str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")) for path in paths) == []


def test_a_class_that_is_too_long_is_noticed() -> None:
    long = "class Long:\n" + "    x = 1\n" * 300
    assert too_long(iter([("a.py", long), ("b.py", "x = 1\n" * 451)])) == [
        "a.py: class Long: 301 lines, at most 300",
        "b.py: 451 lines, at most 450",
    ]


def test_at_most_three_modules_stand_directly_in_nodes() -> None:
    assert len([path for path in (ROOT / "nodes").glob("*.py") if path.name != "__init__.py"]) <= 3


def test_a_broken_link_is_noticed() -> None:
    assert broken_links("[a](README.md#part) [b](https://x.org/y) [c](no/such.md)", ROOT) == ["no/such.md"]


def test_no_text_mentions_a_path_of_some_machine() -> None:
    found = {
        f"{path.relative_to(ROOT)}: {hit}"
        for path in texts()
        for text in [path.read_text(encoding="utf-8")]
        for hit in [*MACHINE_PATH.findall(text), *([str(ROOT)] if f"{ROOT}/" in text else [])]
    }
    assert found == set()


def test_a_path_of_some_machine_is_noticed() -> None:
    assert MACHINE_PATH.findall("see " + "/".join(["", "home", "ada", "notes"]))
    assert not MACHINE_PATH.findall("https://example.org/home/ada, docs/work/plan and ./root/x")
