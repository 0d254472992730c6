"""The packet index: times, key frames and the packets that a range of frames needs."""

from fractions import Fraction

import av
import pytest

from indexer.decode.video.packet_index import PacketIndex
from tests.support.packets import packet_index

# In decoding order, a P frame precedes the two B frames that are shown before it.
B_FRAMES = [0, 3, 1, 2, 6, 4, 5]
CLOSED_GOPS = [*B_FRAMES, 7, 10, 8, 9]  # a key frame at row 7
OPEN_GOPS = [*B_FRAMES, 9, 7, 8, 12, 10, 11]  # the frames 7 and 8 follow the key frame of time 9


def packet(time: int, size: int, *, duration: int = 1, is_key: bool = False) -> av.Packet:
    packet = av.Packet(size)
    packet.pts, packet.duration, packet.is_keyframe = time, duration, is_key
    return packet


def test_added_packets_are_indexed_in_decoding_order():
    index = PacketIndex(Fraction(1, 10))
    assert index.add_packet(packet(5, 900, is_key=True)) == 5
    assert index.add_packet(packet(8, 40, duration=2)) == 8
    assert index.add_packet(packet(6, 30)) == 6
    assert (list(index.times), list(index.sizes), list(index.key_rows)) == ([5, 8, 6], [900, 40, 30], [0])
    assert index.end_time == 10


@pytest.mark.parametrize(("detected", "start_time"), [(7, 7), (0, 0), (None, 3)])
def test_start_time_defaults_to_the_first_packet(detected, start_time):
    index = packet_index([5, 3, 4])
    index.set_start_time(detected)
    assert index.start_time == start_time


def test_seconds_count_from_the_zero_of_the_file():
    index = packet_index([50, 51, 52])
    index.zero = 45
    assert index.to_seconds(75) == 3.0
    assert index.to_seconds(40) == 0.0
    assert index.to_time(3.0) == 75


def test_display_times_of_b_frames_are_sorted():
    index = packet_index(B_FRAMES)
    assert list(index.display_times) == [0, 1, 2, 3, 4, 5, 6]
    assert list(index.display_times_between(1, 4)) == [2, 3]
    assert list(index.display_times_between(2, 3)) == []


def test_key_frames_are_recognized_by_their_rows():
    index = packet_index(CLOSED_GOPS, keys=[0, 7])
    assert [row for row in range(11) if index.is_key_frame(row)] == [0, 7]


def test_reference_frames_exclude_b_frames():
    index = packet_index(CLOSED_GOPS, keys=[0, 7])
    assert index.reference_frames(0, 10) == [0, 1, 4, 7, 8]
    assert index.reference_frames(2, 5) == [2, 3, 4]  # of these rows alone, none is shown out of order


@pytest.mark.parametrize(
    ("time", "row"),
    [
        (1, 1),  # the frame 0 is in row 0; its successor pushes it out of the decoder
        (3, 3),  # the frames 1 and 2 are in rows 2 and 3
        (6, 6),
        (99, 6),  # the last row
    ],
)
def test_last_needed_packet_includes_the_b_frames_before_a_time(time, row):
    assert packet_index(B_FRAMES).last_needed_packet(time, 0, 6) == row


@pytest.mark.parametrize(
    ("begin", "end", "rows"),
    [
        (1, 5, (0, 7, 7)),
        (8, None, (7, 10, 10)),
        (2, None, (0, 10, 10)),
        (7, 7, (7, 7, 7)),
        (8, 10, (7, 10, 10)),  # no key frame follows
    ],
)
def test_decode_rows_start_and_end_at_key_frames(begin, end, rows):
    assert packet_index(CLOSED_GOPS, keys=[0, 7]).decode_rows(begin, end) == rows


def test_decode_rows_include_frames_shown_before_a_key_frame_that_follow_it():
    assert packet_index(OPEN_GOPS, keys=[0, 7]).decode_rows(1, 9) == (0, 7, 9)


def test_decode_rows_start_at_the_first_packet_if_there_are_no_key_frames():
    assert packet_index([0, 1, 2], keys=[]).decode_rows(1, None) == (0, 2, 2)
