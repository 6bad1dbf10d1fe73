"""From prompts to a file: schema, resume after kills, refusals, and what an existing output means."""

import gzip
import json
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from lit_align.data.rows import Message, PromptOnly
from lit_align.errors import ConfigError, DataError, Interrupted
from lit_align.generation.base import Sampling
from lit_align.generation.huggingface import HFGenerator
from lit_align.generation.part_file import PartFile
from lit_align.generation.rows import generate_rows
from lit_align.models.fingerprint import model_fingerprint

SAMPLING = Sampling(num_samples=3, max_new_tokens=12, seed=5)


def prompt(text: str, **fields: object) -> PromptOnly:
    return PromptOnly(prompt=(Message(role="user", content=text),), fields=fields, place="prompts.jsonl:1")


PROMPTS = [prompt("the quick fox", task=7), prompt("a dog"), prompt("seven wizards boil"), prompt("a dog")]


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def generate(model_folder: Path, tmp_path: Path) -> Callable[..., list[dict]]:
    """Generates into `out.jsonl` and gives its rows."""

    def run(prompts: list[PromptOnly] = PROMPTS, **options: object) -> list[dict]:
        output = tmp_path / "out.jsonl"
        made_by = {name: options.pop(name) for name in ("model", "template", "batch_size") if name in options}
        generator = HFGenerator(**{"model": str(model_folder), **made_by})
        generate_rows(prompts, **{"generator": generator, "output": output, "sampling": SAMPLING, **options})
        return read(output)

    return run


def test_rows_come_in_order_and_name_everything(generate, model_folder):
    rows = generate()
    assert [(row["prompt"], row["sample"]) for row in rows] == [
        (row.prompt[0].content, index) for row in PROMPTS for index in range(3)
    ]
    first = rows[0]
    assert list(first) == ["id", "prompt", "response", "sample", "finish_reason", "num_tokens", "generator", "task"]
    assert first["generator"]["model"] == {"name": "tiny", "fingerprint": model_fingerprint(model_folder)}
    assert first["generator"]["sampling"]["seed"] == 5
    assert first["generator"]["seed"] == SAMPLING.seed_of(first["id"], 0)
    assert {row["finish_reason"] for row in rows} <= {"stop", "length"}
    assert all(row["num_tokens"] == 12 for row in rows if row["finish_reason"] == "length")


def test_repeated_prompts_are_rows_of_their_own_with_other_responses(generate):
    rows = generate()
    one, other = rows[3:6], rows[9:12]
    assert other[0]["id"] == one[0]["id"] + "-1"
    assert [row["response"] for row in one] != [row["response"] for row in other]


def test_responses_depend_on_prompt_and_index_alone(generate, tmp_path):
    rows = {(row["id"], row["sample"]): row["response"] for row in generate()}
    (tmp_path / "out.jsonl").unlink()
    for row in generate(PROMPTS[2:3], batch_size=1):
        assert row["response"] == rows[row["id"], row["sample"]]


def test_columns_that_would_be_read_as_labels_of_the_response_are_renamed(generate):
    row = generate([prompt("a dog", response="old", helpfulness=4, source_id=1, id="mine", topic=["x"])])[0]
    assert row["source_response"] == "old"
    assert row["source_helpfulness"] == 4
    assert (row["source_source_id"], row["source_id"]) == ("mine", 1)
    assert row["topic"] == ["x"]
    assert row["response"] != "old"


def test_conversations_are_written_as_messages(generate):
    turns = [("system", "the fox"), ("user", "a dog"), ("assistant", "lazy"), ("user", "over")]
    row = generate([PromptOnly(prompt=tuple(Message(role=r, content=c) for r, c in turns), fields={}, place="x:1")])[0]
    assert row["prompt"] == [{"role": role, "content": content} for role, content in turns]


def test_a_prompt_beyond_the_context_is_left_out_and_listed(generate, tmp_path):
    many = [prompt(f"fox {number}") for number in range(20)]
    many[7] = PromptOnly(prompt=prompt("fox " * 200).prompt, fields={}, place="prompts.jsonl:8")
    rows = generate(many, sampling=Sampling(max_new_tokens=4))
    assert len(rows) == 19
    (refused,) = read(tmp_path / "out.jsonl.refused.jsonl")
    assert refused["place"] == "prompts.jsonl:8"
    assert "exceed the model's context of 128" in refused["reason"]
    generate(many[:7], sampling=Sampling(max_new_tokens=4), overwrite=True)
    assert not (tmp_path / "out.jsonl.refused.jsonl").exists()


def test_no_room_for_any_response_is_an_error(generate):
    with pytest.raises(DataError, match="none of 4 prompts can be answered"):
        generate(sampling=Sampling(max_new_tokens=128))


def test_no_room_for_any_response_is_an_empty_output_where_that_may_be(generate, tmp_path, capsys):
    for _ in range(2):
        assert generate(sampling=Sampling(max_new_tokens=128), may_be_empty=True) == []
        assert len(read(tmp_path / "out.jsonl.refused.jsonl")) == 4
    assert "nothing to do" in capsys.readouterr().err


def test_a_complete_output_is_left_alone(generate, tmp_path, capsys, monkeypatch):
    generate()
    before = (tmp_path / "out.jsonl").stat()
    monkeypatch.setattr("lit_align.generation.loading.load_for_generation", None)
    generate()
    assert (tmp_path / "out.jsonl").stat().st_mtime_ns == before.st_mtime_ns
    assert "nothing to do" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"sampling": Sampling(num_samples=3, max_new_tokens=12, seed=6)}, r"sampling\.seed is 5 there, now 6"),
        ({"prompts": [*PROMPTS, prompt("fox")]}, "fewer rows than asked for"),
        ({"prompts": PROMPTS[:3]}, "more rows than asked for"),
        ({"prompts": [prompt("the quick fox", task=8), *PROMPTS[1:]]}, "task is 7 there, now 8"),
        ({"template": "plain"}, "template is"),
    ],
)
def test_the_output_of_another_request_is_replaced_only_if_asked(generate, tmp_path, change, named):
    before = generate()
    with pytest.raises(ConfigError, match=named):
        generate(**change)
    assert read(tmp_path / "out.jsonl") == before
    assert generate(**change, overwrite=True) != before


def test_a_file_that_is_no_output_is_not_overwritten(generate, tmp_path):
    (tmp_path / "out.jsonl").write_text("precious\n")
    with pytest.raises(ConfigError, match=r"out\.jsonl:1"):
        generate()
    assert (tmp_path / "out.jsonl").read_text() == "precious\n"


def test_other_weights_do_not_continue_a_run(generate, copy_of, tmp_path):
    folder = copy_of()
    _run_and_die(folder, tmp_path / "out.jsonl", after=4)
    assert (tmp_path / "out.jsonl.part.jsonl").exists()
    weights = folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(ConfigError, match=r"model\.fingerprint"):
        generate(model=str(folder))
    generate(model=str(folder), overwrite=True)


def test_a_run_killed_again_and_again_ends_with_the_same_bytes(generate, model_folder, tmp_path):
    many = [prompt(f"fox {number} over a dog", number=number) for number in range(30)]
    generate(many, batch_size=12)
    expected = (tmp_path / "out.jsonl").read_bytes()
    killed = tmp_path / "killed.jsonl"
    deaths = 0
    while not killed.exists():
        _run_and_die(model_folder, killed, after=17, prompts=many)
        deaths += 1
    assert deaths == 6  # 5 kills in 90 samples: what was finished is not drawn again
    assert killed.read_bytes() == expected
    assert not list(tmp_path.glob("killed.jsonl.*"))


def test_sigterm_ends_with_what_is_finished_saved(generate, tmp_path, monkeypatch):
    whole = PartFile.add

    def add(self, record):
        if len(self.keys) == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return whole(self, record)

    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(PartFile, "add", add)
        with pytest.raises(Interrupted, match=r"5 of 12 responses are in .*part\.jsonl"):
            generate()
    assert signal.getsignal(signal.SIGTERM) == before
    assert len(read(tmp_path / "out.jsonl.part.jsonl")) == 6
    assert len(generate()) == 12


def test_compressed_outputs_hold_the_same_rows(generate, model_folder, tmp_path):
    rows = generate()
    result = generate_rows(
        PROMPTS, generator=HFGenerator(model=str(model_folder)), output=tmp_path / "out.jsonl.gz", sampling=SAMPLING
    )
    with gzip.open(tmp_path / "out.jsonl.gz", "rt") as file:
        assert [json.loads(line) for line in file] == rows
    assert result.samples == sum(result.finish_reasons.values()) == 12
    assert result.mean_tokens == sum(row["num_tokens"] for row in rows) / 12


def test_a_reward_model_is_refused(copy_of, tmp_path):
    folder = copy_of()
    (folder / "reward_head.json").write_text("{}")
    with pytest.raises(ConfigError, match="this is a reward model"):
        generate_rows(
            PROMPTS, generator=HFGenerator(model=str(folder)), output=tmp_path / "out.jsonl", sampling=SAMPLING
        )


def test_a_model_without_all_its_weights_is_refused(copy_of, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = copy_of()
    weights = load_file(folder / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match=r"missing, for example lm_head\.weight"):
        generate_rows(
            PROMPTS, generator=HFGenerator(model=str(folder)), output=tmp_path / "out.jsonl", sampling=SAMPLING
        )


def _run_and_die(model: Path, output: Path, *, after: int, prompts: list[PromptOnly] = PROMPTS) -> None:
    """Generates in a process that is killed in the middle of writing its record number `after`."""
    process = multiprocessing.get_context("fork").Process(
        target=_generate_and_die, args=(model, output, after, prompts)
    )
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)


def _generate_and_die(model: Path, output: Path, after: int, prompts: list[PromptOnly]) -> None:
    written = 0
    whole = PartFile.add

    def add(self: PartFile, record: dict) -> bool:
        nonlocal written
        new = whole(self, record)
        written += new
        if written == after:
            self._writer.write(b'{"id": "torn')
            os.kill(os.getpid(), signal.SIGKILL)
        return new

    PartFile.add = add
    generate_rows(prompts, generator=HFGenerator(model=str(model), batch_size=12), output=output, sampling=SAMPLING)
