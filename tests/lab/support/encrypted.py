"""A listener for TLS on a lab's gateway. Its certificate stands in the listener itself, by an EnvoyFilter: istiod hands out
Secrets only to proxies that it has identified, and the lab's are not.
"""

from __future__ import annotations

import datetime
import http.client
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.lab.support.kit import Answer, LabCluster, eventually

TLS_CONTEXT = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
NAME, PORT = "encrypted", 10443  # not a port that the lab takes away
GATEWAY = f"istio-system/{NAME}"


def _certificate() -> tuple[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lab.test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), private.decode()


def _objects() -> list[dict[str, Any]]:
    certificate, key = ({"inline_string": text} for text in _certificate())
    context = {
        "@type": f"type.googleapis.com/{TLS_CONTEXT}",
        "common_tls_context": {"tls_certificates": [{"certificate_chain": certificate, "private_key": key}]},
    }
    meta = {"name": NAME, "namespace": "istio-system"}
    server = {"port": {"number": PORT, "name": f"http-{NAME}", "protocol": "HTTP"}, "hosts": ["*"]}
    patch = {
        "applyTo": "FILTER_CHAIN",
        "match": {"context": "GATEWAY", "listener": {"portNumber": PORT}},
        "patch": {
            "operation": "MERGE",
            "value": {"transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": context}},
        },
    }
    return [
        {
            "apiVersion": "networking.istio.io/v1alpha3",
            "kind": "EnvoyFilter",
            "metadata": meta,
            "spec": {"configPatches": [patch]},
        },
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "Gateway",
            "metadata": meta,
            "spec": {"selector": {"istio": "ingressgateway"}, "servers": [server]},
        },
    ]


@contextmanager
def encrypted(clusters: Sequence[LabCluster]) -> Iterator[None]:
    """Both gateways take TLS on port 10443, for routes bound to istio-system/encrypted, in the block."""
    objects = _objects()
    for cluster in clusters:
        cluster.api.apply(*objects)
    try:
        yield
    finally:
        for cluster in clusters:
            for each in reversed(objects):
                cluster.api.delete(each)


def await_encrypted(cluster: LabCluster, host: str, path: str) -> None:
    eventually(lambda: send(cluster, host, path).status == 200, f"an answer by TLS for {host}")


def send(cluster: LabCluster, host: str, path: str, headers: Mapping[str, str] | None = None) -> Answer:
    """One request by TLS, on a connection of its own; whose certificate it is does not matter here."""
    trust = ssl.create_default_context()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection(cluster.gateway, PORT, timeout=10, context=trust)
    try:
        connection.request("GET", path, headers={"Host": host, **(headers or {})})
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, text, 0.0)
    finally:
        connection.close()
