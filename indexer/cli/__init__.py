"""Commands that write a library, and the `clew` command group.

demo            clew demo: create and search a small library of photos.
embed           clew embed: embed files into Parquet shards, on one machine or on a Ray cluster.
evaluate        clew eval: measure a model or a library.
formats         clew formats: list the file formats that clew reads.
import_vectors  clew import: adopt the vectors of rclip or clip-retrieval.
index           clew index: index folders or update a library.
main            The `clew` command.
maintain        Commands that maintain a library.
models          clew prepare and clew switch: prepare a model, and change the model of a library.
organize        Commands that name what is in a library.
params          Click parameter types: byte sizes and durations.
progress        Progress of the writing commands in a terminal.
watch           clew watch, and clew serve with --watch: follow the changes of folders.
"""
