"""What comes from outside into synthetic data: documents, entities, prompts of real users, prompts with answers."""

from dataclasses import dataclass

from lit_align.synthesis.verifiers import VerifierName


@dataclass(frozen=True, kw_only=True)
class TextSource:
    """Texts from outside: documents, or names of entities.

    Attributes:
        path: A file, folder or hub id.
        dataset: What it is called in the rows that are made of it.
        licence: Under which it may be used.
        column: Which column holds the text.
        split: Which part of a folder or hub data set.
        max_characters: Longer texts are dropped.
        most: Most texts.
    """

    path: str
    dataset: str
    licence: str
    column: str = "text"
    split: str = "train"
    max_characters: int = 8000
    most: int | None = None


@dataclass(frozen=True, kw_only=True)
class RealSource:
    """Prompts of real users.

    Attributes:
        path: A file, folder or hub id.
        dataset: What it is called in the rows that are made of it.
        licence: Under which it may be used.
        split: Which part of a folder or hub data set.
        languages: Of those to keep, as its column `language` names them; None keeps all.
        is_moderated: Whether every row must say if its conversation was flagged as unsafe.
        max_characters: Longer prompts are dropped.
        most: Most prompts.
    """

    path: str
    dataset: str
    licence: str
    split: str = "train"
    languages: list[str] | None = None
    is_moderated: bool = True
    max_characters: int = 8000
    most: int | None = None


@dataclass(frozen=True, kw_only=True)
class VerifiedSource:
    """Prompts whose responses a program can judge, such as the training sets of GSM8K, MATH and MBPP.

    Attributes:
        path: A file, folder or hub id.
        dataset: What it is called in the rows that are made of it.
        licence: Under which it may be used.
        verifier: `gsm8k` and `math` compare final answers, `ifeval` checks instructions, `mbpp` and `humaneval` run
            tests.
        column: Which column holds the prompt; None: that of a known data set.
        split: Which part of a folder or hub data set.
        max_characters: Longer prompts are dropped.
        most: Most prompts.
    """

    path: str
    dataset: str
    licence: str
    verifier: VerifierName
    column: str | None = None
    split: str = "train"
    max_characters: int = 8000
    most: int | None = None


@dataclass(frozen=True, kw_only=True)
class PassageSource:
    """The passages of a collection.

    Attributes:
        path: A file, folder or hub id.
        dataset: What it is called in the rows that are made of it.
        licence: Under which it may be used.
        column: Which column holds the text.
        id_column: Which one holds the id; None takes a hash of the text.
        title_column: Which one holds a title; None where there is none.
        split: Which part of a folder or hub data set.
    """

    path: str
    dataset: str
    licence: str
    column: str = "text"
    id_column: str | None = None
    title_column: str | None = None
    split: str = "train"
