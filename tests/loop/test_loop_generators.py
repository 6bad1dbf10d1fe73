"""Stages that ask a generator which is no model of the loop."""

import json
from pathlib import Path

import pytest
import yaml

from lit_align.cli.functions import run_function
from lit_align.commands.run import run
from lit_align.errors import ConfigError
from lit_align.files import write_jsonl
from lit_align.generation.base import Generator, Sampling
from lit_align.generation.huggingface import HFGenerator
from lit_align.generation.openai import OpenAIGenerator
from lit_align.loop.parts import Part
from lit_align.loop.rounds import Sampled
from lit_align.loop.sampling import Generate
from lit_align.loop.spec import TRUSTED_PACKAGES, decode_stage, encode_stage
from lit_align.loop.stage import Artifact, StageContext, fingerprint
from lit_align.models.tokenizer import load_tokenizer
from lit_align.synthesis.toy.tokenizer import build_tokenizer


def served(url: str = "http://127.0.0.1:8000/v1", **options: object) -> OpenAIGenerator:
    return OpenAIGenerator(**{"base_url": url, "model": "m", **options})


def stage(generator: Generator, prompts: Path = Path("prompts.jsonl")) -> Generate:
    part = Part(artifact=Artifact(fingerprint="ab", path=prompts, title="prompts"))
    return Generate(model=generator, prompts=part, num_samples=2, max_new_tokens=6, seed=3)


def test_where_a_server_is_and_how_hard_it_is_asked_do_not_decide_a_stage():
    same = [served(), served("http://node-7/v1"), served(max_concurrency=3, key_variable="K", response_price=1.0)]
    assert len({fingerprint(stage(generator)) for generator in same}) == 1
    others = [served(model="n"), served(context=10), served(extra={"top_k": 3})]
    assert len({fingerprint(stage(generator)) for generator in (same[0], *others)}) == 4


def test_a_stage_with_a_generator_reaches_its_process_whole(tmp_path):
    written = stage(served(max_concurrency=3, extra={"top_k": 3}))
    sent = json.loads(json.dumps(encode_stage(written, store=tmp_path)))
    assert decode_stage(sent, store=tmp_path, packages=TRUSTED_PACKAGES) == written


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("models") / "tiny"
    tokenizer = load_tokenizer(build_tokenizer(folder))
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    special = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **sizes, **special)).save_pretrained(folder)
    return folder


def test_a_generator_gives_the_rows_of_the_model_it_runs(tiny, tmp_path):
    write_jsonl(tmp_path / "prompts.jsonl", ({"prompt": text} for text in ("copy a b c", "rev a b c d")))
    context = StageContext(
        title="t", iteration=None, fingerprint="f", seed=0, threads=1, progress=lambda done, total: None
    )
    made = []
    for name, model in {
        "by_generator": HFGenerator(model=str(tiny)),
        "by_model": Artifact(fingerprint="cd", path=tiny, title="tiny"),
    }.items():
        (tmp_path / name).mkdir()
        results = stage(model, tmp_path / "prompts.jsonl").run(tmp_path / name, context)
        assert results["samples"] == 4
        made.append((tmp_path / name / "rows.jsonl").read_bytes())
    assert made[0] == made[1]


def test_the_teacher_of_a_recipe_can_be_a_server(tiny, tmp_path, capsys):
    write_jsonl(tmp_path / "prompts.jsonl", ({"prompt": f"copy a b {letter}"} for letter in "abcdefgh"))
    server = {"class_path": "lit_align.generation.openai.OpenAIGenerator", "init_args": {"model": "big"}}
    server["init_args"]["base_url"] = "http://127.0.0.1:8000/v1"
    given = {"teacher": server, "bases": [str(tiny)], "reward_model": str(tiny)}
    given["prompts"] = str(tmp_path / "prompts.jsonl")
    program = {"class_path": "lit_align.loop.weak_to_strong.WeakToStrong", "init_args": given}
    (tmp_path / "loop.yaml").write_text(yaml.safe_dump(program))
    argv = [str(tmp_path / "loop.yaml"), "--workdir", str(tmp_path / "run"), "--tracking_uri", "none", "--dry_run"]
    assert run_function(run, argv, prog="lit-align run") == 0
    assert "the generator's responses" in capsys.readouterr().out


def test_the_share_that_may_fail_does_not_decide_a_stage():
    assert Sampled(max_failed=0.5).seeded(3) == Sampling(seed=3)
    shares = [Generate(model=served(), prompts=stage(served()).prompts, max_failed=share) for share in (0.0, 0.5)]
    assert len({fingerprint(one) for one in shares}) == 1
    with pytest.raises(ConfigError, match="from 0 to 1, got 2"):
        Sampled(max_failed=2)
