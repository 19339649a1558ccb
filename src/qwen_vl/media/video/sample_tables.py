"""MP4 files: how many samples their tables list, before FFmpeg makes an index of them.

A table may say "a hundred million samples of one byte each" in twelve bytes. The index has an entry
for each, whatever the length of the file.
"""

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

from qwen_vl.errors import MediaFormatError
from qwen_vl.media.decoding import check_memory

_CONTAINERS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf"})
# Of FFmpeg 7 and 8: 68 bytes were measured.
_BYTES_PER_SAMPLE = 80
# A sample without bytes is rare, and may be the first or the last one.
_FREE_SAMPLES = 1_000
_HEADER, _LONG_HEADER = 8, 16
_MAX_BOXES = 1_000_000
# Bits of a track run's flags for what it holds of each sample (ISO/IEC 14496-12, 8.8.8).
_RUN_FIELDS = (0x100, 0x200, 0x400, 0x800)


def check_sample_tables(file: BinaryIO, where: str) -> None:
    """Check that the tables of an MP4 or QuickTime file do not list more samples than it can hold.

    Args:
        file: Open for reading, seekable; it is left at any place.
        where: The part, for errors.

    Raises:
        MediaFormatError: They list more samples than the file has bytes, or are compressed.
        MediaTooLargeError: Their index would take more memory than is allowed.
    """
    n_bytes = file.seek(0, os.SEEK_END)
    n_samples = sum(_count_samples(file, n_bytes, where))
    if n_samples > n_bytes + _FREE_SAMPLES:
        raise MediaFormatError(
            f"The video is damaged: its index lists {n_samples:,} samples, and the file has "
            f"{n_bytes:,} bytes.",
            where=where,
            value=n_samples,
            limit=n_bytes,
            remedy="Write it again: ffmpeg -i in.mp4 -c copy out.mp4",
        )
    check_memory(n_samples * _BYTES_PER_SAMPLE, f"The index of {n_samples:,} samples", where)


def _count_samples(file: BinaryIO, n_bytes: int, where: str) -> Iterator[int]:
    ends = [n_bytes]
    at = 0
    for _ in range(_MAX_BOXES):
        while ends and at + _HEADER > ends[-1]:
            ends.pop()
        if not ends:
            return
        file.seek(at)
        head = file.read(_LONG_HEADER + 4)
        if len(head) < _HEADER:
            return
        size, kind = struct.unpack_from(">I4s", head)
        begins = at + _HEADER
        if size == 1 and len(head) >= _LONG_HEADER:
            (size,) = struct.unpack_from(">Q", head, _HEADER)
            begins = at + _LONG_HEADER
        # Zero is for a box to the end of the file; shorter ones than their header are damage.
        end = min(at + size, ends[-1]) if size else ends[-1]
        if end <= begins:
            at = begins
            continue
        if kind == b"cmov":
            raise MediaFormatError(
                "The video's header is compressed, as old versions of QuickTime did.",
                where=where,
                remedy="Write it again: ffmpeg -i in.mov -c copy out.mp4",
            )
        if kind in _CONTAINERS:
            ends.append(end)
            at = begins
            continue
        if kind in _COUNTERS:
            file.seek(begins)
            yield _COUNTERS[kind](file, end - begins)
        at = end


def _count_sizes(file: BinaryIO, n_bytes: int) -> int:
    """Count the samples of `stsz`, or of `stz2`, whose count stands at the same place."""
    return int.from_bytes(file.read(min(n_bytes, 12))[8:])


def _count_run(file: BinaryIO, n_bytes: int) -> int:
    """Count the samples of a fragment's run that take up no bytes in it."""
    fields = file.read(min(n_bytes, 8))
    flags, n_samples = int.from_bytes(fields[:4]), int.from_bytes(fields[4:])
    return 0 if any(flags & field for field in _RUN_FIELDS) else n_samples


_COUNTERS = {b"stsz": _count_sizes, b"stz2": _count_sizes, b"trun": _count_run}
