"""What is public is listed, and what is listed is documented: names, fields, and the law of each module."""

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import click
import pytest
from _pytest.fixtures import FixtureFunctionDefinition

import rtproto

MODULES = [
    importlib.import_module(found.name)
    for found in pkgutil.walk_packages(rtproto.__path__, "rtproto.")
    if found.name != "rtproto.__main__"
]
LISTED = [module for module in (rtproto, *MODULES) if "._" not in module.__name__]
DOCUMENTED = (click.Command, FixtureFunctionDefinition)
each_module = pytest.mark.parametrize("module", LISTED, ids=lambda module: module.__name__)


def _tree(module: ModuleType) -> ast.Module:
    return ast.parse(Path(str(module.__file__)).read_text("utf-8"))


@each_module
def test_the_list_holds_what_the_module_defines(module: ModuleType) -> None:
    assert len(set(module.__all__)) == len(module.__all__)
    assert all(hasattr(module, name) for name in module.__all__)
    defined = {
        name
        for name, value in vars(module).items()
        if getattr(value, "__module__", None) == module.__name__ and not isinstance(value, TypeVar)
    }
    assert {name for name in defined if not name.startswith("_")} <= set(module.__all__)


def test_the_package_exports_what_the_design_names() -> None:
    surfaces = {
        "client",
        "server",
        "translation",
        "event_types",
        "types",
        "capture",
        "builders",
        "items",
        "pcm",
    }
    codecs = {"server_codec", "client_codec", "translation_server_codec", "translation_client_codec"}
    functions = {"decode_server", "decode_client", "decode_body", "encode", "encode_into", "probe_type"}
    classes = {
        "Codec",
        "Event",
        "Struct",
        "Unknown",
        "RtprotoError",
        "NotAnEvent",
        "InvalidEvent",
        "UNSET",
        "UnsetType",
    }
    speaking = {"ResponseEventBuilder", "ItemEventBuilder", "ContentEventBuilder", "ResponseBuilder"}
    speaking |= {"new_event_id", "validate", "Problem"}
    frames = {"Frame", "ServerFrame", "ClientFrame", "TranslationServerFrame", "TranslationClientFrame"}
    expected = surfaces | codecs | functions | classes | speaking | frames | {"NoSuchPath", "__version__"}
    assert set(rtproto.__all__) == expected


@pytest.mark.parametrize("module", [rtproto, *MODULES], ids=lambda module: module.__name__)
def test_every_module_opens_with_its_law(module: ModuleType) -> None:
    law = (module.__doc__ or "").splitlines()[:1]
    assert law
    assert 20 < len(law[0]) <= 110


@each_module
def test_every_public_name_is_documented(module: ModuleType) -> None:
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isfunction(value) or isinstance(value, DOCUMENTED):
            assert inspect.getdoc(value) or getattr(value, "help", None), name
        elif not isinstance(value, ModuleType):
            assert any(name in _documented_assignments(m) for m in MODULES) or name in (
                "UNSET",
                "__version__",
            ), name


def _documented_assignments(module: ModuleType) -> set[str]:
    """Names that a string literal follows: aliases and constants have no other place for their doc."""
    return {name for node in ast.walk(_tree(module)) for name in _documented(node)}


def _documented(node: ast.AST) -> Iterator[str]:
    for block in (getattr(node, "body", None), getattr(node, "orelse", None)):
        for statement, following in pairwise(block if isinstance(block, list) else ()):
            targets = getattr(statement, "targets", [getattr(statement, "target", None)])
            if _is_text(following):
                yield from (target.id for target in targets if isinstance(target, ast.Name))


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def test_types_exports_every_noun_of_every_family() -> None:
    families = [module for module in MODULES if module.__name__.startswith("rtproto.types.")]
    assert set(rtproto.types.__all__) == {name for family in families for name in family.__all__}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_every_field_is_documented(module: ModuleType) -> None:
    if not module.__name__.startswith(("rtproto.types", "rtproto.events")):
        return
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.ClassDef):
            fields = {
                f.target.id
                for f in node.body
                if isinstance(f, ast.AnnAssign) and isinstance(f.target, ast.Name)
            }
            assert fields <= set(_documented(node)), node.name
