"""The Kubernetes half of a cluster: keys and kubeconfig, the programs' command lines, nodes and storage class."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lab.layout import API_PORT, ETCD_PEER_PORT, ClusterAddresses

STAGES = Path(__file__).resolve().parent / "stages"
SERVICE_RANGE = "172.20.0.0/16"
ZONES = ("eu-west-1a", "eu-west-1b", "eu-west-1c")
ADMIN = "lab-admin"
# HPAs are judged every 2 s and new pods' usage counts at once, so that a demo of minutes shows what takes a quarter of an hour.
AUTOSCALER = (
    "--horizontal-pod-autoscaler-sync-period=2s",
    "--horizontal-pod-autoscaler-initial-readiness-delay=1s",
    "--horizontal-pod-autoscaler-cpu-initialization-period=1s",
    "--horizontal-pod-autoscaler-downscale-stabilization=15s",
)


@dataclass(frozen=True)
class Access:
    """How one reaches a cluster's API server; told also while the cluster's folder is being removed."""

    url: str
    token: str
    ca: str  # its certificate in base64, as a kubeconfig has it
    ca_file: Path
    kubeconfig: Path


def write_access(name: str, addresses: ClusterAddresses, folder: Path) -> Access:
    """Writes CA, server certificate, service account key, token and kubeconfig of a new cluster."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    ca_key, ca = _certificate(f"{name} lab CA", None)
    key, certificate = _certificate("kube-apiserver", (ca_key, ca), addresses.programs)
    account_key = ec.generate_private_key(ec.SECP256R1())
    _write_secret(folder / "server.key", _pem(key))
    _write_secret(folder / "service-accounts.key", _pem(account_key))
    (folder / "server.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    authority = ca.public_bytes(serialization.Encoding.PEM)
    (folder / "ca.crt").write_bytes(authority)
    token = secrets.token_urlsafe(24)
    _write_secret(folder / "tokens.csv", f"{token},{ADMIN},{ADMIN},system:masters\n".encode())
    access = Access(addresses.api_url, token, base64.b64encode(authority).decode(), folder / "ca.crt", folder / "kubeconfig")
    _write_secret(access.kubeconfig, json.dumps(kubeconfig(name, access), indent=1).encode())
    return access


def kubeconfig(name: str, access: Access) -> dict[str, Any]:
    """A kubeconfig document whose one context is named like the cluster."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": {"server": access.url, "certificate-authority-data": access.ca}}],
        "users": [{"name": name, "user": {"token": access.token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
    }


def etcd(programs: Path, addresses: ClusterAddresses, folder: Path) -> Sequence[str]:
    peer = f"http://{addresses.programs}:{ETCD_PEER_PORT}"
    return [
        str(programs / "etcd"),
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={addresses.etcd_url}",
        f"--advertise-client-urls={addresses.etcd_url}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def audit_log(folder: Path) -> Path:
    """One JSON object a line, as api_server(audited=True) writes them: an Event of audit.k8s.io/v1."""
    return folder / "audit.log"


def _audit(folder: Path) -> Sequence[str]:
    """Every request, read or write, by its metadata; but for the lab's own programs and hand, which send most of them."""
    policy = {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [{"level": "None", "users": [ADMIN, "system:apiserver", "system:anonymous"]}, {"level": "Metadata"}],
    }
    (folder / "audit-policy.json").write_text(json.dumps(policy))
    # one after the other as they end, none thrown away under load
    log = audit_log(folder)
    return [f"--audit-policy-file={folder / 'audit-policy.json'}", f"--audit-log-path={log}", "--audit-log-mode=blocking"]


def api_server(
    programs: Path, addresses: ClusterAddresses, folder: Path, version: str, *, audited: bool = False
) -> Sequence[str]:
    """`audited`: who asked for what is written down (audit_log), but what the lab's own admin did."""
    return [
        str(programs / "kube-apiserver"),
        f"--etcd-servers={addresses.etcd_url}",
        f"--bind-address={addresses.programs}",
        f"--secure-port={API_PORT}",
        # The address of the `kubernetes` Service may not be loopback; nobody calls it here.
        "--advertise-address=192.0.2.1",
        "--endpoint-reconciler-type=none",
        f"--tls-cert-file={folder / 'server.crt'}",
        f"--tls-private-key-file={folder / 'server.key'}",
        f"--service-account-key-file={folder / 'service-accounts.key'}",
        f"--service-account-signing-key-file={folder / 'service-accounts.key'}",
        # each cluster has its own, as on EKS: a role of AWS that trusts the one does not trust the other
        f"--service-account-issuer=https://oidc.lab.test/id/{addresses.programs}",
        f"--token-auth-file={folder / 'tokens.csv'}",
        "--authorization-mode=Node,RBAC",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        "--allow-privileged=true",
        "--profiling=false",
        f"--emulated-version={version}",
        *(_audit(folder) if audited else ()),
    ]


def controller_manager(programs: Path, access: Access, folder: Path, version: str) -> Sequence[str]:
    return [
        str(programs / "kube-controller-manager"),
        f"--kubeconfig={access.kubeconfig}",
        f"--service-account-private-key-file={folder / 'service-accounts.key'}",
        f"--root-ca-file={folder / 'ca.crt'}",
        "--leader-elect=false",
        "--secure-port=0",
        "--controllers=*,-nodeipam,-cloud-node-lifecycle,-service-lb-controller,-node-route-controller",
        "--kube-api-qps=300",
        "--kube-api-burst=600",
        "--concurrent-deployment-syncs=10",
        "--concurrent-replicaset-syncs=10",
        f"--emulated-version={version}",
        *AUTOSCALER,
    ]


def scheduler(programs: Path, access: Access, version: str) -> Sequence[str]:
    return [
        str(programs / "kube-scheduler"),
        f"--kubeconfig={access.kubeconfig}",
        "--leader-elect=false",
        "--secure-port=0",
        "--kube-api-qps=300",
        "--kube-api-burst=600",
        f"--emulated-version={version}",
    ]


def kwok(programs: Path, access: Access, module_stages: Path) -> Sequence[str]:
    """Nodes and pods without machines: KWOK's own stages, but the lab's for pods that become ready (stages/)."""
    stages = [
        *sorted(STAGES.glob("*.yaml")),
        module_stages / "pod-complete.yaml",
        module_stages / "pod-delete.yaml",
        module_stages / "node-initialize.yaml",
        module_stages / "node-heartbeat-with-lease.yaml",
    ]
    return [
        str(programs / "kwok"),
        f"--kubeconfig={access.kubeconfig}",
        "--manage-all-nodes",
        "--node-lease-duration-seconds=40",
        *(f"--config={stage}" for stage in stages),
    ]


def nodes(name: str) -> list[dict[str, Any]]:
    """Three nodes, one per zone, large enough for whatever is tried."""
    objects = []
    for index, zone in enumerate(ZONES):
        node = f"{name}-{zone}"
        capacity = {"cpu": "400", "memory": "1600Gi", "pods": "5000", "ephemeral-storage": "10Ti"}
        objects.append(
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {
                    "name": node,
                    "labels": {
                        "kubernetes.io/hostname": node,
                        "kubernetes.io/os": "linux",
                        "kubernetes.io/arch": "amd64",
                        "node.kubernetes.io/instance-type": "m6i.32xlarge",
                        "topology.kubernetes.io/region": zone[:-1],
                        "topology.kubernetes.io/zone": zone,
                        "topology.ebs.csi.aws.com/zone": zone,
                        "eks.amazonaws.com/nodegroup": "lab",
                        "eks.amazonaws.com/capacityType": "ON_DEMAND",
                    },
                },
                "spec": {"providerID": f"aws:///{zone}/i-{index:017x}"},
                "status": {"allocatable": capacity, "capacity": capacity},
            }
        )
    return objects


def storage_class() -> Mapping[str, Any]:
    """gp3 as an EKS cluster with the EBS add-on has it; the lab's cloud binds the claims."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "gp3", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "ebs.csi.aws.com",
        "parameters": {"type": "gp3", "encrypted": "true"},
        "allowVolumeExpansion": True,
        "volumeBindingMode": "WaitForFirstConsumer",
    }


def _certificate(
    name: str, issuer: tuple[ec.EllipticCurvePrivateKey, x509.Certificate] | None, address: str = ""
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[1].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=365))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if issuer is None:
        builder = builder.add_extension(_key_usage(signs=True), critical=True)
    else:
        names = [
            x509.DNSName("localhost"),
            x509.DNSName("kubernetes.default.svc"),
            x509.IPAddress(ipaddress.ip_address(address)),
        ]
        builder = (
            builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(_key_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        )
    key_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    signer = issuer[0] if issuer else key
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    builder = builder.add_extension(key_id, critical=False).add_extension(authority, critical=False)
    return key, builder.sign(signer, hashes.SHA256())


def _key_usage(signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def _write_secret(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)


def self_signed(folder: Path, address: str) -> tuple[Path, Path]:
    """Certificate and key files of the pods' metrics API, which the API server does not verify."""
    key, certificate = _certificate("pod-metrics", _certificate("pod-metrics CA", None), address)
    _write_secret(folder / "metrics.key", _pem(key))
    (folder / "metrics.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return folder / "metrics.crt", folder / "metrics.key"
