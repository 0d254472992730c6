"""Write the list of open_clip's models, so that `clew models` can print it without loading torch.

    python .ci/update_model_list.py

Sizes come from building each architecture without memory for its weights. Licenses and languages are those
that the authors publish with the weights, and null if unknown.
"""

import json

import open_clip
import torch

from retrieval.embedders.model_list import MODEL_LIST_FILE
from retrieval.quiet import quiet

LICENSES = (  # prefix of the weights or of the architecture -> license
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
LANGUAGES = (  # part of the architecture's name -> languages
    ("xlm-roberta", "100 languages"),
    ("nllb", "201 languages"),
    ("SigLIP2", "109 languages"),
    ("SigLIP-i18n", "109 languages"),
    ("worldwide", "300 languages"),
)


def describe(arch: str, tag: str) -> dict[str, object]:
    """Return the row of a model."""
    config, pretrained = open_clip.get_model_config(arch), open_clip.get_pretrained_cfg(arch, tag)
    size = config["vision_cfg"].get("image_size", 224)
    license_ = next(
        (text for prefix, text in LICENSES if arch.startswith(prefix) or tag.startswith(prefix)), None
    )
    languages = next((text for part, text in LANGUAGES if part in arch), "English")
    return {
        "name": f"{arch}/{tag}",
        "dim": config["embed_dim"],
        "side": size if isinstance(size, int) else max(size),
        "licence": license_,
        "languages": languages,
        "repo": pretrained["hf_hub"].rpartition("/")[0],
    }


def parameters(arch: str) -> int | None:
    """Count the parameters of an architecture; None if its text tower is configured on the hub."""
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
    MODEL_LIST_FILE.write_text(f'{{"open_clip": "{open_clip.__version__}", "models": [\n{lines}\n]}}\n')
    print(f"{len(rows)} models in {MODEL_LIST_FILE}")


if __name__ == "__main__":
    main()
