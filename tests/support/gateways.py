"""Two libraries here and one of another server, served as one."""

from contextlib import contextmanager
from pathlib import Path

from starlette.testclient import TestClient

from indexer import update_library
from retrieval import Libraries, Library
from retrieval.server.gateway.app import create_gateway
from retrieval.server.options import ServerOptions
from tests.support.browser import serving
from tests.support.document_files import pdf
from tests.support.files import draw_image, write_text
from tests.support.toy_embedder import COLORS, RotatedToyEmbedder, ToyEmbedder
from tests.support.video_files import write_video

ADDRESS = "http://127.0.0.1:8765"
FILES = 60 + len(COLORS) + 3  # of each library
EMBEDDERS = {"home": ToyEmbedder(), "work": RotatedToyEmbedder(), "far": ToyEmbedder()}


def write_libraries(place: Path) -> dict[str, Path]:
    """Index three folders of images, notes, videos and documents; return name -> library."""
    libraries = {}
    for first, (name, embedder) in zip((0, 100, 200), EMBEDDERS.items(), strict=True):
        media = place / f"{name} media"
        for number in range(first, first + 60):
            draw_image(
                media / f"{number}.png", ((37 * number) % 256, (91 * number) % 256, (151 * number) % 256)
            )
        for color in COLORS:
            draw_image(media / f"{color} {name}.png", color, size=(60, 40))
        write_text(media / "note.md", f"the {name} key\n\nand another line of {name}\n")
        write_video(media / f"walk {name}.mp4", [("green", 1.0), ("yellow", 1.0)])
        (media / "report.pdf").write_bytes(pdf([("blue", f"The report of {name}"), ("red", "Its end")]))
        libraries[name] = place / name
        update_library([media], library=place / name, embedder=embedder)
    return libraries


def opened(libraries: dict[str, Path], address: str | None = None, token: str | None = None) -> Libraries:
    """Open the first two libraries, and that of the server at an address."""
    members = {name: Library.open(libraries[name], embedder=EMBEDDERS[name]) for name in ("home", "work")}
    if address is not None:
        members |= Libraries.open([address], token).members
    return Libraries(members)


@contextmanager
def gateway(
    libraries: dict[str, Path], address: str | None = None, server_token: str | None = None, **options
):
    """Yield a client of the server of these libraries."""
    app = create_gateway(opened(libraries, address, server_token), ServerOptions(**options))
    with TestClient(app, ADDRESS, raise_server_exceptions=False, client=("127.0.0.1", 50_000)) as client:
        yield client


@contextmanager
def far_server(libraries: dict[str, Path], **options):
    """Serve the third library; yield the address."""
    with serving(libraries["far"], EMBEDDERS["far"], **options) as address:
        yield address
