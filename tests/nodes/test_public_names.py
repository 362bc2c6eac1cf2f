"""`nervenet.nodes` gives its names when they are asked for, and type checkers the same ones."""

import ast
import inspect
import subprocess
import sys

import pytest
from nervenet import nodes


@pytest.mark.parametrize("name", nodes.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(nodes, name).__name__.rpartition(".")[2] == name


def test_type_checkers_see_the_same_names_from_the_same_modules() -> None:
    tree = ast.parse(inspect.getsource(nodes))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    homes = nodes._HOMES | {name: path.removesuffix(f".{name}") for name, path in nodes._MODULES.items()}
    assert {alias.name: f".{node.module}" for node in imports for alias in node.names} == homes
    assert sorted(homes) == sorted(nodes.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Cleint'"):
        nodes.Cleint  # noqa: B018


@pytest.mark.e2e
def test_importing_the_package_imports_no_library() -> None:
    code = "import sys, nervenet.nodes; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "zmq", "msgspec", "sklearn"} & set(loaded)
