"""The typed rows: a demonstration, a rating, a preference, a set of scored responses and a prompt; and back to JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Kind = Literal["sft", "rating", "preference", "scored", "prompt"]
KINDS: tuple[str, ...] = get_args(Kind)
HELPSTEER_ATTRIBUTES = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """One turn. `train=False` keeps an assistant's turn out of the loss; None leaves it to the default (in)."""

    role: str
    content: str
    train: bool | None = None


Conversation = tuple[Message, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Demonstration:
    """Kind `sft`: a conversation whose assistant turns are learned, or a raw document (`messages` is then empty)."""

    messages: Conversation
    text: str | None = None
    place: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Rating:
    """Kind `rating`: a response and its ratings by attribute. A missing rating is absent, never zero."""

    prompt: Conversation
    response: str
    ratings: Mapping[str, float]
    place: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Preference:
    """Kind `preference`: two responses to one prompt. Rewards are in their model's own units; strength is positive.

    Ratings, of each response by attribute, are empty where there are none.
    """

    prompt: Conversation
    chosen: str
    rejected: str
    chosen_reward: float | None = None
    rejected_reward: float | None = None
    strength: float | None = None
    chosen_ratings: Mapping[str, float] = field(default_factory=dict)
    rejected_ratings: Mapping[str, float] = field(default_factory=dict)
    place: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Scored:
    """Kind `scored`: K >= 2 responses to one prompt, each with its reward."""

    prompt: Conversation
    responses: tuple[str, ...]
    rewards: tuple[float, ...]
    place: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptOnly:
    """Kind `prompt`: what generation answers. `fields` holds the row's other columns, to be carried through."""

    prompt: Conversation
    fields: Mapping[str, Any]
    place: str


Row = Demonstration | Rating | Preference | Scored | PromptOnly


def to_json(row: Row) -> dict[str, Any]:
    """The row in the native columns, without its place."""
    if isinstance(row, Demonstration):
        return {"text": row.text} if row.text is not None else {"messages": _turns(row.messages)}
    prompt = {"prompt": _turns(row.prompt)}
    if isinstance(row, Rating):
        return {**prompt, "response": row.response, "ratings": dict(row.ratings)}
    if isinstance(row, Preference):
        names = ("chosen", "rejected", "chosen_reward", "rejected_reward", "strength")
        rated = {name: dict(value) for name in ("chosen_ratings", "rejected_ratings") if (value := getattr(row, name))}
        return {**prompt, **{name: value for name in names if (value := getattr(row, name)) is not None}, **rated}
    if isinstance(row, Scored):
        return {**prompt, "responses": list(row.responses), "rewards": list(row.rewards)}
    return {**prompt, **row.fields}


def _turns(messages: Conversation) -> list[dict[str, Any]]:
    return [{"role": m.role, "content": m.content, **({} if m.train is None else {"train": m.train})} for m in messages]


class Dropped(Exception):
    """A well-formed row that training cannot use; `reason` is one of `DROP_REASONS`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


DROP_REASONS: dict[str, str] = {
    "contaminated": "the row holds an evaluation prompt, or a long run of its words",
    "cut_off": "a response was cut at max_new_tokens",
    "disagreement": "even the three most similar annotations differ by more than two",
    "empty_prompt": "the prompt is empty or blank",
    "empty_response": "a response is empty or blank",
    "empty_text": "the text is empty or blank",
    "exact_duplicate": "the same as a row that stays, up to case, white space and Unicode form",
    "identical_after_truncation": "chosen and rejected have the same tokens",
    "identical_responses": "the responses are the same text",
    "inconsistent_verdict": "the judge changed its mind when the responses changed places",
    "length_ratio": "one response is too many times as long as the other",
    "lone_surrogate": "a string holds half of a UTF-16 pair, which no encoding can write",
    "malformed": "the row could not be read",
    "near_duplicate": "nearly the same as a row that stays, by its characters",
    "no_finished_response": "fewer than two responses came to their end",
    "no_labels": "every rating is missing",
    "no_supervised_turn": "no assistant turn is to be learned",
    "no_tags": "the model named no tag",
    "not_resampled": "a turn is neither the user's nor the assistant's",
    "not_sampled": "left out by the weights of the mixture, or by a draw",
    "over_apology": "the learned response apologises more than once",
    "prompt_mismatch": "the prompts of chosen and rejected, or the prompt column and theirs, differ",
    "prompt_too_long": "the prompt leaves no room for a response",
    "refusal": "the learned response is a refusal in the usual words, and short",
    "repeated_response": "the prompt has this response already",
    "self_identification": "the learned response says that it is another model, or another maker's",
    "semantic_duplicate": "means the same as a row that stays, by its embedding",
    "single_turn": "one user turn: there is no later one that an instruction could hold in",
    "small_margin": "the rewards are too near to each other",
    "tie": "the rewards or ratings are equal, or the strength is zero: no response is better",
    "tool_call": "a response calls a tool instead of answering",
    "too_few_annotations": "fewer than three valid annotations",
    "too_few_responses": "fewer than two responses",
    "too_long": "the row has more tokens than max_length",
    "too_similar": "the responses have almost the same words",
    "unanswered": "the judge was not asked or did not answer: the question is too long for it",
    "unclear_verdict": "the judge gave no verdict, or more than one",
    "unpaired": "no neighbouring row answers the same prompt",
    "withheld": "a response was withheld or cut by a content filter",
}
