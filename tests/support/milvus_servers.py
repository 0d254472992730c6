"""Milvus servers on loopback: milvus-lite in this process or its own, and the standalone server of 2024."""

import os
import selectors
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from contextlib import closing, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from indexer.maintenance.publish.collection_writer import CollectionWriter
from retrieval.vectors.milvus.index import MAX_LISTED_IDS, MilvusIndex
from retrieval.vectors.milvus.server import MilvusServer

START_SECONDS = 90
HAS_LITE = find_spec("pymilvus") is not None and find_spec("milvus_lite") is not None
needs_lite = pytest.mark.skipif(not HAS_LITE, reason="pymilvus and milvus-lite are not installed")
IN_NAMESPACE = ["unshare", "--net"]


def has_standalone():
    """Return True if the standalone server is installed and can run in its own network namespace."""
    if find_spec("milvus") is None or find_spec("pymilvus") is None or shutil.which("unshare") is None:
        return False
    return (
        subprocess.run([*IN_NAMESPACE, "ip", "link", "set", "lo", "up"], capture_output=True).returncode == 0
    )


def build_collection(server, name, ids, vectors, kind="image"):
    """Write rows of one kind into a new collection."""
    writer = CollectionWriter(server, name, vectors.shape[1])
    writer.create("a test")
    for at in range(0, len(ids), 4_000):
        rows = slice(at, at + 4_000)
        writer.upsert(ids[rows], [kind] * len(ids[rows]), vectors[rows])
    writer.finish(len(ids))
    return writer


def build_index(server, name, ids, vectors, max_listed_ids=MAX_LISTED_IDS):
    """Return an index of rows of one kind in a new collection."""
    rows = build_collection(server, name, ids, vectors).rows
    return MilvusIndex(rows, "image", int(ids[-1]), max_listed_ids=max_listed_ids)


@contextmanager
def lite_in_process(folder):
    """Yield a connection to milvus-lite in this process."""
    from milvus_lite.server_manager import server_manager_instance

    address = str(folder / "vectors.db")
    with closing(MilvusServer(address)) as server:
        yield server
    server_manager_instance.release_server(address)


class LiteServer:
    """milvus-lite as a server in its own process, which can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.process = None

    def start(self):
        command = [sys.executable, "-m", "milvus_lite.cmdline", "server", "--data-dir", str(self.folder)]
        self.process = subprocess.Popen(  # without --host it listens on all addresses
            [*command, "--host", "127.0.0.1", "--port", str(self.port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for_port(self.port)
        return self

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@contextmanager
def lite_server(folder):
    """Yield a running LiteServer."""
    server = LiteServer(folder)
    try:
        yield server.start()
    finally:
        server.kill()


class StandaloneServer:
    """The server of the package `milvus`, alone in a network namespace and reached through a relay."""

    def __init__(self, folder: Path, *settings: str) -> None:
        self.folder, self.settings = folder, settings
        self.socket = folder / "s"
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.process = None

    def start(self):
        self.socket.unlink(missing_ok=True)
        command = [*IN_NAMESPACE, sys.executable, "-m", "tests.support.milvus_standalone"]
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [*command, str(self.folder), *self.settings], stdout=log, stderr=log, start_new_session=True
            )
        for _ in range(10 * START_SECONDS):
            if self.socket.exists():
                return self
            assert self.process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.1)
        raise TimeoutError((self.folder / "log").read_text())

    def kill(self):
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@contextmanager
def standalone_server(folder, *settings):
    """Yield a running StandaloneServer. `settings` are NAME=VALUE of its configuration."""
    server = StandaloneServer(folder, *settings)
    try:
        with relay(("127.0.0.1", server.port), str(server.socket)):
            yield server.start()
    finally:
        server.kill()


@contextmanager
def relay(listen, connect, context=None):
    """Pass each connection on from one address to another; with an SSL context, decrypt it before."""
    listener = socket.socket(_family(listen), socket.SOCK_STREAM)
    with listener:
        if isinstance(listen, tuple):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(listen)
        listener.listen()
        Thread(target=_accept, args=(listener, connect, context), daemon=True).start()
        try:
            yield
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)


def _family(address):
    return socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX


def _accept(listener, connect, context):
    while True:
        try:
            client = listener.accept()[0]
        except OSError:
            return
        Thread(target=_pass_on, args=(client, connect, context), daemon=True).start()


def _pass_on(client, connect, context):
    with suppress(OSError), socket.socket(_family(connect), socket.SOCK_STREAM) as target:
        if context is not None:
            client = context.wrap_socket(client, server_side=True)
        with client, selectors.DefaultSelector() as selector:
            target.connect(connect)
            selector.register(client, selectors.EVENT_READ, target)
            selector.register(target, selectors.EVENT_READ, client)
            while True:
                for key, _ in selector.select():
                    data = key.fileobj.recv(1 << 16)
                    while isinstance(key.fileobj, ssl.SSLSocket) and key.fileobj.pending():
                        data += key.fileobj.recv(1 << 16)
                    if not data:
                        return
                    key.data.sendall(data)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_port(port):
    for _ in range(10 * START_SECONDS):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise TimeoutError(port)


def unit_vectors(count, dim, seed=0):
    """Return random unit vectors, rounded to float16 as in a library."""
    rows = np.random.default_rng(seed).standard_normal((count, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)
