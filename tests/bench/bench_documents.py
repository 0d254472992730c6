"""Measure how many PDF pages clew reads per second, against plain pypdfium2 in the same run.

    python tests/bench/bench_documents.py --pages 400 --seed 1 /usr/share/doc/*/*.pdf

`plain` opens each file, renders each page in the same size and extracts its text, which every reader does.
`read` is the decoder of clew: the same in a sandboxed process, then the input of the built-in model, the
thumbnail and the passages, and the vectors of documents with more than 64 pages. `share` is the ratio of
their times, and `of cores` that of their CPU times, which other processes disturb less. `index` is a complete
run into a new library. Half of the drawn pages are text with a drawing, half are scans. `letters` is the
share of the letters of plain that clew extracts; `cosine` and `min cosine` compare the vector of a page with
that of the page rendered four times as large.
"""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from threading import Thread
from time import perf_counter, sleep

import numpy as np
import pypdfium2
from common import Took, draw_jpegs, emit, machine, table, time_of

from indexer import index_folder
from indexer.decode.context import DecodeContext
from indexer.decode.documents.pdf import decode
from indexer.decode.documents.pdf_process import open_pdf, pdf_pool
from indexer.decode.images.thumbnail import THUMBNAIL_SIDE
from retrieval.embedders.base import Embedder
from retrieval.embedders.registry import load_embedder

WORDS = "river stone garden letter window summer engine paper silver morning harbour table bridge"
LINES = 50  # per page


def draw_pdf(pages: int, seed: int) -> bytes:
    """Return a PDF whose pages alternate between text with a drawing, and scans."""
    rng = np.random.default_rng([seed, 5])
    scans = draw_jpegs(8, 800, 1120, seed)
    objects = [b"", b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"]
    image = b"<</Type/XObject/Subtype/Image/Width 800/Height 1120/ColorSpace/DeviceRGB/BitsPerComponent 8"
    objects += [_stream(image + b"/Filter/DCTDecode", scan) for scan in scans]
    leaves = []
    for n in range(pages):
        lines = [f"({' '.join(rng.choice(WORDS.split(), 10))}) Tj T*" for _ in range(LINES)]
        shapes = [f"{x} {y} {w} {h} re f" for x, y, w, h in rng.integers(0, 150, (30, 4))]
        color = " ".join(map(str, rng.random(3).round(2)))
        text = f"{color} rg {' '.join(shapes)} 0 g BT /F 9 Tf 12 TL 40 760 Td {' '.join(lines)} ET"
        objects.append(_stream(b"<<", text.encode() if n % 2 else b"560 0 0 800 20 20 cm /S Do"))
        use = b"/Font<</F 2 0 R>>/XObject<</S %d 0 R>>" % (3 + n % len(scans))
        leaves.append(len(objects) + 1)
        objects.append(
            b"<</Type/Page/Parent 1 0 R/MediaBox[0 0 600 840]/Contents %d 0 R/Resources<<%s>>>>"
            % (len(objects), use)
        )
    objects[0] = b"<</Type/Pages/Count %d/Kids[%s]>>" % (
        pages,
        b" ".join(b"%d 0 R" % leaf for leaf in leaves),
    )
    return _file([*objects, b"<</Type/Catalog/Pages 1 0 R>>"])


def _stream(head: bytes, data: bytes) -> bytes:
    return head + b"/Length %d>>stream\n%s\nendstream" % (len(data), data)


def _file(objects: Sequence[bytes]) -> bytes:
    """Return a PDF of these objects; the last is the catalog."""
    data, offsets = b"%PDF-1.5\n", []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    offset_table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    end = b"trailer<</Size %d/Root %d 0 R>>\nstartxref\n%d\n" % (len(objects) + 1, len(objects), len(data))
    return data + head + offset_table + end + b"%%EOF"


def read_plain(paths: Sequence[Path], shorter: int, longer: int) -> list[tuple[str, np.ndarray]]:
    """Render each page in this size, and extract its text."""
    pages = []
    for path in paths:
        with path.open("rb") as file, pypdfium2.PdfDocument(file) as pdf:
            for page in pdf:
                width, height = page.get_size()
                scale = max(shorter / min(width, height), longer / max(width, height))
                image = page.render(scale=scale).to_pil()
                text = page.get_textpage()
                pages.append((text.get_text_range(), image))
                text.close()
                page.close()
    return pages


def read_clew(paths: Sequence[Path], embedder: Embedder) -> None:
    for path in paths:
        with path.open("rb") as file:
            decode(file, ".pdf", DecodeContext(embedder))
    pdf_pool().close()  # the processor time of a child counts when it has ended


def cost(work: Callable[[], object]) -> Took:
    """Time the work in a thread; the processor time includes that of ended child processes."""

    def now() -> float:
        uses = [getrusage(who) for who in (RUSAGE_SELF, RUSAGE_CHILDREN)]
        return sum(use.ru_utime + use.ru_stime for use in uses)

    before, begun = now(), perf_counter()
    thread = Thread(target=work)
    thread.start()
    thread.join()
    wall = perf_counter() - begun
    sleep(0.2)  # time for the child process to end
    return Took(wall, now() - before)


def compare(paths: Sequence[Path], embedder: Embedder) -> tuple[float, float, float]:
    """Return the share of the letters that clew extracts, and the mean and minimum cosine of its pages."""
    letters, images = 0, []
    for path in paths:
        with path.open("rb") as file, open_pdf(file) as pdf:
            pages = list(
                pdf.read_pages(pdf.page_count, min_side=embedder.min_image_side, min_long_side=THUMBNAIL_SIDE)
            )
            letters += sum(len(page.text) for page in pages)
            images += [page.image for page in pages]
    plain = read_plain(paths, 4 * embedder.min_image_side, 4 * THUMBNAIL_SIDE)
    rendered = [row for row, image in enumerate(images) if image is not None]
    small = embedder.embed_images([embedder.prepare(images[row]) for row in rendered])
    large = embedder.embed_images([embedder.prepare(plain[row][1]) for row in rendered])
    cosines = (small * large).sum(axis=1)
    return letters / max(1, sum(len(text) for text, _ in plain)), float(cosines.mean()), float(cosines.min())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, help="PDFs in addition to the drawn one")
    parser.add_argument("--pages", type=int, default=400, help="pages of the drawn PDF")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="run for a few seconds")
    args = parser.parse_args()
    pages = 12 if args.smoke else args.pages
    print(f"{machine()}; {pages} drawn pages, seed {args.seed}, {len(args.files)} other files\n")
    embedder = load_embedder("builtin")
    with tempfile.TemporaryDirectory() as home:
        drawn = Path(home) / "docs" / "drawn.pdf"
        drawn.parent.mkdir()
        drawn.write_bytes(draw_pdf(pages, args.seed))
        for number, path in enumerate(args.files):
            (drawn.parent / f"{number:03d}.pdf").write_bytes(path.read_bytes())
        rows = []
        for name, paths in (("drawn", [drawn]), ("others", sorted(drawn.parent.glob("[0-9]*.pdf")))):
            if not paths:
                continue
            count = len(
                read_plain(paths, embedder.min_image_side, THUMBNAIL_SIDE)
            )  # a first run fills the caches
            read_clew(paths, embedder)
            plain = cost(lambda paths=paths: read_plain(paths, embedder.min_image_side, THUMBNAIL_SIDE))
            read = cost(lambda paths=paths: read_clew(paths, embedder))
            letters, mean, minimum = compare(paths, embedder)
            rows.append(
                {
                    "pages": name,
                    "count": count,
                    "plain pages/s": count / plain.wall,
                    "read pages/s": count / read.wall,
                    "share": plain.wall / read.wall,
                    "of cores": plain.cpu / read.cpu,
                    "letters": letters,
                    "cosine": mean,
                    "min cosine": minimum,
                }
            )
        table(rows)
        total = sum(row["count"] for row in rows)
        index = time_of(
            lambda: index_folder(drawn.parent, library=Path(home) / "library", model="builtin").close()
        )
        print(f"index: {total / index.wall:,.0f} pages/s with all passages and images embedded")
        emit("documents", rows=rows, index=total / index.wall)


if __name__ == "__main__":
    main()
