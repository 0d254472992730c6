"""Write the catalog; nothing else writes.

analyses       The table `analyses`: which version has analyzed each content, and how far.
archives       Archives of a scan target: which are unchanged, and the files of the others.
caption_links  Write which images the captions of caption tables describe.
contents       Write contents and their metadata.
durability     Keep files intact after crashes, and detect and restore damaged pages of the catalog.
location       Resolve library and folder paths, and create the folder of a library.
lock           Lock a library, so that it has one writer at a time.
mounts         Remember the mount points in roots, and find those whose drive is disconnected.
roots          Write the roots of a library and the states of their files.
settings       Write the settings of a library.
spaces         Write the vector spaces of a library, one of which is active.
thumbnails     Write thumbnails to a separate file, after the catalog is committed.
writer         Write files, segments and vectors into the catalog.
"""
