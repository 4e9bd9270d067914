"""A tiny random Qwen2 in GGUF with marks for filling in the middle, for llama.cpp's own server."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tokenizers import pre_tokenizers

MARKS = {"pre": "<|fim_prefix|>", "suf": "<|fim_suffix|>", "mid": "<|fim_middle|>"}
WIDTH, INNER, LAYERS, HEADS, GROUPS = 32, 64, 2, 4, 2


def write_gguf(path: Path) -> Path:
    import gguf

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    specials = ["<|endoftext|>", *MARKS.values()]
    words = [*letters, *specials]
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_context_length(2048)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(GROUPS)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(1e6)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(words)
    kinds = [gguf.TokenType.NORMAL] * len(letters) + [gguf.TokenType.CONTROL] * len(specials)
    writer.add_token_types(kinds)
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(words.index("<|endoftext|>"))
    writer.add_add_bos_token(False)
    for name, mark in MARKS.items():
        writer.add_uint32(f"tokenizer.ggml.fim_{name}_token_id", words.index(mark))
    lots, head = np.random.default_rng(0), WIDTH // HEADS

    def draw(name: str, *shape: int) -> None:
        writer.add_tensor(name, lots.normal(0, 0.4, shape).astype(np.float32))

    draw("token_embd.weight", len(words), WIDTH)
    draw("output.weight", len(words), WIDTH)
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        for norm in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"{block}{norm}.weight", np.ones(WIDTH, np.float32))
        for part, rows in (("q", WIDTH), ("k", GROUPS * head), ("v", GROUPS * head)):
            draw(f"{block}attn_{part}.weight", rows, WIDTH)
            draw(f"{block}attn_{part}.bias", rows)
        draw(f"{block}attn_output.weight", WIDTH, WIDTH)
        draw(f"{block}ffn_gate.weight", INNER, WIDTH)
        draw(f"{block}ffn_up.weight", INNER, WIDTH)
        draw(f"{block}ffn_down.weight", WIDTH, INNER)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
