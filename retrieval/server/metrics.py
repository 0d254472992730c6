"""Count requests for Prometheus."""

from collections import Counter
from collections.abc import Iterator, Mapping
from threading import Lock

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)  # seconds


class Metrics:
    """The numbers and durations of requests by route."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._requests = Counter[tuple[str, int]]()  # route and status
        self._buckets = Counter[tuple[str, float]]()
        self._seconds = Counter[str]()

    def add(self, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        with self._lock:
            self._requests[route, status] += 1
            self._seconds[route] += seconds  # type: ignore[assignment]
            for limit in BUCKETS:
                self._buckets[route, limit] += seconds <= limit

    def text(self, gauges: Mapping[str, float]) -> str:
        """Return all numbers, and these of the worker, in the text format of Prometheus."""
        with self._lock:
            return "\n".join([*self._lines(), *_gauge_lines(gauges)]) + "\n"

    def _lines(self) -> Iterator[str]:
        yield "# TYPE clew_requests_total counter"
        for (route, status), count in sorted(self._requests.items()):
            yield f'clew_requests_total{{route="{route}",status="{status}"}} {count}'
        yield "# TYPE clew_request_seconds histogram"
        for route, seconds in sorted(self._seconds.items()):
            total = sum(count for (name, _), count in self._requests.items() if name == route)
            for limit in BUCKETS:
                count = self._buckets[route, limit]
                yield f'clew_request_seconds_bucket{{route="{route}",le="{limit}"}} {count}'
            yield f'clew_request_seconds_bucket{{route="{route}",le="+Inf"}} {total}'
            yield f'clew_request_seconds_sum{{route="{route}"}} {seconds:.6f}'
            yield f'clew_request_seconds_count{{route="{route}"}} {total}'


def _gauge_lines(gauges: Mapping[str, float]) -> Iterator[str]:
    for name, value in gauges.items():
        yield f"# TYPE clew_{name} gauge"
        yield f"clew_{name} {value:g}"
