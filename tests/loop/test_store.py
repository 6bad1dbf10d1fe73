"""The store: a folder is complete or not there, damage is found, interrupted work is kept."""

import os
import shutil
import time

import pytest
from dummy_stages import Count, Join, Write

from lit_align.errors import ConfigError
from lit_align.loop import Artifact, Store, resolve
from lit_align.loop.choice import resolve_all, write_choice
from lit_align.loop.manifest import MANIFEST, RUNNER_FILES, lookup, read_manifest, read_results, seal
from lit_align.loop.store import building_folder


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "run")


def build(store, stage, *, title="text", files=(("out.txt", "abc"),)):
    artifact = store.artifact(stage, title=title)
    folder = store.begin(artifact, resumable=stage.resumable)
    for name, text in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    header = {"fingerprint": artifact.fingerprint, "stage": "s", "title": title, "iteration": None, "inputs": []}
    seal(folder, header=header, results={"accuracy": {"strict": 0.5}}, timings={"finished": "now"})
    return artifact


def test_an_artifact_is_known_before_it_is_built(store):
    artifact = store.artifact(Write(text="a"), title="text")
    assert artifact.path == store.root / f"write-{artifact.fingerprint[:16]}"
    assert store.status(artifact).state == "absent"
    assert not store.root.exists()


def test_a_sealed_folder_needs_only_the_rename(store):
    artifact = build(store, Write(text="a"))
    assert store.status(artifact).state == "sealed"
    assert store.commit(artifact)["files"]["out.txt"]["size"] == 3
    assert store.status(artifact, full=True).state == "built"
    assert not building_folder(artifact).exists()


def test_a_file_of_another_size_or_none_is_damage_and_of_another_content_by_full_look(store):
    artifact = build(store, Write(text="a"), files=[("out.txt", "abc"), ("sub/more.txt", "de")])
    store.commit(artifact)
    (artifact.path / "out.txt").write_text("xyz")
    assert store.status(artifact).state == "built"
    assert store.status(artifact, full=True).fault == "out.txt has another content than the manifest says"
    (artifact.path / "out.txt").write_text("ab")
    assert store.status(artifact).fault == "out.txt has 2 bytes, the manifest says 3"
    (artifact.path / "sub" / "more.txt").unlink()
    (artifact.path / "out.txt").write_text("abc")
    assert store.status(artifact).fault == "sub/more.txt is missing"
    (artifact.path / MANIFEST).write_text('{"schema": 1, "fing')
    assert store.status(artifact).fault == "manifest.json is missing or unreadable"


def test_a_damaged_artifact_is_removed_when_its_stage_begins_again(store):
    artifact = build(store, Count(num_lines=1))
    store.commit(artifact)
    folder = store.begin(artifact, resumable=True)
    assert not artifact.path.exists()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(("resumable", "kept"), [(True, {"part.jsonl", "log.txt"}), (False, {"log.txt"})])
def test_what_a_kill_left_is_handed_to_resumable_stages_only(store, resumable, kept):
    artifact = store.artifact(Write(text="a"), title="text")
    folder = store.begin(artifact, resumable=resumable)
    for name in ("part.jsonl", *RUNNER_FILES):
        (folder / name).write_text("half")
    assert store.status(artifact).state == "interrupted"
    assert {file.name for file in store.begin(artifact, resumable=resumable).iterdir()} == kept


def test_what_a_killed_atomic_write_left_is_no_part_of_the_output(store):
    artifact = build(store, Write(text="a"), files=[("out.txt", "abc"), ("sub/.rows.jsonl.x1y2.tmp", "half")])
    assert list(store.commit(artifact)["files"]) == ["out.txt"]
    assert not list((artifact.path / "sub").iterdir())


def test_only_old_folders_of_other_stages_are_orphans(store):
    artifacts = [store.artifact(Write(text=text), title=text) for text in "abc"]
    for artifact in artifacts:
        store.begin(artifact, resumable=False)
    for artifact in artifacts[:2]:
        long_ago = time.time() - 9 * 86_400
        os.utime(building_folder(artifact), (long_ago, long_ago))
    removed = store.remove_orphans(keep=artifacts[:1], days=7.0)
    assert removed == [building_folder(artifacts[1])]
    assert [store.status(artifact).state for artifact in artifacts] == ["interrupted", "absent", "interrupted"]


def test_artifacts_are_found_by_the_first_digits_of_their_fingerprints(store):
    artifact = build(store, Write(text="a"))
    store.commit(artifact)
    folder, manifest = store.find(artifact.fingerprint[:8])
    assert (folder, manifest["fingerprint"]) == (artifact.path, artifact.fingerprint)
    for wrong in ("0" * 16, artifact.fingerprint[:4]):
        with pytest.raises(ConfigError, match="fingerprint like"):
            store.find(wrong)


def test_a_choice_survives_the_move_of_the_workdir(store, tmp_path):
    chosen = build(store, Write(text="a"), title="winner")
    store.commit(chosen)
    decision = store.artifact(Join(parts=(chosen,)), title="champion")
    write_choice(store.begin(decision, resumable=False), chosen, details={})
    os.rename(building_folder(decision), decision.path)
    assert resolve(decision) == chosen
    assert (decision.path / "chosen" / "out.txt").read_text() == "abc"
    shutil.move(tmp_path / "run", tmp_path / "moved")
    moved = Artifact(fingerprint="f", title="t", path=tmp_path / "moved" / "store" / decision.path.name)
    assert resolve(moved).path == tmp_path / "moved" / "store" / chosen.path.name
    assert (moved.path / "chosen" / "out.txt").read_text() == "abc"
    assert resolve_all(Join(parts=(moved,))).parts[0].title == "winner"


def test_results_come_from_the_manifest_or_a_results_file(store, tmp_path):
    artifact = build(store, Write(text="a"))
    store.commit(artifact)
    assert lookup(read_results(artifact.path), "accuracy.strict") == 0.5
    (tmp_path / "results.json").write_text('{"accuracy": 1}')
    assert read_results(tmp_path) == {"accuracy": 1}
    with pytest.raises(KeyError):
        lookup({"accuracy": 1}, "accuracy.strict")
    with pytest.raises(ConfigError, match="no results"):
        read_results(tmp_path / "run")


def test_a_manifest_of_another_schema_is_none(tmp_path):
    (tmp_path / MANIFEST).write_text('{"schema": 0}')
    assert read_manifest(tmp_path) is None
