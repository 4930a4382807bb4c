"""The story goes on without what cannot be asked, and ends with the reasons where nothing is left."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from lab.client import LabError
from lab.demo import manifests, workloads
from lab.demo.story import Story
from lab.demo.view import Tail, View
from lab.layout import CHECKOUT

INSTALLS = CHECKOUT / "tests" / "installs"


def told(folder: Path, *, whole: bool) -> tuple[Story, io.StringIO]:
    names = ("quiet.yaml", "dashboard.yaml")
    work = workloads.prepare([each for name in names for each in manifests.read(INSTALLS / name).objects])
    lab: Any = SimpleNamespace(client=SimpleNamespace(cluster=lambda name: {"gateway": {"port": 8080}}))
    project: Any = SimpleNamespace(environment={"BLUEGREEN_DNS": "127.64.0.1:5353"})
    said = io.StringIO()
    view = View("t", "fern", Tail(folder / "none"), [], dict, Console(file=said, width=40))
    return Story(lab, project, work, view, folder, 10.0, whole=whole), said


def test_clients_no_longer_ask_for_a_service_that_is_left_out(tmp_path: Path) -> None:
    story, said = told(tmp_path, whole=False)
    assert story.services == ["cluster-page/page-scraper", "quiet/quiet"]
    (tmp_path / "load.json").write_text(json.dumps({"seconds": 900}))
    story.leave_out("quiet/quiet", "refused: [spec.x: Required] [/x]")
    assert story.services == ["cluster-page/page-scraper"]
    load = json.loads((tmp_path / "load.json").read_text())
    assert load["seconds"] == 900
    assert [target["host"] for target in load["targets"]] == ["page-scraper.cluster-page.lab.test"]
    assert "left out: quiet/quiet: refused: [spec.x: Required] [/x]\n" in said.getvalue()


def test_leaving_out_the_last_service_ends_the_story_with_all_reasons(tmp_path: Path) -> None:
    story, _ = told(tmp_path, whole=False)
    (tmp_path / "load.json").write_text(json.dumps({"seconds": 900}))
    story.leave_out("quiet/quiet", "refused: [spec.x: Required] [/x]")
    with pytest.raises(LabError) as caught:
        story.leave_out("cluster-page/page-scraper", "no node takes it")
    assert "nothing is left that users could ask by HTTP" in str(caught.value)
    assert "VirtualService cluster-page/page-scraper: no node takes it" in str(caught.value)
    assert "Service cluster-page/cluster-page: none of its ports speaks plain HTTP" in str(caught.value)


def test_of_the_lab_s_own_shop_nothing_may_be_left_out(tmp_path: Path) -> None:
    story, _ = told(tmp_path, whole=True)
    with pytest.raises(LabError, match="quiet/quiet: no node takes it"):
        story.leave_out("quiet/quiet", "no node takes it")
