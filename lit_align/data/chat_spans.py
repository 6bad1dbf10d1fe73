"""Where each assistant turn begins and ends in what a chat template renders, for any template."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jinja2
from transformers import PreTrainedTokenizerBase

from lit_align.errors import ConfigError, DataError

Turn = tuple[str, str]
"""Role and content of a message."""

_QUESTION, _ANSWER = "Kq7question", "Zx4answer"  # found again in the rendering; nothing that a template changes


@dataclass(frozen=True)
class Piece:
    """A stretch of a rendered conversation; `turn` is the index of the message whose response it is, else None.

    A response ends before its terminator, and the piece after it begins behind that.
    """

    text: str
    turn: int | None


@dataclass(frozen=True)
class _Ending:
    """What follows a response: `trail`, then the terminator; `after` is all up to the end of the rendering."""

    trail: str
    terminator: str
    after: str


class TurnTemplate:
    """Renders conversations and finds the turns in them by comparing renderings, so `{% generation %}` is not needed.

    Attributes:
        lead: What the template writes between the generation prompt and a response.
        trail: What it writes between a response and the terminator.
        terminator: The special token that ends an assistant's turn: the first one behind its content, be it of the next
            turn, else EOS.
        markers: Added tokens around turns, special or not.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, source: str) -> None:
        """Probes the template with a short conversation.

        Raises:
            ConfigError: It cannot be rendered, loses the response, or has nothing to end a turn with.
        """
        self._tokenizer: Any = tokenizer  # transformers types every attribute as a token, an id or None
        self._source = source
        self._header = ""
        self._last: tuple[tuple[Turn, ...], str] | None = None
        self._added = [token for token in self._tokenizer.get_added_vocab() if not token.isspace()]
        try:
            self._probe()
        except DataError as error:
            raise ConfigError(f"the chat template does not render a question and an answer: {error}") from error

    def _probe(self) -> None:
        asked = (("user", _QUESTION),)
        answered = (*asked, ("assistant", _ANSWER))
        before, after = self._around(self.render(answered), _ANSWER)
        prompt, bare = self.render(asked, generation=True), self.render(asked)
        if prompt == bare and before.startswith(bare) and before[len(bare) :].strip():
            # The template has no generation prompt; the header that it writes before a response serves as one.
            self._header = before[len(bare) :].rstrip(" ")
            prompt += self._header
        self.lead = before[len(prompt) :] if before.startswith(prompt) else ""
        last, inner = self._ending(after), self._inner_ending(answered)
        if inner is not None and inner.terminator == self._tokenizer.bos_token:
            inner = None  # begins the next turn, but ends none
        eos = self._tokenizer.eos_token
        if not (last or inner or eos):
            raise ConfigError(
                "the chat template ends the assistant's turn with no special token and the tokenizer has no EOS token, "
                "so nothing would teach a model to stop\nGive the tokenizer an EOS token, or choose another template."
            )
        chosen = last or inner or _Ending(trail="", terminator=eos, after=after)
        self.trail, self.terminator = chosen.trail, chosen.terminator
        self._after = after
        same = inner is not None and (inner.trail, inner.terminator) == (chosen.trail, chosen.terminator)
        self._inner = inner if same else None
        self.markers = self._markers(prompt.replace(_QUESTION, ""), chosen.after)

    def _markers(self, prompt: str, ending: str) -> list[str]:
        """The added tokens around turns; not those that open a reasoning, which a response may write as well."""
        special = [token for token in self._tokenizer.all_special_tokens if token in prompt]
        opened = max((prompt.rindex(token) + len(token) for token in special), default=len(prompt))
        return [token for token in self._added if token in prompt[:opened] or token in ending]

    def _around(self, rendered: str, content: str) -> tuple[str, str]:
        if rendered.count(content) != 1:
            raise ConfigError(f"the chat template writes the content of a message {rendered.count(content)} times")
        before, _, after = rendered.partition(content)
        return before, after

    def _ending(self, after: str) -> _Ending | None:
        found = [(after.index(token), -len(token), token) for token in self._added if token in after]
        if not found:
            return None
        position, _, token = min(found)
        return _Ending(trail=after[:position], terminator=token, after=after)

    def _inner_ending(self, answered: Sequence[Turn]) -> _Ending | None:
        """How an assistant turn ends that a user's turn follows."""
        try:
            rendered = self.render((*answered, ("user", _QUESTION * 2)))
        except DataError:
            return None
        _, after = self._around(rendered, _ANSWER)
        return self._ending(after.partition(_QUESTION * 2)[0])

    def render(self, turns: Sequence[Turn], *, generation: bool = False) -> str:
        """The text of a conversation.

        Raises:
            DataError: The template refuses it.
        """
        messages = [{"role": role, "content": content} for role, content in turns]
        try:
            text = self._tokenizer.apply_chat_template(
                messages, chat_template=self._source, tokenize=False, add_generation_prompt=generation
            )
        except (jinja2.TemplateError, TypeError, ValueError) as error:
            roles = ", ".join(role for role, _ in turns)
            raise DataError(
                f"the chat template refuses this conversation ({roles}): {error}\n"
                "Drop such rows, choose another template, or, for a system turn, set fold_system."
            ) from error
        assert isinstance(text, str)
        return text

    def prompt(self, turns: tuple[Turn, ...]) -> str:
        """The text that a response to these turns follows, generation prompt included."""
        if self._last is None or self._last[0] != turns:
            self._last = (turns, self.render(turns, generation=True) + self._header)
        return self._last[1]

    def pieces(self, turns: tuple[Turn, ...]) -> list[Piece]:
        """The prompt, split where earlier responses begin and end.

        An earlier turn of which the template makes something else than it made of its prompt (some strip the
        reasoning of past turns, or move the system turn) is not split off.
        """
        text = self.prompt(turns)
        pieces, position = [], 0
        for index, (role, _) in enumerate(turns):
            if role != "assistant" or not index:
                continue
            start = self.render(turns[:index], generation=True) + self._header
            if len(start) < position or not text.startswith(start):
                continue
            end = self._end(text, turns[: index + 1], len(start))
            if end is not None:
                pieces += [Piece(text[position : len(start)], None), Piece(text[len(start) : end], index)]
                position = end + len(self.terminator)
        return [*pieces, Piece(text[position:], None)]

    def _end(self, text: str, turns: tuple[Turn, ...], start: int) -> int | None:
        """Where the response of the last of `turns`, which begins at `start` in `text`, ends there."""
        for rendered, after in self._endings(turns):
            whole = rendered.removesuffix(after) + self.trail
            if rendered.endswith(after) and len(whole) >= start and text.startswith(whole + self.terminator):
                return len(whole)
        return None

    def _endings(self, turns: tuple[Turn, ...]) -> Iterator[tuple[str, str]]:
        """The conversation alone and before a user's turn, each with what it ends on behind the response."""
        yield self.render(turns), self._after
        if self._inner is not None:
            rendered = self.render((*turns, ("user", _QUESTION * 2)))
            yield rendered.rpartition(_QUESTION * 2)[0], self._inner.after

    def response(self, turns: tuple[Turn, ...], content: str) -> str:
        """What follows the prompt up to the terminator: the response as the template renders it.

        Where the template's own turn does not begin with its generation prompt (one that opens the reasoning, say),
        the response follows as it is.
        """
        start = self.prompt(turns)
        rendered = self.render((*turns, ("assistant", content)))
        if not rendered.startswith(start) or not rendered.endswith(self._after):
            return self.lead + content + self.trail
        return rendered[len(start) : len(rendered) - len(self._after)] + self.trail

    def drops_system(self) -> bool:
        """Whether the template renders a system turn to nothing."""
        return _ANSWER not in self.render((("system", _ANSWER), ("user", _QUESTION)))
