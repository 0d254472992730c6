"""A clock that tests move forward."""


class FakeClock:
    """A clock that moves only when `now` is set."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now
