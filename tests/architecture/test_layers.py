"""Layers of folders, sizes of modules and folders, and late imports."""

import ast
from pathlib import Path

import pytest

from tests.support.interpreter import imported_modules

ROOT = Path(__file__).parents[2]
FILES = sorted([*ROOT.glob("retrieval/**/*.py"), *ROOT.glob("indexer/**/*.py")])

# From top to bottom: a folder imports its own modules and those of lower layers.
LAYERS = (
    "indexer.__main__  retrieval.__main__",
    "indexer.cli",
    "indexer.watch",
    "indexer.operations",
    "indexer.maintenance",
    "indexer.enrich  indexer.evaluation  indexer.imports  retrieval.cli",
    "retrieval.server",
    "retrieval.federation  indexer.distributed",
    "retrieval.export",
    "indexer.embed  indexer.tag  retrieval.library",
    "indexer.store  retrieval.search",
    "indexer.scan  retrieval.query",
    "indexer.decode  retrieval.grouping  retrieval.vectors",
    "indexer.models  retrieval.catalog  retrieval.media",
    "retrieval.embedders  retrieval.scoring  retrieval.formatting  retrieval.id_sets",
    "indexer.types  indexer.prefetch  indexer.sqlite_tools  retrieval.types  retrieval.errors"
    "  retrieval.system  retrieval.quiet  retrieval.telemetry  retrieval.normalization"
    "  retrieval.file_systems",
)
LAYER = {folder: -row for row, folders in enumerate(LAYERS) for folder in folders.split()}
PACKAGES = ("retrieval", "indexer")  # import their public names late, from any layer
# Commands; the script of subprocesses, which reads its arguments; and what switches reports off by variables.
MAY_PRINT = ("cli/", "sandbox_runner.py", "telemetry.py")


def module(path: Path) -> str:
    """Return the dotted name of a file."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def folder(name: str) -> str:
    """Return the name in LAYERS of a module."""
    return ".".join(name.split(".")[:2])


def imports(path: Path) -> set[str]:
    """Return the modules of both packages that a file imports, except for types only."""
    tree = ast.parse(path.read_text())
    typing = [n for n in ast.walk(tree) if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.dump(n.test)]
    skipped = {id(child) for block in typing for child in ast.walk(block)}
    names = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name for name in inner if is_module(name)} or {node.module}
    return {name for name in names if name.partition(".")[0] in ("retrieval", "indexer")}


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


@pytest.mark.parametrize("path", [p for p in FILES if module(p) not in PACKAGES], ids=module)
def test_module_imports_only_its_folder_and_lower_layers(path):
    own = module(path)
    assert folder(own) in LAYER, f"{folder(own)} has no layer: add it to LAYERS"
    for name in imports(path):
        assert folder(name) == folder(own) or LAYER[folder(name)] < LAYER[folder(own)], (
            f"{own} imports {name}"
        )


@pytest.mark.parametrize("path", sorted(ROOT.glob("retrieval/**/*.py")), ids=module)
def test_retrieval_never_imports_the_indexer(path):
    assert not [name for name in imports(path) if name.startswith("indexer")]


@pytest.mark.parametrize(
    "path", [p for p in FILES if not any(part in str(p) for part in MAY_PRINT)], ids=module
)
def test_only_commands_print_exit_or_read_the_environment(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("print", "exit", "quit", "input")
        if isinstance(node, ast.Attribute):
            assert node.attr not in ("environ", "getenv", "environb", "stdout", "stderr", "exit", "argv")
        if isinstance(node, ast.Name):
            assert node.id != "SystemExit"


@pytest.mark.parametrize("path", FILES, ids=module)
def test_module_has_at_most_400_lines(path):
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize(
    "path", sorted({p.parent for p in FILES} - {ROOT / package for package in PACKAGES}), ids=str
)
def test_folder_has_at_most_12_modules(path):
    assert len([file for file in path.glob("*.py") if file.name != "__init__.py"]) <= 12


@pytest.mark.parametrize("path", [p for p in FILES if p.name == "__init__.py"], ids=module)
def test_init_of_a_subpackage_has_only_a_docstring(path):
    assert module(path) in PACKAGES or len(ast.parse(path.read_text()).body) == 1


@pytest.mark.parametrize("path", [p for p in FILES if p.name == "__init__.py"], ids=module)
def test_docstring_of_a_subpackage_lists_its_modules(path):
    listed = {line.split()[0].rstrip("/") for line in path.read_text().splitlines()[2:] if line.split()}
    modules = {p.stem for p in path.parent.glob("*.py")} | {
        p.parent.name for p in path.parent.glob("*/__init__.py")
    }
    assert module(path) in PACKAGES or listed >= modules - {"__init__"}


def test_command_starts_without_heavy_imports():
    heavy = {"torch", "open_clip", "sqlite_utils", "faiss", "onnxruntime", "PIL", "rich"}
    heavy |= {"ray", "pyarrow", "fsspec"}
    assert not heavy & imported_modules(
        "from indexer.cli.main import main\nassert list(main.commands.values())"
    )


def test_text_search_imports_no_runtime_of_models_no_pillow_and_no_indexer(place, folder):
    from indexer import index_folder

    built = place.with_name("built")
    index_folder(folder, library=built).close()
    loaded = imported_modules(
        f"from retrieval import Library\nassert Library.open({str(built)!r}).search('a red thing')"
    )
    assert "faiss" in loaded
    heavy = {"torch", "open_clip", "onnxruntime", "tokenizers", "PIL", "sqlite_utils", "indexer"}
    assert not heavy & loaded


def test_update_that_finds_nothing_new_imports_no_decoders(place, folder):
    from indexer import index_folder

    built = place.with_name("built")
    index_folder(folder, library=built).close()
    loaded = imported_modules(
        f"from indexer import update_library\nassert not update_library(library={str(built)!r}).added\n"
        "import sys\n"
        "decoders = {'indexer.decode.reader', 'indexer.enrich.runner', 'indexer.operations.steps.backfill'}\n"
        "assert not (decoders | {'numpy.random'}) & set(sys.modules)"
    )
    assert not {"torch", "open_clip", "onnxruntime", "tokenizers", "PIL", "av", "xml", "faiss"} & loaded


def test_pandas_is_not_imported_with_sqlite_utils_but_can_be_later(tmp_path):
    (tmp_path / "pandas.py").write_text("class Timestamp: pass")
    loaded = imported_modules(
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nimport indexer.store.writer\n"
        "assert 'pandas' not in sys.modules\nimport pandas; pandas.Timestamp"
    )
    assert "sqlite_utils" in loaded
    direct = [path.name for path in FILES if "\nimport sqlite_utils" in path.read_text()]
    assert direct == []
