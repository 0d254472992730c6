"""Checkpoints with random weights of small architectures, one of each family of open_clip models."""

import json
from pathlib import Path

import open_clip
import timm
import torch
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

from retrieval.quiet import quiet

# An export takes longer with each layer: one family has two.
TEXT_CONFIG = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 1}
VISION_CONFIG = {"image_size": 64, "layers": 1, "width": 64, "patch_size": 16, "head_width": 32}
SMALL_ARCHITECTURES = {
    "small-vit": {"embed_dim": 48, "vision_cfg": VISION_CONFIG, "text_cfg": TEXT_CONFIG},
    "small-quick": {
        "embed_dim": 48,
        "quick_gelu": True,
        "vision_cfg": VISION_CONFIG,
        "text_cfg": TEXT_CONFIG,
    },
    "small-resnet": {
        "embed_dim": 48,
        "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "patch_size": None},
        "text_cfg": TEXT_CONFIG,
    },
    "small-coca": {
        "embed_dim": 48,
        "vision_cfg": {
            **VISION_CONFIG,
            "attentional_pool": True,
            "attn_pooler_heads": 2,
            "output_tokens": True,
        },
        "text_cfg": {**TEXT_CONFIG, "context_length": 76, "embed_cls": True, "output_tokens": True},
        "multimodal_cfg": {**TEXT_CONFIG, "context_length": 76},
        "custom_text": True,
    },
    "small-siglip": {
        "embed_dim": 64,
        "init_logit_bias": -10,
        "custom_text": True,
        "vision_cfg": {"image_size": 64, "timm_model_name": "small_vit_patch16_64", "timm_pool": "avg",
                       "timm_proj": "linear"},
        "text_cfg": {
            **TEXT_CONFIG,
            "layers": 2,
            "context_length": 24,
            "vocab_size": 400,
            "hf_tokenizer_name": "nobody/nothing",
            "tokenizer_kwargs": {"clean": "canonicalize"},
            "no_causal_mask": True,
            "proj_bias": True,
            "pool_type": "last",
        },
    },
    "small-bert": {
        "embed_dim": 48,
        "vision_cfg": VISION_CONFIG,
        "text_cfg": {
            "context_length": 32,
            "hf_model_name": "nobody/nothing",
            "hf_tokenizer_name": "nobody/nothing",
            "hf_proj_type": "mlp",
            "hf_pooler_type": "mean_pooler",
        },
    },
}  # fmt: skip


def small_vit_patch16_64(**settings: object) -> VisionTransformer:
    """Return a vision transformer of timm, with two layers."""
    model = VisionTransformer(64, 16, embed_dim=64, depth=2, num_heads=2)
    model.default_cfg = {}
    return model


def register_architectures(folder: Path) -> None:
    """Register the small architectures with open_clip, and the image tower of one with timm."""
    if not timm.is_model(small_vit_patch16_64.__name__):
        timm.models.register_model(small_vit_patch16_64)
    for name, config in SMALL_ARCHITECTURES.items():
        (folder / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder)


def make_checkpoint(arch: str, folder: Path, *, seed: int = 0, name: str | None = None) -> Path:
    """Write random weights, with the tokenizer and text configuration that cannot be downloaded in tests."""
    folder.mkdir(parents=True, exist_ok=True)
    config = open_clip.get_model_config(arch)
    if "hf_tokenizer_name" in config["text_cfg"]:
        make_tokenizer(folder, lower="canonicalize" in str(config["text_cfg"].get("tokenizer_kwargs")))
    if "hf_model_name" in config["text_cfg"]:
        make_roberta(folder, small=arch.startswith("small"))
        config["text_cfg"]["hf_model_name"] = str(folder)
    (folder / "model").mkdir(exist_ok=True)
    (folder / "model" / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    torch.manual_seed(seed)
    with quiet():
        weights = open_clip.create_model(f"local-dir:{folder / 'model'}", pretrained_text=False).state_dict()
    path = folder / (name or f"{arch}.safetensors")
    tensors = {key: value.contiguous().clone() for key, value in weights.items()}
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors, path)
    return path


def make_tokenizer(folder: Path, *, lower: bool) -> None:
    """Write a small tokenizer in place of one from the hub."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<pad>", "<eos>", "<bos>", "<unk>"]
    text = ["a photo of a dog on the beach", "two red cars and a green tree", "the quick brown fox"]
    tokenizer.train_from_iterator(text * 3, trainers.BpeTrainer(vocab_size=300, special_tokens=special))
    template = "$A <eos>" if lower else "<bos> $A <eos>"
    tokenizer.post_processor = processors.TemplateProcessing(
        single=template, special_tokens=[("<eos>", 1), ("<bos>", 2)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": "<pad>",
        "eos_token": "<eos>",
        "bos_token": "<bos>",
        "unk_token": "<unk>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def make_roberta(folder: Path, *, small: bool) -> None:
    """Write the configuration of XLM-RoBERTa base, or of a small variant."""
    from transformers import XLMRobertaConfig

    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    base_sizes = {"vocab_size": 250_002, "max_position_embeddings": 514, "type_vocab_size": 1}
    settings = {**sizes, "vocab_size": 400} if small else base_sizes
    XLMRobertaConfig(**settings, pad_token_id=0).save_pretrained(folder)


def load_open_clip(prepared):
    """Return the model, the image transform and the tokenizer of open_clip for a prepared model."""
    from open_clip.transform import PreprocessCfg, image_transform_v2

    from retrieval.embedders.torch_towers import load_model

    model = load_model(prepared.folder)
    settings = PreprocessCfg(**open_clip.get_model_preprocess_cfg(model))
    return model, image_transform_v2(settings, is_train=False)
