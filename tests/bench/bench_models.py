"""Measure candidates of the default model with random weights: images and texts per second, size and memory.

    python tests/bench/bench_models.py

Each model runs alone in a process on the CPU, in float32 and in turns with the others. `recall` is published:
text to image, recall@1 on MS COCO, in percent (see `clew models`). `image MB` and `text MB` are the weights
of the towers in float32. `peak MB` is the memory of the process with both of them.
"""

import argparse
from resource import RUSAGE_SELF, getrusage
from statistics import median

from common import TINY, alone, emit, machine, table, time_of

from retrieval.embedders.model_list import model_cards

MODELS = "ViT-B-32-256/datacomp_s34b_b86k", "ViT-B-32-SigLIP2-256/webli", "ViT-B-16-SigLIP2/webli"


def measure(arch: str, batch: int, rounds: int) -> dict[str, float]:
    """Return the speed, size and memory of an architecture. Run in a new process."""
    import torch
    from open_clip import create_model, factory

    if arch == "tiny":
        factory._MODEL_CONFIGS["tiny"] = TINY
    torch.manual_seed(0)
    model = create_model(arch, load_weights=False).eval()
    size = model.visual.image_size
    image = torch.rand(batch, 3, *(size if isinstance(size, tuple) else (size, size)))
    text = torch.zeros(1, model.context_length, dtype=torch.long)
    with torch.inference_mode():
        ways = {"images": lambda: model.encode_image(image), "text": lambda: model.encode_text(text)}
        times = {name: [time_of(way) for _ in range(rounds + 1)][1:] for name, way in ways.items()}
    count = {"image": 0, "text": 0}
    for name, weights in model.named_parameters():
        count["image" if name.startswith("visual.") else "text"] += weights.numel()
    return {
        "images/s": batch / median(time.wall for time in times["images"]),
        "cpu ms an image": 1e3 * median(time.cpu for time in times["images"]) / batch,
        "cpu ms a text": 1e3 * median(time.cpu for time in times["text"]),
        "image MB": 4 * count["image"] / 1e6,
        "text MB": 4 * count["text"] / 1e6,
        "peak MB": getrusage(RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3, help="forward passes of a process")
    parser.add_argument("--turns", type=int, default=2, help="processes of each model")
    parser.add_argument("--smoke", action="store_true", help="run for a few seconds")
    args = parser.parse_args()
    if args.smoke:
        args.models, args.batch, args.rounds, args.turns = ["tiny"], 2, 1, 1
    print(f"{machine()}, float32, batches of {args.batch} images\n")
    cards = {card.name: card for card in model_cards()}
    turns = [
        {name: alone(measure, name.partition("/")[0], args.batch, args.rounds) for name in args.models}
        for _ in range(args.turns)
    ]
    rows: list[dict[str, object]] = []
    for name in args.models:
        card = cards.get(name)
        published = {} if card is None else {"recall": card.recall, "languages": card.languages}
        numbers = {key: median(turn[name][key] for turn in turns) for key in turns[0][name]}
        rows.append({"model": name, **published, **numbers})
    table(rows)
    emit("models", models=rows)


if __name__ == "__main__":
    main()
