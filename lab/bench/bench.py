"""`make bench`: speed as ratios, both sides measured in one run on one lab, in pairs (ours, peer, ours, peer, ...).

Prints a table, fails where a limit is not kept (ratios.LIMITS_SECONDS), and writes bench.json in the lab's root:
[{name, ours, peer, ratio, unit}]. `ours` and `peer` are medians; ratio is peer / ours, so above 1 is better for us. A peer
that is quoted and not measured here says so in its row's name; a row without a peer has null there.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from rich.console import Console

from lab import programs
from lab.bench import estate
from lab.bench.ratios import (
    HELP,
    KINDS,
    MANY,
    MARK,
    OBJECTS,
    PREFLIGHT,
    UP,
    ZERO,
    Object,
    Row,
    at_rest,
    namespaces,
    objects,
    over,
    pairs,
    row,
    table,
)
from lab.client import Lab, LabError
from lab.demo import manifests, measure, workloads
from lab.demo.faults import FaultError
from lab.demo.story import BLUE, GREEN, POLICY, VERSIONS, Story, migration_file
from lab.demo.usage import SHOP
from lab.demo.view import Tail, View
from lab.layout import REGION, default_root
from lab.project import TTL_SECONDS, ZONE, Project
from migration.errors import BluegreenError

if TYPE_CHECKING:
    from migration.clients.kubernetes import Kubernetes
    from migration.replicate.plan import Change, Plan

PAIRS = 3
PLURALS = {
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "Secret": "/api/v1/namespaces/{}/secrets",
    "Service": "/api/v1/namespaces/{}/services",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
}
MADE_FROM_THEM = (  # by controllers; gone only some time after their owners
    "/apis/apps/v1/namespaces/{}/replicasets",
    "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices",
)
# What `kubectl get -o yaml` has and another API server refuses: identity, versions, allotted addresses.
SED = (
    "-E",
    "-e", r"/^    (uid|resourceVersion|creationTimestamp|generation|clusterIP):/d",
    "-e", r"/^    clusterIPs:/,/^    - /d",
)  # fmt: skip
CONCURRENCIES = (4, 8, 16, 32)
FLAGGER_SECONDS = 19.8
FAULT_BP = 2000
RATE = 120.0
COPIES_UNTIL_SECONDS, APPLY_UNTIL_SECONDS, LIMIT_SECONDS = 450.0, 590.0, 750.0  # since the bench began
PROGRAM_SECONDS = 180.0
SERVICE, HOST = "shop/catalog", f"catalog.{ZONE}"
BIN = Path(sys.executable).parent


# -- the whole -----------------------------------------------------------------------------------------------------------


@dataclass
class Bench:
    lab: Lab
    story: Story
    say: Callable[[str], None]
    began: float
    rows: list[Row]

    def add(self, measurement: Row) -> None:
        self.rows.append(measurement)
        self.say(table([measurement]).splitlines()[1].strip())

    def few(self, done: int) -> None:
        if done < PAIRS:
            self.say(f"only {done} of {PAIRS} pairs: this machine is busy with something else")

    def in_time(self) -> None:
        if time.monotonic() > self.began + LIMIT_SECONDS:
            raise LabError(f"the bench is not done after {LIMIT_SECONDS:.0f} s: this machine is busy with something else")

    def run(self, *command: str, given: str | None = None, expect: Sequence[int] = (0,)) -> str:
        """One whole program that ends with an expected code; what it printed."""
        done = subprocess.run(
            command, input=given, capture_output=True, text=True, timeout=PROGRAM_SECONDS, check=False,
            env={**os.environ, **self.story.project.environment}, cwd=self.story.project.folder,
        )  # fmt: skip
        if done.returncode not in expect:
            raise LabError(f"{' '.join(command[:6])} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
        return done.stdout


def bench() -> None:
    """Measures all, prints the table, writes bench.json in the lab's root; within a quarter of an hour. Leaves nothing."""
    console = Console(highlight=False)
    programs.ensure(console.print)
    root = default_root()
    folder = root / "bench"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "work").mkdir(parents=True)
    began = time.monotonic()
    rows: list[Row] = []
    try:
        with Lab.start(folder / "lab") as lab, (folder / "bench.log").open("a") as log:
            for name, version in VERSIONS.items():
                lab.client.create_cluster(name, version)
            for name in VERSIONS:
                lab.client.wait_ready(name)
            up = time.monotonic() - began
            story = _story(lab, folder, Console(file=log))
            session = Bench(lab, story, lambda text: console.print(text, soft_wrap=True), began, rows)
            session.add(row(UP, [up]))
            start_up(session)
            taken_back(session)
            copies(session)
            apply_stage(session)
            preflight(session)
    except (BluegreenError, FaultError, subprocess.TimeoutExpired) as problem:
        raise LabError(f"the bench stopped: {problem}") from problem
    finally:
        (root / "bench.json").write_text(json.dumps([asdict(each) for each in rows], indent=2) + "\n")
    console.print(f"\nratio is peer / ours: above 1 is better for us\n{table(rows)}\n{root / 'bench.json'}", soft_wrap=True)
    if slow := over(rows):
        raise LabError(f"slower than it may be (is this machine busy?): {'; '.join(slow)}")


def _story(lab: Lab, folder: Path, console: Console) -> Story:
    """One service in front of both gateways, its name in DNS, and the files of a migration."""
    shop = manifests.read(SHOP / "catalog.yaml").objects
    work = workloads.prepare(shop, ZONE)
    project = Project.create(folder / "work", lab.client.environment(), hosts=[HOST])
    project.set_sides(BLUE, GREEN)
    policy = POLICY | {"steps_bp": [FAULT_BP, 10_000], "dwell_seconds": 20}
    wanted = migration_file(lab.client, BLUE, GREEN, policy)
    (project.folder / "migration.yaml").write_text(yaml.safe_dump(wanted, sort_keys=False))
    view = View("bench", GREEN, Tail(folder / "requests.jsonl"), [(SERVICE, HOST)], dict, console)
    return Story(lab, project, work, view, folder, RATE)


def start_up(bench: Bench) -> None:
    def helps(program: str) -> Callable[[], float]:
        return lambda: timed(lambda: bench.run(str(BIN / program), "--help"))

    ours, peer = pairs(7, helps("bluegreen"), helps("kubectl"))
    bench.add(row(f"{HELP} / kubectl --help", ours, peer))


def timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


# -- from a bad answer to zero -------------------------------------------------------------------------------------------


def taken_back(bench: Bench) -> None:
    """A service at 20 % whose green answers half its requests with errors, three times; from the clients' records."""
    story = bench.story
    for cluster in (BLUE, GREEN):
        on_it = story.work.objects if cluster == BLUE else ()
        refused = manifests.bring_up(story.kubeconfig(cluster), (_public(), *on_it))
        if refused:
            raise LabError(f"{cluster} refused {refused[0][1]}")
    _name(story)
    story.bluegreen("replicate", "--yes")
    story.bluegreen("verify", SERVICE)
    story.bluegreen("enroll", SERVICE, "--yes")
    seconds = []
    with story.load(LIMIT_SECONDS):
        story.until(lambda: story.all_served_by(BLUE, 0.0), f"{HOST} is served by {BLUE}")
        for number in range(PAIRS):
            bench.in_time()
            seconds.append(_one_fault(story, ["--retry", SERVICE] if number else []))
    bench.add(
        row(
            f"{ZERO}, at {FAULT_BP / 100:g} % (peer: Flagger 1.41 at its tightest on these parts, quoted, "
            "not measured in this run)",
            seconds,
            FLAGGER_SECONDS,
        )
    )


def _one_fault(story: Story, retry: Sequence[str]) -> float:
    since = time.time()

    def green_answers() -> bool:
        return any(r.get("cluster") == GREEN and r["t"] > since for r in measure.read_tail(story.records))

    def break_it() -> None:
        story.until(lambda: story.live_splits().get(SERVICE, 0) >= FAULT_BP, f"{SERVICE} at {FAULT_BP / 100:g} %")
        story.until(green_answers, f"{GREEN} answers")
        story.fault(SERVICE, errors="0.5")

    breaker = threading.Thread(target=break_it, daemon=True)
    breaker.start()
    story.bluegreen("shift", *retry, "--yes", expect=(4,))
    breaker.join()
    ended = time.time()
    story.until(lambda: time.time() > ended + 1 and story.all_served_by(BLUE, ended), f"everything served by {BLUE}")
    until = time.time()
    story.fault(SERVICE, errors=None)
    seconds_to_zero, _ = measure.taken_back(measure.read(story.records), [HOST], green=GREEN, since=since, until=until)
    if seconds_to_zero is None:
        raise LabError("the fault made no bad answer")
    return seconds_to_zero


def _public() -> Object:
    server = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "public", "namespace": "istio-system"},
        "spec": {"selector": {"istio": "ingressgateway"}, "servers": [server]},
    }


def _name(story: Story) -> None:
    """Weighted records of both gateways for the service's name, as the edge stack makes them."""
    import boto3

    environment = story.project.environment
    client = boto3.client(
        "route53", endpoint_url=environment["AWS_ENDPOINT_URL"], region_name=REGION,
        aws_access_key_id="test", aws_secret_access_key="test",
    )  # fmt: skip
    zone = client.create_hosted_zone(Name=ZONE, CallerReference=MARK)["HostedZone"]["Id"]
    changes: list[Any] = [
        {
            "Action": "CREATE",
            "ResourceRecordSet": {
                "Name": HOST,
                "Type": "A",
                "SetIdentifier": cluster,
                "Weight": 255 if cluster == BLUE else 0,
                "TTL": TTL_SECONDS,
                "ResourceRecords": [{"Value": story.lab.client.cluster(cluster)["gateway"]["address"]}],
            },
        }
        for cluster in (BLUE, GREEN)
    ]
    client.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})


# -- copies --------------------------------------------------------------------------------------------------------------


def copies(bench: Bench) -> None:
    """All of blue's objects to green: first, and again unchanged when the controllers have done what the first one made
    them do.
    """
    asyncio.run(_fill(bench))
    again: list[list[float]] = [[], []]

    def ours() -> float:
        seconds = timed(lambda: _replicate(bench, created=OBJECTS))
        asyncio.run(_rested(bench))
        again[0].append(timed(lambda: _replicate(bench, created=0)))
        return seconds

    def peer() -> float:
        seconds = timed(lambda: _kubectl(bench))
        asyncio.run(_rested(bench))
        again[1].append(timed(lambda: _kubectl(bench)))
        return seconds

    first = pairs(PAIRS, ours, peer, before=lambda: _emptied(bench), until=bench.began + COPIES_UNTIL_SECONDS)
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


@asynccontextmanager
async def _client(bench: Bench, cluster: str) -> AsyncIterator[Kubernetes]:
    from migration.clients.kubernetes import Kubernetes

    async with Kubernetes.from_kubeconfig(bench.story.kubeconfig(cluster), name=cluster) as client:
        yield client


async def _fill(bench: Bench) -> None:
    """All objects on blue, written as kubectl would have; their namespaces on both."""
    for cluster in (BLUE, GREEN):
        async with _client(bench, cluster) as client:
            for name in namespaces():
                await client.request("POST", "/api/v1/namespaces", body={"metadata": {"name": name}})
            if cluster == BLUE:
                await asyncio.gather(*(_write(client, each, PLURALS) for each in objects()))


async def _write(client: Kubernetes, obj: Mapping[str, Any], paths: Mapping[str, str]) -> None:
    path = paths[obj["kind"]].format(obj["metadata"]["namespace"])
    await client.request("POST", path, query={"fieldManager": "kubectl-create"}, body=obj)


def _emptied(bench: Bench) -> None:
    """Green as before the first copy, and the controllers of both clusters done with it."""
    bench.in_time()

    async def empty() -> None:
        async with _client(bench, GREEN) as green:
            wanted = {"labelSelector": MARK}
            for template in PLURALS.values():
                await asyncio.gather(*(green.request("DELETE", template.format(n), query=wanted) for n in namespaces()))
            deadline = time.monotonic() + PROGRAM_SECONDS
            while await _left(green):
                if time.monotonic() > deadline:
                    raise LabError(f"{GREEN} is not empty after {PROGRAM_SECONDS:.0f} s")
                await asyncio.sleep(0.2)
        await _rested(bench)

    asyncio.run(empty())


async def _rested(bench: Bench) -> None:
    """Waits until nobody writes to either cluster any more: what is measured next is not measured beside controllers."""
    deadline = time.monotonic() + PROGRAM_SECONDS
    async with _client(bench, BLUE) as blue, _client(bench, GREEN) as green:
        histories: list[list[tuple[float, int]]] = [[], []]
        while True:
            pages = await asyncio.gather(
                *(each.request("GET", "/api/v1/namespaces", query={"limit": "1"}) for each in (blue, green))
            )
            for revisions, page in zip(histories, pages, strict=True):
                revisions.append((time.monotonic(), int(page["metadata"]["resourceVersion"])))
            if all(map(at_rest, histories)):
                return
            if time.monotonic() > deadline:
                raise LabError(f"{BLUE} and {GREEN} are still written to after {PROGRAM_SECONDS:.0f} s")
            await asyncio.sleep(0.25)


async def _left(green: Kubernetes) -> bool:
    for template in (*PLURALS.values(), *MADE_FROM_THEM):
        query = {"limit": "1"} | ({"labelSelector": MARK} if template not in MADE_FROM_THEM else {})
        pages = await asyncio.gather(*(green.request("GET", template.format(n), query=query) for n in namespaces()))
        if any(each.get("items") for each in pages):
            return True
    return False


# -- the apply stage -----------------------------------------------------------------------------------------------------


def apply_stage(bench: Bench) -> None:
    """A plan already made, against the same writes sent by a bare client at the best fixed concurrency."""
    from migration.replicate.apply import apply

    _emptied(bench)
    plan = asyncio.run(_plan(bench))
    changes = list(plan.of("create"))
    random.Random(20).shuffle(changes)
    part = len(changes) // len(CONCURRENCIES)
    rates = {
        number: asyncio.run(_raw(bench, changes[place * part : (place + 1) * part], number))
        for place, number in enumerate(CONCURRENCIES)
    }
    best = min(rates, key=rates.__getitem__)

    async def ours() -> float:
        async with _client(bench, GREEN) as green:
            await green.minor()  # connected, as in a command that has read before
            began = time.perf_counter()
            done = await apply(plan, green)
            seconds = time.perf_counter() - began
        if done.failures or done.created != len(changes):
            raise LabError(f"the apply stage made {done.created} of {len(changes)} objects: {done.failures[:1]}")
        return seconds

    times = pairs(
        PAIRS,
        lambda: asyncio.run(ours()),
        lambda: asyncio.run(_raw(bench, plan.of("create"), best)),
        before=lambda: _emptied(bench),
        until=bench.began + APPLY_UNTIL_SECONDS,
    )
    bench.few(len(times[0]))
    bench.add(
        row(
            f"{len(changes):,} objects, apply stage / the same writes by a bare client, {best} at a time",
            times[0],
            times[1],
        )
    )


async def _plan(bench: Bench) -> Plan:
    from migration.replicate.export import export
    from migration.replicate.plan import plan
    from migration.replicate.transform import transform
    from migration.settings.choices import in_namespaces

    async with _client(bench, BLUE) as blue, _client(bench, GREEN) as green:
        return await plan(transform(await export(blue, green, choices=in_namespaces(namespaces()))), green)


async def _raw(bench: Bench, changes: Sequence[Change], concurrency: int) -> float:
    """Seconds for these creates, bodies ready made."""
    import aiohttp

    from access import kubeconfig, tls

    access = kubeconfig.load(bench.story.kubeconfig(GREEN), cluster=GREEN)
    headers = {"Authorization": f"Bearer {access.token}", "Content-Type": "application/json"}
    todo = [
        (f"{access.server}{c.resource.path(c.obj['metadata'].get('namespace'))}?fieldManager=raw", json.dumps(c.obj).encode())
        for c in changes
    ]
    waiting = iter(todo)
    connector = aiohttp.TCPConnector(limit=concurrency, ssl=tls.context(access) or False)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def send() -> None:
            for url, body in waiting:
                async with session.post(url, data=body) as answer:
                    text = await answer.read()
                    if answer.status >= 300:
                        raise LabError(f"{url}: {text.decode(errors='replace')[:300]}")

        async with session.get(f"{access.server}/version") as answer:
            await answer.read()
        began = time.perf_counter()
        workers: list[Awaitable[None]] = [send() for _ in range(concurrency)]
        await asyncio.gather(*workers)
        return time.perf_counter() - began


# -- preflight -----------------------------------------------------------------------------------------------------------


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
    async with _client(bench, BLUE) as blue:
        for name in estate.namespaces(MANY - OBJECTS):
            await blue.request("POST", "/api/v1/namespaces", body={"metadata": {"name": name}})
        additions = [estate.gateway(), *estate.objects(MANY - OBJECTS)]
        await asyncio.gather(*(_write(blue, each, estate.PATHS) for each in additions))
    await _rested(bench)
