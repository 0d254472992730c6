"""Tests of the file systems that paths are on, and of private copies."""

import os

import pytest

from retrieval.file_systems import NETWORK_FILE_SYSTEMS, innermost_type, local_file, parse_mounts

MOUNTS = rb"""
/dev/vda1 / ext4 rw,relatime 0 0
overlay /var/lib/docker overlay rw 0 0
/etc/auto.home /home autofs rw,fd=6 0 0
nas:/home/ada /home nfs4 rw,vers=4.2,addr=10.0.0.2 0 0
nas:/old /mnt/old nfs rw,vers=3 0 0
//nas/photos /mnt/my\040photos cifs rw,vers=3.1.1 0 0
ada@host:/data /mnt/my\040photos/ssh fuse.sshfs rw 0 0
/dev/sdb1 /mnt/usb fuseblk rw 0 0
C:\134 /mnt/c 9p rw,aname=drvfs 0 0
share /mnt/tab\011line\012back\134040 smb3 rw 0 0
/dev/sdc1 /mnt/my\040photos/local xfs rw 0 0
broken
"""
SAMPLES = {
    b"/": "ext4",
    b"/home/ada/photos": "nfs4",
    b"/homes": "ext4",
    b"/mnt/old": "nfs",
    b"/mnt/my photos/2024": "cifs",
    b"/mnt/my photos/ssh/x": "sshfs",
    b"/mnt/my photos/local": "xfs",
    b"/mnt/usb/x": "fuseblk",
    b"/mnt/c/Users": "9p",
    b"/mnt/tab\tline\nback\\040": "smb3",
}


@pytest.mark.parametrize("path", SAMPLES)
def test_type_of_a_path_is_that_of_its_innermost_mount(path):
    assert innermost_type(path, parse_mounts(MOUNTS)) == SAMPLES[path]


def test_type_of_a_path_is_unknown_without_mounts():
    assert innermost_type(b"/", parse_mounts(b"")) == ""


def test_drives_of_other_machines_are_network_drives():
    kinds = {"nfs", "nfs4", "cifs", "smb3", "9p", "sshfs"}
    assert {kind for kind in SAMPLES.values() if kind in NETWORK_FILE_SYSTEMS} == kinds


def test_file_on_a_network_drive_is_copied_to_map_it(tmp_path, mount_drive, monkeypatch):
    file = tmp_path / "drive" / "file"
    file.parent.mkdir()
    file.write_bytes(b"content")
    with local_file(file) as local:
        assert local == file
    mount_drive(file.parent, "nfs4")
    with local_file(file) as local:
        assert (local.read_bytes(), os.path.samefile(local, file)) == (b"content", False)
    assert not local.exists()
