"""Find files and compare them with the catalog.

archive_files  List the files of an archive that have a decoder.
diff      Compare the files on disk with the catalog by merging two streams in path order.
entry_list     A list of files that takes a fraction of the memory.
links     Which links to folders a walk follows: one to each folder outside of the root.
mounts    Find the mount points of drives.
pattern_paths  Resolve exclude patterns that are paths as a shell takes them.
rules     Include and exclude rules of a root.
sidecars  Pair captions with images and subtitles with videos by file name.
targets   ScanTarget: a folder to scan and how.
walker    Walk a folder in path order and yield the files that have a decoder.
"""
