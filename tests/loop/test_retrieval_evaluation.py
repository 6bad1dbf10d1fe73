"""The retrieval set as a program: stages, BEIR files, report; the same as in memory."""

import json
from collections import Counter

import numpy as np
import pytest
import yaml
from run_here import read, run_here
from scripted_generator import ScriptedGenerator

from lit_align.errors import ConfigError, DataError
from lit_align.files import write_jsonl
from lit_align.generation.base import Sampling
from lit_align.loop.recipe import load_recipe
from lit_align.synthesis.asking import FileAsk
from lit_align.synthesis.hygiene.embedding import load_embedder
from lit_align.synthesis.hygiene.semantic import semantic_duplicates
from lit_align.synthesis.personas import PersonaQuestions

CLASS = "lit_align.loop.synthesis.RetrievalEvaluation"
SCRIPTED = {"class_path": "scripted_generator.ScriptedGenerator"}
PERSONAS = ["A beekeeper of eighty.", "A pupil who is in a hurry."]
THRESHOLD = 0.98


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    """A collection of passages, two of them alike, and a model that embeds by letters."""
    model2vec = pytest.importorskip("model2vec")
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers

    folder = tmp_path_factory.mktemp("outside")
    letters = ["[UNK]", *map(chr, range(33, 127))]
    tokenizer = Tokenizer(models.WordLevel({letter: n for n, letter in enumerate(letters)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    vectors = np.random.default_rng(0).normal(size=(len(letters), 16)).astype(np.float32)
    model2vec.StaticModel(vectors=vectors, tokenizer=tokenizer, normalize=True).save_pretrained(folder / "letters")
    rows = [{"_id": 10 + n, "title": f"Title {n}", "text": f"Passage {n} is about {n} things."} for n in range(8)]
    rows.append({"_id": "again", "title": "", "text": "passage 3 is about 3 things"})
    write_jsonl(folder / "passages.jsonl", rows)
    passages = {"path": str(folder / "passages.jsonl"), "dataset": "things", "licence": "CC0"}
    return {
        "generator": SCRIPTED,
        "passages": {**passages, "id_column": "_id", "title_column": "title"},
        "personas": PERSONAS,
        "embedding": {"model": str(folder / "letters"), "library": "model2vec"},
        "threshold": THRESHOLD,
        "num_interests": 4,
        "num_questions": 3,
    }


def recipe(path, **init_args):
    path.write_text(yaml.safe_dump({"class_path": CLASS, "init_args": init_args}))
    return str(path)


@pytest.fixture(scope="module")
def made(outside, tmp_path_factory):
    """A finished run: results by title, rows by title, and the runner."""
    folder = tmp_path_factory.mktemp("retrieval")
    return run_here(recipe(folder / "own.yaml", **outside, most=5), folder / "run")


def folder_of(runner, title):
    return next(node.artifact.path for node in runner.nodes if node.title == title)


def test_every_question_is_of_the_set_and_its_passage_is_the_one_it_was_made_from(made):
    results, rows, runner = made
    folder = folder_of(runner, "retrieval set")
    corpus, queries = read(folder / "corpus.jsonl"), read(folder / "queries.jsonl")
    header, *lines = (folder / "qrels" / "test.tsv").read_text().splitlines()
    assert header.split("\t") == ["query-id", "corpus-id", "score"]
    relevant = [line.split("\t") for line in lines]
    assert [(row["_id"], row["title"]) for row in corpus] == [(str(10 + n), f"Title {n}") for n in range(8)]
    assert results["passages"]["dropped"] == {"duplicate": 1}
    assert len({row["_id"] for row in queries}) == len(queries) == results["retrieval set"]["queries"] > 5
    styled = {(row["id"], row["meta"]["doc_id"]) for row in rows["styled questions"]}
    assert {(query, passage) for query, passage, _ in relevant} == styled
    assert {score for *_, score in relevant} == {"1"}
    assert len({passage for _, passage, _ in relevant}) == results["retrieval set"]["asked_about"] <= 5
    assert {row["metadata"]["persona"] for row in queries} == set(PERSONAS)
    assert {row["metadata"]["question_type"] for row in queries} <= {"extractive", "diagnostic", "sentiment"}
    assert all(row["metadata"]["plain_question"] != row["text"] for row in queries)


def test_every_step_accounts_for_every_row(made):
    results, rows, _ = made
    for title, found in results.items():
        if "dropped" in found and "samples" not in found:
            assert found["read"] == found["kept"] + sum(found["dropped"].values()), title
    assert results["passages and personas"]["kept"] == 10
    asked = {
        title.removesuffix(": responses"): found["samples"] for title, found in results.items() if "samples" in found
    }
    steps = ("interests, distinct", "question types", "questions, distinct", "useful questions", "spoken questions")
    after = ("question types", "questions", "useful questions", "spoken questions", "intelligible questions")
    assert [asked[title] for title in after] == [results[title]["kept"] for title in steps]
    jury = Counter(row["response"].splitlines()[-1] for row in rows["useful questions: responses"])
    assert results["useful questions"]["dropped"] == {"not_useful": jury["Not useful"], "no_verdict": jury["Hm"]}
    assert min(jury.values()) > 0


def test_questions_that_mean_the_same_are_asked_once_of_a_passage(made, outside):
    results, rows, _ = made
    embedder = load_embedder(outside["embedding"]["model"], library="model2vec")
    assert results["interests, distinct"]["dropped"]["same_meaning"] > 0
    for title in ("interests", "questions"):
        kept = {}
        for row in rows[f"{title}, distinct"]:
            kept.setdefault(row["meta"]["doc_id"], []).append(row["text"])
        assert all(semantic_duplicates(texts, embedder, threshold=THRESHOLD) == [] for texts in kept.values())


def test_stages_and_memory_make_the_same_set(outside, tmp_path):
    greedy = {"sampled": {"temperature": 0.0}, "verdicts": {"temperature": 0.0}}
    path = recipe(tmp_path / "own.yaml", **{**outside, **greedy})
    _, rows, runner = run_here(path, tmp_path / "run")
    generator, sampling = ScriptedGenerator(), Sampling(temperature=0.0)
    ask = FileAsk(
        folder=tmp_path / "asked",
        generators={"writer": generator, "judge": generator},
        sampling={"writer": sampling, "judge": sampling},
    )
    embedder = load_embedder(outside["embedding"]["model"], library="model2vec")
    found = PersonaQuestions(num_interests=4, num_questions=3).make(
        [(row["meta"]["doc_id"], row["text"]) for row in rows["passages that are asked about"]],
        personas=PERSONAS,
        ask=ask,
        alike=lambda texts: semantic_duplicates(texts, embedder, threshold=THRESHOLD),
    )
    assert found.queries == read(folder_of(runner, "retrieval set") / "queries.jsonl")
    assert found.queries
    found.write(tmp_path / "set")
    for name in ("queries.jsonl", "qrels/test.tsv"):
        assert (tmp_path / "set" / name).read_bytes() == (folder_of(runner, "retrieval set") / name).read_bytes()


def test_a_run_leaves_the_set_and_a_report(outside, tmp_path, make_runner):
    path = recipe(tmp_path / "own.yaml", **{**outside, "personas": PERSONAS[:1]}, most=3)
    program = load_recipe(path).program
    program.build(runner := make_runner())
    assert runner.run(finish=lambda: program.finish(runner)) == 0
    data = runner.workdir / "data"
    results = json.loads((runner.workdir / "results.json").read_text())
    assert results["is_complete"]
    assert len(read(data / "corpus.jsonl")) == 8
    (row,) = results["rows"]
    assert row["title"] == PERSONAS[0]
    assert row["metrics"]["questions"]["value"] == len(read(data / "queries.jsonl")) > 0
    assert [table["title"] for table in results["tables"]] == ["Types", "Responses", "Data", "Left out"]
    ledger = next(table for table in results["tables"] if table["title"] == "Data")
    assert {"questions, distinct", "useful questions", "retrieval set"} <= {line["stage"] for line in ledger["rows"]}
    asked = {query["text"] for query in read(data / "queries.jsonl")}
    left_out = results["tables"][-1]["rows"]
    assert {line["step"] for line in left_out} >= {"useful questions", "intelligible questions"}
    assert not {line["text"] for line in left_out} & asked
    page = (runner.workdir / "report.html").read_text()
    assert "plainly: " in page
    assert "not useful" in page
    assert f"{row['metrics']['questions']['value']} questions about" in page


def test_a_judge_of_its_own_is_asked_the_judge_s_questions(outside, tmp_path, make_runner):
    judge = {**SCRIPTED, "init_args": {"longest": 70000}}
    load_recipe(recipe(tmp_path / "own.yaml", **{**outside, "judge": judge})).program.build(runner := make_runner())
    asked = {
        node.title: node.stage.model.longest
        for node in runner.nodes
        if hasattr(node.stage, "model") and "responses" in node.title
    }
    judged = {title.removesuffix(": responses") for title, longest in asked.items() if longest == 70000}
    assert judged == {"question types", "useful questions", "intelligible questions"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"personas": []}, "personas: give at least one"),
        ({"threshold": 1.5}, "threshold must lie"),
        ({"num_questions": 0}, "num_questions must be at least 1"),
    ],
)
def test_what_cannot_be_asked_is_refused_at_once(change, message, outside, tmp_path):
    with pytest.raises(ConfigError, match=message):
        load_recipe(recipe(tmp_path / "own.yaml", **{**outside, **change}))


def test_passages_must_have_ids_of_their_own(outside, tmp_path):
    write_jsonl(
        tmp_path / "passages.jsonl", [{"_id": 1, "title": "", "text": "a"}, {"_id": "1", "title": "", "text": "b"}]
    )
    passages = {**outside["passages"], "path": str(tmp_path / "passages.jsonl")}
    with pytest.raises(DataError, match=r"things:row 2: two passages have the id '1'"):
        run_here(recipe(tmp_path / "own.yaml", **{**outside, "passages": passages}), tmp_path / "run")
