"""The script of the README and of docs/library.md runs as it is printed, given its pairs and its model."""

import json
import re
from pathlib import Path

import pytest

from lit_align.synthesis.toy import build_tokenizer, sample_tasks

_ROOT = Path(__file__).resolve().parent.parent


def script(page: str) -> str:
    """The first Python block of a page."""
    found = re.search(r"```python\n(.*?)```", (_ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    assert found, page
    return found[1]


def test_readme_and_library_page_print_one_script_of_about_twenty_lines() -> None:
    assert script("README.md") == script("docs/library.md")
    assert len([line for line in script("README.md").splitlines() if line.strip()]) <= 25


def test_the_script_trains_and_leaves_a_model_that_plain_transformers_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIT_ALIGN_CACHE", str(tmp_path / "cache"))
    build_tokenizer("my/model")
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=36, max_position_embeddings=1024, bos_token_id=2, eos_token_id=3, **sizes)
    LlamaForCausalLM(config).save_pretrained("my/model")
    pairs = [
        {"prompt": task.prompt, "chosen": task.answer, "rejected": f"{task.answer} !"}
        for task in sample_tasks(80, seed=0)
    ]
    Path("pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    exec(compile(script("README.md"), "README.md", "exec"), {})
    model = AutoModelForCausalLM.from_pretrained("runs/dpo/model")
    assert model.generation_config.eos_token_id == [3]
    assert AutoTokenizer.from_pretrained("runs/dpo/model").chat_template
