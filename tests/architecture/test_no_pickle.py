"""No module of clew runs code that data may choose: no pickle, no eval, and only weights from checkpoints."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FORBIDDEN_MODULES = frozenset(
    ("pickle", "_pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "jsonpickle")
)
FORBIDDEN_FUNCTIONS = frozenset(("eval", "exec", "compile", "__import__"))
FORBIDDEN_METHODS = frozenset(("read_pickle", "to_pickle", "unsafe_load", "full_load"))


def problems(source: str) -> list[str]:
    """Return the imports and calls of a module that may run code of its data."""
    found = list[str]()
    for node in ast.walk(ast.parse(source)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        found += [name for name in names if name.partition(".")[0] in FORBIDDEN_MODULES]
        if isinstance(node, ast.Call):
            found += call_problems(node)
    return found


def call_problems(call: ast.Call) -> list[str]:
    """Return the problems of a call."""
    name = ast.unparse(call.func)
    options = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    last = name.rpartition(".")[2]
    is_unsafe = (
        name in FORBIDDEN_FUNCTIONS
        or last in FORBIDDEN_METHODS
        or (name == "torch.load" and options.get("weights_only") != "True")
        or (last in ("create_model", "load_checkpoint") and options.get("weights_only", "True") != "True")
        or (last == "from_pretrained" and options.get("trust_remote_code", "False") != "False")
        or name == "torch.jit.load"
        or (last == "load" and options.get("allow_pickle", "False") != "False")
        or (None in options and last in ("load", "create_model"))  # **options may have any
    )
    return [f"line {call.lineno}: {name}"] * is_unsafe


MODULES = sorted(path for package in ("retrieval", "indexer") for path in (ROOT / package).rglob("*.py"))


def test_no_module_runs_code_of_its_data():
    found = {str(path.relative_to(ROOT)): problems(path.read_text("utf-8")) for path in MODULES}
    assert len(MODULES) > 300
    assert {name: each for name, each in found.items() if each} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import os, marshal",
        "from shelve import open",
        "def f():\n    from joblib import load",
        "from pickle import loads as x",
        "eval('1')",
        "exec(x)",
        "torch.load(f)",
        "torch.load(f, weights_only=False)",
        "torch.load(f, weights_only=flag)",
        "torch.load(f, **options)",
        "np.load(f, allow_pickle=True)",
        "np.load(f, None, allow_pickle=flag)",
        "open_clip.create_model(name, weights_only=False)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
        "torch.jit.load(f)",
        "pandas.read_pickle(f)",
    ],
)
def test_unsafe_source_is_found(source):
    assert problems(source)


@pytest.mark.parametrize(
    "source", ["torch.load(f, weights_only=True)", "np.load(f)", "np.load(f, allow_pickle=False)", "m.eval()"]
)
def test_safe_source_passes(source):
    assert problems(source) == []
