"""Real data and real weights: a pretrained model through SFT and DPO."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, final

from lit_align.loop.parts import MODEL, Part, model_path
from lit_align.loop.program import Program
from lit_align.loop.real_data import sources
from lit_align.loop.real_data.measured import name_of
from lit_align.loop.real_data.parts import Bench, Made
from lit_align.loop.real_data.reading import HELD_OUT, TRAIN, HoldOut, file_of
from lit_align.loop.real_data.report import write_real_data_report
from lit_align.loop.real_data.sources import DataSet, open_set
from lit_align.loop.real_data.stages import WithinContext
from lit_align.loop.rounds import Training
from lit_align.loop.runner import Runner
from lit_align.loop.stage import Artifact, Stage, StageContext

_TITLE = "Pretrained weights on real data"


@final
@dataclass(frozen=True, kw_only=True)
class WithTemplate(Stage):
    """A model with a chat template in its tokenizer, `model/`; the weights are those it came with.

    Args:
        model: A folder or hub id.
        template: `tokenizer` keeps its own; the name of a built-in one, or a `.jinja` file.
    """

    version: ClassVar[int] = 1
    shown: ClassVar[tuple[str, ...]] = ("parameters", "context")

    model: Artifact
    template: str = "tokenizer"

    def run(self, output: Path, context: StageContext) -> dict[str, Any]:
        """Loads and saves."""
        from lit_align.data.chat import ChatFormat
        from lit_align.models.huggingface import HFBackbone
        from lit_align.models.tokenizer import load_tokenizer
        from lit_align.modules.export import save_model
        from lit_align.modules.sft import SFT

        source = model_path(self.model)
        module = SFT(HFBackbone(source))
        module.configure_model()
        save_model(module, output / MODEL, chat=ChatFormat(load_tokenizer(source), template=self.template))
        parameters = sum(parameter.numel() for parameter in module.parameters())
        return {"parameters": parameters, "context": module.max_length}


@final
class Pretrained(Program):
    """Fine-tunes a pretrained model on instructions, then on preferences, and measures it before and after each.

    Args:
        pretrained: A folder, a folder below `root`, or a hub id.
        template: Chat template for a model that has none: the name of a built-in one, or a `.jinja` file.
        root: Folder with local copies of the data sets.
        demonstrations: Instructions.
        preferences: Pairs.
        max_length: Most tokens of a prompt and a response; rows that do not fit are dropped and counted.
        sft: Training on the instructions.
        dpo: Training on the pairs.
        num_evaluation_prompts: Held-out prompts that every policy answers.
        max_new_tokens: Most tokens of an answer.
        seed: Of draws and samples.
    """

    def __init__(
        self,
        *,
        pretrained: str,
        template: str = "tokenizer",
        root: str | None = None,
        demonstrations: DataSet = sources.ALPACA,
        preferences: DataSet = sources.HH_RLHF,
        max_length: int,
        sft: Training,
        dpo: Training,
        num_evaluation_prompts: int,
        max_new_tokens: int = 128,
        seed: int = 0,
    ) -> None:
        self.pretrained = pretrained
        self.template = template
        self.root = root
        self.demonstrations = demonstrations
        self.preferences = preferences
        self.max_length = max_length
        self.sft = sft
        self.dpo = dpo
        self.num_evaluation_prompts = num_evaluation_prompts
        self.max_new_tokens = max_new_tokens
        self.seed = seed
        self.made = Made()

    def build(self, runner: Runner) -> None:
        """Adds all stages."""
        base = runner.add(WithTemplate(model=self._weights(runner), template=self.template), title="pretrained")
        bench = self._data(runner, base)
        demonstrations, preferences = self.demonstrations.folder, self.preferences.folder
        tuned = bench.sft(base, bench.train(demonstrations), self.sft, title="SFT")
        preferred = bench.prefer(tuned, bench.train(preferences), self.dpo, objective="DPO", title="DPO")
        self.made.policies = bench.measure(
            {
                "pretrained": ("as it came", base),
                "SFT": (f"demonstrations of {name_of(demonstrations)}", tuned),
                "DPO": (f"pairs of {name_of(preferences)}", preferred),
            },
            reference="SFT",
            demonstrations=[demonstrations],
            preferences=[preferences],
            max_new_tokens=self.max_new_tokens,
        )

    def finish(self, runner: Runner) -> int | None:
        """Writes the table, results.json, the report and the timings."""
        return write_real_data_report(self.made, runner, title=_TITLE)

    def _weights(self, runner: Runner) -> Artifact:
        below_root = [] if self.root is None else [Path(self.root) / self.pretrained]
        places = [place.expanduser() for place in (Path(self.pretrained), *below_root)]
        return runner.external(next((place for place in places if place.exists()), self.pretrained))

    def _data(self, runner: Runner, base: Artifact) -> Bench:
        """The rows that fit the model's context."""
        made = self.made
        kinds = {self.demonstrations.folder: "sft", self.preferences.folder: "preference"}
        sets = {
            data_set.folder: open_set(data_set, kinds[data_set.folder], root=self.root, runner=runner)
            for data_set in (self.demonstrations, self.preferences)
        }
        held_out = HoldOut(sets=sets, num_evaluation_prompts=self.num_evaluation_prompts, seed=self.seed)
        made.data = runner.add(held_out, title="data")
        fitting = WithinContext(
            data=made.data,
            files={file_of(name, split): kind for name, kind in kinds.items() for split in (TRAIN, HELD_OUT)},
            tokenizer=Part(artifact=base, file=MODEL),
            max_length=self.max_length,
        )
        made.rows = runner.add(fitting, title="rows within the context")
        return Bench(runner=runner, data=made.data, rows=made.rows, seed=self.seed)
