"""The Ray plugin on a local Ray of two CPUs (slow: Ray and its workers take seconds to start)."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray_inner import Moody

from lit_align.data.rows import Message, PromptOnly
from lit_align.errors import ConfigError, ServiceError
from lit_align.generation.base import Sampling
from lit_align.generation.huggingface import HFGenerator
from lit_align.generation.rows import generate_rows
from lit_align_plugins import RayGenerator

SAMPLING = Sampling(num_samples=2, max_new_tokens=6, seed=4)


@pytest.fixture
def ray_with_moods(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Ray that runs already, whose workers can import the moody generator."""
    import ray

    monkeypatch.syspath_prepend(Path(__file__).parent)
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    variables = {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env={"env_vars": variables})
    yield
    ray.shutdown()


def prompt(text: str) -> PromptOnly:
    return PromptOnly(prompt=(Message(role="user", content=text),), fields={}, place="prompts.jsonl:1")


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.slow
def test_workers_of_a_ray_of_its_own_give_the_rows_of_one_process(tiny_model, tmp_path):
    prompts = [prompt(f"fox {number}") for number in range(12)]
    inner = HFGenerator(model=str(tiny_model), device="cpu")
    spread = RayGenerator(inner=inner, num_workers=2, requests_per_task=3)
    before = signal.getsignal(signal.SIGTERM)
    generate_rows(prompts, generator=inner, output=tmp_path / "one.jsonl", sampling=SAMPLING)
    generate_rows(prompts, generator=spread, output=tmp_path / "two.jsonl", sampling=SAMPLING)
    assert (tmp_path / "two.jsonl").read_bytes() == (tmp_path / "one.jsonl").read_bytes()
    import ray  # not before: the plugin tells Ray where to listen, which Ray reads when it is imported

    assert not ray.is_initialized()
    assert signal.getsignal(signal.SIGTERM) == before
    with spread._cluster():
        assert {node["NodeManagerAddress"] for node in ray.nodes()} == {"127.0.0.1"}


@pytest.mark.slow
def test_one_bad_request_fails_alone_and_a_lost_worker_is_replaced(ray_with_moods, tmp_path):
    texts = [*map(str, range(20)), "bad", "deadly", *map(str, range(20, 30))]
    log = tmp_path / "log"
    generator = RayGenerator(inner=Moody(log=str(log)), num_workers=2, requests_per_task=8)
    options = {"generator": generator, "output": tmp_path / "out.jsonl", "sampling": SAMPLING}
    with pytest.raises(ServiceError, match=r"2 of 64 responses failed, for example: RuntimeError: I will not say that"):
        generate_rows([prompt(text) for text in texts], **options)
    assert len({line.split()[0] for line in log.read_text().splitlines()}) == 3
    log.write_text("")
    result = generate_rows([prompt(text) for text in texts], **options, max_failed=1.0)
    assert {line.split()[1] for line in log.read_text().splitlines()} == {"bad"}
    assert (result.prompts, result.refused) == (31, 1)
    said = [row["response"] for row in read(tmp_path / "out.jsonl")[::2]]
    assert said == [text[::-1] for text in texts if text != "bad"]
    # What no request is to blame for ends the run.
    useless = RayGenerator(inner=Moody(log=str(log), broken=True))
    with pytest.raises(ConfigError, match=r"^no such model$"):
        generate_rows([prompt("x")], generator=useless, output=tmp_path / "none.jsonl", sampling=SAMPLING)
