"""One API server, whose name only a proxy resolves, and everything that kubeconfigs may say of a user of it."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

import routing
from lab import layout, programs
from lab.cluster import control_plane
from tests.lab.support.connect_proxy import ConnectProxy, running

KUBECTL = Path(sys.executable).with_name("kubectl")
NAME = "api.blue.invalid:6443"  # .invalid: nobody resolves it
IN_CERTIFICATE = "kubernetes.default.svc"
INTENT = routing.Intent({"blue": "plum", "green": "fern"}, {"plum": 10_000, "fern": 0}, {"shop/catalog": 250}, 17)
PASSWORD = "p@ss:word"


@dataclass(frozen=True)
class Server:
    folder: Path  # with ca.crt, token, me.crt, me.key and the programs of tests beside the kubeconfigs
    url: str
    token: str
    proxy: ConnectProxy
    guarded: ConnectProxy  # asks for a name and a password

    def write(self, cluster: dict[str, Any], user: dict[str, Any]) -> Path:
        """A kubeconfig among the files that it names."""
        path = self.folder / "config"
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "a",
            "contexts": [{"name": "a", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": user}],
        }
        path.write_text(json.dumps(document))
        return path


def kubectl(kubeconfig: Path, *arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [str(KUBECTL), f"--kubeconfig={kubeconfig}", "--request-timeout=10s", *arguments]
    environment = {**os.environ, "KUBECACHEDIR": str(kubeconfig.parent / "cache")}
    return subprocess.run(command, capture_output=True, text=True, check=False, input=given, env=environment, timeout=60)


@contextmanager
def served(root: Path) -> Iterator[Server]:
    built = programs.ensure()
    block, lock = layout.take_block(root)
    folder, addresses = root / "plum", block.cluster(1)
    access = control_plane.write_access("plum", addresses, folder)
    write_client(folder)
    commands = [
        control_plane.etcd(built.bin, addresses, folder),
        [*control_plane.api_server(built.bin, addresses, folder, "1.36"), f"--client-ca-file={folder / 'clients.crt'}"],
    ]
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for command in commands:
            with (folder / f"{Path(command[0]).name}.log").open("wb") as log:
                processes.append(subprocess.Popen(command, stdout=log, stderr=log, cwd=folder))
        deadline = time.monotonic() + 120
        while kubectl(access.kubeconfig, "get", "--raw", "/readyz").stdout != "ok":
            assert time.monotonic() < deadline, f"not ready: see {folder}"
            time.sleep(0.2)
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": routing.EDGE_NAMESPACE}}
        for each in (namespace, routing.record(INTENT)):
            applied = kubectl(access.kubeconfig, "apply", "--server-side", "-f", "-", given=json.dumps(each))
            assert applied.returncode == 0, applied.stderr
        (folder / "token").write_text(access.token + "\n")
        program(folder / "give-token", {"token": access.token})
        program(
            folder / "give-certificate",
            {
                name: (folder / file).read_text()
                for name, file in (("clientCertificateData", "me.crt"), ("clientKeyData", "me.key"))
            },
        )
        names = {NAME: (addresses.programs, layout.API_PORT)}
        with running(ConnectProxy(names)) as proxy, running(ConnectProxy(names, f"me:{PASSWORD}")) as guarded:
            yield Server(folder, access.url, access.token, proxy, guarded)
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()
        lock.close()


def program(path: Path, status: dict[str, str]) -> None:
    """A credential program that wants to know which cluster it is for."""
    answer = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
    path.with_suffix(".json").write_text(json.dumps(answer))
    path.write_text(
        f'#!/bin/sh\ncase "$KUBERNETES_EXEC_INFO" in *"{NAME.partition(":")[0]}"*) ;; *) exit 5;; esac\n'
        f'test "$WANTED" = yes || exit 6\ncat "{path.with_suffix(".json")}"\n'
    )
    path.chmod(0o700)


def write_client(folder: Path) -> None:
    """clients.crt, and me.crt and me.key signed by it: a user who may do everything."""
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)

    def named(*parts: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
        return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])

    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root_name = named((NameOID.COMMON_NAME, "clients"))
    me = named((NameOID.ORGANIZATION_NAME, "system:masters"), (NameOID.COMMON_NAME, "me"))
    for file, subject, public, extension in (
        ("clients.crt", root_name, root_key.public_key(), x509.BasicConstraints(ca=True, path_length=None)),
        ("me.crt", me, key.public_key(), x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])),
    ):
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(root_name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - day)
            .not_valid_after(now + day)
            .add_extension(extension, critical=True)
            .sign(root_key, hashes.SHA256())
        )
        (folder / file).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pem, kind = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "me.key").write_bytes(key.private_bytes(pem, kind, serialization.NoEncryption()))
