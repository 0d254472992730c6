"""Parameter types of the commands: sizes, durations and minimums."""

import click
import pytest

from indexer.cli.evaluate import parse_minimums
from indexer.cli.params import ByteSize, Duration


@pytest.mark.parametrize(
    ("text", "size"),
    [("500MB", 500_000_000), ("1.5gb", 1_500_000_000), ("2 kB", 2_000), ("7", 7), ("off", 0), ("1t", 10**12)],
)
def test_size_has_a_decimal_unit(text, size):
    assert ByteSize().convert(text, None, None) == size


@pytest.mark.parametrize("text", ["", "much", "-1GB", "1.2.3MB", "5 apples"])
def test_invalid_size_is_refused_with_examples(text):
    with pytest.raises(click.BadParameter, match='500MB or 2GB, or "off"'):
        ByteSize().convert(text, None, None)


@pytest.mark.parametrize("text", ["9" * 400 + "g", "9" * 300, "1e9", "1000001TB"])
def test_too_large_size_is_refused(text):
    with pytest.raises(click.BadParameter):
        ByteSize().convert(text, None, None)
    assert ByteSize().convert("1000000TB", None, None) == 10**18


@pytest.mark.parametrize("text", ["0.001s", "0.9", "0.01m", "0.0001h"])
def test_too_short_duration_is_refused(text):
    with pytest.raises(click.BadParameter, match="shortest duration is 1s"):
        Duration().convert(text, None, None)


def test_error_message_has_one_prefix(clew):
    message = clew("index", "--thumbnails", "much").stderr.splitlines()[-1]
    assert message.count("nvalid") == 1
    assert message.startswith("Error: Invalid value for '--thumbnails': 'much' is not a size.")


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("10m", 600), ("1.5h", 5400), ("45", 45)])
def test_duration_has_a_unit_or_is_in_seconds(text, seconds):
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "0s", "-1m", "soon", "1d"])
def test_invalid_duration_is_refused_with_examples(text):
    with pytest.raises(click.BadParameter, match="30s, 10m or 1h"):
        Duration().convert(text, None, None)


def test_minimums_are_pairs_of_a_measure_and_a_number():
    assert parse_minimums(None, None, ("recall@10=90", "mrr=0.5")) == [("recall@10", 90.0), ("mrr", 0.5)]


@pytest.mark.parametrize("text", ["mrr", "mrr=x", "=", "mrr="])
def test_invalid_minimum_is_refused_with_an_example(text):
    with pytest.raises(click.BadParameter, match="recall@10=90"):
        parse_minimums(None, None, (text,))
