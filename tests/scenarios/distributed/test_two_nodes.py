"""A Ray cluster of two nodes, each in a network namespace of this machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from indexer import ShardOptions, embed_shards
from tests.support.catalog import REPOSITORY_ROOT
from tests.support.shards import draw_media, shard_hashes
from tests.support.toy_embedder import ToyEmbedder

pytestmark = pytest.mark.large
RAY = str(Path(sys.executable).with_name("ray"))
PORT = 26379
CURRENT_CLUSTER = Path("/tmp/ray/ray_current_cluster")  # written by the head node
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(REPOSITORY_ROOT),
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": "0123456789abcdef0123456789abcdef",
}


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=240, **options)


@pytest.fixture
def namespaces():
    """Create two network namespaces that are linked; return name -> address."""
    mark = f"clew{os.getpid()}"
    first, second = f"{mark}a", f"{mark}b"
    commands = f"""netns add {first}
        netns add {second}
        link add {mark}x netns {first} type veth peer name {mark}y netns {second}
        -n {first} addr add 10.77.0.1/24 dev {mark}x
        -n {second} addr add 10.77.0.2/24 dev {mark}y
        -n {first} link set {mark}x up
        -n {second} link set {mark}y up
        -n {first} link set lo up
        -n {second} link set lo up"""
    try:
        for command in commands.splitlines():
            try:
                done = run("ip", *command.split())
            except FileNotFoundError:
                pytest.skip("this machine has no `ip`")
            if done.returncode:
                pytest.skip(f"this machine permits no network namespaces: {done.stderr.strip()}")
        yield {first: "10.77.0.1", second: "10.77.0.2"}
    finally:
        for name in (first, second):
            run("ip", "netns", "delete", name)


def start_node(namespace, address, *options, own_files=False):
    """Start the processes of a node in the foreground; they end with the process that is returned."""
    # Each node of a cluster has a /tmp/ray of its own, in which a driver looks for the node of its machine.
    script = 'mkdir -p /tmp/ray && mount -t tmpfs none /tmp/ray && exec "$@"'
    command = [
        *("ip", "netns", "exec", namespace, *(("sh", "-c", script, "sh") if own_files else ())),
        *(RAY, "start", "--block", "--disable-usage-stats", "--num-cpus=1"),
        *(f"--node-ip-address={address}", "--object-store-memory=100000000", *options),
    ]
    return subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=REPOSITORY_ROOT,
        env=ENVIRONMENT,
    )


def wait_for_port(namespace, address):
    """Wait until a process in a namespace listens on the port of the head node."""
    code = f"""
import socket, time
for _ in range(240):
    try:
        socket.create_connection(({address!r}, {PORT}), 1).close()
        break
    except OSError:
        time.sleep(0.25)
"""
    run("ip", "netns", "exec", namespace, sys.executable, "-c", code)


@pytest.fixture
def cluster(namespaces, tmp_path):
    """Start a head node and another one; return the namespace and the address of the head."""
    (head, address), (other, other_address) = namespaces.items()
    nodes = [start_node(head, address, "--head", f"--port={PORT}", "--include-dashboard=false")]
    wait_for_port(head, address)
    nodes.append(start_node(other, other_address, f"--address={address}:{PORT}", own_files=True))
    try:
        yield head, f"{address}:{PORT}"
    finally:
        for node in reversed(nodes):
            node.terminate()
            node.wait(60)
        if CURRENT_CLUSTER.exists() and CURRENT_CLUSTER.read_text() == f"{address}:{PORT}":
            CURRENT_CLUSTER.unlink()


def test_two_nodes_write_the_shards_of_a_single_process(cluster, tmp_path):
    head, address = cluster
    media = draw_media(tmp_path / "media")
    embed_shards(media, tmp_path / "single", embedder=ToyEmbedder(), options=ShardOptions(files_per_shard=4))
    (tmp_path / "nodes").mkdir()
    done = run(
        *("ip", "netns", "exec", head, sys.executable, "-m", "tests.support.two_nodes"),
        *(str(media), str(tmp_path / "out"), str(tmp_path / "nodes"), address),
        cwd=REPOSITORY_ROOT,
        env=ENVIRONMENT,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "nodes").iterdir()) == ["10.77.0.1", "10.77.0.2"]
    assert shard_hashes(tmp_path / "out") == shard_hashes(tmp_path / "single")
