"""Write down what open_clip offers, so that `clew models` can say it without loading torch.

    python .ci/update_model_list.py

Sizes come from building every architecture without memory for its weights; licences and languages are those
their authors publish with the weights, and None where they are not known here.
"""

import json

import open_clip
import torch

from retrieval.embedders import model_list
from retrieval.embedders.torch_towers import quiet

FILE = model_list.LIST
LICENCES = (  # the beginning of the weights' name (or of the architecture's), as published with the weights
    ("nllb", "CC-BY-NC-4.0"),
    ("MobileCLIP", "Apple's own"),
    ("PE-Core", "Apache-2.0"),
    ("openai", "MIT"),
    ("laion", "MIT"),
    ("datacomp", "MIT"),
    ("commonpool", "MIT"),
    ("webli", "Apache-2.0"),
    ("v2_webli", "Apache-2.0"),
    ("metaclip", "CC-BY-NC-4.0"),
    ("dfn", "Apple's own"),
    ("EVA", "MIT"),
    ("frozen_laion", "MIT"),
    ("mscoco_finetuned_laion", "MIT"),
)
LANGUAGES = (  # a piece of the architecture's name
    ("xlm-roberta", "100 languages"),
    ("nllb", "201 languages"),
    ("SigLIP2", "109 languages"),
    ("SigLIP-i18n", "109 languages"),
    ("worldwide", "300 languages"),
)


def describe(arch: str, tag: str) -> dict[str, object]:
    """Return a row of the list."""
    config, listed = open_clip.get_model_config(arch), open_clip.get_pretrained_cfg(arch, tag)
    size = config["vision_cfg"].get("image_size", 224)
    licence = next(
        (text for start, text in LICENCES if arch.startswith(start) or tag.startswith(start)), None
    )
    spoken = next((text for piece, text in LANGUAGES if piece in arch), "English")
    return {
        "name": f"{arch}/{tag}",
        "dim": config["embed_dim"],
        "side": size if isinstance(size, int) else max(size),
        "licence": licence,
        "languages": spoken,
        "repo": listed["hf_hub"].rpartition("/")[0],
    }


def parameters(arch: str) -> int | None:
    """Count the parameters of an architecture; None where its text tower's configuration is on the hub."""
    config = open_clip.get_model_config(arch)
    if "hf_model_name" in config["text_cfg"]:
        return None
    with quiet(), torch.device("meta"):
        return sum(p.numel() for p in open_clip.create_model(arch, device="meta").parameters())


def main() -> None:
    pairs = open_clip.list_pretrained()
    counts = {arch: parameters(arch) for arch in dict(pairs)}
    rows = [{**describe(*pair), "parameters": counts[pair[0]]} for pair in pairs]
    lines = ",\n".join(json.dumps(row) for row in rows)
    FILE.write_text(f'{{"open_clip": "{open_clip.__version__}", "models": [\n{lines}\n]}}\n')
    print(f"{len(rows)} models in {FILE}")


if __name__ == "__main__":
    main()
