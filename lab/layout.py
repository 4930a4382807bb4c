"""Where everything of one lab is: loopback addresses, ports, folders, and the environment that tools run with.

Every lab takes a block 127.N.0.0/16 of its own, so ports can be fixed and two labs on one machine never meet:

    127.N.0.1            services of the lab: control API, AWS, DNS, metrics store
    127.N.{16k}.1        the programs of cluster k (1..15)
    127.N.{16k}.10       the gateway of cluster k
    127.N.{16k+1..}.*    its pods
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

FIRST_BLOCK, LAST_BLOCK = 64, 127
MAX_CLUSTERS = 15

CONTROL_PORT, AWS_PORT, DNS_PORT, METRICS_PORT = 7000, 4566, 5353, 8428
API_PORT, ETCD_PORT, ETCD_PEER_PORT = 6443, 2379, 2380
ISTIOD_XDS_PORT, ISTIOD_MONITORING_PORT, ISTIOD_HTTP_PORT = 15010, 15014, 8080
ENVOY_ADMIN_PORT, POD_METRICS_PORT = 15000, 4443
PUBLIC_PORT, PEER_PORT = 8080, 15088
POD_PORT = 8080

CHECKOUT = Path(__file__).resolve().parent.parent
REGION = "eu-west-1"


class NoBlockFree(RuntimeError):
    """All blocks 127.64 to 127.127 are held by running labs."""


def default_root() -> Path:
    """BLUEGREEN_LAB_ROOT, or .lab under the checkout."""
    return Path(os.environ.get("BLUEGREEN_LAB_ROOT") or CHECKOUT / ".lab").absolute()


@dataclass(frozen=True)
class Block:
    """127.N.0.0/16."""

    number: int

    def __str__(self) -> str:
        return f"127.{self.number}"

    @property
    def services(self) -> str:
        return f"{self}.0.1"

    @property
    def control_url(self) -> str:
        return f"http://{self.services}:{CONTROL_PORT}"

    @property
    def aws_url(self) -> str:
        return f"http://{self.services}:{AWS_PORT}"

    @property
    def dns(self) -> str:
        return f"{self.services}:{DNS_PORT}"

    @property
    def metrics_url(self) -> str:
        return f"http://{self.services}:{METRICS_PORT}"

    def cluster(self, index: int) -> ClusterAddresses:
        if not 1 <= index <= MAX_CLUSTERS:
            raise ValueError(f"cluster index {index} is not in 1..{MAX_CLUSTERS}")
        return ClusterAddresses(self, index)


@dataclass(frozen=True)
class ClusterAddresses:
    """The addresses of cluster `index` of a block."""

    block: Block
    index: int

    @property
    def programs(self) -> str:
        return f"{self.block}.{16 * self.index}.1"

    @property
    def gateway(self) -> str:
        return f"{self.block}.{16 * self.index}.10"

    @property
    def api_url(self) -> str:
        return f"https://{self.programs}:{API_PORT}"

    @property
    def etcd_url(self) -> str:
        return f"http://{self.programs}:{ETCD_PORT}"

    @property
    def admin_url(self) -> str:
        return f"http://{self.programs}:{ENVOY_ADMIN_PORT}"

    @property
    def istiod_url(self) -> str:
        return f"http://{self.programs}:{ISTIOD_MONITORING_PORT}"

    def pods(self) -> Iterator[str]:
        """Every address a pod may get, in order."""
        for third in range(16 * self.index + 1, 16 * self.index + 16):
            for fourth in range(1, 255):
                yield f"{self.block}.{third}.{fourth}"


@dataclass(frozen=True)
class Folders:
    """What lies where under the lab's root."""

    root: Path

    @property
    def lab_file(self) -> Path:
        return self.root / "lab.json"

    @property
    def lock_file(self) -> Path:
        return self.root / "lab.lock"

    @property
    def run(self) -> Path:
        """One record per started program (see processes.py)."""
        return self.root / "run"

    @property
    def clusters(self) -> Path:
        return self.root / "clusters"

    def cluster(self, name: str) -> Path:
        return self.clusters / name


def take_block(root: Path) -> tuple[Block, IO[str]]:
    """A free block and the open lock file that holds it: the lock goes when this process ends, however it ends.

    The search starts at a number made from the root's path, so the same lab tends to keep its addresses.
    """
    runtime = _runtime_folder()
    count = LAST_BLOCK - FIRST_BLOCK + 1
    start = int.from_bytes(hashlib.sha256(str(root).encode()).digest()[:4], "big") % count
    for step in range(count):
        block = Block(FIRST_BLOCK + (start + step) % count)
        held = (runtime / f"block-{block.number}.lock").open("a+")
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            held.close()
            continue
        if _unused(block):
            held.truncate(0)
            held.write(f"{os.getpid()} {root}\n")
            held.flush()
            return block, held
        held.close()
    raise NoBlockFree(f"no free address block between 127.{FIRST_BLOCK} and 127.{LAST_BLOCK}: stop a running lab first")


def _unused(block: Block) -> bool:
    """Whether nobody, such as another user's lab, listens on the block's own ports."""
    for port in (CONTROL_PORT, AWS_PORT, METRICS_PORT, DNS_PORT):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((block.services, port))
            except OSError:
                return False
    return True


def _runtime_folder() -> Path:
    base = os.environ.get("XDG_RUNTIME_DIR")
    candidates = [Path(base) / "bluegreen-lab"] if base else []
    candidates.append(Path(os.environ.get("TMPDIR") or "/tmp") / f"bluegreen-lab-{os.getuid()}")
    for folder in candidates:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            continue
        if folder.stat().st_uid == os.getuid():
            return folder
    raise RuntimeError(f"no folder for lock files: tried {', '.join(map(str, candidates))}")


def prefork_socket(block: Block) -> Path:
    """Where the prefork parent of the engine's helpers listens: a short path, since a socket's may have 107 characters."""
    return _runtime_folder() / f"prefork-{block.number}.sock"


def environment(block: Block, root: Path, programs: Path) -> dict[str, str]:
    """What pulumi, bluegreen, boto3 and kubectl need in their environment to work on this lab."""
    path = [str(Path(sys.executable).parent), str(CHECKOUT / "lab" / "pulumi" / "bin"), str(programs)]
    return {
        "AWS_ENDPOINT_URL": block.aws_url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "PULUMI_HOME": str(root / "pulumi" / "home"),
        "PULUMI_BACKEND_URL": f"file://{root / 'pulumi'}",
        "PULUMI_CONFIG_PASSPHRASE": "lab",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PATH": os.pathsep.join([*path, os.environ.get("PATH", os.defpath)]),
        "BLUEGREEN_LAB": block.control_url,
        "BLUEGREEN_LAB_ROOT": str(root),
        "BLUEGREEN_DNS": block.dns,
        "BLUEGREEN_LAB_PREFORK": str(prefork_socket(block)),
    }
