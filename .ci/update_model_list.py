"""Write the list of open_clip's models, so that `clew models` can print it without loading torch.

    python .ci/update_model_list.py openclip_retrieval_results.csv openclip_multilingual_retrieval_results.csv

Sizes come from building each architecture without memory for its weights, or from the table of open_clip if
its text tower is configured on the hub. Licenses and languages are those that the authors publish with the
weights, and null if unknown. The recall (text to image, recall@1 on MS COCO) is that of the table of
open_clip, of which a copy is the first argument, or of SIGLIP2_RECALL. The recall in the 15 languages of
the built-in model (text to image, mean of recall@1, 5 and 10 on Crossmodal-3600) is that of the second
argument, or of SIGLIP2_LANGUAGE_RECALL: its mean and that of the worst language.
"""

import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

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
RECALL_SOURCES = {
    "open_clip": "https://github.com/mlfoundations/open_clip/blob/main/docs/openclip_retrieval_results.csv",
    "SigLIP 2": "https://github.com/google-research/big_vision/blob/main/big_vision/configs/proj/image_text/"
    "README_siglip2.md",
    "open_clip, languages": "https://github.com/mlfoundations/open_clip/blob/main/docs/"
    "openclip_multilingual_retrieval_results.csv",
    "immich": "https://github.com/immich-app/immich/blob/main/docs/docs/features/searching.md",
}
SIGLIP2_RECALL = {  # column "COCO T→I", in percent
    **{"ViT-B-32-SigLIP2-256": 47.2, "ViT-B-16-SigLIP2": 52.1, "ViT-B-16-SigLIP2-256": 53.2},
    **{"ViT-B-16-SigLIP2-384": 54.6, "ViT-B-16-SigLIP2-512": 55.2, "ViT-L-16-SigLIP2-256": 54.7},
    **{"ViT-L-16-SigLIP2-384": 55.3, "ViT-L-16-SigLIP2-512": 55.2, "ViT-SO400M-14-SigLIP2": 55.1},
    **{"ViT-SO400M-16-SigLIP2-256": 55.4, "ViT-SO400M-16-SigLIP2-384": 56.0},
    **{"ViT-SO400M-16-SigLIP2-512": 56.0, "ViT-gopt-16-SigLIP2-256": 55.7, "ViT-gopt-16-SigLIP2-384": 56.1},
}
LANGUAGE_CODES = "ar", "de", "en", "es", "fr", "it", "ja", "ko", "nl", "pl", "pt", "ru", "th", "tr", "zh"
SIGLIP2_LANGUAGE_RECALL = {  # column "Recall (%)" of each language's table, in the order of LANGUAGE_CODES
    "ViT-B-32-SigLIP2-256": (
        *(60.70, 84.44, 73.15, 78.99, 82.27, 81.81, 55.31, 67.54),
        *(72.72, 70.34, 74.82, 81.59, 35.28, 64.76, 62.56),
    ),
    "ViT-B-16-SigLIP2": (
        *(61.71, 86.44, 75.19, 82.22, 84.30, 83.78, 58.10, 70.25),
        *(75.33, 73.44, 77.54, 84.29, 37.35, 66.72, 64.39),
    ),
}


def read_recall(file: Path) -> dict[str, tuple[float, str]]:
    """Return the published recall of models in percent, and its source, by name."""
    with file.open(newline="") as rows:
        table = {
            f"{row['name']}/{row['pretrained']}": (100 * float(row["MSCOCO image retr. R@1"]), "open_clip")
            for row in csv.DictReader(rows)
            if row["MSCOCO image retr. R@1"]
        }
    return table | {f"{arch}/webli": (value, "SigLIP 2") for arch, value in SIGLIP2_RECALL.items()}


def read_language_recall(file: Path) -> dict[str, tuple[Sequence[float], str]]:
    """Return the published recall of models in each of LANGUAGE_CODES in percent, and its source, by name."""
    column = "crossmodal3600 image_retrieval_recall@{} {}"
    with file.open(newline="") as rows:
        table = {
            f"{row['model']}/{row['version']}": (
                [
                    100 * mean(float(row[column.format(k, code)]) for k in (1, 5, 10))
                    for code in LANGUAGE_CODES
                ],
                "open_clip, languages",
            )
            for row in csv.DictReader(rows)
        }
    return table | {f"{arch}/webli": (recall, "immich") for arch, recall in SIGLIP2_LANGUAGE_RECALL.items()}


def read_parameters(file: Path) -> dict[str, int]:
    """Return the number of parameters of each architecture in the table of open_clip."""
    with file.open(newline="") as rows:
        return {row["name"]: round(1e6 * float(row["params (M)"])) for row in csv.DictReader(rows)}


def add_recall(row: dict[str, object], retrieval_file: Path, languages_file: Path) -> dict[str, object]:
    """Return the row of a model with its published recall, null if unknown."""
    recall, source = read_recall(retrieval_file).get(str(row["name"]), (None, None))
    languages, languages_source = read_language_recall(languages_file).get(str(row["name"]), (None, None))
    return row | {
        "recall": None if recall is None else round(recall, 1),
        "recall_source": source,
        "recall_15": None if languages is None else round(mean(languages), 1),
        "recall_15_lowest": None if languages is None else round(min(languages), 1),
        "recall_15_source": languages_source,
    }


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
    published = read_parameters(Path(sys.argv[1]))
    counts = {arch: parameters(arch) or published.get(arch) for arch in dict(pairs)}
    files = Path(sys.argv[1]), Path(sys.argv[2])
    rows = [add_recall(describe(*pair) | {"parameters": counts[pair[0]]}, *files) for pair in pairs]
    lines = ",\n".join(json.dumps(row) for row in rows)
    sources = json.dumps(RECALL_SOURCES)
    MODEL_LIST_FILE.write_text(
        f'{{"open_clip": "{open_clip.__version__}", "recall_sources": {sources}, "models": [\n{lines}\n]}}\n'
    )
    print(f"{len(rows)} models in {MODEL_LIST_FILE}")


if __name__ == "__main__":
    main()
