"""One token per word of the toy task."""

from pathlib import Path

from lit_align.synthesis.toy.corpus import DOCUMENT, EQUALS
from lit_align.synthesis.toy.task import VOCABULARY

_SPECIAL_TOKENS = {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<bos>", "eos_token": "<eos>"}
_USER, _ASSISTANT = "<user>", "<asst>"

# The response follows the generation prompt without anything between them, so what a model is asked to continue
# is what it was trained on.
_CHAT_TEMPLATE = """\
{{- bos_token }}
{%- for message in messages %}
    {%- if message['role'] == 'user' %}
        {{- '<user> ' + message['content'] + ' ' }}
    {%- elif message['role'] == 'assistant' %}
        {{- '<asst> ' + message['content'] + eos_token }}
    {%- else %}
        {{- raise_exception('The toy chat has no ' + message['role'] + ' role.') }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<asst> ' }}
{%- endif %}
"""


def build_tokenizer(folder: str | Path) -> Path:
    """Writes a tokenizer with a chat template that `AutoTokenizer.from_pretrained` loads. Returns the folder.

    Every word is a token, and decoding a response gives its text back exactly. `<user>` and `<asst>` are special
    tokens; `<doc>` and `=` of the pretraining corpus are words, so that they encode where special tokens are
    taken for plain text.
    """
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import PreTrainedTokenizerFast

    words = (*_SPECIAL_TOKENS.values(), _USER, _ASSISTANT, DOCUMENT, EQUALS, *VOCABULARY)
    model = WordLevel({word: i for i, word in enumerate(words)}, unk_token=_SPECIAL_TOKENS["unk_token"])
    backend = Tokenizer(model)
    backend.pre_tokenizer = WhitespaceSplit()  # type: ignore[assignment]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        additional_special_tokens=[_USER, _ASSISTANT],
        clean_up_tokenization_spaces=False,  # it would turn "D C !" into "D C!"
        **_SPECIAL_TOKENS,
    )
    tokenizer.chat_template = _CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    return Path(folder)
