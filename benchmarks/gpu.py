"""`python benchmarks/gpu.py`: training speed on one GPU, in under eight minutes, without network or pretrained weights.

Measured: SFT and DPO of a 1B Llama by attention (scaled_dot_product_attention, FlashAttention, FlexAttention), packed
against padded DPO at the lengths of HH-RLHF, and float8 against bfloat16 in layers of the width of Llama 3 8B. Weights
are float32 and products bfloat16 by autocast, as in `--trainer.precision bf16-mixed`; a step has an AdamW update.

A section that fails says why, and the others go on. `--device cpu --tiny` runs the same code in seconds.
"""

import argparse
import copy
import gc
import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "plugins")]  # runs from a checkout that is not installed

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn.utils.rnn import pad_sequence  # noqa: E402

from lit_align.losses import dpo_loss  # noqa: E402
from lit_align.models.attention import Attention  # noqa: E402
from lit_align.models.batch import PackedBatch  # noqa: E402
from lit_align.models.huggingface import HFBackbone  # noqa: E402
from lit_align.models.packing import Response, Tree, pack  # noqa: E402
from lit_align_plugins import FlashAttention, FlexAttention, Float8  # noqa: E402

# Dense bfloat16 TFLOP/s that vendors state, by a part of the device's name.
STATED = {"H100": 989.0, "H200": 989.0, "A100": 312.0, "B200": 2250.0, "L40S": 362.0, "RTX 4090": 165.0}
GOALS = {"MFU": 0.5, "DPO packed/padded": 2.0, "float8/bf16": 1.25, "float8 loss difference": 0.01}

ONE_B = {
    "model_type": "llama", "vocab_size": 128_256, "hidden_size": 2048, "intermediate_size": 8192,
    "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64,
    "max_position_embeddings": 8192, "tie_word_embeddings": True,
}  # fmt: skip
WIDE = {
    "model_type": "llama", "vocab_size": 32_000, "hidden_size": 4096, "intermediate_size": 14_336,
    "num_hidden_layers": 4, "num_attention_heads": 32, "num_key_value_heads": 8, "max_position_embeddings": 8192,
}  # fmt: skip
TINY = {"vocab_size": 96, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 16}  # fmt: skip

Step = Callable[[], Tensor]


class Run:
    """What was asked for, what was measured, and how much time is left."""

    def __init__(self, *, device: str, tiny: bool, seconds: float, steps: int) -> None:
        self.device, self.tiny, self.steps = device, tiny, 2 if tiny else steps
        self.end = time.monotonic() + seconds
        self.shrink = 64 if tiny else 1  # of lengths
        self.results: list[dict[str, Any]] = []
        self.models: dict[int, HFBackbone] = {}
        self.peak = self.measured = 0.0

    def section(self, name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
        """Runs a measurement unless the time is up; says why where it fails."""
        gc.collect()
        if self.device == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        began = time.monotonic()
        try:
            result = measure() if began < self.end else {"failed": "no time left"}
        except Exception as error:  # whatever breaks one section must not cost the others
            result = {"failed": f"{type(error).__name__}: {str(error).strip()[:300]}"}
        result = {"name": name, **result, "section_seconds": time.monotonic() - began}
        self.results.append(result)
        print(row(result), flush=True)
        return None if "failed" in result else result

    def time(self, step: Step, optimizer: torch.optim.Optimizer) -> tuple[float, list[float]]:
        """The median seconds of a step with its update, and the losses."""
        seconds, losses = [], []
        for number in range(self.steps + 2):  # two warm up, and compile
            self.wait()
            start = time.perf_counter()
            loss = step()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            self.wait()
            if number >= 2:
                seconds.append(time.perf_counter() - start)
            losses.append(float(loss))
            if time.monotonic() > self.end and seconds:
                break
        return statistics.median(seconds), losses

    def wait(self) -> None:
        """For the device to have done what it was given."""
        if self.device == "cuda":
            torch.cuda.synchronize()

    def autocast(self) -> AbstractContextManager[Any]:
        """As Lightning's bf16-mixed."""
        return torch.autocast(self.device, dtype=torch.bfloat16, cache_enabled=False)

    def memory(self) -> float | None:
        """Peak of allocated gigabytes since the section began."""
        return torch.cuda.max_memory_allocated() / 1e9 if self.device == "cuda" else None


def build(run: Run, config: dict[str, Any], *, attention: Attention, compiled: bool, convert: Any = None) -> Any:
    """A backbone with the same random weights in every section, on the device, and its optimizer."""
    if config["hidden_size"] not in run.models:
        run.models.clear()  # one architecture at a time
        first = HFBackbone(config={**config, **(TINY if run.tiny else {})}, tokenizer="none")
        first.configure_model()
        run.models[config["hidden_size"]] = first
    backbone = copy.deepcopy(run.models[config["hidden_size"]])  # to draw a billion weights takes longer
    backbone.attention = attention
    if convert is not None:
        convert(backbone)
    backbone.to(run.device)
    if compiled:
        for layer in backbone.built.get_decoder().layers:
            layer.compile(backend="eager" if run.tiny else "inductor")
    return backbone, torch.optim.AdamW(backbone.parameters(), lr=1e-4, fused=run.device == "cuda")


def draw_trees(run: Run, config: dict[str, Any], lengths: list[tuple[int, ...]]) -> list[Tree]:
    """Trees of random tokens: a prompt and its responses of given lengths."""
    draw = random.Random(0)
    vocabulary = TINY["vocab_size"] if run.tiny else config["vocab_size"]

    def ids(number: int) -> list[int]:
        return [draw.randrange(vocabulary) for _ in range(max(1, number))]

    return [Tree(prompt=ids(p), responses=[Response(ids=ids(r)) for r in responses]) for p, *responses in lengths]


def flops(backbone: HFBackbone, batch: PackedBatch) -> float:
    """Of a training step on a batch, by the mathematics: a backward pass is two forward ones, nothing is recomputed."""
    decoder, head = backbone.built.get_decoder(), backbone.built.get_output_embeddings().weight
    weights = sum(layer.weight.numel() for layer in decoder.modules() if isinstance(layer, nn.Linear))
    queries, keys = batch.plan.query_offsets.diff().double(), batch.plan.key_offsets.diff().double()
    pairs = float((queries * keys - queries * (queries - 1) / 2).sum())
    config = backbone.built.config
    attention = 4 * config.num_hidden_layers * config.num_attention_heads * config.head_dim * pairs
    return 3 * (2 * weights * batch.input_ids.numel() + attention + 2 * head.numel() * batch.target_ids.numel())


def training(
    run: Run,
    objective: str,
    config: dict[str, Any],
    *,
    attention: Callable[[], Attention],
    compiled: bool,
    convert: Any = None,
) -> Callable[[], dict[str, Any]]:
    """Measures steps of 16k tokens: four rows of 4096; a DPO row is a prompt and its two responses."""

    def measure() -> dict[str, Any]:
        backbone, optimizer = build(run, config, attention=attention(), compiled=compiled, convert=convert)
        shapes = {"SFT": (1024, 3072), "DPO": (1024, 1536, 1536)}[objective]
        trees = draw_trees(run, config, [tuple(length // run.shrink for length in shapes)] * 4)
        batch = pack(trees).to_device(run.device)
        loss_of = {"SFT": sft_loss, "DPO": pair_loss}[objective]

        def step() -> Tensor:
            batch.plan.cache.clear()  # every step has a batch of its own
            with run.autocast():
                loss = loss_of(backbone, batch)
            loss.backward()
            return loss.detach()

        seconds, losses = run.time(step, optimizer)
        done = flops(backbone, batch) / seconds / 1e12
        kernel = getattr(getattr(backbone.attention, "chosen", None), "title", type(backbone.attention).__name__)
        return {
            "note": kernel, "tokens_per_second": batch.input_ids.numel() / seconds, "seconds": seconds,
            "losses": losses, "mfu": done / run.peak, "of_measured_peak": done / run.measured,
            "gigabytes": run.memory(),
        }  # fmt: skip

    return measure


def sft_loss(backbone: HFBackbone, batch: PackedBatch) -> Tensor:
    """Mean negative log-likelihood of a token, in nats."""
    return -backbone.logprobs(batch).mean()


def pair_loss(backbone: HFBackbone, batch: PackedBatch) -> Tensor:
    """Of DPO; the reference's log-probabilities, which are computed before training, are left at zero."""
    sums = 0.1 * batch.sum_by_response(backbone.logprobs(batch))
    return dpo_loss(implicit_margin=sums[0::2] - sums[1::2]).mean()


def hh_lengths(pairs: int) -> list[tuple[int, ...]]:
    """Prompts and responses as in HH-RLHF harmless-base on average: 107, 40 and 50 tokens."""
    draw = random.Random(1)
    return [tuple(round(draw.expovariate(1 / mean)) for mean in (107, 40, 50)) for _ in range(pairs)]


def packed_pairs(run: Run, attention: Callable[[], Attention]) -> Callable[[], dict[str, Any]]:
    """DPO on packed pairs of HH's lengths, with shared prompts."""

    def measure() -> dict[str, Any]:
        backbone, optimizer = build(run, ONE_B, attention=attention(), compiled=False)
        trees = draw_trees(run, ONE_B, hh_lengths(4 if run.tiny else 64))
        batch = pack(trees).to_device(run.device)

        def step() -> Tensor:
            batch.plan.cache.clear()
            with run.autocast():
                loss = pair_loss(backbone, batch)
            loss.backward()
            return loss.detach()

        seconds, losses = run.time(step, optimizer)
        return {
            "pairs_per_second": len(trees) / seconds,
            "seconds": seconds,
            "gigabytes": run.memory(),
            "losses": losses,
        }

    return measure


def padded_pairs(run: Run, *, at_once: int = 16) -> Callable[[], dict[str, Any]]:
    """The same pairs as textbook code has them: padded rows, the prompt in both, logits of every token."""

    def measure() -> dict[str, Any]:
        backbone, optimizer = build(run, ONE_B, attention=Attention(), compiled=False)
        trees = draw_trees(run, ONE_B, hh_lengths(4 if run.tiny else 64))
        backbone.built.set_attn_implementation("sdpa")
        parts = [trees[start : start + at_once] for start in range(0, len(trees), at_once)]

        def step() -> Tensor:
            total = torch.zeros((), device=run.device)
            for part in parts:
                with run.autocast():
                    sums = [0.1 * padded_logprobs(run, backbone.built, part, side) for side in (0, 1)]
                    loss = dpo_loss(implicit_margin=sums[0] - sums[1]).sum() / len(trees)
                loss.backward()
                total += loss.detach()
            return total

        seconds, losses = run.time(step, optimizer)
        return {
            "pairs_per_second": len(trees) / seconds,
            "seconds": seconds,
            "gigabytes": run.memory(),
            "losses": losses,
        }

    return measure


def padded_logprobs(run: Run, model: Any, trees: list[Tree], side: int) -> Tensor:
    """Log-probability of each tree's chosen or rejected response."""
    ids = [torch.tensor([*tree.prompt, *tree.responses[side].ids]) for tree in trees]
    tokens = pad_sequence(ids, batch_first=True).to(run.device)
    lengths = torch.tensor([len(row) for row in ids], device=run.device)[:, None]
    starts = torch.tensor([len(tree.prompt) for tree in trees], device=run.device)[:, None]
    place = torch.arange(tokens.shape[1], device=run.device)
    logits = model(input_ids=tokens, attention_mask=(place < lengths).long(), use_cache=False).logits
    values = F.log_softmax(logits[:, :-1].float(), -1).gather(-1, tokens[:, 1:, None])[..., 0]
    return (values * ((place[1:] >= starts) & (place[1:] < lengths))).sum(1)


def matmul(run: Run) -> Callable[[], dict[str, Any]]:
    """The machine's matrix products, on random numbers."""

    def measure() -> dict[str, Any]:
        size = 256 if run.tiny else 8192
        a, b = (torch.randn(size, size, device=run.device, dtype=torch.bfloat16) for _ in range(2))
        seconds = []
        for _ in range(8):
            run.wait()
            start = time.perf_counter()
            a @ b
            run.wait()
            seconds.append(time.perf_counter() - start)
        run.measured = 2 * size**3 / statistics.median(seconds[2:]) / 1e12
        name = torch.cuda.get_device_name() if run.device == "cuda" else "cpu"
        run.peak = next((tflops for part, tflops in STATED.items() if part in name), run.measured)
        return {"tflops": run.measured, "stated_tflops": run.peak}

    return measure


def float8(run: Run, recipe: str) -> Callable[[], dict[str, Any]]:
    """Steps in float8; the layers are compiled, as without it float8 is slower than bfloat16."""

    def measure() -> dict[str, Any]:
        plugin = Float8(recipe, emulate=run.device == "cpu")  # here: where torchao is missing, the section says so
        convert = plugin.convert_module
        return training(run, "SFT", WIDE, attention=best(run), compiled=True, convert=convert)()

    return measure


def best(run: Run) -> Callable[[], Attention]:
    """FlashAttention where there is a GPU."""
    return FlashAttention if run.device == "cuda" else Attention


def row(result: dict[str, Any]) -> str:
    """A line of the table."""
    if "failed" in result:
        return f"| {result['name']} | failed: {' '.join(result['failed'].split())} | | | | |"
    speed = next(
        (f"{result[key]:,.0f} {unit}" for key, unit in UNITS.items() if key in result), f"{result.get('ratio', 0):.2f}x"
    )
    used = f"{result['mfu']:.1%} ({result['of_measured_peak']:.1%})" if "mfu" in result else ""
    memory = f"{result['gigabytes']:.1f} GB" if result.get("gigabytes") else ""
    return f"| {result['name']} | {speed} | {used} | {memory} | {result.get('note', '')} | {result.get('goal', '')} |"


UNITS = {"tokens_per_second": "tokens/s", "pairs_per_second": "pairs/s", "tflops": "TFLOP/s"}


def ratio(run: Run, name: str, new: Any, old: Any, key: str, goal: str, note: str = "") -> None:
    """Adds how many times faster one result is than another, beside its goal."""
    if new is not None and old is not None:
        run.section(name, lambda: {"ratio": new[key] / old[key], "note": note, "goal": goal})


def measure_all(run: Run) -> None:
    """All sections, the ones with goals first."""
    run.section("bf16 matrix product 8192", matmul(run))
    wide = run.section("SFT, 8B width, bf16, compiled", training(run, "SFT", WIDE, attention=best(run), compiled=True))
    for recipe in ("tensorwise", "rowwise"):
        result = run.section(f"SFT, 8B width, float8 {recipe}, compiled", float8(run, recipe))
        if result is not None and wide is not None:
            both = list(zip(result["losses"], wide["losses"], strict=False))
            apart = max(abs(a - b) / b for a, b in both)
            limit = GOALS["float8 loss difference"]
            note = f"losses of {len(both)} steps differ by {apart:.2%} at most (goal: {limit:.0%})"
            goal = f">= {GOALS['float8/bf16']}x"
            ratio(run, f"float8 {recipe} / bf16", result, wide, "tokens_per_second", goal, note)
    packed = run.section("DPO, HH lengths, packed", packed_pairs(run, best(run)))
    padded = run.section("DPO, HH lengths, padded", padded_pairs(run))
    ratio(run, "packed / padded", packed, padded, "pairs_per_second", f">= {GOALS['DPO packed/padded']}x")
    kinds: dict[str, Callable[[], Attention]] = {
        "FlashAttention": FlashAttention,
        "scaled_dot_product_attention": Attention,
        "FlexAttention": FlexAttention,
    }
    for objective in ("SFT", "DPO"):
        for name, attention in kinds.items():
            for compiled in (False, True) if name == "FlashAttention" else (False,):
                title = f"{objective}, 1B, packed 4k, {name}{', compiled' if compiled else ''}"
                run.section(title, training(run, objective, ONE_B, attention=attention, compiled=compiled))


def main(argv: list[str] | None = None) -> int:
    """Prints a Markdown table, and writes everything as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--tiny", action="store_true", help="Small models and short rows: to try the program.")
    parser.add_argument("--seconds", type=float, default=380, help="No section begins after so many.")
    parser.add_argument("--steps", type=int, default=10, help="Timed steps of a section.")
    parser.add_argument("--output", type=Path, help="A JSON file with all numbers.")
    options = parser.parse_args(argv)
    if options.device == "cuda" and not torch.cuda.is_available():
        print("gpu.py: no CUDA device; --device cpu --tiny tries the program", file=sys.stderr)
        return 4
    run = Run(device=options.device, tiny=options.tiny, seconds=options.seconds, steps=options.steps)
    device = torch.cuda.get_device_name() if options.device == "cuda" else "CPU"
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "transformers"))
    print(f"{device}; {versions}; MFU of the stated peak (of the measured one); goal: >= {GOALS['MFU']:.0%} in bf16\n")
    print("| | speed | MFU | memory | | goal |\n|---|---|---|---|---|---|", flush=True)
    measure_all(run)
    if options.output is not None:
        about = {"device": device, "versions": versions, "goals": GOALS}
        options.output.write_text(json.dumps({**about, "results": run.results}, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
