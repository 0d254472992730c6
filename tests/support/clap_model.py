"""A small CLAP model with random weights, in the format of transformers."""

from pathlib import Path


def make_clap_model(folder: Path, *, fusion: bool = False) -> Path:
    """Write a model whose labels are random but confident, without a download; return its folder."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import (
        ClapConfig,
        ClapFeatureExtractor,
        ClapModel,
        ClapProcessor,
        PreTrainedTokenizerFast,
    )

    letters = ["<s>", "<pad>", "</s>", "<unk>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE(vocab={letter: id_ for id_, letter in enumerate(letters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    special_tokens = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    sizes = {"hidden_size": 32, "projection_dim": 16}
    torch.manual_seed(0)
    text = {
        "vocab_size": len(letters),
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    }
    audio = {
        **{"spec_size": 64, "window_size": 4, "patch_embeds_hidden_size": 8, "hidden_size": 16},
        **{"depths": [1, 1], "num_attention_heads": [1, 2], "num_hidden_layers": 2, "num_mel_bins": 16},
        **{"enable_fusion": fusion, "fusion_type": "aff_2d" if fusion else None},
    }
    model = ClapModel(
        ClapConfig(
            text_config={**text, **sizes},
            audio_config={**audio, "projection_dim": 16},
            projection_dim=16,
            logit_scale_init_value=3_000.0,
        )
    )
    model.save_pretrained(folder)
    ClapProcessor(
        ClapFeatureExtractor(
            feature_size=16, hop_length=4_800, truncation="fusion" if fusion else "rand_trunc"
        ),
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special_tokens),
    ).save_pretrained(folder)
    return folder
