"""Tokenizers with the chat templates of the field, made in process: byte-level and Metaspace BPE of few tokens."""

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
TEMPLATES = {
    # A: generation tags. B: pad is eos, no tags. C: BOS in template and post-processor. D: prefix space.
    "A": "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' }}{% if m['role'] == 'assistant' %}"
    "{% generation %}{{ m['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ m['content'] + '<|im_end|>' }}{% endif %}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    "B": CHATML,
    "C": "{{ bos_token }}" + CHATML,
    "D": CHATML,
    # E: as Gemma, without its `trim`; "gemma" has it.
    "E": "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Roles must alternate') }}{% endif %}"
    "{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else m['role']) + '\\n' + m['content']"
    " + '<end_of_turn>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}",
    # F: tools.
    "F": "{% for m in messages %}{% if m.role == 'tool' %}"
    "{{ '<|im_start|>user\\n<tool_response>\\n' + m.content + '\\n</tool_response><|im_end|>\\n' }}"
    "{% else %}{{ '<|im_start|>' + m['role'] + '\\n' }}{% if m.content %}{{ m.content }}{% endif %}"
    "{% if m.tool_calls %}{{ m.tool_calls | tojson }}{% endif %}{{ '<|im_end|>\\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    "llama2": "{% for m in messages %}{% if m['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + m['content'].strip() + ' [/INST]' }}"
    "{% else %}{{ ' ' + m['content'].strip() + ' ' + eos_token }}{% endif %}{% endfor %}",
    # Opens an empty reasoning in the last turn only, and strips the reasoning of earlier ones, as Qwen3.
    "thinking": "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}{% if m.role == 'assistant' %}"
    "{% if loop.last and '</think>' not in m.content %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}"
    "{{ m.content if loop.last else m.content.split('</think>')[-1] }}{% else %}{{ m.content }}{% endif %}"
    "{{ '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    # The generation prompt opens the reasoning, which no rendered turn has, as DeepSeek-R1.
    "opened": "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %}"
    "{{ '<|assistant|>' + m.content.split('</think>')[-1] + eos_token }}{% else %}{{ '<|user|>' + m.content }}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|><think>\\n' }}{% endif %}",
    # Turns end where the next begins, as GLM-4.
    "open_ended": "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}",
    "no_generation_prompt": "{% for m in messages %}{{ '<|' + m.role + '|>\\n' + m.content + eos_token + '\\n' }}"
    "{% endfor %}",
    "endless": "{% for m in messages %}{{ m.role + ': ' + m.content + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}",
    "deaf_to_system": "{% for m in messages if m.role != 'system' %}{{ '<|im_start|>' + m.role + '\\n' + m.content"
    " + '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
}
TEMPLATES["gemma"] = TEMPLATES["E"].replace("m['content'] +", "m['content'] | trim +")
_CORPUS = ["The quick brown fox jumps over the lazy dog. user assistant system\n Hello there, how are you? " * 3]
_CORPUS += ["def f(x): return x + 1\n\n12345 \u65e5\u672c\u8a9e "]
_MARKERS = ["<|im_start|>", "<|im_end|>", "<start_of_turn>", "<end_of_turn>", "<|user|>", "<|assistant|>", "<|system|>"]
_SPECIAL = ["<pad>", "<s>", "</s>", *_MARKERS]


@cache
def _byte_level() -> str:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=_SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(_CORPUS, trainer)
    return tokenizer.to_str()


@cache
def _metaspace() -> str:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    steps = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(steps)
    special = ["<unk>", *_SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(_CORPUS, trainer)
    rules = json.loads(tokenizer.to_str())  # the trainer makes the bytes special tokens, which they are not
    rules["added_tokens"] = [token for token in rules["added_tokens"] if not token["content"].startswith("<0x")]
    return json.dumps(rules)


@pytest.fixture(scope="session")
def chat_tokenizer() -> Callable[..., Any]:
    """Makes a fresh tokenizer with one of `TEMPLATES`, or None for no template."""
    from tokenizers import AddedToken, Tokenizer
    from transformers import PreTrainedTokenizerFast

    def make(name: str | None) -> Any:
        spaced = name in ("D", "llama2")
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=Tokenizer.from_str(_metaspace() if spaced else _byte_level()),
            bos_token="<s>",
            eos_token="</s>",
            pad_token="</s>" if name == "B" else "<pad>",
            unk_token="<unk>" if spaced else None,
            extra_special_tokens=_MARKERS,
            add_bos_token=spaced or name == "C",
        )
        tokenizer.add_tokens([AddedToken("<think>", special=False), AddedToken("</think>", special=False)])
        if name is not None:
            tokenizer.chat_template = TEMPLATES[name]
        return tokenizer

    return make
