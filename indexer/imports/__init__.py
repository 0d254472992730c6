"""Read the vectors that other programs or machines have stored, and match them with the files.

adoption        The stored vectors of the files of a run, and the segments that lack them.
base            Stored images, the protocol of sources, and the result of an import.
clip_retrieval  Read the folder of embeddings that clip-retrieval and `clew export` write.
common_folders  Find the folders that contain the files of a source.
matching        Match stored images with files by path, size and time.
model_check     Compare stored vectors with those of a model.
rclip           Read the database of rclip.
shards          Commit the shards of `clew embed` into a library.
source_path     Open the source at a path.
"""
