"""The part of `tests/faults.py`, and its option --corpus."""

from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from time import monotonic

from retrieval.formatting import printable
from tests.support import audio_files, document_files, metadata_files, video_files
from tests.support.archive_files import write_archive
from tests.support.corpus.mutations import mutants
from tests.support.corpus.runner import CorpusRunner, Watch
from tests.support.corpus.verdict import BAD_OUTCOMES, OUTCOMES, TITLES, Sample, Verdict, samples_of
from tests.support.faults.workplace import Findings, Plan, Tally, Workplace
from tests.support.image_files import quadrant_image
from tests.support.image_formats import FORMATS

REDUCED_MUTANTS, FULL_MUTANTS = 80, 1_000
DEFAULT_WATCH = Watch()
TEXTS = {
    "notes.md": "# Red house\n\nA red house near a blue river.\n" * 20,
    "page.html": "<html><head><title>red</title><meta charset=utf-8></head><p>blue &amp; red</p></html>",
    "words.rtf": r"{\rtf1\ansi{\fonttbl{\f0 Arial;}}\f0 red \u233? house\par blue}",
    "film.srt": "1\n00:00:01,000 --> 00:00:02,000\nred\n\n2\n00:00:03,000 --> 00:00:04,000\nblue\n",
    "film.ass": "[Events]\nFormat: Start, End, Text\nDialogue: 0:00:01.00,0:00:02.00,red {\\i1}house\n",
    "table.csv": 'image,caption\nred.png,a red house\nblue.png,"a blue, wide river"\n',
    "lines.jsonl": '{"image": "red.png", "captions": ["a red house"]}\n',
    "mail.eml": "From: a@b.c\nSubject: =?utf-8?q?r=C3=A9d?=\nContent-Type: text/plain\n\nred house\n",
    "dates.ics": "BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:red\nDTSTART:20240101\nEND:VEVENT\nEND:VCALENDAR\n",
}


def write_corpus(folder: Path) -> Path:
    """Write a small file of each format that clew reads."""
    folder.mkdir()
    image = quadrant_image()
    files = {name: encode(image) for name, encode in FORMATS.items()}
    files |= {name: text.encode() for name, text in TEXTS.items()}
    files |= {
        "tags.jpg": metadata_files.jpeg(iptc=["red", "house"]),
        "pages.pdf": document_files.pdf([("red", "1 0 0"), ("blue", "0 0 1")]),
        "words.docx": document_files.docx("red house", "blue river"),
        "words.odt": document_files.odt("<t:p>red house</t:p>"),
        "slides.pptx": document_files.pptx("red", "blue"),
        "sheet.xlsx": document_files.xlsx([["red", 1], ["blue", 2]]),
        "book.epub": document_files.epub("red", one="<p>blue</p>"),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    for name in ("sound.mp3", "sound.wav", "sound.flac", "sound.ogg", "sound.m4a"):
        audio_files.write_audio(folder / name, 1, tags={"title": "red"})
    for name in ("film.mp4", "film.mkv"):
        video_files.write_video(folder / name, [("red", 1), ("blue", 1)])
    for name in ("images.zip", "images.tar", "images.tar.gz"):
        write_archive(folder / name, {"red.png": files["photo.png"], "notes.txt": b"red"})
    return folder


def hostile_files(workplace: Workplace, plan: Plan) -> Tally:
    """Index a file of each format and mutated copies of them."""
    samples = list(samples_of(write_corpus(workplace.folder / "corpus")))
    count = plan.limit(REDUCED_MUTANTS, FULL_MUTANTS) or FULL_MUTANTS
    tally, counts = plan.tally(), Counter[str]()
    chosen = (each for each in chain(samples, mutants(samples, count, plan.seed)) if plan.selects(each.name))
    folder = workplace.folder / "runner"
    folder.mkdir()
    for verdict in CorpusRunner(folder, DEFAULT_WATCH).run(chosen):
        problems = [f"{TITLES[verdict.outcome]}: {verdict.reason}"] * verdict.is_bad
        tally.add(verdict.name, Findings(problems=problems))
        counts[verdict.outcome] += 1
        plan.progress(f"{tally.tried} files")
    tally.notes.append(", ".join(f"{counts[each]} {TITLES[each]}" for each in OUTCOMES if counts[each]))
    return tally


def add_options(parser: ArgumentParser) -> None:
    """Add the options of a corpus."""
    group = parser.add_argument_group("any folder")
    group.add_argument("--corpus", type=Path, help="index the files of this folder one by one instead")
    group.add_argument("--mutate", type=int, default=0, metavar="N", help="and N mutated copies of them")
    group.add_argument(
        "--seconds", type=float, default=DEFAULT_WATCH.seconds, help="time of a file (default: %(default)g)"
    )
    group.add_argument(
        "--memory",
        type=float,
        default=DEFAULT_WATCH.memory_bytes / 1e9,
        help="memory of a file in GB (default: %(default)g)",
    )
    group.add_argument("--model", default="toy", help="toy or the name of a model (default: toy)")


def run_corpus(options: Namespace, write: Callable[[str], None], progress: Callable[[str], None]) -> int:
    """Index the files of --corpus, write how they end, and return the exit status."""
    files = list(samples_of(options.corpus))
    samples: Iterable[Sample] = mutants(files, options.mutate, options.seed) if options.mutate else files
    chosen = (sample for sample in samples if options.case in sample.name)
    watch = Watch(options.seconds, round(options.memory * 1e9), options.model)
    started = monotonic()
    with TemporaryDirectory(prefix="clew-corpus-") as folder:
        kept, found = list[Verdict](), _keep_bad(chosen, CorpusRunner(Path(folder), watch))
        for verdict in found:
            kept.append(verdict)
            progress(f"{len(kept)} files, {sum(each.is_bad for each in kept)} bad")
    write_verdicts(kept, monotonic() - started, write)
    return int(not kept or any(verdict.is_bad for verdict in kept))


def _keep_bad(samples: Iterable[Sample], runner: CorpusRunner) -> Iterator[Verdict]:
    """Yield verdicts; bad mutated files are kept, and the reason says where."""
    last: list[Sample] = []

    def remember() -> Iterator[Sample]:
        for sample in samples:
            last[:] = [sample]
            yield sample

    for verdict in runner.run(remember()):
        if verdict.is_bad and isinstance(last[0].source, bytes):
            folder = Path(mkdtemp(prefix="clew-bad-file-"))
            path = last[0].write(folder)
            yield Verdict(
                verdict.name, verdict.outcome, f"{verdict.reason} (kept as {path})", verdict.seconds
            )
        else:
            yield verdict


def write_verdicts(verdicts: Sequence[Verdict], seconds: float, write: Callable[[str], None]) -> None:
    """Write the number of files of each outcome, the bad ones, and the slowest one."""
    counts = Counter(verdict.outcome for verdict in verdicts)
    for outcome in OUTCOMES:
        write(f"{TITLES[outcome]:28} {counts[outcome]:6}")
    write(f"{'files':28} {len(verdicts):6} in {seconds:.0f} s")
    for verdict in verdicts:
        if verdict.outcome in BAD_OUTCOMES:
            write(f"{TITLES[verdict.outcome]}: {printable(verdict.name)}: {printable(verdict.reason)}")
    if verdicts:
        slowest = max(verdicts, key=lambda verdict: verdict.seconds)
        write(f"slowest: {printable(slowest.name)}, {slowest.seconds:.1f} s, {TITLES[slowest.outcome]}")
