"""The commands: what each is called, which function runs it, and its line in the help of the program."""

from dataclasses import dataclass
from difflib import get_close_matches

from lit_align.errors import ConfigError

LIGHTNING = "lit_align.cli.lightning:main"


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command: `target` is `module:function`, imported only when the command runs or shows its own help."""

    name: str
    target: str
    summary: str

    @property
    def is_lightning(self) -> bool:
        """Whether LightningCLI parses the command (its help is stored: showing it live would import Lightning)."""
        return self.target == LIGHTNING


def _plain(name: str, target: str, summary: str) -> Command:
    return Command(name=name, target=f"lit_align.commands.{target}", summary=summary)


GROUPS: dict[str, tuple[Command, ...]] = {
    "Train and evaluate one stage (Lightning; YAML recipes and overrides)": (
        Command(name="fit", target=LIGHTNING, summary="Train: SFT, a reward model, or preference optimisation."),
        Command(name="validate", target=LIGHTNING, summary="Run one pass over the validation rows."),
        Command(name="test", target=LIGHTNING, summary="Run one pass over the test rows."),
        Command(name="predict", target=LIGHTNING, summary="Run the model over rows and keep its predictions."),
    ),
    "Run the loop": (
        _plain("run", "run:run", "Run a multi-stage recipe, such as the weak-to-strong loop; continues after a kill."),
        _plain("report", "report:report", "Write the report of a run again: tables, plots, samples per stage."),
        _plain("recipes", "recipes:recipes", "List the shipped recipes."),
    ),
    "Use models": (
        _plain("generate", "generate:generate", "Sample K responses for every prompt of a file."),
        _plain("score", "score:score", "Score responses with a reward model: every attribute and the reward."),
        _plain("verify", "verify:verify", "Judge responses by program: instructions, final answers, code with tests."),
        _plain("evaluate reward", "evaluate:reward", "Measure a reward model on pairs, ratings or RewardBench."),
        _plain("logprobs", "logprobs:logprobs", "Log-probability and token count of every response of a file."),
        _plain("chat", "chat:chat", "Talk to a model in the terminal."),
        _plain("export", "export:export", "Turn a training checkpoint into a Hugging Face folder."),
    ),
    "Merge models (weights of one architecture, one tensor at a time)": (
        _plain("merge linear", "merge:linear", "The weighted average."),
        _plain("merge task_arithmetic", "merge:task_arithmetic", "A base plus a weighted sum of task vectors."),
        _plain("merge expo", "merge:expo", "Extrapolate from a base beyond the model trained from it (ExPO)."),
        _plain("merge model_stock", "merge:model_stock", "The average, nearer to the base where models disagree."),
        _plain("merge slerp", "merge:slerp", "Spherical interpolation of two models."),
        _plain("merge warp", "merge:warp", "Spherical interpolation of task vectors, then towards the base (WARP)."),
    ),
    "Look at data, and make it": (
        _plain("data check", "data:check", "Read rows as training would and print what was kept and dropped, and why."),
        _plain("data show", "show:show", "Page through rows, conversations, pairs and scores in the terminal."),
        _plain("data card", "card:card", "Write a page about a data set: counts, lengths, scores, licences, examples."),
        _plain("data tag", "tag:tag", "Tell what every prompt asks for, its topic, difficulty and quality."),
        _plain("data clean", "clean:clean", "Drop rows that repeat, leak or break a rule, and count every one."),
        _plain(
            "data preferences", "preferences:preferences", "Turn annotations of response pairs into preference rows."
        ),
        _plain("data pairs", "pairs:pairs", "Make preferences of scored responses, of one model or several."),
        _plain("data judge", "judge:judge", "Make preferences by a language model that compares responses twice."),
        _plain("data scored", "scored:scored", "Group scored samples into rows of K responses to a prompt."),
        _plain(
            "data ghost_attention",
            "ghost_attention:ghost_attention",
            "Sample dialogues that keep to an early instruction.",
        ),
    ),
}

COMMANDS: dict[str, Command] = {command.name: command for group in GROUPS.values() for command in group}


def find_command(argv: list[str]) -> tuple[Command, list[str]]:
    """Splits `argv` into the command its first one or two words name and that command's arguments.

    Raises:
        ConfigError: Where they name none; the message has the nearest names.
    """
    for words in (2, 1):
        command = COMMANDS.get(" ".join(argv[:words]))
        if command is not None and len(argv) >= words:
            return command, argv[words:]
    raise ConfigError(_unknown(argv))


def subcommands(word: str) -> list[Command]:
    """The commands of two words that begin with `word`."""
    return [command for command in COMMANDS.values() if command.name.split()[0] == word != command.name]


def _unknown(argv: list[str]) -> str:
    family = subcommands(argv[0])
    given = " ".join(argv[: 2 if family else 1])
    near = [command.name for command in family] or get_close_matches(given, COMMANDS, n=3)
    lines = [f"unknown command {given!r}"]
    lines += [f"Did you mean: {', '.join(near)}?"] if near else [f"Commands: {', '.join(COMMANDS)}."]
    return "\n".join([*lines, "See: lit-align --help"])
