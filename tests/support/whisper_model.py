"""A small Whisper model with random weights, in the format of faster-whisper."""

import json
from pathlib import Path


def make_whisper_model(folder: Path) -> Path:
    """Write a model whose transcripts are random, without a download; return its folder."""
    import torch
    from ctranslate2.converters import TransformersConverter
    from faster_whisper.tokenizer import _LANGUAGE_CODES
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    source = folder / "source"
    source.mkdir(parents=True)
    letters = {letter: id_ for id_, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=letters, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special_tokens = [
        "endoftext",
        "startoftranscript",
        *_LANGUAGE_CODES,
        "translate",
        "transcribe",
        "startoflm",
    ]
    special_tokens += ["startofprev", "nospeech", "notimestamps", *(f"{n * 0.02:.2f}" for n in range(1_501))]
    tokenizer.add_special_tokens([f"<|{token}|>" for token in special_tokens])
    tokenizer.save(str(source / "tokenizer.json"))
    end, start = (tokenizer.token_to_id(f"<|{token}|>") for token in special_tokens[:2])
    sizes = ("encoder_layers", "decoder_layers"), ("d_model", "encoder_ffn_dim", "decoder_ffn_dim")
    torch.manual_seed(0)
    model = WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=tokenizer.get_vocab_size(),
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            num_mel_bins=80,
            **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"), end),
            decoder_start_token_id=start,
            suppress_tokens=[],
            begin_suppress_tokens=[end],
            **dict.fromkeys(sizes[0], 1),
            **dict.fromkeys(sizes[1], 32),
        )
    )
    model.save_pretrained(source)
    (source / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    TransformersConverter(str(source), copy_files=["tokenizer.json"]).convert(str(folder / "model"))
    config = json.loads((folder / "model" / "config.json").read_text())
    config["lang_ids"] = [tokenizer.token_to_id(f"<|{code}|>") for code in _LANGUAGE_CODES]
    (folder / "model" / "config.json").write_text(json.dumps(config))
    return folder / "model"
