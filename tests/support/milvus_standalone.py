"""Run the server of the package `milvus` in a network namespace, and pass connections on from a socket.

The socket FOLDER/s appears when the server answers.
"""

import os
import subprocess
import sys
import time

from milvus import MilvusServer, MilvusServerConfig

from tests.support.milvus_servers import relay

if __name__ == "__main__":
    folder, *settings = sys.argv[1:]
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    config = MilvusServerConfig()
    for name, _, value in (setting.partition("=") for setting in settings):
        config.set(name, value)
    server = MilvusServer(config, data_dir=os.path.join(folder, "data"))
    server.start()
    with relay(os.path.join(folder, "s"), ("127.0.0.1", server.listen_port)):
        while server.server_proc.poll() is None:
            time.sleep(0.1)
