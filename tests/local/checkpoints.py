"""Random models of a few thousand weights with a tokenizer trained on the spot, saved as transformers saves them."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
WORDS = ["the sky is blue", "what is the sky", "system user assistant", "blue and green, and the like"]
CONTEXT = 128


@functools.cache
def tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        WORDS,
        trainers.BpeTrainer(vocab_size=300, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False),
    )
    made = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    made.chat_template = TEMPLATE
    return made


def model(kind: str = "llama", **changes: Any) -> Any:
    """A random model; the same one each time."""
    import torch
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

    size: dict[str, Any] = {
        "vocab_size": len(tokenizer()),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": CONTEXT,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "pad_token_id": 0,
        **changes,
    }
    torch.manual_seed(0)
    if kind == "llama":
        made = LlamaForCausalLM(LlamaConfig(**size))
    else:
        made = Qwen3ForCausalLM(Qwen3Config(head_dim=8, **size))
    made.generation_config = GenerationConfig(
        eos_token_id=[2, 0], pad_token_id=0, do_sample=True, temperature=0.6, top_k=20
    )
    return made.eval()


def save(folder: Path, made: Any, *, dtype: str = "float32", **how: Any) -> Path:
    import torch

    made.to(getattr(torch, dtype)).save_pretrained(folder, **how)
    tokenizer().save_pretrained(folder)
    return folder
