"""Make a small library with the code of an earlier version, and pack it as a test fixture.

    python make_libraries.py VERSION [--repository CLONE] [--out FOLDER]

The code of VERSION is extracted with `git archive` from a clone of the repository, so that nothing in the
clone changes; the modules imported below are those of that version. The media is drawn under a fixed path,
/tmp/clew-fixture, which the catalog then names. The toy embedder of that version (tests/toy.py) gives exact
vectors. Run one version at a time.
"""

# ruff: noqa: T201

import argparse
import inspect
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import defaultdict
from contextlib import closing
from pathlib import Path

COMMITS = {
    # The last commit of each version number in pyproject.toml.
    "0.1": "f4632b8",
    "0.2": "5af26f9",
    "0.3": "482785e",
    "0.4": "404f8d9",
    # The last catalog with one migration, and the commits in which the version number was raised.
    "0.1-first": "d0cbe10",
    "0.2-release": "c97109c",
    "0.3-release": "8ed5fb3",
}
BASE = Path("/tmp/clew-fixture")
ROOTS = ("pictures", "more", "away")  # the last is not there any more in the second run
START = 1_704_164_644  # 2024-01-02 03:04:04 UTC: even, as a zip file stores times in steps of 2 seconds
ORANGE, PURPLE, PINK, TEAL = (255, 128, 0), (128, 0, 255), (255, 128, 128), (0, 128, 128)
QUERIES = ("red", "a green thing", "blue boat", "yellow and cyan", "white words")
MAX_HITS = 100
NOTES = """The first paragraph names red apples.

The second paragraph names a green boat.

The third paragraph names blue and yellow lamps.
"""


def main() -> None:
    """Read the arguments and make one fixture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("version", choices=COMMITS)
    parser.add_argument("--repository", type=Path, default=Path.cwd(), help="a clone of the repository")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="where to write VERSION.zip")
    given = parser.parse_args()
    out, repository = given.out.resolve(), given.repository.resolve()
    with tempfile.TemporaryDirectory(prefix="clew-code-") as code, tempfile.TemporaryDirectory() as cache:
        # No model is fetched, and prepared models of this machine are not used.
        os.environ.update(HF_HUB_OFFLINE="1", XDG_CACHE_HOME=cache, PYTHONPATH=code)
        extract(repository, COMMITS[given.version], code)
        os.chdir(code)
        sys.path[:] = [code, *(place for place in sys.path if place != str(Path(__file__).parent))]
        shutil.rmtree(BASE, ignore_errors=True)
        try:
            expected = make(given.version)
            pack(out / f"{given.version}.zip", expected)
        finally:
            shutil.rmtree(BASE, ignore_errors=True)


def extract(repository: Path, commit: str, folder: str) -> None:
    """Extract the files of a commit."""
    archive = subprocess.run(
        ["git", "-C", str(repository), "archive", commit], check=True, capture_output=True
    ).stdout
    subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)


# The media


def draw(name: str, color: str | tuple[int, int, int], size: tuple[int, int] = (24, 16)) -> Path:
    """Draw a plain image."""
    from PIL import Image
    from tests.toy import COLOURS

    path = BASE / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, COLOURS.get(color, color)).save(path)
    return path


def write(name: str, data: str | bytes) -> Path:
    """Write a file."""
    path = BASE / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def png(color: tuple[int, int, int]) -> bytes:
    """Return a plain image as the bytes of a PNG."""
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (24, 16), color).save(file, "PNG")
    return file.getvalue()


def make_folder() -> None:
    """Make the folders that all versions index."""
    for color in ("red", "green", "blue", "yellow", "cyan", "white"):
        draw(f"pictures/{color}.png", color)
    draw("pictures/sub/magenta.png", "magenta")
    for copy in ("pictures/blue copy.png", "pictures/sub/blue copy 2.png"):
        shutil.copyfile(BASE / "pictures/blue.png", BASE / copy)
    draw("pictures/gone.png", ORANGE)
    write("pictures/broken.png", b"\x89PNG\r\n\x1a\n" + b"garbage " * 8)
    write("pictures/red.txt", "a red thing\n")
    write("pictures/notes.txt", NOTES)
    draw("more/pink.png", PINK)
    draw("away/teal.png", TEAL)
    write("more/more.txt", "A text in the second folder names a magenta door.\n")


def make_more_media() -> None:
    """Add the media that versions with tiles, archives and tables read."""
    from PIL import Image, ImageDraw, ImageFont
    from tests.documents import pdf
    from tests.sounds import play

    lawn = Image.new("RGB", (160, 130), (0, 255, 0))
    ImageDraw.Draw(lawn).rectangle((100, 80, 160, 130), fill=(255, 0, 0))  # found by its tile
    lawn.save(BASE / "pictures/lawn.png")
    sign = Image.new("RGB", (420, 120), "white")
    ImageDraw.Draw(sign).text((30, 40), "the red door", fill="black", font=ImageFont.load_default(36))
    sign.save(BASE / "pictures/sign.png")
    write("pictures/captions.csv", "image,caption\nyellow.png,a yellow lemon\nmissing.png,a cyan sea\n")
    write("pictures/page.pdf", pdf([("blue", "a page that names a green boat")]))
    play(BASE / "pictures/walk.opus", 1.6, [(0, 0.6, 400), (1, 1.6, 800)])
    play(BASE / "pictures/clip.mp4", 1, [(0, 1, 1600)])
    with zipfile.ZipFile(BASE / "pictures/album.zip", "w") as album:
        members = {
            "in/purple.png": png(PURPLE),
            "in/purple.txt": b"a blue plum\n",
            "in/green.png": (BASE / "pictures/green.png").read_bytes(),
            "broken.png": b"garbage",
        }
        for name, data in members.items():
            album.writestr(zipfile.ZipInfo(name, time.gmtime(START)[:6]), data)


def set_times() -> None:
    """Give the files even times, 2 seconds apart, which a zip file can store."""
    for number, path in enumerate(media()):
        os.utime(path, (START + 2 * number,) * 2)


def media() -> list[Path]:
    """Return the media files."""
    return sorted(path for root in ROOTS for path in (BASE / root).rglob("*") if path.is_file())


# The library


def make(version: str) -> dict[str, object]:
    """Make the library, and return what this version answers."""
    from tests.toy import Toy

    import indexer
    import retrieval

    assert str(Path(indexer.__file__)).startswith(str(Path.cwd())), "the code of another version is loaded"
    accepts = inspect.signature(indexer.update_library).parameters
    options: dict[str, object] = {}
    stand_ins: list[str] = []
    make_folder()
    if "archives" in accepts:
        make_more_media()
        options = {"archives": True, "tiles": True, "ocr": True}
        stand_ins = list(options)
        from tests.sounds import Tones

        options["transcriber"] = Tones()
        stand_ins.append("transcriber 'tones'")
        if "listener" in accepts:
            from tests.sounds import Ears

            options["listener"] = Ears()
            stand_ins.append("listener 'ears'")
    set_times()
    place, folders = BASE / "library", [BASE / root for root in ROOTS]
    how = {"library": place, "embedder": Toy(), **options}
    report = indexer.update_library(folders, **how)
    print(report, *report.notes, sep="\n")
    (BASE / "pictures/gone.png").unlink()
    shutil.rmtree(BASE / "away")
    report = indexer.update_library(**how)
    print(report, *report.notes, sep="\n")
    if hasattr(indexer, "tag_library"):
        at_least = {"at_least": 0.5}
        if hasattr(indexer, "TagOptions"):  # since version 0.5
            at_least = {"options": indexer.TagOptions(**at_least)}
        print(indexer.tag_library(["red", "blue"], library=place, embedder=Toy(), **at_least))
        examples = [BASE / "pictures/red.png", BASE / "more/pink.png"]
        against = [BASE / "pictures" / f"{color}.png" for color in ("green", "blue", "cyan")]
        print(indexer.teach("warm", examples, against=against, library=place, embedder=Toy()))
    checked = indexer.verify_library(place)
    assert not checked.wrong, checked.wrong
    with retrieval.Library.open(place, embedder=Toy()) as library:
        expected = answers(library)
    with closing(sqlite3.connect(place / "catalogue.sqlite")) as db:
        expected |= committed(db)
    for file in place.glob("*.sqlite"):
        with closing(sqlite3.connect(file)) as db:
            assert db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0, "a reader holds the log"
    assert not [*place.glob("*-wal"), *place.glob("*-shm")]
    made = {"version": version, "commit": COMMITS[version], "base": str(BASE), "roots": ROOTS}
    return {**made, "options": stand_ins, **expected}


def answers(library) -> dict[str, object]:
    """Return the answers to the queries, and the counts of the library."""
    import retrieval

    kinds = sorted(set(library.status().segments) - {"part"})
    parameters = inspect.signature(library.search).parameters  # by, then options since version 0.5

    def options(**values):
        return {"options": retrieval.SearchOptions(**values)} if "options" in parameters else values

    by = options(by="meaning") if {"by", "options"} & set(parameters) else {}
    found: dict[str, object] = {
        # By meaning, kind by kind: in these lists the order is that of the scores in every version.
        "answers": {
            words: {kind: rows(library.search(words, kind=kind, count=MAX_HITS, **by)) for kind in kinds}
            for words in QUERIES
        },
        # As a search is answered by default, in that order: later versions order by confidence and keywords.
        "mixed": {words: [row(hit) for hit in library.search(words, count=MAX_HITS)] for words in QUERIES},
        "similar": rows(library.similar(BASE / "pictures/red.png", count=MAX_HITS)),
        "kinds": dict(sorted(library.status().segments.items())),
        "kept": library.status().kept,  # segments of files that are gone
        "failures": {relative(each.path): each.reason for each in library.failures()},
        "tags": {},
        "concepts": [],
    }
    if hasattr(library, "tags"):
        found["tags"] = {
            name: {
                "count": count,
                "paths": sorted(
                    {relative(h.path) for h in library.search("red", count=MAX_HITS, **options(tag=name))}
                ),
            }
            for name, count in sorted(library.tags().items())
        }
    if hasattr(library, "concepts"):
        found["concepts"] = [each.name for each in library.concepts()]
        found["concept_answers"] = {
            f"@{each.name}": rows(library.search(f"@{each.name}", kind="image", count=MAX_HITS))
            for each in library.concepts()
        }
    return found


def rows(hits) -> list[tuple[str, float]]:
    """Return (path, score) of hits, the best first, those of equal score by path."""
    return sorted(map(row, hits), key=lambda one: (-one[1], one[0]))


def row(hit) -> tuple[str, float]:
    """Return (path, score) of a hit."""
    return relative(hit.path), round(hit.score, 5)


def relative(path: Path) -> str:
    """Return a path under the fixed folder."""
    return str(path.relative_to(BASE))


def committed(db: sqlite3.Connection) -> dict[str, object]:
    """Return the migrations, and the rows of the tables that all versions have."""
    steps = "SELECT name FROM _sqlite_migrations WHERE migration_set = 'clew' ORDER BY rowid"
    files = """SELECT iif(f.state = 'present', r.state, f.state), CAST(r.path || x'2f' || f.path AS BLOB)
                 FROM files f JOIN roots r ON r.id = f.root ORDER BY 1, 2"""
    states = defaultdict(list)
    for state, path in db.execute(files):
        states[state].append(relative(Path(os.fsdecode(path))))
    segments = "SELECT kind, text FROM segments ORDER BY id"
    return {
        "steps": [row[0] for row in db.execute(steps)],
        "files": states,
        "segments": [list(row) for row in db.execute(segments)],
        "vectors": db.execute("SELECT count(*) FROM vectors_1").fetchone()[0],
    }


# The zip file


def pack(out: Path, expected: dict[str, object]) -> None:
    """Write the library, the media, the expected answers and a README into a zip file."""
    out.parent.mkdir(parents=True, exist_ok=True)
    library = sorted(path for path in (BASE / "library").rglob("*") if path.is_file())
    with zipfile.ZipFile(out, "w") as packed:

        def add(name: str, data: bytes, at: float = START) -> None:
            # A zip file has no time zone: times are UTC, and whoever unpacks it sets them as UTC.
            info = zipfile.ZipInfo(name, time.gmtime(at)[:6])
            info.external_attr = 0o100644 << 16
            packed.writestr(info, data, zipfile.ZIP_DEFLATED, compresslevel=9)

        for path in library:
            add(relative(path), path.read_bytes())
        for path in media():
            add(relative(path), path.read_bytes(), path.stat().st_mtime)
        add("expected.json", json.dumps(expected, indent=1, ensure_ascii=False).encode())
        add("README.txt", readme(expected).encode())
    print(f"{out}: {out.stat().st_size:,} bytes")


def readme(expected: dict[str, object]) -> str:
    """Return how the fixture was made."""
    import faiss
    import numpy

    options = ", ".join(expected["options"]) or "none"
    versions = f"SQLite {sqlite3.sqlite_version}, faiss {faiss.__version__}, numpy {numpy.__version__}"
    return f"""A library made by clew {expected["version"]}, to test that later versions open and migrate it.

Code:        commit {expected["commit"]}
Command:     python make_libraries.py {expected["version"]} --repository CLONE
Made with:   Python {sys.version.split()[0]}, {versions}
Embedder:    tests/toy.py of that commit (space "toy", fingerprint "toy-1", 3 dimensions)
Options:     {options}
Migrations:  {", ".join(expected["steps"])}

library/       the library; its catalog names the folders pictures, more and away in {BASE}
pictures/      the first indexed folder
more/          the second indexed folder; the third, away, was removed before a second run, so it is offline
expected.json  what that version itself answered, with paths relative to {BASE}

To use the library elsewhere, set roots.path in library/catalogue.sqlite to where the folders are. Set the
modification times of the files from the zip entries, which are UTC and even seconds: the catalog has these
times, and a file with another time is read again (nothing is embedded, as its content is known).
pictures/gone.png was indexed and deleted before a second run. pictures/broken.png is no image.
Transcriber and listener are stand-ins of the tests (tests/sounds.py), to which a tone of 400, 800 or 1600 Hz
is a text. The text in pictures/sign.png was read by rapidocr.
"""


if __name__ == "__main__":
    main()
