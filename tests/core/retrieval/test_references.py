"""Folders as documents of frameworks: what they refer to, and frames that are saved."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from qwen_vl.errors import ConfigurationError, MediaFormatError
from qwen_vl.retrieval.files import FrameOptions
from qwen_vl.retrieval.references import check_frames_folder, find_references, to_unit


def test_folder_is_pages_images_and_videos(corpus: Path) -> None:
    found = list(find_references([corpus]))

    names = [Path(metadata["source"]).name for _, metadata in found]
    assert names == [
        *("bunny.mp4", "fax.tiff", "fax.tiff", "pump.pdf", "pump.pdf", "red.png"),
        *("report.pdf", "report.pdf", "report.pdf"),
    ]
    assert [metadata.get("page") for _, metadata in found] == [None, 1, 2, 1, 2, None, 1, 2, 3]
    text, page = found[-2]
    assert text == "The board proposes a dividend."
    assert page == {
        "source": str(corpus / "report.pdf"),
        "digest": page["digest"],
        "image_path": str(corpus / "report.pdf"),
        "page": 2,
        "total_pages": 3,
    }
    assert found[0][1]["video_path"] == str(corpus / "bunny.mp4")


def test_frames_are_saved_once(corpus: Path, tmp_path: Path) -> None:
    folder, every_two = tmp_path / "saved/frames", FrameOptions(seconds=2)
    video = corpus / "bunny.mp4"

    first = [one for _, one in find_references([video], frames=every_two, frames_folder=folder)]

    assert [one["seconds"] for one in first] == [0.88, 2.64, 4.4]
    assert {one["source"] for one in first} == {str(video)}
    assert "video_path" not in first[0]
    paths = [Path(one["image_path"]) for one in first]
    assert sorted(folder.iterdir()) == paths
    with Image.open(paths[0]) as frame:
        assert (frame.format, frame.size) == ("JPEG", (1280, 720))
    paths[1].write_bytes(b"as it was")
    moved = shutil.move(video, corpus / "renamed.mp4")
    paths[2].unlink()

    again = list(find_references([moved], frames=every_two, frames_folder=folder))

    # Named by the file, its content and the time.
    assert [Path(one["image_path"]).name[:8] for _, one in again] == ["renamed-"] * 3
    shutil.move(moved, video)
    assert list(find_references([video], frames=every_two, frames_folder=folder))
    assert paths[1].read_bytes() == b"as it was"
    assert paths[2].stat().st_size > 1_000


def test_video_that_cannot_be_read_leaves_no_frames(tmp_path: Path) -> None:
    (tmp_path / "torn.mp4").write_bytes(b"torn")

    with pytest.raises(MediaFormatError, match=r"torn\.mp4"):
        list(find_references([tmp_path / "torn.mp4"], frames_folder=tmp_path / "frames"))
    assert not (tmp_path / "frames").exists()


def test_frames_are_not_saved_among_what_is_searched(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="would find its frames as images"):
        check_frames_folder(tmp_path / "papers/frames", [tmp_path / "papers"])
    check_frames_folder(tmp_path / "papers/.frames", [tmp_path / "papers"])
    check_frames_folder(tmp_path / "frames", [tmp_path / "papers"])
    check_frames_folder(None, [tmp_path])


@pytest.mark.parametrize(
    ("page", "first_page", "number"),
    [(1, 1, 1), (0, 0, 1), (3, 1, 3), (5, 5, 1)],
)
def test_pages_of_text_are_counted_from_the_first(page: int, first_page: int, number: int) -> None:
    unit = to_unit([], {"source": "a.pdf", "page": page}, page_key="page", first_page=first_page)
    assert (unit.path, unit.kind, unit.number, unit.total) == (
        "a.pdf",
        "text",
        number,
        max(2, number),
    )


@pytest.mark.parametrize("page", [0, -1, "one", None])
def test_text_without_a_page(page: object) -> None:
    unit = to_unit([], {"source": "a.txt", "page": page}, page_key="page", first_page=1)
    assert (unit.path, unit.kind, unit.number, unit.total) == ("a.txt", "text", 1, 1)
