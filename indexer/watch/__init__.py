"""Follow changes in the indexed folders.

background_analysis  Run the enabled analyses in a thread, and lock the library only while writing.
change_log           Record the changes of files in the catalog with SQLite triggers.
fs_events            File-system events below a folder, from the system or by polling.
options              Options of a watch: its delays and the file systems that are polled.
scheduler            Schedule rescans from file-system events, pending writes and timers.
watcher              Update a library while its files change.
write_detection      Detect files that are still being written.
"""
