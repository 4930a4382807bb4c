"""python -m lab.aws --block 127.N --root DIR --control URL

AWS on 127.N.0.1:4566 and DNS on 127.N.0.1:5353, until SIGTERM. State is in memory and goes with the process.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType

from lab.layout import AWS_PORT, DNS_PORT, Block


def main() -> int:
    started = time.monotonic()
    parser = argparse.ArgumentParser(prog="python -m lab.aws")
    parser.add_argument("--block", required=True, help="the lab's addresses, 127.N")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--control", required=True, help="URL of the lab's control API")
    parser.add_argument("--pending", type=float, default=0.5, help="seconds a Route 53 change is PENDING")
    arguments = parser.parse_args()
    block = Block(int(arguments.block.removeprefix("127.")))
    os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")  # nobody reads AMIs here, and they cost a second
    os.environ.setdefault("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")  # clusters attach AWS's own

    from lab.aws import dns, route53
    from lab.aws.control import LabControl
    from lab.aws.network import MotoNetwork
    from lab.aws.server import App, serve

    route53.install(arguments.pending)
    server = serve(block.services, AWS_PORT, App(LabControl(arguments.control), MotoNetwork()))

    def stop(number: int, frame: FrameType | None) -> None:
        threading.Thread(target=server.shutdown, daemon=True).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    resolvers = dns.serve(block.services, DNS_PORT, route53.zones)
    print(f"ready after {time.monotonic() - started:.1f} s", flush=True)
    server.serve_forever()
    for resolver in resolvers:
        resolver.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
