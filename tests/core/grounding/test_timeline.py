"""Events from answers as models write them, and the files that are written of them.

What is expected is worked out by hand; files are opened by parsers that did not write them.
"""

import csv
import html
import io
import pickle
import sys
from pathlib import Path
from typing import Any

import pysubs2
import pytest
import webvtt

from qwen_vl.errors import AnswerFormatError, ConfigurationError, MissingExtraError, TimestampError
from qwen_vl.grounding.parse_timeline import TimeFrame, read_timeline
from qwen_vl.grounding.timeline import Event, Timeline, format_clock, read_range, read_seconds

A = (0.0, 5.0, "a man enters")
B = (5.0, 15.5, "he sits down")
_A = '{"start_time": "00:00:00", "end_time": "00:00:05", "event": "a man enters"}'
_B = '{"start_time": "00:00:05", "end_time": "00:00:15.5", "event": "he sits down"}'

ANSWERS = {
    "the guide's form": (f'{{"events": [{_A}, {_B}]}}', [A, B]),
    "fenced": (f'```json\n{{"events": [{_A}, {_B}]}}\n```', [A, B]),
    "a list": (f"[{_A}, {_B}]", [A, B]),
    "one object": (_A, [A]),
    "prose around": (f"Of course [as asked]: [{_A}, {_B}]. Is that enough?", [A, B]),
    "nested": (f'{{"video": {{"summary": "x", "parts": [{{"events": [{_A}]}}, {_B}]}}}}', [A, B]),
    "out of order": (f"[{_B}, {_A}]", [A, B]),
    "minutes": ('[{"start_time": "00:05", "end_time": "00:15.5", "event": "he sits down"}]', [B]),
    "comma": ('[{"start": "00:00:05,000", "end": "0:15,5", "event": "he sits down"}]', [B]),
    "numbers": ('[{"start": 5, "end": 15.5, "description": "he sits down"}]', [B]),
    "numbers as text": ('[{"start": "5", "end": "15.5s", "caption": "he sits down"}]', [B]),
    "units": ('[{"start": "5 seconds", "end": "15.5 秒", "action": "he sits down"}]', [B]),
    "one text for both": ('[{"time": "[00:05 - 00:15.5]", "event": "he sits down"}]', [B]),
    "one list for both": ('[{"timestamps": [5, 15.5], "event": "he sits down"}]', [B]),
    "reversed": ('[{"start": 15.5, "end": 5, "event": "he sits down"}]', [B]),
    "a moment": ('[{"timestamp": "00:05", "event": "he sits"}]', [(5.0, 5.0, "he sits")]),
    "no end": (
        '[{"start_time": "00:05", "end_time": null, "event": "x"}]',
        [(5.0, 5.0, "x")],
    ),
    "frames": ('[{"start_frame": 10, "end_frame": 31, "event": "he sits down"}]', [B]),
    "one frame": ('[{"frame": 10, "event": "he sits"}]', [(5.0, 5.0, "he sits")]),
    "a frame of events": (f'{{"start": 0, "end": 21, "events": [{_A}, {_B}]}}', [A, B]),
    "parts of events": (
        f'{{"start": 0, "end": 20, "event": "a visit", "parts": [{_A}]}}',
        [A, (0.0, 20.0, "a visit")],
    ),
    "no words": ('[{"start": 5, "end": 6}]', [(5.0, 6.0, "")]),
}


@pytest.mark.parametrize(("text", "expected"), ANSWERS.values(), ids=ANSWERS.keys())
def test_events_are_read(text: str, expected: list[tuple[float, float, str]]) -> None:
    found = read_timeline(text, TimeFrame(seconds=21, fps=2))
    assert [(event.start, event.end, event.text) for event in found] == expected
    assert (found.seconds, found.interval, found.is_cut_off, found.text) == (21, 0.5, False, text)


@pytest.mark.parametrize(
    "rest", [', {"start_time": "00:', "", ", ", ', {"start_time": "00:16", "e']
)
def test_what_is_whole_of_a_list_that_breaks_off_is_kept(rest: str) -> None:
    found = read_timeline(f'{{"events": [{_A}, {_B}{rest}')
    assert [event.text for event in found] == ["a man enters", "he sits down"]
    assert found.is_cut_off
    assert found.to_dict()["is_cut_off"]
    assert "there may be more" in found.describe()


def test_event_that_is_not_json_is_listed_and_loses_no_other() -> None:
    events = [f'{{"start_time": {n}, "end_time": {n + 1}, "event": "{n}"}}' for n in range(100)]
    wild = '{"start_time": 5, "end_time": 6 "event": "wild"}'
    found = read_timeline(f"[{', '.join([*events[:50], wild, *events[50:]])}]")
    assert [event.text for event in found] == [str(n) for n in range(100)]
    assert (found.skipped, found.is_cut_off) == ((wild,), False)
    assert found.to_dict()["skipped"] == [wild]
    assert found.describe().endswith(f"Skipped, as not JSON: {wild}.")
    with pytest.raises(AnswerFormatError, match="An entry is not JSON"):
        read_timeline(f"[{wild}]")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("01:02:03", 3723.0),
        ("1:02:03.25", 3723.25),
        ("100:00:00", 360_000.0),
        ("75:30", 4530.0),
        ("00:00:05.5", 5.5),
        ("<3.0 seconds>", 3.0),
        ("1h 2m 3s", 3723.0),
        ("2 分 3 秒", 123.0),
        ("1小时2分钟3秒", 3723.0),
        (0, 0.0),
        (7.25, 7.25),
        *(
            (wrong, None)
            for wrong in ("", "soon", "-3", "12:75", "1:61:00", "1:2:3:4", "nan", "5 m/s")
        ),
        # Python makes no integer of so many digits.
        *(("1" * 5_000 + unit, None) for unit in ("", "h", "min", "s")),
        *((wrong, None) for wrong in (None, True, -1, [5], float("nan"), float("inf"), 10**400)),
    ],
)
def test_times_are_read(value: Any, seconds: float | None) -> None:
    assert read_seconds(value) == seconds


def test_times_are_spelled() -> None:
    spelled = [format_clock(seconds) for seconds in (0, 59.96, 61.25, 3600)]
    assert spelled == ["0:00", "1:00", "1:01.2", "1:00:00"]


def test_times_of_a_part_count_from_the_whole_videos_beginning() -> None:
    found = read_timeline(f"[{_A}, {_B}]", TimeFrame(seconds=20, offset=60))
    assert [(event.start, event.end) for event in found] == [(60, 65), (65, 75.5)]
    assert found.seconds == 80


def test_times_of_frames_that_were_dated_at_another_speed_are_scaled() -> None:
    found = read_timeline(f"[{_A}, {_B}]", TimeFrame(seconds=80, scale=4, fps=0.1))
    assert [(event.start, event.end) for event in found] == [(0, 20), (20, 62)]
    assert found.interval == 40


def test_end_a_little_behind_the_videos_is_clipped_and_marked() -> None:
    found = read_timeline(f"[{_A}, {_B}]", TimeFrame(seconds=15.2))
    assert [(event.end, event.is_clipped) for event in found] == [(5, False), (15.2, True)]
    assert found.to_dict()["events"][1]["is_clipped"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (_B, "dated to 5.0 to 15.5 s; the video ends after 10.0 s"),
        ('[{"start_time": "00:05:00", "event": "x"}]', "300.0 s"),
        ('[{"start_time": "soon", "event": "x"}]', "'soon' is not a time"),
        ('[{"start_time": 1, "end_time": "later", "event": "x"}]', "'later' is not a time"),
        ('[{"start_time": -1, "end_time": 2, "event": "x"}]', "-1 is not a time"),
        ('[{"start_frame": 10, "event": "x"}]', "frames there are in a second"),
        (f'[{_A}, {{"event": "and then?"}}]', "without a time"),
    ],
)
def test_wrong_times_are_not_guessed(text: str, problem: str) -> None:
    with pytest.raises(TimestampError, match=problem) as caught:
        read_timeline(text, TimeFrame(seconds=10))
    assert caught.value.text == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Nothing happens in this video.",
        "00:00:05 a man enters",
        '{"summary": "nothing happens"}',
        '{"events": [{"start_time": "00:00',
        "[" * 100_000,
        '{"a":' * 100 + "{}" + "}" * 100,
    ],
)
def test_what_holds_no_events_is_an_error_with_the_answer(text: str) -> None:
    with pytest.raises(AnswerFormatError) as caught:
        read_timeline(text)
    assert caught.value.text == text


@pytest.mark.parametrize("text", ["[]", '{"events": []}'])
def test_nothing_happens_is_an_answer(text: str) -> None:
    found = read_timeline(text, TimeFrame(seconds=5.28))
    assert (len(found), found.describe()) == (0, "nothing found in a video of 0:05.3.")


ODD = "a <b>bold</b> & {\\an8} C:\\new --> 人物进入\n\nsecond line"
TIMELINE = Timeline(
    events=(
        Event(start=0, end=5.25, text="a man enters"),
        Event(start=5.25, end=5.25, text="a moment"),
        Event(start=6, end=3_725.5, text=ODD),
        Event(start=3_725.5, end=3_725.5, text="the last"),
    ),
    seconds=3_726,
)
# What is a moment is shown until the next begins, or until the video ends.
SHOWN = [(0, 5_250), (5_250, 6_000), (6_000, 3_725_500), (3_725_500, 3_726_000)]


def test_webvtt_is_what_two_parsers_read() -> None:
    text = TIMELINE.to_webvtt()
    cues = list(pysubs2.SSAFile.from_string(text, "vtt"))
    assert [(cue.start, cue.end) for cue in cues] == SHOWN
    read = webvtt.from_string(text)
    assert [html.unescape(cue.text) for cue in read] == [
        "a man enters",
        "a moment",
        ODD.replace("\n\n", "\n"),
        "the last",
    ]
    assert read[2].raw_text.splitlines()[0] == (
        "a &lt;b&gt;bold&lt;/b&gt; &amp; {\\an8} C:\\new --&gt; 人物进入"
    )


def test_srt_is_what_another_parser_reads() -> None:
    cues = list(pysubs2.SSAFile.from_string(TIMELINE.to_srt(), "srt", keep_html_tags=True))
    assert [(cue.start, cue.end) for cue in cues] == SHOWN
    assert cues[0].text == "a man enters"
    assert cues[2].text == "a <b>bold</b> & {\\an8} C:\\new → 人物进入\\Nsecond line"


def test_csv_is_what_the_csv_module_reads() -> None:
    rows = list(csv.DictReader(io.StringIO(TIMELINE.to_csv(), newline="")))
    assert [float(row["start"]) for row in rows] == [0, 5.25, 6, 3_725.5]
    assert rows[2]["event"] == ODD


def test_files_are_written_by_their_ending(tmp_path: Path) -> None:
    for name, text in (("a.vtt", TIMELINE.to_webvtt()), ("a.SRT", TIMELINE.to_srt())):
        TIMELINE.save(tmp_path / name)
        assert (tmp_path / name).read_text(encoding="utf-8") == text
    TIMELINE.save(str(tmp_path / "a.csv"))
    assert (tmp_path / "a.csv").read_bytes().decode() == TIMELINE.to_csv()
    with pytest.raises(ConfigurationError, match=r"\.vtt, \.srt, \.csv"):
        TIMELINE.save(tmp_path / "a.txt")


def test_empty_timeline_makes_valid_files() -> None:
    empty = Timeline(events=())
    assert list(webvtt.from_string(empty.to_webvtt())) == []
    assert empty.to_csv() == "start,end,event\r\n"
    assert empty.to_srt().strip() == ""


def test_result_is_plain_data() -> None:
    assert pickle.loads(pickle.dumps(TIMELINE)) == TIMELINE
    assert TIMELINE.to_dict()["events"][1] == {"start": 5.25, "end": 5.25, "event": "a moment"}
    assert TIMELINE.events[0].seconds == 5.25


@pytest.mark.parametrize("name", ["a.vtt", "a.srt"])
def test_missing_extra_of_subtitles_names_its_command(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Python then finds no such module.
    monkeypatch.setitem(sys.modules, "webvtt", None)
    with pytest.raises(MissingExtraError, match=r"Writing subtitles needs.*qwen-vl\[subtitles\]"):
        TIMELINE.save(tmp_path / name)

    assert list(tmp_path.iterdir()) == []
    TIMELINE.save(tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_bytes().startswith(b"start,end,event")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (999_999_999, 999_999_999.0),
        (1e9, None),
        (10**400, None),
        (float("inf"), None),
        (float("nan"), None),
        (-0.5, None),
        (0, 0.0),
        (True, None),
        ("", None),
    ],
)
def test_times_are_below_30_years(value: object, seconds: float | None) -> None:
    assert read_seconds(value) == seconds


@pytest.mark.parametrize(
    ("value", "span"),
    [
        ("5 - 10", (5.0, 10.0)),
        ("5 - 10 - 15", None),
        ("5 - 10 - 15 - 20", None),
        ("5", None),
        ([5], None),
        ([5, 10, 15], None),
        ([5, "soon"], None),
        (["soon", 5], None),
    ],
)
def test_ranges_have_two_times(value: object, span: tuple[float, float] | None) -> None:
    assert read_range(value) == span


def test_event_lasts_from_its_start_to_its_end() -> None:
    assert Event(start=2, end=5.5).seconds == 3.5
    assert Event(start=2, end=2).seconds == 0


@pytest.mark.parametrize(
    ("frame", "latest"),
    [
        # One second behind the end, or a twentieth of the video, or one frame.
        (TimeFrame(seconds=10), 11.0),
        (TimeFrame(seconds=100), 105.0),
        (TimeFrame(seconds=100, offset=50), 155.0),
        (TimeFrame(seconds=10, fps=0.5), 12.0),
        (TimeFrame(seconds=10, fps=0.5, scale=2), 14.0),
    ],
)
def test_times_a_little_behind_the_end_are_the_end(frame: TimeFrame, latest: float) -> None:
    def answer(seconds: float) -> str:
        named = (seconds - frame.offset) / frame.scale
        return f'[{{"start": 0, "end": {named}, "event": "x"}}]'

    end = frame.end
    assert end is not None
    (last,) = read_timeline(answer(end), frame)
    assert (last.end, last.is_clipped) == (end, False)
    (late,) = read_timeline(answer(latest), frame)
    assert (late.end, late.is_clipped) == (end, True)
    with pytest.raises(TimestampError, match="the video ends after"):
        read_timeline(answer(latest + 0.01), frame)
