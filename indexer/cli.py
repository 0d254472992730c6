"""The command `clew`: retrieval's doors, and those that write."""

import errno
import gc
import re
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click_default_group import DefaultGroup

from indexer.eval_cli import eval_command
from indexer.model_cli import model_options, prepare_command, switch_command
from indexer.tag_cli import tag_command
from indexer.teach_cli import teach_command
from indexer.terminal import Bar, quiet_decoders
from indexer.watch_cli import follow, watch_command
from retrieval import cli as reading
from retrieval.cli import note, write
from retrieval.clip_cli import clip_command
from retrieval.duplicates_cli import duplicates_command
from retrieval.errors import ClewError
from retrieval.formats import count_kinds, dump, some
from retrieval.options import library_option
from retrieval.schema import CATALOGUE

if TYPE_CHECKING:
    from indexer.report import Report

DEMO = (("a cat", "image"), ("a rocket at night", "image"), ("an orange flower", "image"))


class Failure(click.ClickException):
    """What went wrong and what to do, for a person."""

    exit_code = 2


class Bytes(click.ParamType):  # type: ignore[type-arg]
    """A size in bytes, as 500MB; off is 0."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return bytes."""
        found = re.fullmatch(r"([\d.]+) *([kmgt]?)b?", str(value).lower())
        if str(value).lower() == "off":
            return 0
        try:
            return int(float(found[1]) * 1000 ** " kmgt".index(found[2] or " "))  # type: ignore[index]
        except (TypeError, ValueError):
            self.fail(f"{value!r} is no size; write 500MB, 2GB or off.", param, ctx)


class Clew(DefaultGroup):  # type: ignore[misc]
    """The group of commands; words that name none of them are a search."""

    def invoke(self, ctx: click.Context) -> Any:
        """Show what went wrong as one message, exit code 2."""
        try:
            return super().invoke(ctx)
        except ClewError as error:
            raise Failure(str(error)) from error
        except sqlite3.Error as error:
            raise Failure(f"The library cannot be used: {error}. `clew verify` tells more.") from error
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            raise Failure(f"{error.strerror or error}: {error.filename or 'writing'}") from error


@click.group(cls=Clew, default="search", context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="clew-search", prog_name="clew")
def main() -> None:
    """Find photos and passages by meaning.

    \b
    clew index ~/Pictures          index a folder; run it again at any time
    clew "a dog running on grass"  search: the words need no command
    clew search --image photo.jpg --kind text
    """


@click.command("index")
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--model", help="The model of a new library. [default: auto: the recommended one, else builtin]"
)
@model_options
@click.option(
    "--exclude",
    multiple=True,
    metavar="PATTERN",
    help="Leave out these names or paths, as *.png or Private/*; remembered, '' forgets.",
)
@click.option("--hidden/--no-hidden", default=None, help="Read hidden files and folders too; remembered.")
@click.option(
    "--ocr/--no-ocr", default=None, help="Read the text in pictures too, after all else; remembered."
)
@click.option(
    "--speech-model",
    metavar="FOLDER|NAME",
    help="Write down what is said in sounds and videos with this model of faster-whisper: its folder, or a "
    "name to fetch, as tiny (75 MB), small (484 MB), large-v3 (3.1 GB); remembered, '' forgets.",
)
@click.option(
    "--sound-model",
    metavar="FOLDER|NAME",
    help="Name what sounds in recordings and videos, as a dog barking, with this CLAP model: its folder, or "
    "a name to fetch, as laion/clap-htsat-unfused (615 MB); remembered, '' forgets.",
)
@click.option(
    "--archives/--no-archives",
    default=None,
    help="Read what is in .zip and .tar files too, packed or not; remembered.",
)
@click.option(
    "--index",
    "kind",
    type=click.Choice(["auto", "flat", "hnsw", "ivf"]),
    help="The kind of index; remembered. [default: auto, by size]",
)
@click.option(
    "--confirm-gone",
    is_flag=True,
    help="Forget missing files even where so many are missing that a drive seems away.",
)
@click.option(
    "--tiles/--no-tiles",
    default=None,
    help="Embed parts of each picture too, so that small things in it are found; remembered.",
)
@click.option("--retry", is_flag=True, help="Read again what could not be read before.")
@click.option(
    "--thumbnails",
    type=Bytes(),
    help="How much room small pictures of what was read may take, as 500MB, or off; remembered. "
    "[default: 2GB]",
)
@click.option("--watch", is_flag=True, help="Go on with what changes, until Ctrl-C; see `clew watch`.")
@click.option("--json", "as_json", is_flag=True, help="The summary as JSON.")
@library_option
def index_command(
    folders: tuple[Path, ...],
    library: Path,
    model: str | None,
    exclude: tuple[str, ...],
    kind: Any,
    watch: bool,
    as_json: bool,
    **how: Any,
) -> None:
    """Index FOLDERS, or bring all indexed folders up to date.

    Unchanged files cost a look, moved ones are recognised, files that cannot be read are listed by
    `clew status --errors`. Ctrl-C is safe: the next run goes on.
    """
    from indexer.folders import update_library

    if not folders and not (library / CATALOGUE).exists():
        raise click.UsageError("Give the folder to index, as in: clew index ~/Pictures")
    gc.set_threshold(100_000)  # a walk makes many small things that all stay; looking them over is in vain
    patterns = None if not exclude else [pattern for pattern in exclude if pattern]
    how |= {"library": library, "model": model, "exclude": patterns, "index": kind}

    def show(report: "Report") -> None:
        write(summary_json(report) if as_json else f"{report}\n")
        for line in report.notes:
            note(line)

    if watch:
        follow(folders, show, as_json, **how)
        return
    with quiet_decoders(), Bar() as bar:
        report = update_library(folders, progress=bar.advance, say=note, **how)
    show(report)
    if report.interrupted:
        note("Stopped; what is done is kept, and `clew index` goes on from there.")
        raise SystemExit(130)


@click.command("forget")
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path))
@click.option("--purge", is_flag=True, help="Delete what was kept of files that are gone.")
@click.option("--space", metavar="MODEL", help="Delete the vectors of a model that does not answer any more.")
@library_option
def forget_command(folders: tuple[Path, ...], purge: bool, space: str | None, library: Path) -> None:
    """Take FOLDERS out of the library; the files themselves are not touched.

    What was learned of them is kept, so that indexing them again is quick, until --purge deletes it.
    """
    from indexer.folders import forget

    if not folders and not purge and space is None:
        raise click.UsageError("Give a folder to forget, --purge, or --space MODEL.")
    files, segments = forget(folders, library=library, purge=purge, space=space)
    done = [f"{some(files, 'file')} forgotten"] * bool(folders or purge)
    done += [f"{some(segments, 'segment')} deleted"] * purge
    done += [f"the space {space} deleted"] * (space is not None)
    write(", ".join(done) + ".\n")


@click.command("verify")
@click.option("--repair", is_flag=True, help="Build a damaged index, and make missing thumbnails, again.")
@library_option
def verify_command(repair: bool, library: Path) -> None:
    """Check that the library is as it was written; exit code 1 if it is not."""
    from indexer.folders import verify_library

    with quiet_decoders(), Bar() as bar:
        findings = verify_library(library, repair=repair, progress=bar.advance, say=note)
    for line in findings.mended:
        write(line + "\n")
    for line in [*findings.wrong, *findings.notes]:
        note(line)
    if findings.wrong:
        raise SystemExit(1)
    write("All is as it was written.\n")


@click.command("demo")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("clew-demo"),
    show_default=True,
    help="Where to put photos and library.",
)
def demo_command(folder: Path) -> None:
    """Make a small library of real photos with captions, and search it both ways."""
    from indexer.demo import make_photos
    from indexer.folders import index_folder

    photos = make_photos(folder / "photos")
    write(f"$ clew index {photos} --library {folder / 'library'}\n")
    with index_folder(photos, library=folder / "library", model="builtin") as library:
        held = library.status().segments
        write(count_kinds(held) + "\n")
        for words, kind in DEMO:
            write(f'\n$ clew "{words}" --kind {kind} -k 3 --library {folder / "library"}\n')
            reading.show(library.search(words, kind=kind, count=3), None, library)
        write(
            f"\n$ clew search --image {photos / 'cat.png'} --kind text -k 3 --library {folder / 'library'}\n"
        )
        reading.show(library.search(image=photos / "cat.png", kind="text", count=3), None, library)
    write(f'\nNow try your own words: clew "..." --library {folder / "library"}\n')
    write("And your own folder:    clew index ~/Pictures\n")


for _command in (
    index_command,
    forget_command,
    verify_command,
    eval_command,
    demo_command,
    prepare_command,
    switch_command,
    tag_command,
    teach_command,
    watch_command,
    reading.search_command,
    reading.similar_command,
    reading.status_command,
    reading.models_command,
    duplicates_command,
    clip_command,
):
    main.add_command(_command)


def summary_json(report: "Report") -> str:
    """Return what a run did as one JSON object."""
    keys = ("added", "updated", "moved", "offline", "gone", "unchanged", "failed", "segments", "seconds")
    return dump({key: getattr(report, key) for key in keys}) + "\n"
