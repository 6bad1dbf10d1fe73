"""Templates that do more than write turns: strip, open a reasoning, lack a terminator or a generation prompt."""

from itertools import groupby

import pytest

from lit_align.data.chat import ChatFormat
from lit_align.data.chat_spans import TurnTemplate
from lit_align.data.rows import Message
from lit_align.errors import ConfigError, DataError


def conversation(*contents):
    return tuple(
        Message(role="assistant" if place % 2 else "user", content=content) for place, content in enumerate(contents)
    )


def supervised(tokenizer, ids, mask):
    runs = groupby(zip(ids, mask, strict=True), lambda pair: pair[1])
    return [tokenizer.decode([token for token, _ in run]) for on, run in runs if on]


def test_a_template_that_trims_contents_trims_responses(chat_tokenizer):
    tokenizer = chat_tokenizer("gemma")
    chat = ChatFormat(tokenizer)
    ids, mask = chat.encode_conversation(conversation(" a ", " one\n", "b", "\n\ntwo  "))
    assert supervised(tokenizer, ids, mask) == ["one<end_of_turn>", "two<end_of_turn>"]
    assert chat.encode_response(conversation(" a "), " one\n") == chat.encode_response(conversation("a"), "one")


@pytest.mark.parametrize("name", ["llama2", "gemma", "A", "open_ended"])
def test_a_conversation_decodes_to_what_the_template_renders(chat_tokenizer, name):
    tokenizer = chat_tokenizer(name)
    messages = conversation("How?", "So.", "Why? ", "Because", "a", "b")
    ids, _ = ChatFormat(tokenizer).encode_conversation(messages)
    rendered = tokenizer.apply_chat_template(
        [{"role": message.role, "content": message.content} for message in messages], tokenize=False
    )
    last = "<|user|>" if name == "open_ended" else ""
    assert tokenizer.decode(ids).replace(" ", "") == (rendered + last).strip().replace(" ", "")


def test_spaces_that_the_template_writes_around_a_response_are_not_part_of_it(chat_tokenizer):
    tokenizer = chat_tokenizer("llama2")
    chat = ChatFormat(tokenizer)
    prompt, expected = conversation("How?"), tokenizer.encode("fox ", add_special_tokens=False)
    assert chat.encode_response(prompt, "fox") == [*expected, tokenizer.eos_token_id]
    assert chat.decode_response(chat.encode_response(prompt, "fox")) == "fox"
    assert chat.decode_response(expected) == "fox "  # not finished, so the space may be the model's


def test_an_empty_reasoning_that_the_template_opens_is_supervised_but_not_part_of_the_response(chat_tokenizer):
    tokenizer = chat_tokenizer("thinking")
    chat = ChatFormat(tokenizer)
    ids, mask = chat.encode_conversation(conversation("a", "one", "b", "two"))
    assert supervised(tokenizer, ids, mask) == ["one<|im_end|>", "<think>\n\n</think>\n\ntwo<|im_end|>"]
    prompt = conversation("a")
    assert chat.decode_response(chat.encode_response(prompt, "one")) == "one"
    reasoned = "<think>hm</think>one"
    assert chat.decode_response(chat.encode_response(prompt, reasoned)) == reasoned


def test_a_past_turn_is_supervised_as_the_template_shows_it(chat_tokenizer):
    tokenizer = chat_tokenizer("thinking")
    chat = ChatFormat(tokenizer)
    messages = conversation("a", "<think>hm</think>one", "b", "two")
    ids, mask = chat.encode_conversation(messages)
    assert supervised(tokenizer, ids, mask)[0] == "one<|im_end|>"
    fed = chat.encode_prompt(messages[:3])
    assert ids[: len(fed)] == fed


def test_a_response_follows_a_generation_prompt_that_no_rendered_turn_has(chat_tokenizer):
    tokenizer = chat_tokenizer("opened")
    chat = ChatFormat(tokenizer)
    ids, mask = chat.encode_conversation(conversation("a", "hm</think>one"))
    assert tokenizer.decode(ids) == "<s><|user|>a<|assistant|><think>\nhm</think>one</s>"
    assert supervised(tokenizer, ids, mask) == ["hm</think>one</s>"]


def test_a_past_turn_in_another_context_than_generation_sees_can_be_context_only(chat_tokenizer):
    tokenizer = chat_tokenizer("opened")
    chat = ChatFormat(tokenizer)
    first, second, third, fourth = conversation("a", "one", "b", "two")
    with pytest.raises(DataError, match=r"turn 2 .*\n.*`train` to false"):
        chat.encode_conversation((first, second, third, fourth))
    silent = Message(role="assistant", content="one", train=False)
    ids, mask = chat.encode_conversation((first, silent, third, fourth))
    assert supervised(tokenizer, ids, mask) == ["two</s>"]


def test_the_marker_of_the_next_turn_is_the_terminator_where_there_is_no_other(chat_tokenizer):
    tokenizer = chat_tokenizer("open_ended")
    chat = ChatFormat(tokenizer)
    ids, mask = chat.encode_conversation(conversation("a", "one", "b", "two"))
    assert supervised(tokenizer, ids, mask) == ["one<|user|>", "two<|user|>"]
    assert chat.terminator_ids[0] == tokenizer.convert_tokens_to_ids("<|user|>")


def test_eos_ends_the_response_where_the_template_writes_no_special_token(chat_tokenizer):
    tokenizer = chat_tokenizer("endless")
    chat = ChatFormat(tokenizer)
    ids, mask = chat.encode_conversation(conversation("a", "one"))
    assert tokenizer.decode(ids) == "user: a\nassistant: one</s>"
    assert supervised(tokenizer, ids, mask) == ["one</s>"]
    with pytest.raises(DataError, match="`train` to false"):  # the prompt of a second turn has no EOS to learn
        chat.encode_conversation(conversation("a", "one", "b", "two"))


def test_special_token_text_that_a_template_cuts_at_stays_text(chat_tokenizer):
    tokenizer = chat_tokenizer("B")
    tokenizer.chat_template = tokenizer.chat_template.replace("m['content']", "m['content'].split('im_end')[-1]")
    chat = ChatFormat(tokenizer)
    ids, mask = chat.encode_conversation(conversation("a<|im_end|>b", "one"))
    assert tokenizer.decode(ids) == "<|im_start|>user\n|>b<|im_end|>\n<|im_start|>assistant\none<|im_end|>"
    assert supervised(tokenizer, ids, mask) == ["one<|im_end|>"]


def test_the_header_of_a_turn_is_part_of_the_prompt_where_the_template_has_no_generation_prompt(chat_tokenizer):
    tokenizer = chat_tokenizer("no_generation_prompt")
    chat = ChatFormat(tokenizer)
    assert tokenizer.decode(chat.encode_prompt(conversation("a"))) == "<|user|>\na</s>\n<|assistant|>\n"
    ids, mask = chat.encode_conversation(conversation("a", "one", "b", "two"))
    assert supervised(tokenizer, ids, mask) == ["one</s>", "two</s>"]


def test_templates_that_lose_or_repeat_the_response_are_refused(chat_tokenizer):
    tokenizer = chat_tokenizer(None)
    for source, times in [("{{ messages[0].content + eos_token }}", 0), ("{{ messages[-1].content * 2 }}", 2)]:
        with pytest.raises(ConfigError, match=f"{times} times"):
            TurnTemplate(tokenizer, source)
    with pytest.raises(ConfigError, match="does not render"):
        TurnTemplate(tokenizer, "{{ messages[0].content.no.such.thing() }}")
    with pytest.raises(ConfigError, match="does not render"):
        TurnTemplate(tokenizer, "{% for m in messages %}")
    with pytest.raises(ConfigError, match="does not render"):
        TurnTemplate(tokenizer, "{{ ''.__class__.__mro__[1].__subclasses__() }}")
