"""The real rclip of PyPI, in its own environment, with the weights of a checkpoint of clew."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from common import Ran, alone, clew, make_checkpoint, repeat_files, run, table

ARCH = "ViT-B-32-256"  # the model of rclip
MODEL_FOLDER = "ViT-B-32-256-datacomp_s34b_b86k"
QUERY = "a dog on grass"


def install(venv: Path) -> Path:
    """Return the command of rclip in a virtual environment, which is made if it does not exist."""
    command = venv / "bin" / "rclip"
    if not command.exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([venv / "bin" / "pip", "install", "-q", "rclip"], check=True)
    return command


def export_model(arch: str, checkpoint: Path, folder: Path) -> None:
    """Write the towers of a checkpoint, in float32, and the vocabulary, as rclip downloads them."""
    import open_clip
    import torch

    class Tower(torch.nn.Module):
        def __init__(self, encode: str) -> None:
            super().__init__()
            self.net, self.encode = net, encode

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            return getattr(self.net, self.encode)(rows)

    net = open_clip.create_model(arch, pretrained=str(checkpoint)).eval()
    (folder / MODEL_FOLDER).mkdir(parents=True)
    (folder / "tokenizer").mkdir()
    shutil.copy(Path(open_clip.__file__).with_name("bpe_simple_vocab_16e6.txt.gz"), folder / "tokenizer")
    pixels, ids = torch.randn(2, 3, 256, 256), torch.randint(1, 9000, (2, 77))
    for name, rows in {"image": pixels, "text": ids}.items():
        torch.onnx.export(
            Tower(f"encode_{name}").eval(),
            (rows,),
            str(folder / MODEL_FOLDER / {"image": "visual.onnx", "text": "textual.onnx"}[name]),
            input_names=["input"],
            output_names=["output"],
            dynamic_shapes=({0: torch.export.Dim("n", max=512)},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def against_rclip(
    sources: dict[str, tuple[Sequence[bytes], int]], rounds: int, place: Path, venv: Path
) -> dict[str, object]:
    """Print and return files per second of the processes `clew index` and `rclip`, measured alternately.

    `sources` are images and the number of files, by name. rclip answers a query too, as it always does. The
    model of clew is prepared, and its text vectors are kept, by an index of one file before.
    """
    place.mkdir(parents=True)
    rclip, data = install(venv), place / "rclip"
    os.environ.update(XDG_CACHE_HOME=str(place / "cache"), RCLIP_DATADIR=str(data))
    checkpoint = alone(make_checkpoint, ARCH, place)
    alone(export_model, ARCH, checkpoint, data)
    model = ("--model", checkpoint, "--arch", ARCH)
    index = [clew(), "index", *model, "--library"]
    rows = []
    for name, (jpegs, count) in sources.items():
        folder, first = place / name, place / f"{name}-first"
        repeat_files(jpegs, count, folder)
        run(*index, place / f"{name}-first-library", *{path.parent for path in repeat_files(jpegs, 1, first)})
        turns: list[dict[str, Ran]] = []
        for turn in range(rounds):
            (data / "db.sqlite3").unlink(missing_ok=True)
            commands = {
                "clew": [*index, place / f"{name}-library-{turn}", folder],
                "rclip": ["/bin/sh", "-c", 'cd "$0" && exec "$@"', folder, rclip, "-t", "10", QUERY],
            }
            order = list(commands) if turn % 2 == 0 else list(commands)[::-1]
            turns.append({way: run(*commands[way]) for way in order})
        rows += [
            {
                "photos": f"{count} {name}",
                "index with": way,
                "files/s": median(count / turn[way].took.wall for turn in turns),
                "core-ms per file": median(1000 * turn[way].took.cpu / count for turn in turns),
                "peak MB": median(turn[way].peak for turn in turns),
                "clew is x": median(turn[way].took.wall / turn["clew"].took.wall for turn in turns),
            }
            for way in ("clew", "rclip")
        ]
    table(rows)
    return {"model": ARCH, "rows": rows}
