"""`bluegreen rollback` with a migration.yaml that says less than it should: tabs, misspelt keys, no file, no home folder."""

from __future__ import annotations

import pytest

from tests.fakes.project import SPLITS, Project

ALL = set(SPLITS)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("edge: stacks", "edge: stacks"),
        ("  plum: {", "\tplum: {"),
        ("  fern: {", "\tfern: {"),
        ("edge: stacks", "edge:\tstacks"),
        ("clusters:\n", "clusters:\t\n"),
    ],
    ids=["at the end", "before blue", "before green", "behind a colon", "behind a line"],
)
def test_tabs_in_migration_yaml_stop_no_rollback(project: Project, old: str, new: str) -> None:
    text = project.file.read_text().replace(old, new)
    project.file.write_text(text + ("\tpolicy: {}\n" if old == new else "polcy: {[\n"))
    code, rolled, told = project.run("rollback")
    assert (code, project.at_blue(), rolled["complete"]) == (0, ALL, True)
    assert "migration.yaml" in told
    assert project.run("status")[0] == 2, "everybody else is strict"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("edge: stacks", "egde: stacks"),
        ("edge: stacks", "edgee: stacks"),
        ("edge: stacks/Pulumi.edge.yaml\n", ""),
        ("clusters:", "cluster:"),
        ("kubeconfig: plum", "kubeconfg: plum"),
    ],
)
def test_a_misspelt_key_is_read_by_the_one_that_is_meant(project: Project, old: str, new: str) -> None:
    project.file.write_text(project.file.read_text().replace(old, new))
    code, rolled, _ = project.run("rollback")
    assert (code, project.at_blue(), rolled["complete"]) == (0, ALL, True)
    assert project.run("status")[0] == 2


def test_a_misspelt_context_is_no_other_cluster(project: Project) -> None:
    project.file.write_text(project.file.read_text().replace("plum: {", "plum: {contxt: nowhere, "))
    code, _, told = project.run("rollback")
    assert code == 2
    assert "nowhere" in told


@pytest.mark.parametrize("how", ["empty", "a folder", "gone"])
def test_without_a_migration_yaml_the_rollback_by_pulumi_is_named(project: Project, how: str) -> None:
    project.file.unlink()
    if how == "empty":
        project.file.write_text("")
    elif how == "a folder":
        project.file.mkdir()
    code, document, _ = project.run("rollback")
    assert code == 2
    remedy = document["error"]["remedy"]
    assert f"set every share of bluegreen:services to 0 in {project.edge}" in remedy
    assert "`pulumi up --stack edge`" in remedy


def test_a_home_folder_that_does_not_exist_is_reported_as_status_reports_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere(self: object) -> object:
        raise RuntimeError("Could not determine home directory.")

    project.file.write_text(project.file.read_text().replace("kubeconfig: plum", "kubeconfig: ~/plum"))
    monkeypatch.setattr("pathlib.Path.expanduser", nowhere)
    _, strict, _ = project.run("status")
    code, document, told = project.run("rollback")
    assert code == 2
    assert document["error"]["message"] == strict["error"]["message"]
    assert "there is no such home folder" in told
    assert "add plum" not in told
