"""All of blue's objects to green: `bluegreen replicate` against the pipeline of kubectl that people write."""

from __future__ import annotations

import asyncio
import json
import subprocess

from lab.bench.clusters import emptied, fill, rested
from lab.bench.ratios import KINDS, MARK, OBJECTS, pairs, row
from lab.bench.session import BIN, PAIRS, PROGRAM_SECONDS, Bench, timed
from lab.client import LabError
from lab.demo.story import BLUE, GREEN

# What `kubectl get -o yaml` has and another API server refuses: identity, versions, allotted addresses.
SED = (
    "-E",
    "-e", r"/^    (uid|resourceVersion|creationTimestamp|generation|clusterIP):/d",
    "-e", r"/^    clusterIPs:/,/^    - /d",
)  # fmt: skip
UNTIL_SECONDS = 450.0  # since the bench began


def copies(bench: Bench) -> None:
    """All of blue's objects to green: first, and again unchanged.

    The second time is when the controllers have done what the first one made them do.
    """
    asyncio.run(fill(bench))
    again: list[list[float]] = [[], []]

    def ours() -> float:
        seconds = timed(lambda: _replicate(bench, created=OBJECTS))
        asyncio.run(rested(bench))
        again[0].append(timed(lambda: _replicate(bench, created=0)))
        return seconds

    def peer() -> float:
        seconds = timed(lambda: _kubectl(bench))
        asyncio.run(rested(bench))
        again[1].append(timed(lambda: _kubectl(bench)))
        return seconds

    first = pairs(PAIRS, ours, peer, before=lambda: emptied(bench), until=bench.began + UNTIL_SECONDS)
    bench.few(len(first[0]))
    compared = "bluegreen replicate / kubectl get -o yaml | kubectl apply --server-side"
    bench.add(row(f"{OBJECTS:,} objects, first copy: {compared}", first[0], first[1]))
    bench.add(row(f"{OBJECTS:,} objects, again unchanged, clusters at rest: {compared}", again[0], again[1]))


def _replicate(bench: Bench, created: int) -> None:
    result = json.loads(bench.run(str(BIN / "bluegreen"), "--json", "replicate", "--yes"))
    if result["failures"] or result["created"] < created or (not created and result["writes"]):
        raise LabError(f"replicate made {result['created']} objects with {result['writes']} writes: {result['failures'][:1]}")


def _kubectl(bench: Bench) -> None:
    """The pipeline that people write; each part a whole process, all at once."""
    kubectl, kinds = str(BIN / "kubectl"), ",".join(f"{kind.lower()}s" for kind in KINDS)
    from_blue, to_green = (f"--kubeconfig={bench.story.kubeconfig(name)}" for name in (BLUE, GREEN))
    get = [kubectl, from_blue, "get", kinds, "--all-namespaces", "-l", MARK, "-o", "yaml"]
    with (
        subprocess.Popen(get, stdout=subprocess.PIPE) as read,
        subprocess.Popen(["sed", *SED], stdin=read.stdout, stdout=subprocess.PIPE) as strip,
        subprocess.Popen(
            [kubectl, to_green, "apply", "--server-side", "-f", "-"], stdin=strip.stdout, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        ) as write,
    ):  # fmt: skip
        for each in (read, strip):
            assert each.stdout is not None
            each.stdout.close()  # the next one has it
        output, errors = write.communicate(timeout=PROGRAM_SECONDS)
    if write.returncode or read.returncode or len(output.splitlines()) != OBJECTS:
        raise LabError(f"kubectl wrote {len(output.splitlines())} of {OBJECTS} objects: {errors.strip()[-500:]}")
