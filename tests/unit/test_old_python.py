"""Code for managed hosts is Python 3.6: nothing newer in its syntax, nothing but the standard library and ourselves.

On Python 3.6 itself `compile` is the test; newer ones are told to parse as 3.6 and asked for what that lets through.
"""

import ast
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = sorted(ROOT.glob("library/*.py")) + sorted(ROOT.glob("module_utils/**/*.py"))
# Modules and names of the standard library that came after 3.6, as far as anybody would reach for them.
TOO_NEW = {
    "dataclasses", "zoneinfo", "graphlib", "tomllib", "contextvars",
    "functools.cache", "functools.cached_property", "functools.singledispatchmethod", "contextlib.nullcontext",
    "contextlib.chdir", "contextlib.aclosing", "contextlib.AsyncExitStack", "math.prod", "math.comb", "math.dist",
    "math.isqrt", "shlex.join", "itertools.pairwise", "itertools.batched", "time.time_ns", "time.monotonic_ns",
    "subprocess.run.text", "subprocess.run.capture_output", "subprocess.Popen.text", "os.memfd_create",
    "typing.Protocol", "typing.Final", "typing.Literal", "typing.TypedDict", "datetime.UTC", "asyncio.run",
}  # fmt: skip
NEWER_METHODS = {"removeprefix", "removesuffix", "fromisoformat", "is_relative_to", "subnet_of", "supernet_of"}


def every_file(function):
    return pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))(function)


def parse(source, name):
    return ast.parse(source, name, feature_version=(3, 6)) if sys.version_info >= (3, 8) else ast.parse(source, name)


def too_new(source):
    """Sentences on what in a source Python 3.6 does not have."""
    tree = parse(source, "source")
    found = []
    for node in ast.walk(tree):
        kind = type(node).__name__
        if kind in {"NamedExpr", "Match", "TryStar", "TypeAlias"} or getattr(
            getattr(node, "args", None), "posonlyargs", None
        ):
            found.append("line {0}: {1}".format(getattr(node, "lineno", "?"), kind))
        elif kind == "ImportFrom" and node.level == 0:
            found += [
                "line {0}: {1}.{2}".format(node.lineno, node.module, alias.name)
                for alias in node.names
                if node.module in TOO_NEW
                or "{0}.{1}".format(node.module, alias.name) in TOO_NEW
                or (node.module, alias.name) == ("__future__", "annotations")
            ]
        elif kind == "Import":
            found += ["line {0}: {1}".format(node.lineno, alias.name) for alias in node.names if alias.name in TOO_NEW]
        elif kind == "Attribute" and dotted(node) in TOO_NEW:
            found.append("line {0}: {1}".format(node.lineno, dotted(node)))
        elif kind == "Attribute" and node.attr in NEWER_METHODS:
            found.append("line {0}: .{1}".format(node.lineno, node.attr))
        elif kind == "Call":
            found += [
                "line {0}: {1}({2}=)".format(node.lineno, dotted(node.func), keyword.arg)
                for keyword in node.keywords
                if "{0}.{1}".format(dotted(node.func), keyword.arg) in TOO_NEW
            ]
    return found


def dotted(node):
    return "{0}.{1}".format(node.value.id, node.attr) if isinstance(getattr(node, "value", None), ast.Name) else ""


def test_there_are_files():
    assert len(FILES) > 5


@every_file
def test_it_compiles_here(path):
    compile(path.read_text(encoding="utf-8"), str(path), "exec")


@every_file
def test_it_has_nothing_that_python_3_6_lacks(path):
    assert too_new(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "from __future__ import annotations",
        "import dataclasses",
        "from functools import cached_property",
        "import functools\nx = functools.cached_property(print)",
        "import subprocess\nsubprocess.run([], capture_output=True)",
        "import subprocess\nsubprocess.run([], text=True)",
        "x = 'ab'.removeprefix('a')",
    ],
)
def test_what_is_too_new_is_found(source):
    try:
        assert too_new(source)
    except SyntaxError:  # Python 3.6 itself does not know that future
        assert "annotations" in source


@pytest.mark.skipif(sys.version_info < (3, 8), reason="an older Python refuses it by itself")
@pytest.mark.parametrize("source", ["(x := 1)", "def f(a, /): pass"])
def test_newer_syntax_is_refused(source):
    try:
        assert too_new(source)
    except SyntaxError as error:
        assert error
