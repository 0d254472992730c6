"""Measure how fast an open_clip model with random weights embeds images, in each way.

    python tests/bench/bench_embed.py --arch ViT-B-32            # on the CPU
    python tests/bench/bench_embed.py --avx2                     # without AVX-512 and AMX
    python tests/bench/bench_embed.py --device cuda --count 4096

bare forward: the model in the precision that clew chose, on one batch of prepared input. clew: `embed_images`
of as many prepared images, including normalization and copies. float32, bfloat16: `encode_image` of open_clip
on batches. documented loop: the same in float32, one image at a time, as in the README of open_clip.
onnxruntime float32: the exported tower, as rclip runs it. `cosine` is the minimum to open_clip in float32.
"""

import argparse
import copy
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from common import ISA, alone, emit, machine, make_checkpoint, table, time_of


def measure(arch: str, place: Path, device: str, count: int, batch: int, rounds: int) -> list[dict]:
    """Return a row of each way. Run in a new process."""
    import onnxruntime
    import torch

    from indexer.models.onnx_export import export
    from indexer.models.precision import probe_images
    from indexer.models.resolve import prepare_model
    from retrieval.embedders.torch_towers import ImageTower, load_model
    from retrieval.system import cores

    os.environ["XDG_CACHE_HOME"] = str(place / "cache")
    clew = prepare_model(str(make_checkpoint(arch, place)), arch=arch, device=device)
    preprocessing, model = clew.prepared.manifest.preprocessing, load_model(clew.prepared.folder)
    pixels = probe_images(preprocessing.size, min(count, 256))
    pixels = [pixels[n % len(pixels)] for n in range(count)]
    tower = ImageTower(copy.deepcopy(model), preprocessing).eval()
    export(tower, torch.from_numpy(np.stack(pixels[:2])), place / "image_tower.onnx")
    session = onnxruntime.InferenceSession(place / "image_tower.onnx")
    mean, std = torch.tensor(preprocessing.mean).view(3, 1, 1), torch.tensor(preprocessing.std).view(3, 1, 1)
    inputs = (torch.from_numpy(np.stack(pixels[:batch])).permute(0, 3, 1, 2) / 255 - mean) / std
    inputs = inputs.contiguous()
    model = model.to(device)

    def forward(net: torch.nn.Module, size: int, dtype: torch.dtype) -> Callable[[], np.ndarray]:
        torch.set_num_threads(cores())
        x = inputs[:size].to(device, dtype)

        def run() -> np.ndarray:
            with torch.inference_mode():
                return torch.nn.functional.normalize(net.encode_image(x).float(), dim=-1).cpu().numpy()

        return run

    half = copy.deepcopy(model).to(torch.bfloat16)
    names = {"float32": model, "bfloat16": half}
    precision = clew.choice.precision
    ways = {
        "clew": (count, lambda: clew.embed_images(pixels)[:batch]),
        "float32, batches": (batch, forward(model, batch, torch.float32)),
        "bfloat16, batches": (batch, forward(half, batch, torch.bfloat16)),
        "documented loop": (1, forward(model, 1, torch.float32)),
        "onnxruntime float32": (batch, lambda: session.run(None, {"rows": np.stack(pixels[:batch])})[0]),
    }
    if precision in names:
        name = f"bare forward, {precision}"
        ways = {name: (batch, forward(names[precision], batch, getattr(torch, precision))), **ways}
    elif clew.device == "cpu":
        best = clew._image_tower._session(cores(), fast_start=False)
        rows = np.stack(pixels[:batch])
        ways = {f"bare forward, {precision}": (batch, lambda: best.run(None, {"rows": rows})[0]), **ways}
    truth = forward(model, batch, torch.float32)()
    print(f"chosen: {clew.choice}, cosine {clew.choice.cosine:.4f}\n")
    results = {name: way() for name, (_, way) in ways.items()}
    turns = [{name: time_of(way).wall / size for name, (size, way) in ways.items()} for _ in range(rounds)]
    rates = {name: 1 / median(turn[name] for turn in turns) for name in ways}
    return [
        {
            "images": name,
            "images/s": rates[name],
            "clew is x": rates["clew"] / rates[name],
            "cosine": float((vectors * truth[: len(vectors)]).sum(axis=1).min()),
        }
        for name, vectors in results.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--arch", default="ViT-B-32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--count", type=int, default=128, help="images that clew embeds at once")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--avx2", action="store_true", help="do not use AVX-512 and AMX")
    parser.add_argument("--smoke", action="store_true", help="run for less than a minute")
    args = parser.parse_args()
    if args.smoke:
        args.arch, args.count, args.batch, args.rounds = "tiny", 8, 4, 1
    os.environ.update(ISA if args.avx2 else {})
    print(f"{machine()}{', AVX2 only' * args.avx2}; {args.arch}, {args.count} images, seed 0\n")
    with tempfile.TemporaryDirectory(prefix="clew-bench-") as place:
        rows = alone(measure, args.arch, Path(place), args.device, args.count, args.batch, args.rounds)
    table(rows)
    emit("embed", arch=args.arch, device=args.device, avx2=args.avx2, rows=rows)


if __name__ == "__main__":
    main()
