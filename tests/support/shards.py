"""Hashes of shards, embedders that end their process, and a child process that embeds until it is killed.

The child writes "go" and a line for each finished item, then "done".
"""

import hashlib
import os
import signal
import sys
from pathlib import Path

import numpy as np

from tests.support.archive_files import small_png, write_archive
from tests.support.files import draw_image, write_text
from tests.support.toy_embedder import COLORS, ToyEmbedder

DEADLY = (250, 1, 2)  # color of an image that ends the process of `DeadlyEmbedder`


class DeadlyEmbedder(ToyEmbedder):
    """A toy embedder that ends its process for one color; as long as a file exists, if one is given."""

    def __init__(self, until: Path | None = None) -> None:
        self.until = until

    def embed_images(self, images):
        if any(np.array_equal(pixels[0, 0], DEADLY) for pixels in images):
            if self.until is None:
                os.kill(os.getpid(), signal.SIGKILL)
            elif self.until.exists():
                self.until.unlink()
                os.kill(os.getpid(), signal.SIGKILL)
        return super().embed_images(images)


def draw_media(folder: Path) -> Path:
    """Write 7 images, a caption, a text, a damaged image and a tar of captioned images: 13 files."""
    for color in COLORS:
        draw_image(folder / "colors" / f"{color}.png", color)
    write_text(folder / "colors" / "red.txt", "a red thing\n")
    write_text(folder / "notes.md", "red green\n\nblue\n")
    (folder / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nno image")
    members = {"000.png": small_png((200, 9, 9)), "000.txt": b"red", "001.png": small_png((9, 9, 200))}
    write_archive(folder / "00000.tar", members)
    return folder


def shard_hashes(folder: Path) -> dict[str, str]:
    """Return name -> SHA-256 of the files in a folder of shards."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


if __name__ == "__main__":
    from indexer import ShardOptions, embed_shards

    def report(title: str, done: int, total: int, size: int = 0) -> None:
        sys.stdout.write(f"{done}\n")
        sys.stdout.flush()

    source, out, workers = sys.argv[1:]
    sys.stdout.write("go\n")
    sys.stdout.flush()
    embed_shards(
        source,
        out,
        embedder=ToyEmbedder(),
        options=ShardOptions(workers=int(workers) or None, files_per_shard=4),
        progress=report,
    )
    sys.stdout.write("done\n")
