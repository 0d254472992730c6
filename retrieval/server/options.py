"""Options of the server."""

from dataclasses import dataclass

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")
DEFAULT_PORT = 8765


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Who may connect, and limits."""

    host: str = LOOPBACK_HOSTS[0]
    port: int = DEFAULT_PORT
    token: str | None = None  # that each request must contain
    origins: tuple[str, ...] = ()  # of other sites that may call the API, such as "https://example.org"

    threads: int = 2  # that search
    max_waiting: int = 64  # calls; the next ones are answered with 503
    max_body_bytes: int = 50_000_000
    max_body_seconds: float = 30.0  # to receive a body
    max_pictures: int = 200  # uploaded ones, for `+pic:TOKEN`
    max_cursors: int = 500  # lists that can be continued exactly
    max_failed_tokens: int = 10  # of one address in a minute

    @property
    def is_local(self) -> bool:
        """Return True if only this machine can connect."""
        return self.host in LOOPBACK_HOSTS
