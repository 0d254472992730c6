"""Driver of a test on two nodes: embeds a folder with a model that waits until both nodes have embedded."""

import sys
from contextlib import closing
from pathlib import Path
from time import monotonic, sleep

from indexer import ShardOptions, embed_shards
from indexer.distributed.ray_pool import RayCluster
from tests.support.toy_embedder import ToyEmbedder

WAIT_SECONDS = 90.0


class NodeEmbedder(ToyEmbedder):
    """A toy embedder that leaves a file for its node, and waits for that of the other node."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def embed_images(self, images):
        import ray

        (self.folder / ray.util.get_node_ip_address()).touch()
        end = monotonic() + WAIT_SECONDS
        while len(list(self.folder.iterdir())) < 2 and monotonic() < end:
            sleep(0.1)
        return super().embed_images(images)


def wait_for_nodes(count: int) -> None:
    """Wait until the cluster of this process has some nodes."""
    import ray

    end = monotonic() + WAIT_SECONDS
    while sum(node["Alive"] for node in ray.nodes()) < count and monotonic() < end:
        sleep(0.5)


if __name__ == "__main__":
    media, out, nodes, address = sys.argv[1:]
    with closing(RayCluster(address, 1)):
        wait_for_nodes(2)
        options = ShardOptions(ray=address, files_per_shard=4)
        embed_shards(media, out, embedder=NodeEmbedder(Path(nodes)), options=options)
