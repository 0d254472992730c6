"""Read the image vectors that other programs have stored, and match them with the files.

adoption        The stored vectors of the files of a run, and the segments that lack them.
base            Stored images, the protocol of sources, and the checks of a vector.
clip_retrieval  Read the folder of embeddings that clip-retrieval and `clew export` write.
common_folders  Find the folders that contain the files of a source.
matching        Match stored images with files by path, size and time.
model_check     Compare stored vectors with those of a model.
rclip           Read the database of rclip.
source_path     Open the source at a path.
"""
