"""A Milvus server: its address, its connection and its errors."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, NoReturn
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from retrieval.errors import ExtraMissing, VectorServerError
from retrieval.quiet import ignore_pymilvus_messages
from retrieval.system import expand_user
from retrieval.vectors.milvus import lite

TOKEN_VARIABLE = "CLEW_MILVUS_TOKEN"
LOCAL_SUFFIX = ".db"  # of a folder of milvus-lite, which runs in this process
CONNECT_SECONDS, CALL_SECONDS = 5.0, 120.0
DEFAULT_PORT = 19_530
# Options in the address of a server with TLS, and their names in pymilvus.
TLS_FILES = {"ca": "server_pem_path", "cert": "client_pem_path", "key": "client_key_path"}
CLIENT_AUTHORITY = "ca_pem_path"
# Each connection tries again on its own, so that a server that was started again is found within a second.
GRPC_OPTIONS = {"grpc.use_local_subchannel_pool": 1, "grpc.max_reconnect_backoff_ms": 1_000}
SHAPE = (
    "Use http://HOST:19530 or https://HOST/DATABASE, for TLS also ?ca=FILE&cert=FILE&key=FILE&name=HOST, or "
    "a path that ends with .db for milvus-lite."
)


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """The parts of an address, which is saved in a library and therefore contains no password."""

    text: str  # with absolute paths
    uri: str
    options: Mapping[str, Any] = field(default_factory=dict)  # of MilvusClient

    @classmethod
    def parse(cls, text: str) -> "ServerAddress":
        """Return the address; raises VectorServerError. Its files need not exist."""
        if "://" not in text:
            if not text.endswith(LOCAL_SUFFIX):
                raise VectorServerError(f"Invalid address {text!r} of a Milvus server. {SHAPE}")
            path = str(expand_user(text).absolute())
            return cls(path, path)
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port or DEFAULT_PORT
        except ValueError as error:
            raise VectorServerError(f"Invalid address {text!r}: {error}. {SHAPE}") from error
        if parts.username is not None or parts.password is not None:
            raise VectorServerError(
                f"The address of {host} contains a password, which would be saved. Put USER:PASSWORD or the "
                f"token in the environment variable {TOKEN_VARIABLE}, and leave it out of the address."
            )
        if parts.scheme not in ("http", "https") or not host or parts.fragment:
            raise VectorServerError(f"Invalid address {text!r} of a Milvus server. {SHAPE}")
        shown_host = f"[{host}]" if ":" in host else host
        database = parts.path.strip("/")
        options: dict[str, Any] = {"db_name": database, "secure": parts.scheme == "https"}
        if given := _tls_arguments(text, parts.query):
            text = urlunsplit(parts._replace(query=urlencode(given, safe="/", quote_via=quote)))
        return cls(text, f"{parts.scheme}://{shown_host}:{port}", options | _client_options(given))

    @property
    def is_local(self) -> bool:
        """Return True if it is a folder of milvus-lite."""
        return "://" not in self.uri

    def check_files(self) -> None:
        """Raise VectorServerError if a file of TLS does not exist."""
        for name, path in self.options.items():
            if name in (*TLS_FILES.values(), CLIENT_AUTHORITY) and not Path(path).is_file():
                raise VectorServerError(
                    f"File {path} not found, which the address {self.text!r} names. Restore it, or name "
                    f"another in `clew publish`, or {lite.LOCAL_HINT}."
                )


def _tls_arguments(text: str, query: str) -> dict[str, str]:
    """Return the options of an address, with absolute paths."""
    given = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := given.keys() - TLS_FILES.keys() - {"name"}:
        raise VectorServerError(f"Unknown option {min(unknown)!r} in the address {text!r}. {SHAPE}")
    if given and not text.startswith("https:"):
        raise VectorServerError(f"The options in the address {text!r} need https. {SHAPE}")
    if ("cert" in given) != ("key" in given) or ("cert" in given and "ca" not in given):
        raise VectorServerError(f"A client certificate needs ca, cert and key: {text!r}. {SHAPE}")
    paths = {key: str(expand_user(given[key]).absolute()) for key in TLS_FILES if key in given}
    return given | paths


def _client_options(given: Mapping[str, str]) -> dict[str, str]:
    """Return the arguments of MilvusClient for the options of an address."""
    options = {name: given[key] for key, name in TLS_FILES.items() if key in given}
    if "cert" in given:  # pymilvus takes the authority of a mutual connection from another argument
        options[CLIENT_AUTHORITY] = options.pop(TLS_FILES["ca"])
    return options | ({"server_name": given["name"]} if "name" in given else {})


class MilvusServer:
    """A connection to a Milvus server, opened by the first call. Thread-safe."""

    def __init__(
        self,
        address: str,
        token: str | None = None,
        call_seconds: float = CALL_SECONDS,
        may_create: bool = True,  # the folder of milvus-lite
    ) -> None:
        self.address, self._may_create = ServerAddress.parse(address), may_create
        self.outage: tuple[float, str] | None = None  # until this time of `monotonic`, and its reason
        self._token, self._call_seconds = token or "", call_seconds
        self._client: Any = None
        self._lock = Lock()

    def call(self, name: str, *arguments: Any, **options: Any) -> Any:
        """Return the result of a method of MilvusClient. Raises VectorServerError and ExtraMissing."""
        client = self._connect()
        from grpc import RpcError
        from pymilvus.exceptions import MilvusException

        try:
            return getattr(client, name)(*arguments, timeout=self._call_seconds, **options)
        except (MilvusException, RpcError, OSError, ValueError) as error:
            self._raise(error)

    def connect(self) -> None:
        """Open the connection. Raises VectorServerError and ExtraMissing."""
        self._connect()

    def close(self) -> None:
        """Close the connection; the next call opens it again."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _connect(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = self._open()
            return self._client

    def _open(self) -> Any:
        try:
            from pymilvus import MilvusClient
        except ImportError as error:
            raise ExtraMissing("A Milvus server", "milvus") from error
        from grpc import RpcError
        from pymilvus.exceptions import MilvusException

        ignore_pymilvus_messages()
        self.address.check_files()
        if self.address.is_local:
            lite.check_folder(self.address.uri, self._may_create)
        try:
            return MilvusClient(
                uri=self.address.uri,
                token=self._token,
                timeout=min(CONNECT_SECONDS, self._call_seconds),
                dedicated=True,
                grpc_options=GRPC_OPTIONS,
                **self.address.options,
            )
        except (MilvusException, RpcError, OSError, ValueError) as error:
            if self.address.is_local:
                raise VectorServerError(lite.opening_problem(self.address.uri)) from error
            self._raise(error)

    def _raise(self, error: Exception) -> NoReturn:
        """Raise an error that says what to do; it never contains the token."""
        reason = _reason(error)
        if self._token:
            reason = reason.replace(self._token, "...")
        lowered = reason.lower()
        if "auth" in lowered or "permission" in lowered:
            raise VectorServerError(
                f"The Milvus server {self.address.text} refuses access ({reason}). Set {TOKEN_VARIABLE} to "
                "its token, or to USER:PASSWORD."
            ) from error
        if "connect" in lowered or "unavailable" in lowered or "deadline" in lowered or "timeout" in lowered:
            raise VectorServerError(
                f"The Milvus server {self.address.text} cannot be reached ({reason}). Start it, or "
                f"{lite.LOCAL_HINT}."
            ) from error
        raise VectorServerError(f"The Milvus server {self.address.text} fails: {reason}.") from error


def _reason(error: BaseException) -> str:
    """Return the first line of what a server has answered, or of what pymilvus says of it."""
    causes = [error]
    while (cause := causes[-1].__cause__) is not None and cause not in causes:  # pymilvus raises "e from e"
        causes.append(cause)
    answer = next((cause for cause in causes if hasattr(cause, "details")), None)  # of gRPC
    details = "" if answer is None else str(answer.details())
    return (details or str(getattr(error, "message", "") or error)).strip().partition("\n")[0].rstrip(".")
