"""Generate inputs for a time: random bytes, and changed copies of valid ones."""

from collections.abc import Callable, Iterable, Sequence
from time import monotonic
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

EXAMPLES_PER_ROUND = 50
TOKENS = (
    b"\0",
    b"\xff",
    b"\xff\xfe",
    b"\n",
    b"<",
    b">",
    b"&#",
    b"{",
    b"}",
    b"\\",
    b'"',
    b"'",
    b"=",
    b"%",
    b"-1",
    b"1e999",
)
TOKENS += (
    b"99999999999999999999",
    b"\xed\xa0\x80",
    b"\x1b[",
    b"../",
    b"<![CDATA[",
    b"<!DOCTYPE x",
    b"\\u",
    b"\\bin9 ",
)


def fuzz(
    inputs: st.SearchStrategy[Any], check: Callable[[Any], object], seconds: float, seeds: Iterable[Any] = ()
) -> None:
    """Call `check` with inputs that failed before and then with others, for this time but at least once."""

    @settings(
        max_examples=EXAMPLES_PER_ROUND,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs)
    def check_round(data: Any) -> None:
        check(data)

    for seed in seeds:
        check_round = example(seed)(check_round)
    end = monotonic() + seconds
    check_round()
    while monotonic() < end:
        check_round()


@st.composite
def changed(draw: st.DrawFn, originals: Sequence[bytes]) -> bytes:
    """Draw a copy of an original with replaced, inserted, removed and repeated bytes, perhaps truncated."""
    data = bytearray(draw(st.sampled_from(originals)))
    for kind in draw(st.lists(st.sampled_from("ritdx"), min_size=1, max_size=6)):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.integers(0, 40)))
        if kind == "r":
            data[at:end] = draw(st.binary(min_size=end - at, max_size=end - at))
        elif kind == "i":
            data[at:at] = draw(st.sampled_from(TOKENS))
        elif kind == "t":
            data[at:end] = draw(st.sampled_from(TOKENS))
        elif kind == "d":
            data[at:at] = data[at:end] * draw(st.integers(1, 30))
        else:
            del data[at : end if draw(st.booleans()) else len(data)]
    return bytes(data)


def bytes_like(*originals: bytes) -> st.SearchStrategy[bytes]:
    """Return a strategy of changed originals, and of random bytes."""
    return changed(originals) | changed(originals) | changed(originals) | st.binary(max_size=400)
