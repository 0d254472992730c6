"""The floors of the house, and what may be done on which."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1]
FILES = sorted([*HERE.glob("retrieval/**/*.py"), *HERE.glob("indexer/**/*.py")])

# A file imports only from rows below its own (here: above it), and from its own folder.
FLOORS = (
    ("words", "retrieval.errors retrieval.records retrieval.schema"),
    ("words", "retrieval.terms retrieval.places"),
    ("tools", "retrieval.forms retrieval.colours retrieval.svg_drawer indexer.crops"),
    ("tools", "retrieval.raw retrieval.svg retrieval.jxl retrieval.psd retrieval.rescue"),
    ("tools", "retrieval.machine retrieval.rank retrieval.formats retrieval.evaluate retrieval.unpack"),
    ("tools", "retrieval.tars retrieval.film"),
    ("tools", "retrieval.zips"),
    ("tools", "retrieval.archives"),
    ("tools", "retrieval.media indexer.members indexer.report"),
    ("tools", "retrieval.calibrate retrieval.lexer retrieval.fetch retrieval.narrow retrieval.measure"),
    ("tools", "retrieval.query retrieval.filtering retrieval.probe indexer.fields indexer.looks"),
    ("tools", "retrieval.catalog retrieval.embedders retrieval.vectors indexer.ahead"),
    ("tools", "indexer.passages indexer.descriptions indexer.when indexer.demo indexer.hub indexer.export"),
    ("tools", "indexer.checkpoint indexer.json_lines indexer.plot indexer.eval_formats indexer.details"),
    ("tools", "indexer.thumbnails indexer.stills indexer.sounds indexer.layout indexer.footage indexer.cues"),
    ("tools", "indexer.pdf_worker indexer.markup indexer.rich_text indexer.encodings indexer.guess"),
    ("tools", "indexer.zipped indexer.whole indexer.eyes indexer.journal indexer.reel retrieval.span"),
    ("tools", "indexer.pdf indexer.tables indexer.lens indexer.sound_names retrieval.clip"),
    ("tools", "indexer.frames"),
    ("tools", "indexer.scenes"),
    ("tools", "indexer.gaps"),
    ("tools", "indexer.shots"),
    ("house", "indexer.precision retrieval.tagging retrieval.concepts"),
    ("house", "indexer.tokenizers"),
    ("house", "indexer.prepare"),
    ("house", "indexer.models"),
    ("house", "retrieval.thumbnails"),
    ("house", "retrieval.holdings"),
    ("house", "retrieval.nearest retrieval.compose indexer.decoders indexer.lock retrieval.keywords"),
    ("house", "retrieval.likeness"),
    ("house", "retrieval.relations retrieval.facts"),
    ("house", "retrieval.grouping retrieval.vetoes"),
    ("house", "retrieval.search retrieval.shaping retrieval.like retrieval.why indexer.walk"),
    ("house", "retrieval.blend"),
    ("house", "retrieval.library indexer.changes indexer.read"),
    ("house", "indexer.roots indexer.spaces indexer.contents indexer.thumbnail_file indexer.captions"),
    ("house", "indexer.archives"),
    ("house", "indexer.writer"),
    ("house", "indexer.build indexer.embed"),
    ("house", "indexer.tiles"),
    ("house", "indexer.verify indexer.fill indexer.calibrate indexer.embed_files indexer.reread"),
    ("house", "indexer.remake"),
    ("house", "indexer.zero_shot indexer.said"),
    ("house", "indexer.speech indexer.ocr indexer.hearing"),
    ("house", "indexer.whisper indexer.clap"),
    ("house", "indexer.later"),
    ("house", "indexer.tags"),
    ("work", "indexer.pipeline indexer.evaluation indexer.golden indexer.labels"),
    ("work", "indexer.folders indexer.attention"),
    ("work", "indexer.teaching"),
    ("work", "indexer.switch indexer.tag indexer.watch"),
    ("doors", "retrieval.options retrieval.pages"),
    ("doors", "retrieval.cli retrieval indexer"),
    ("doors", "indexer.terminal retrieval.duplicates_cli retrieval.clip_cli"),
    ("doors", "indexer.model_cli indexer.watch_cli"),
    ("doors", "indexer.eval_cli indexer.tag_cli indexer.teach_cli"),
    ("doors", "indexer.cli"),
)


DOORS = (
    "cli.py",
    "model_cli.py",
    "duplicates_cli.py",
    "clip_cli.py",
    "eval_cli.py",
    "tag_cli.py",
    "terminal.py",
    "teach_cli.py",
    "pdf_worker.py",  # a process of its own
    "watch_cli.py",
)


def module(path: Path) -> str:
    return ".".join(path.relative_to(HERE).with_suffix("").parts).removesuffix(".__init__")


def floor(name: str) -> int:
    """Return the row of a module, which is its own or its folder's."""
    for row, (_, names) in enumerate(FLOORS):
        if name in names.split() or name.rpartition(".")[0] in set(names.split()) - {"retrieval", "indexer"}:
            return row
    raise AssertionError(f"{name} stands on no floor: give it one in FLOORS")


def imports(path: Path) -> set[str]:
    """Return the modules of ours that a file imports, anywhere in it, but not for types alone."""
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
    path = HERE.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


@pytest.mark.parametrize("path", FILES, ids=module)
def test_imports_only_go_down(path):
    own = module(path)
    for name in imports(path):
        same_folder = name.rpartition(".")[0] == own.rpartition(".")[0] and own.count(".") > 1
        inside = name.startswith(own + ".") or own.startswith(name + ".")
        assert same_folder or inside or floor(name) < floor(own), f"{own} imports {name}"


@pytest.mark.parametrize("path", sorted(HERE.glob("retrieval/**/*.py")), ids=module)
def test_retrieval_never_imports_the_indexer(path):
    assert not [name for name in imports(path) if name.startswith("indexer")]


@pytest.mark.parametrize("path", [p for p in FILES if p.name not in DOORS], ids=module)
def test_only_doors_print_exit_or_read_the_environment(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("print", "exit", "quit", "input")
        if isinstance(node, ast.Attribute):
            assert node.attr not in ("environ", "getenv", "environb", "stdout", "stderr", "exit", "argv")
        if isinstance(node, ast.Name):
            assert node.id != "SystemExit"


@pytest.mark.parametrize("path", FILES, ids=module)
def test_a_file_is_read_in_one_sitting(path):
    assert len(path.read_text().splitlines()) <= 350


def loaded_by(code: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has after this code."""
    report = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_the_command_starts_without_the_heavy_things():
    heavy = {"torch", "open_clip", "sqlite_utils", "faiss", "onnxruntime", "PIL", "rich"}
    assert not heavy & loaded_by("import indexer.cli")


def test_a_search_by_words_loads_no_torch_no_pillow_and_no_indexer(library, place, folder):
    from indexer import index_folder

    built = place.with_name("built")
    index_folder(folder, library=built).close()
    loaded = loaded_by(
        f"from retrieval import Library\nassert Library.open({str(built)!r}).search('a red thing')"
    )
    assert {"faiss", "onnxruntime"} <= loaded
    assert not {"torch", "open_clip", "PIL", "sqlite_utils", "indexer"} & loaded
