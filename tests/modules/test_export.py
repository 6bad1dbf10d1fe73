"""Model folders: plain transformers loads them, computes the same, and stops; nothing is ever half written."""

import hashlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.optim import AdamW
from transformers import AutoModelForCausalLM, GenerationConfig

from lit_align.data.chat import ChatFormat
from lit_align.data.records import Message
from lit_align.errors import ConfigError
from lit_align.models.lora import LoRA
from lit_align.models.packing import Response, Tree, pack
from lit_align.models.tokenizer import load_tokenizer, tokenizer_fingerprint
from lit_align.modules.callbacks import SaveModel
from lit_align.modules.export import export_checkpoint, save_model

TREE = Tree(prompt=[5, 9, 12, 7], responses=[Response(ids=[8, 11, 3]), Response(ids=[20, 21, 22, 3])])
GPT2 = {"model_type": "gpt2", "vocab_size": 36, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}


@pytest.fixture
def trained(make_module: Callable, make_data: Callable, make_trainer: Callable, tmp_path: Path) -> Callable[..., Any]:
    """Trains a little and leaves `tmp_path / name / model` and the last checkpoint."""

    def run(objective: str = "SFT", name: str = "run", steps: int = 3, **options: Any) -> tuple[Any, Path]:
        data = make_data(objective)
        data.sources["train"] = options.pop("data", data.sources["train"])
        options.setdefault("optimizer", lambda params: AdamW(params, lr=1e-2))
        module = make_module(objective, **options)
        folder = tmp_path / name
        saving = SaveModel(folder / "model", checkpoint=folder / "last.ckpt")
        make_trainer(name, max_epochs=-1, max_steps=steps, callbacks=[saving]).fit(module, datamodule=data)
        return module, folder

    return run


def plain_logprobs(folder: Path, tree: Tree = TREE) -> torch.Tensor:
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    parts = []
    for response in tree.responses:
        row = torch.tensor([[*tree.prompt, *response.ids]])
        with torch.no_grad():
            logits = model(row).logits[0, len(tree.prompt) - 1 : -1]
        parts.append(logits.log_softmax(-1).gather(1, torch.tensor(response.ids)[:, None])[:, 0])
    return torch.cat(parts)


VARIANTS = {
    "full": {},
    "tied": {"config": {"tie_word_embeddings": True}},
    "lora": {"lora": LoRA(rank=4)},
    "tied_lora": {"config": {"tie_word_embeddings": True}, "lora": LoRA(rank=4)},
    "lora_of_some_layers": {"lora": LoRA(rank=2, alpha=3.0, targets=["q_proj", "down_proj"])},
    "transposed_lora": {"config": GPT2, "lora": LoRA(rank=4)},  # GPT-2 keeps its weights the other way round
    "tied_gpt2": {"config": GPT2},
}


def _backbone(toy: dict[str, str], variant: dict[str, Any]) -> dict[str, Any]:
    llama = json.loads((Path(toy["cache"]).parent / "llama.json").read_text())
    own = variant.get("config", {})
    return {**variant, "config": own if "model_type" in own else {**llama, **own}}


@pytest.mark.parametrize("variant", VARIANTS)
def test_plain_transformers_computes_what_the_trained_module_computes(
    variant: str, trained: Callable, toy: dict[str, str]
) -> None:
    module, folder = trained(backbone=_backbone(toy, VARIANTS[variant]))
    module.policy.eval()
    with torch.no_grad():
        expected = module.policy.logprobs(pack([TREE]))
    torch.testing.assert_close(plain_logprobs(folder / "model"), expected, rtol=0, atol=1e-5)
    base = make_base(module)
    with torch.no_grad():
        assert float((base.logprobs(pack([TREE])) - expected).abs().max()) > 0.01  # it did learn


def make_base(module: Any) -> Any:
    base = module.policy.frozen_copy()
    base.configure_model()
    return base


@pytest.mark.parametrize("variant", ["full", "tied_lora"])
def test_an_exported_checkpoint_is_the_folder_that_training_saved(
    variant: str, trained: Callable, toy: dict[str, str], tmp_path: Path
) -> None:
    _, folder = trained(backbone=_backbone(toy, VARIANTS[variant]))
    export_checkpoint(folder / "last.ckpt", tmp_path / "exported")
    assert contents(tmp_path / "exported") == contents(folder / "model")


def contents(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


ANSWER = """
import json, sys
from transformers import AutoModelForCausalLM, AutoTokenizer
model = AutoModelForCausalLM.from_pretrained(sys.argv[1])
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
answers = []
for prompt in json.loads(sys.argv[2]):
    turns = [{"role": "user", "content": prompt}]
    inputs = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    ids = inputs["input_ids"]
    new = model.generate(ids, max_new_tokens=40, do_sample=False)[0, ids.shape[1] :].tolist()
    answers.append([ids[0].tolist(), new, tokenizer.decode(new, skip_special_tokens=True)])
assert "lit_align" not in sys.modules
print(json.dumps(answers))
"""


def test_a_folder_needs_no_lit_align_and_its_generation_stops(
    trained: Callable, toy: dict[str, str], tmp_path: Path
) -> None:
    """A model that learned eight answers by heart gives them in another process, and ends them."""
    lines = Path(toy["sft"]).read_text().splitlines()[:8]
    (tmp_path / "eight.jsonl").write_text("\n".join(lines) + "\n")
    rows = [json.loads(line) for line in lines]
    _, folder = trained(steps=120, data=str(tmp_path / "eight.jsonl"))
    chat = ChatFormat(load_tokenizer(str(folder / "model")))
    settings = GenerationConfig.from_pretrained(folder / "model")
    assert settings.eos_token_id == chat.terminator_ids
    assert "lit_align" not in (folder / "model" / "config.json").read_text()
    prompts = json.dumps([row["prompt"] for row in rows])
    command = [sys.executable, "-c", ANSWER, str(folder / "model"), prompts]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    for row, (prompt_ids, ids, text) in zip(rows, json.loads(done.stdout.splitlines()[-1]), strict=True):
        assert prompt_ids == chat.encode_prompt((Message(role="user", content=row["prompt"]),))
        assert text.strip() == row["response"].strip()
        assert ids[-1] in chat.terminator_ids


def test_tokenizer_and_chat_template_are_those_of_the_start(trained: Callable, toy: dict[str, str]) -> None:
    _, folder = trained()
    before, after = (load_tokenizer(str(path)) for path in (toy["tokenizer"], folder / "model"))
    assert tokenizer_fingerprint(before) == tokenizer_fingerprint(after)
    assert before.chat_template == after.chat_template
    for token in before.added_tokens_decoder:
        ours, theirs = before.added_tokens_decoder[token], after.added_tokens_decoder[token]
        assert repr(ours) == repr(theirs)
    vocabulary = [
        json.loads((Path(path) / "tokenizer.json").read_text()) for path in (toy["tokenizer"], folder / "model")
    ]
    assert vocabulary[0] == vocabulary[1]


def test_training_continues_from_a_saved_folder(trained: Callable, tmp_path: Path) -> None:
    first, folder = trained(name="first")
    second, again = trained(name="second", backbone={"pretrained": str(folder / "model")})
    assert not torch.equal(plain_logprobs(folder / "model"), plain_logprobs(again / "model"))
    base = make_base(second)
    with torch.no_grad():
        torch.testing.assert_close(base.logprobs(pack([TREE])), first.policy.logprobs(pack([TREE])), rtol=0, atol=1e-6)


def test_generation_settings_of_the_base_are_kept_even_invalid_ones(trained: Callable) -> None:
    """Llama 2 came with a temperature and without sampling, which transformers refuses to save."""
    _, folder = trained(name="base")
    settings = folder / "model" / "generation_config.json"
    settings.write_text(json.dumps({"temperature": 0.6, "top_p": 0.9, "repetition_penalty": 1.1}))
    _, tuned = trained(name="tuned", backbone={"pretrained": str(folder / "model")})
    got = GenerationConfig.from_pretrained(tuned / "model")
    assert (got.temperature, got.top_p, got.repetition_penalty) == (0.6, 0.9, 1.1)
    assert got.eos_token_id == [3]


@pytest.mark.parametrize(
    "options",
    [{}, {"inner_size": 6}, {"logprob_features": True, "lm_weight": 0.2}, {"backbone": {"lora": LoRA(rank=4)}}],
)
def test_a_reward_model_scores_the_same_from_its_folder(options: dict, trained: Callable, tmp_path: Path) -> None:
    from lit_align.modules.inference import RewardReader

    module, folder = trained("RewardRegression", **options)
    module.eval()
    with torch.no_grad():
        expected = module(pack([TREE]))
    script = (
        "import sys, json, torch\n"
        "from lit_align.modules.inference import RewardReader\n"
        "from lit_align.models.packing import Response, Tree, pack\n"
        "tree = Tree(prompt=[5, 9, 12, 7], responses=[Response(ids=[8, 11, 3]), Response(ids=[20, 21, 22, 3])])\n"
        "print(json.dumps(RewardReader(sys.argv[1]).attributes(pack([tree])).tolist()))\n"
    )
    export_checkpoint(folder / "last.ckpt", tmp_path / "exported")
    assert contents(tmp_path / "exported") == contents(folder / "model")
    reader = RewardReader(str(folder / "model"))
    with torch.no_grad():
        torch.testing.assert_close(reader.attributes(pack([TREE])), expected, rtol=0, atol=1e-5)
    if options == {}:  # a process of its own: nothing is left in memory that a file should hold
        done = subprocess.run(
            [sys.executable, "-c", script, str(folder / "model")], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
        torch.testing.assert_close(torch.tensor(json.loads(done.stdout)), expected, rtol=0, atol=1e-5)


def test_training_a_reward_model_continues_with_its_head(trained: Callable, make_module: Callable) -> None:
    first, folder = trained("RewardRegression", name="first")
    again = make_module("RewardRegression", backbone={"pretrained": str(folder / "model")})
    again.configure_model()
    with torch.no_grad():
        torch.testing.assert_close(again(pack([TREE])), first(pack([TREE])), rtol=0, atol=1e-5)
    other = make_module("RewardRegression", backbone={"pretrained": str(folder / "model")}, attributes=["helpfulness"])
    with pytest.raises(ConfigError, match="its head predicts"):
        other.configure_model()


def test_scoring_a_model_without_a_reward_head_is_refused(trained: Callable, tmp_path: Path) -> None:
    from lit_align.commands.score import score

    _, folder = trained()
    with pytest.raises(ConfigError, match="not a reward model") as refused:
        score(model=str(folder / "model"), data="unread.jsonl", output=str(tmp_path / "out.jsonl"))
    assert refused.value.exit_code == 2


def test_a_reward_head_with_a_missing_weight_is_refused(trained: Callable) -> None:
    from safetensors.torch import save_file

    from lit_align.models.heads import load_head

    _, folder = trained("RewardRegression")
    weights = load_file(folder / "model" / "reward_head.safetensors")
    del weights["mean"]
    save_file(weights, folder / "model" / "reward_head.safetensors")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_head(folder / "model")


def test_a_checkpoint_whose_start_has_changed_is_refused(trained: Callable, tmp_path: Path) -> None:
    _, first = trained(name="first")
    _, second = trained(name="second", backbone={"pretrained": str(first / "model")})
    weights = first / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    with pytest.raises(ConfigError, match="have changed"):
        export_checkpoint(second / "last.ckpt", tmp_path / "exported")


def test_files_that_are_no_checkpoints_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("nothing")
    torch.save({"state_dict": {}}, tmp_path / "foreign")
    (tmp_path / "sharded").mkdir()
    for name, message in (("text", "not a checkpoint"), ("foreign", "not a checkpoint"), ("none", "no such")):
        with pytest.raises(ConfigError, match=message):
            export_checkpoint(tmp_path / name, tmp_path / "out")
    with pytest.raises(ConfigError, match="sharded"):
        export_checkpoint(tmp_path / "sharded", tmp_path / "out")


def test_a_kill_at_any_moment_of_a_save_leaves_the_old_folder_or_the_new_one(
    trained: Callable, make_module: Callable, tmp_path: Path
) -> None:
    module, folder = trained("RewardRegression")
    model = folder / "model"
    old = contents(model)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(1.0)
    save_model(module, tmp_path / "other")
    new = contents(tmp_path / "other")
    assert old.keys() == new.keys()
    assert old != new
    found = []
    for moment in range(200):
        code = _killed(moment, lambda: save_model(module, model))
        found.append(contents(model))
        assert found[-1] in (old, new), moment
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert found[0] == old
    assert found[-1] == new
    assert moment > 20
    assert sorted(path.name for path in folder.iterdir()) == ["last.ckpt", "metrics.jsonl", "model"]


def _killed(moment: int, function: Callable[[], None]) -> int:
    """Runs a function in a fork that is killed before its n-th change of the file system."""

    def run() -> None:
        left = [moment]

        def watch(event: str, args: tuple[Any, ...]) -> None:
            writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
            if writes or event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree"):
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        function()

    child = multiprocessing.get_context("fork").Process(target=run)
    child.start()
    child.join()
    assert child.exitcode is not None
    return child.exitcode
