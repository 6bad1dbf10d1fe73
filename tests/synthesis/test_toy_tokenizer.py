"""The toy tokenizer, loaded the way any other is."""

from pathlib import Path

import jinja2
import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from lit_align.files import sha256_of_file
from lit_align.synthesis.toy import OPERATIONS, VOCABULARY, Task, build_tokenizer, pretraining_rows, sample_tasks

TASKS = sample_tasks(300, seed=2)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(build_tokenizer(tmp_path_factory.mktemp("toy")))


def chat(task: Task) -> list[dict[str, str]]:
    return [{"role": "user", "content": task.prompt}, {"role": "assistant", "content": task.answer}]


def test_every_word_is_one_known_token(tokenizer: PreTrainedTokenizerBase) -> None:
    for word in VOCABULARY:
        ids = tokenizer(word, add_special_tokens=False).input_ids
        assert len(ids) == 1
        assert ids != [tokenizer.unk_token_id]


def test_texts_come_back_exactly(tokenizer: PreTrainedTokenizerBase) -> None:
    assert {task.op for task in TASKS} == set(OPERATIONS)
    for task in TASKS:
        for text in (task.prompt, task.answer):
            ids = tokenizer(text + tokenizer.eos_token, add_special_tokens=False).input_ids
            assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_the_chat_is_bos_user_prompt_assistant_response_eos(tokenizer: PreTrainedTokenizerBase) -> None:
    task = Task("reverse", "abcd", ("capitals", "bang"))
    text = tokenizer.apply_chat_template(chat(task), tokenize=False)
    words = "<bos> <user> reverse a b c d capitals bang <asst> D C B A ! <eos>"
    assert tokenizer.tokenize(text, add_special_tokens=False) == words.split(" ")


def test_the_generation_prompt_is_a_prefix_of_the_conversation(tokenizer: PreTrainedTokenizerBase) -> None:
    for task in TASKS[:50]:
        messages = chat(task)
        prompt = tokenizer.apply_chat_template(messages[:1], tokenize=False, add_generation_prompt=True)
        whole = tokenizer.apply_chat_template(messages, tokenize=False)
        assert whole == f"{prompt}{task.answer}<eos>"


def test_the_corpus_has_words_only(tokenizer: PreTrainedTokenizerBase) -> None:
    for row in pretraining_rows(100, seed=0):
        for text in row.values():
            ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids
            assert not set(ids) & set(tokenizer.all_special_ids)
            assert tokenizer.decode(ids) == text


def test_a_strange_word_is_unknown_not_an_error(tokenizer: PreTrainedTokenizerBase) -> None:
    assert tokenizer("hello", add_special_tokens=False).input_ids == [tokenizer.unk_token_id]


def test_another_role_is_refused_by_name(tokenizer: PreTrainedTokenizerBase) -> None:
    with pytest.raises(jinja2.TemplateError, match="no system role"):
        tokenizer.apply_chat_template([{"role": "system", "content": "a"}], tokenize=False)


def test_the_same_files_come_out_every_time(tmp_path: Path) -> None:
    first, second = build_tokenizer(tmp_path / "first"), build_tokenizer(tmp_path / "second")
    files = sorted(path.name for path in first.iterdir())
    assert "tokenizer.json" in files
    assert [sha256_of_file(first / name) for name in files] == [sha256_of_file(second / name) for name in files]
