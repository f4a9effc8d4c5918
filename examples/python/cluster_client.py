"""A cluster client that goes on when a primary is killed.

    pip install redis
    python3 cluster_client.py [--kill] [host:port]
"""

import argparse
import os
import signal
import time

from redis.cluster import RedisCluster
from redis.exceptions import RedisError

KEY = "counter"
SECONDS = 10
"""The writes go on for so long."""
GAP = 0.1
"""A time without acknowledged writes is worth a line from here on."""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kill", action="store_true", help="kill the primary that serves the key")
    parser.add_argument("address", nargs="?", default="127.0.0.1:7000")
    args = parser.parse_args()
    host, _, port = args.address.rpartition(":")

    # Any node is enough to find the others.
    client = RedisCluster(host=host, port=int(port), decode_responses=True, socket_timeout=1)
    client.set("greeting", "hello")
    print("greeting:", client.get("greeting"))
    print(f"{KEY} is served by {owner(client).name}")

    count(client, args.kill)

    print(f"{KEY} is served by {owner(client).name}; it is {client.get(KEY)}")


def owner(client):
    """The primary that serves the key, as the client knows it."""
    return client.get_node_from_key(KEY)


def count(client, kill):
    """Writes numbers for some time; kills the primary in between, if asked."""
    started = acknowledged = time.monotonic()
    number = failed = 0
    while time.monotonic() < started + SECONDS:
        if kill and time.monotonic() > started + 2:
            kill = False
            kill_owner(client)
        try:
            client.set(KEY, number)
        except RedisError as error:
            failed += 1
            if failed == 1:
                print(f"write {number} has failed: {error!r}")
            time.sleep(0.02)
            continue
        now = time.monotonic()
        if now - acknowledged > GAP:
            print(f"write {number} was acknowledged {now - acknowledged:.2f} s after the one before")
        acknowledged = now
        number += 1
    print(f"{number} writes were acknowledged, {failed} attempts failed")


def kill_owner(client):
    """Ends the process of the primary that serves the key, which must be on this machine."""
    node = owner(client)
    pid = client.info("server", target_nodes=node)["process_id"]
    print(f"killing {node.name}, process {pid}")
    os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
