"""A Ray cluster of this machine writes the same shards, and the death of a worker costs nothing."""

import ipaddress
import sys
from contextlib import closing

import psutil
import pytest

from indexer import ShardOptions, embed_shards
from indexer.distributed.ray_pool import RayCluster, check_address, import_ray
from retrieval.errors import ClewError, ExtraMissing
from tests.support.files import draw_image
from tests.support.shards import DEADLY, DeadlyEmbedder, draw_media, shard_hashes
from tests.support.toy_embedder import ToyEmbedder


@pytest.fixture(scope="module")
def cluster():
    """Start a cluster with two processors, as `--ray local` does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(
            "RAY_AUTH_TOKEN", "0123456789abcdef0123456789abcdef"
        )  # else Ray writes one into the home
        with closing(RayCluster("local", 2)):
            yield


@pytest.fixture
def media(tmp_path):
    return draw_media(tmp_path / "media")


def embed(media, out, embedder, **options):
    options = ShardOptions(files_per_shard=4, **options)
    return embed_shards(media, out, embedder=embedder, options=options)


def listening_addresses():
    """Return the addresses on which the processes of the cluster listen."""
    children = psutil.Process().children(recursive=True)
    return {
        ipaddress.ip_address(connection.laddr.ip.removeprefix("::ffff:"))
        for child in children
        for connection in child.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }


def test_cluster_writes_the_shards_of_a_single_process(cluster, media, tmp_path):
    embed(media, tmp_path / "single", ToyEmbedder())
    result = embed(media, tmp_path / "ray", ToyEmbedder(), ray="local", workers=2)
    assert (result.shards, result.files, result.failed) == (4, 13, 1)
    assert shard_hashes(tmp_path / "ray") == shard_hashes(tmp_path / "single")


def test_more_workers_than_processors_do_not_wait_for_each_other(cluster, media, tmp_path):
    assert embed(media, tmp_path / "ray", ToyEmbedder(), ray="local", workers=5).shards == 4


def test_dead_worker_costs_nothing(cluster, media, tmp_path):
    draw_image(media / "colors" / "0.png", DEADLY)
    (tmp_path / "alive").touch()
    result = embed(media, tmp_path / "ray", DeadlyEmbedder(tmp_path / "alive"), ray="local", workers=1)
    assert not (tmp_path / "alive").exists()
    assert (result.files, result.failed) == (14, 1)
    embed(media, tmp_path / "single", ToyEmbedder())
    assert shard_hashes(tmp_path / "ray") == shard_hashes(tmp_path / "single")


def test_local_cluster_listens_on_the_loopback_interface_only(cluster):
    found = listening_addresses()
    assert found
    assert all(address.is_loopback for address in found)


def test_missing_ray_is_named_with_its_extra(media, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ExtraMissing, match=r"clew-search\[ray\]"):
        import_ray()


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9", "127.0.0.1:99999999"])
def test_address_without_a_cluster_is_refused_at_once(address):
    with pytest.raises(ClewError, match=f"Cannot use the Ray cluster {address}: "):
        check_address(address)


@pytest.mark.parametrize("address", ["auto", "10.0.0.1", "10.0.0.1:x", ":1"])
def test_invalid_address_is_refused(address):
    with pytest.raises(ClewError, match="Invalid Ray address"):
        check_address(address)
