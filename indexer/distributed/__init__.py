"""Embed files into Parquet shards, on one machine or on a Ray cluster.

items        Group the files of sources into work items, in an order that does not depend on the run.
job          The parameters of a run that every worker gets, and its manifest.
options      Options and result of embedding files into shards.
pool         The protocol of workers, and the workers of this machine.
ray_pool     Workers on a Ray cluster.
remote       Open object stores through fsspec.
run          Run the work items that have no shard yet.
scheduler    Give items to workers; retry, split and give up those that end their worker.
shard_file   Read and write shards.
shard_folder The folder or object store of the shards.
sources      List the files of folders, archives and URLs.
worker       Decode and embed a work item, and write its shard.
"""
