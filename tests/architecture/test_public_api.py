"""The public API equals the snapshot in public_api.txt, and the package docstrings list every name.

After an intended change, rewrite the snapshot: python -m tests.architecture.test_public_api
"""

import ast
import inspect
from pathlib import Path
from types import ModuleType

import pytest

import indexer
import retrieval

PACKAGES = (retrieval, indexer)
SNAPSHOT = Path(__file__).with_name("public_api.txt")


def public_api() -> str:
    """Return a line for each public name, signature, field and property."""
    lines = [
        line for package in PACKAGES for name in sorted(package.__all__) for line in describe(package, name)
    ]
    return "\n".join(lines) + "\n"


def describe(package: ModuleType, name: str) -> list[str]:
    """Return the signature of a function, or a class with its public members."""
    value, full_name = getattr(package, name), f"{package.__name__}.{name}"
    if not inspect.isfunction(value) and not inspect.isclass(value):
        return [f"{full_name} = {value}"]
    node = definition(value)
    if isinstance(node, ast.FunctionDef):
        return [full_name + signature(node)]
    bases = ", ".join(map(ast.unparse, node.bases))
    return [
        f"{full_name}({bases})",
        *(f"    {line}" for member in node.body for line in describe_member(member)),
    ]


def describe_member(node: ast.stmt) -> list[str]:
    """Return a field, a property or the signature of a method, unless it is private."""
    if isinstance(node, ast.AnnAssign) and not ast.unparse(node.target).startswith("_"):
        return [ast.unparse(node)]
    if not isinstance(node, ast.FunctionDef) or (node.name.startswith("_") and node.name != "__init__"):
        return []
    if "property" in map(ast.unparse, node.decorator_list):
        return [f"{node.name}: {ast.unparse(node.returns)}"]
    return [node.name + signature(node)]


def definition(value: type | object) -> ast.FunctionDef | ast.ClassDef:
    """Return the syntax tree of a function or a class."""
    tree = ast.parse(Path(inspect.getsourcefile(value)).read_text("utf-8"))
    return next(node for node in tree.body if getattr(node, "name", "") == value.__name__)


def signature(node: ast.FunctionDef) -> str:
    """Return the parameters and the return type, one parameter per line if they are long."""
    parameters = parameter_list(node.args)
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    if len(line := f"({', '.join(parameters)}){returns}") <= 80:
        return line
    return "(" + "".join(f"\n        {parameter}," for parameter in parameters) + f"\n    ){returns}"


def parameter_list(args: ast.arguments) -> list[str]:
    """Return each parameter with its annotation and default."""
    positional = [*args.posonlyargs, *args.args]
    missing = [None] * (len(positional) - len(args.defaults))
    parameters = list(map(parameter, positional, [*missing, *args.defaults]))
    parameters += [f"*{ast.unparse(args.vararg)}"] if args.vararg else ["*"] * bool(args.kwonlyargs)
    parameters += map(parameter, args.kwonlyargs, args.kw_defaults)
    return parameters + ([f"**{ast.unparse(args.kwarg)}"] if args.kwarg else [])


def parameter(arg: ast.arg, default: ast.expr | None) -> str:
    return ast.unparse(arg) + (f" = {ast.unparse(default)}" if default else "")


def test_public_api_equals_the_snapshot():
    message = "The public API has changed. If intended, run: python -m tests.architecture.test_public_api"
    assert public_api().splitlines() == SNAPSHOT.read_text("utf-8").splitlines(), message


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_package_docstring_lists_every_public_name(package):
    listed = {words[0] for line in package.__doc__.splitlines() if (words := line.split())}
    assert set(package.__all__) - listed == set()


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_public_names_have_docstrings(package):
    names = [name for name in package.__all__ if name != "Kind"]  # a type alias has no docstring
    assert [name for name in names if not getattr(package, name).__doc__] == []


if __name__ == "__main__":
    SNAPSHOT.write_text(public_api(), "utf-8")
