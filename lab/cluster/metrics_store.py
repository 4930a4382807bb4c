"""The lab's Prometheus-compatible store: VictoriaMetrics, scraping every cluster's Envoy once a second.

Targets are a file that is rewritten when a cluster comes or goes; series carry `cluster` (its name) and Envoy's own labels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.layout import METRICS_PORT, Block

NAME = "victoria-metrics"


def write_targets(folder: Path, targets: Mapping[str, str]) -> None:
    """`targets`: cluster name -> host:port of its Envoy's admin interface."""
    folder.mkdir(parents=True, exist_ok=True)
    content = [{"targets": [address], "labels": {"cluster": name}} for name, address in sorted(targets.items())]
    temporary = folder / "targets.json.new"
    temporary.write_text(json.dumps(content))
    temporary.rename(folder / "targets.json")


def command(programs: Path, block: Block, folder: Path) -> Sequence[str]:
    folder.mkdir(parents=True, exist_ok=True)
    job = {
        "job_name": "gateways",
        "scrape_interval": "1s",
        "scrape_timeout": "900ms",
        "metrics_path": "/stats/prometheus",
        "file_sd_configs": [{"files": [str(folder / "targets.json")]}],
    }
    (folder / "scrape.json").write_text(json.dumps({"scrape_configs": [job]}))
    return [
        str(programs / NAME),
        f"-httpListenAddr={block.services}:{METRICS_PORT}",
        f"-storageDataPath={folder / 'data'}",
        f"-promscrape.config={folder / 'scrape.json'}",
        "-promscrape.fileSDCheckInterval=1s",
        "-search.latencyOffset=0s",
        "-retentionPeriod=2d",
        "-memory.allowedBytes=256MB",
        "-loggerLevel=WARN",
    ]
