"""From a bad answer to zero: a service at 20 % whose green begins to fail."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

from lab.bench.ratios import MARK, ZERO, Object, row
from lab.bench.session import LIMIT_SECONDS, PAIRS, Bench
from lab.client import LabError
from lab.demo import manifests, measure
from lab.demo.story import BLUE, GREEN, Story
from lab.layout import REGION
from lab.project import TTL_SECONDS, ZONE

FLAGGER_SECONDS = 19.8
FAULT_BP = 2000
SERVICE, HOST = "shop/catalog", f"catalog.{ZONE}"


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
