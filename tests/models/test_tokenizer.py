"""Loading tokenizers, what is refused, fingerprints, differences, and folders of newly trained ones."""

import json
import shutil

import pytest
from transformers import AutoTokenizer

from lit_align.errors import ConfigError
from lit_align.models.tokenizer import (
    chat_template,
    load_tokenizer,
    tokenizer_difference,
    tokenizer_fingerprint,
    train_tokenizer,
)

TEXTS = [f"The quick brown fox number {i} jumps over {i * 7} lazy dogs.\n" for i in range(60)]
MESSAGES = [{"role": "user", "content": "How?"}, {"role": "assistant", "content": "So."}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return train_tokenizer(TEXTS, vocab_size=340, output=tmp_path_factory.mktemp("tokenizer") / "new")


def copy_of(folder, path, **changes):
    """A copy of a tokenizer's folder with other values in tokenizer_config.json."""
    shutil.copytree(folder, path)
    config = json.loads((path / "tokenizer_config.json").read_text())
    (path / "tokenizer_config.json").write_text(json.dumps({**config, **changes}))
    return path


def test_a_trained_folder_loads_in_plain_transformers_and_knows_its_template(folder):
    ours, plain = load_tokenizer(folder), AutoTokenizer.from_pretrained(folder)
    text = "<s><|im_start|>user\nHow?<|im_end|>\n<|im_start|>assistant\nSo.<|im_end|>\n"
    for tokenizer in (ours, plain):
        assert tokenizer.apply_chat_template(MESSAGES, tokenize=False) == text
        ids = tokenizer.apply_chat_template(MESSAGES, return_dict=False)
        assert tokenizer.decode(ids) == text
        assert ids.count(tokenizer.convert_tokens_to_ids("<|im_end|>")) == 2
    assert tokenizer_difference(ours, plain) is None
    assert sorted(file.name for file in folder.iterdir()) == [
        "chat_template.jinja",
        "tokenizer.json",
        "tokenizer.model",
        "tokenizer_config.json",
    ]


def test_saving_changes_neither_ids_template_special_tokens_nor_fingerprint(folder, tmp_path):
    before = load_tokenizer(folder)
    before("use it", padding="max_length", max_length=20, truncation=True)  # leaves a trace in the backend
    before.save_pretrained(tmp_path)
    after = load_tokenizer(tmp_path)
    assert (
        tokenizer_fingerprint(after) == tokenizer_fingerprint(before) == tokenizer_fingerprint(load_tokenizer(folder))
    )
    assert after.chat_template == before.chat_template
    assert after.special_tokens_map == before.special_tokens_map
    flags = [{i: repr(t) for i, t in tokenizer.added_tokens_decoder.items()} for tokenizer in (before, after)]
    assert flags[0] == flags[1]


def test_training_twice_gives_the_same_files(folder, tmp_path):
    again = train_tokenizer(iter(TEXTS), vocab_size=340, output=tmp_path / "again")
    assert [f.read_bytes() for f in sorted(folder.iterdir())] == [f.read_bytes() for f in sorted(again.iterdir())]


def test_the_fingerprint_sees_one_merge_one_token_and_the_template(folder, tmp_path):
    original = load_tokenizer(folder)
    prints = {tokenizer_fingerprint(original)}
    changed = copy_of(folder, tmp_path / "merges")
    rules = json.loads((changed / "tokenizer.json").read_text())
    first, second = rules["model"]["merges"][:2]
    rules["model"]["merges"][:2] = [second, first]
    (changed / "tokenizer.json").write_text(json.dumps(rules))
    prints.add(tokenizer_fingerprint(load_tokenizer(changed)))
    prints.add(tokenizer_fingerprint(load_tokenizer(copy_of(folder, tmp_path / "eos", eos_token="<|im_end|>"))))
    original.chat_template += " "
    prints.add(tokenizer_fingerprint(original))
    assert len(prints) == 4


def test_a_difference_names_the_text_and_both_ids(folder, tmp_path):
    changed = copy_of(folder, tmp_path / "merges")
    rules = json.loads((changed / "tokenizer.json").read_text())
    rules["model"]["merges"] = []
    (changed / "tokenizer.json").write_text(json.dumps(rules))
    found = tokenizer_difference(load_tokenizer(folder), load_tokenizer(changed))
    assert found is not None
    assert "to the other" in found
    grown = load_tokenizer(folder)
    grown.add_tokens(["<new>"])
    assert tokenizer_difference(grown, load_tokenizer(folder)) == "the vocabularies differ, first at '<new>'"


def test_a_raw_model_loads_by_file_and_by_the_folder_it_is_alone_in(folder, tmp_path):
    file = shutil.copy(folder / "tokenizer.model", tmp_path / "any.model")
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    by_file, by_folder = load_tokenizer(file), load_tokenizer(str(tmp_path))
    assert tokenizer_fingerprint(by_file) == tokenizer_fingerprint(by_folder)
    assert by_file.encode("The fox") == load_tokenizer(folder).encode("The fox")


@pytest.mark.parametrize("model_type", ["llama", "nemotron", "mistral", "gemma2", "gpt2", "phi3", "qwen3"])
def test_the_type_of_the_model_beside_it_does_not_change_a_tokenizer(folder, tmp_path, model_type):
    beside = copy_of(folder, tmp_path / model_type)
    (beside / "config.json").write_text(json.dumps({"model_type": model_type}))
    assert tokenizer_fingerprint(load_tokenizer(beside)) == tokenizer_fingerprint(load_tokenizer(folder))


def test_a_tokenizer_that_transformers_would_replace_is_refused(folder, tmp_path):
    beside = copy_of(folder, tmp_path / "qwen2")
    (beside / "config.json").write_text('{"model_type": "qwen2"}')
    with pytest.raises(ConfigError, match="replaces this tokenizer by a Qwen2Tokenizer"):
        load_tokenizer(beside)


def test_code_that_comes_with_a_tokenizer_is_refused(folder, tmp_path):
    canary = tmp_path / "canary"
    for place, code in enumerate([{"AutoTokenizer": ["evil.Slow", None]}, ["evil.Slow", None]]):
        path = copy_of(folder, tmp_path / str(place), auto_map=code)
        (path / "evil.py").write_text(f"open({str(canary)!r}, 'w')")
        with pytest.raises(ConfigError, match=r"(?s)auto_map.*trust_remote_code"):
            load_tokenizer(path)
    assert not canary.exists()


def test_missing_tokenizers_are_configuration_errors(tmp_path):
    with pytest.raises(ConfigError, match="no tokenizer can be loaded"):
        load_tokenizer(tmp_path)
    with pytest.raises(ConfigError, match="no tokenizer can be loaded"):
        load_tokenizer(str(tmp_path / "absent"))


def test_unknown_templates_list_the_built_in_ones(tmp_path):
    with pytest.raises(ConfigError, match="chatml, hh, plain"):
        chat_template("nope")
    with pytest.raises(ConfigError, match="built in"):
        train_tokenizer(TEXTS, vocab_size=340, output=tmp_path / "none", template="nope")
    assert not (tmp_path / "none").exists()
