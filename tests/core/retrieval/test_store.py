"""Stores on disk: opened again, damaged, of others, and in use."""

import json
from pathlib import Path

import pytest

from qwen_vl.errors import ConfigurationError
from qwen_vl.retrieval.files import Unit
from qwen_vl.retrieval.store import MANIFEST, IndexStore, Manifest, find_id

UNIT = Unit(path="/folder/report.pdf", kind="page", digest="1", number=2, total=3, text="A text.")
FRAME = Unit(path="/folder/walk.mp4", kind="frame", digest="2", seconds=12.5, total=4)


def fill(folder: Path) -> None:
    with IndexStore(folder) as store:
        store.prepare("model/4", "model", 4)
        store.add([UNIT, FRAME], [[1.0, 0, 0, 0], [0, 1.0, 0, 0]])
        store.add_folder(Path("/folder"))


def test_what_is_stored_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    fill(tmp_path / "store")

    with IndexStore(tmp_path / "store", create=False) as store:
        assert store.manifest == Manifest(
            space="model/4", model="model", dimensions=4, folders=("/folder",)
        )
        assert {one.unit for one in store.find_all()} == {UNIT, FRAME}
        assert store.read_vectors([find_id(UNIT)]) == {find_id(UNIT): [1.0, 0.0, 0.0, 0.0]}
        assert [one.unit for one in store.search_vector([0.0, 1.0, 0.1, 0.0], 1)] == [FRAME]
        store.remove([find_id(UNIT)])
        assert len(store) == 1


def test_ids_depend_on_the_place_alone() -> None:
    again = Unit(path=UNIT.path, kind="page", digest="other", number=2)
    others = [
        Unit(path="/folder/other.pdf", kind="page", digest="1", number=2),
        Unit(path=UNIT.path, kind="page", digest="1", number=3),
        FRAME,
        Unit(path=FRAME.path, kind="frame", digest="2", seconds=13.0),
    ]

    assert find_id(again) == find_id(UNIT)
    assert len({find_id(UNIT), *map(find_id, others)}) == 5


def test_run_that_ended_before_its_first_write_leaves_no_store_that_is_refused(
    tmp_path: Path,
) -> None:
    with IndexStore(tmp_path / "store"):
        pass
    for name in ("index.tmp", "meta.json.tmp"):
        (tmp_path / "store" / name).write_text("{")
    (tmp_path / "store/parsed-pages").mkdir()
    (tmp_path / "store/meta.json").write_bytes(b"")

    with IndexStore(tmp_path / "store") as store:
        assert (store.manifest, len(store), list(store.find_all())) == (None, 0, [])
        with pytest.raises(ConfigurationError, match=r"is empty\. Index a folder"):
            store.require_manifest()


def test_other_folders_are_not_taken_for_a_store(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.png").write_bytes(b"")

    with pytest.raises(ConfigurationError, match=r"photos' is not a store\. Create one: qwen-vl"):
        IndexStore(tmp_path / "photos")
    with pytest.raises(ConfigurationError, match="gone' does not exist"):
        IndexStore(tmp_path / "gone", create=False)
    assert not (tmp_path / "gone").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"version": 1}', '"text"'])
def test_damaged_store_says_so(tmp_path: Path, text: str) -> None:
    fill(tmp_path / "store")
    (tmp_path / "store" / MANIFEST).write_text(text)

    with pytest.raises(ConfigurationError, match="is damaged"):
        IndexStore(tmp_path / "store")


@pytest.mark.parametrize("text", ["", "{"])
def test_damaged_database_says_so(tmp_path: Path, text: str) -> None:
    fill(tmp_path / "store")
    (tmp_path / "store/meta.json").write_text(text)

    with pytest.raises(ConfigurationError, match="cannot be opened"):
        IndexStore(tmp_path / "store")


def test_store_of_another_version_says_so(tmp_path: Path) -> None:
    fill(tmp_path / "store")
    path = tmp_path / "store" / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 2}))

    with pytest.raises(ConfigurationError, match="is of another version"):
        IndexStore(tmp_path / "store")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_store_that_is_open_is_refused(tmp_path: Path) -> None:
    with (
        IndexStore(tmp_path / "store"),
        pytest.raises(ConfigurationError, match="is open already"),
    ):
        IndexStore(tmp_path / "store")


def test_model_that_is_not_known_keeps_its_own_length() -> None:
    assert Manifest(space="mine/default", model="mine", dimensions=64).own_dimensions is None
    assert Manifest(space="mine/64/normalized", model="mine", dimensions=64).own_dimensions == 64
