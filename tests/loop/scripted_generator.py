"""A generator that answers the shipped templates as an obliging, forgetful model would."""

import json
import re
import time
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import final

from lit_align.generation.base import Generator, Request, Sample, Sampling

_COMPARED = re.compile(r"response A\n(.*)\n=== (\w+) response B\n(.*)\n=== \w+ end of the material", re.DOTALL)
_ADDEND = re.compile(r"return x \+ (\d+)")
_SUM = re.compile(r"What is (\d+) plus (\d+)\?")
_FUNCTION = re.compile(r"Write a function add_(\d+) ")
_NUMBER = re.compile(r"Answer with a numbered list of (\d+)")


def answer(prompt, seed):
    """The response to a conversation, a function of its text and the seed."""
    text = prompt[-1]["content"]
    name = sha256(f"{seed} {text}".encode()).hexdigest()
    if match := _COMPARED.search(text):
        return f"Both try.\nVerdict {match[2]}: {'A' if match[1] < match[3] else 'B'}"
    if "Say what it asks for, as one JSON object" in text:
        return tags_of(int(name, 16))
    if match := _SUM.search(text):
        total = int(match[1]) + int(match[2]) + int(name, 16) % 2
        return f"Let me see ({name[:6]}). The answer is ${total}$."
    if match := _FUNCTION.search(text):
        more = f" + {match[1]}" if int(name, 16) % 2 else ""
        return f"```python\ndef add_{match[1]}(x):\n    return x{more}  # {name[:6]}\n```"
    if "Answer with one word, Yes or No." in text:
        return "Yes." if int(name, 16) % 2 else "No."
    if text.startswith("You play the user"):
        return f"Thank you, that was helpful! What about {name[:6]}?"
    if "type of question" in text or "types of question" in text:
        return ("extractive, diagnostic", "Sentiment.", "none")[int(name, 16) % 3]
    if "You sit on a jury" in text:
        return f"So it seems.\n{('Useful', 'partly useful', 'Not useful', 'Hm')[int(name, 16) % 4]}"
    if (code := about_code(text, name)) is not None:
        return code
    if match := _NUMBER.search(text):
        # The first time the list is one short.
        number = max(1, int(match[1]) - ("are there already" not in text))
        entries = [f"{i}. **Something about {name[:6]} {i}**" for i in range(1, number + 1)]
        return "\n".join(["Sure, here they are:", "", *entries, "", "Shall I go on?"])
    # Each form follows instructions that the others do not.
    forms = ("An answer about {}.", "an answer, or not, about {}.", "<<ANSWER>> *A* *B* *C* {} [X] [Y] [Z]", '"Of {}"')
    return forms[int(name, 16) % len(forms)].format(name[:6])


def about_code(text, name):
    """A solution, tests or a verdict, some of them bad; None where none of these is asked for."""
    number = int(name, 16)
    if "complete code in one fenced block" in text:
        broken = ("I would add.", "```python\ndef f(x:\n```")
        code = f"```python\ndef f(x):\n    return x + {number % 9}\n```\nIt adds."
        return broken[number % 2] if number % 5 == 0 else code
    if "a line that says Yes or No" in text:
        return f"Let me see.\n{'No' if number % 4 == 0 else 'Yes'}"
    if match := _ADDEND.search(text):
        wrong = number % 3 == 0
        return f"```python\nassert f(1) == {1 + int(match[1])}\nassert f(2) == {2 + int(match[1]) + wrong}\n```"
    return None


def tags_of(number):
    """One to three of nine tags; of every tenth prompt none, and not in JSON."""
    if number % 10 == 0:
        return "I cannot say."
    tags = [f"tag {number // 10**n % 9}" for n in range(1 + number % 3)]
    return json.dumps({"tags": tags, "topic": f"topic {number % 4}", "difficulty": 1 + number % 5, "quality": 3})


@final
@dataclass(frozen=True, kw_only=True)
class ScriptedGenerator(Generator):
    """Answers at once, or slowly, and keeps a record of what was taken.

    Args:
        longest: Prompts of more characters are refused.
        pause: Seconds before each response.
        log: A file that gets a line for each response that was handed over; empty for none.
    """

    longest: int = 100_000
    pause: float = field(default=0.0, metadata={"fingerprint": False})
    log: str = field(default="", metadata={"fingerprint": False})

    @property
    def where(self):
        return "by heart"

    def describe(self, sampling):
        return {"model": {"name": "scripted"}, "sampling": asdict(sampling), "engine": "scripted", "versions": {}}

    def refusal(self, request: Request, *, sampling: Sampling):
        number = sum(len(turn.content) for turn in request.prompt)
        return f"{number} characters" if number > self.longest else None

    def generate(self, requests, *, sampling, on_result, on_failure, done=()):
        for request in requests:
            prompt = [{"role": turn.role, "content": turn.content} for turn in request.prompt]
            for index in range(sampling.num_samples):
                seed = sampling.seed_of(request.key, index) if sampling.temperature else 0
                if (request.key, index) in done:
                    continue
                time.sleep(self.pause)
                text = answer(prompt, seed)
                sample = Sample(
                    key=request.key, index=index, text=text, num_tokens=len(text.split()), finish_reason="stop"
                )
                on_result(sample)
                if self.log:
                    with open(self.log, "a", encoding="utf-8") as file:
                        file.write(f"{request.key} {sampling.seed_of(request.key, index)}\n")

    def status(self):
        return ""
