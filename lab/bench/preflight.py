"""Processor time of `bluegreen preflight` at a large estate, against kubectl that gets the same objects."""

from __future__ import annotations

import asyncio
import json
import resource
from collections.abc import Callable

from lab.bench import estate
from lab.bench.clusters import client, rested, write
from lab.bench.ratios import MANY, OBJECTS, PREFLIGHT, pairs, row
from lab.bench.session import BIN, LIMIT_SECONDS, PAIRS, Bench
from lab.client import LabError
from lab.demo.story import BLUE


def preflight(bench: Bench) -> None:
    """Processor time, not time: what the API servers need for their answers is not the command's doing."""
    bench.in_time()
    asyncio.run(_estate(bench))
    kubectl, kinds = str(BIN / "kubectl"), ",".join(path.rpartition("/")[2] for path in estate.PATHS.values())
    get = [kubectl, f"--kubeconfig={bench.story.kubeconfig(BLUE)}", "get", kinds, "--all-namespaces", "-o", "json"]
    texts: list[str] = []
    ours, peer = pairs(
        PAIRS,
        lambda: processor_seconds(lambda: texts.append(bench.run(str(BIN / "bluegreen"), "--json", "preflight", expect=(3,)))),
        lambda: processor_seconds(lambda: bench.run(*get)),
        until=bench.began + LIMIT_SECONDS,
    )
    bench.few(len(ours))
    findings = json.loads(texts[-1])["findings"]
    if unknown := [each for each in findings if each["status"] == "unknown"]:
        raise LabError(f"preflight could not read everything: {unknown[0]}")
    if not any(each["code"] == "BG303" for each in findings):
        raise LabError(f"preflight found none of the estate's workloads without a probe: {len(findings)} findings")
    bench.add(row(f"{PREFLIGHT} / kubectl get -o json of the kinds of these objects", ours, peer))


def processor_seconds(act: Callable[[], object]) -> float:
    """Of the programs that are run and waited for, user and system together."""

    def used() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return children.ru_utime + children.ru_stime

    before = used()
    act()
    return used() - before


async def _estate(bench: Bench) -> None:
    """Blue with as many objects as are asked for, among them what was there to be copied."""
    async with client(bench, BLUE) as blue:
        for name in estate.namespaces(MANY - OBJECTS):
            await blue.request("POST", "/api/v1/namespaces", body={"metadata": {"name": name}})
        additions = [estate.gateway(), *estate.objects(MANY - OBJECTS)]
        await asyncio.gather(*(write(blue, each, estate.PATHS) for each in additions))
    await rested(bench)
