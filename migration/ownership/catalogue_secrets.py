"""Rows of the catalogue: what writes secrets, certificates and backups, and what joins a network by a token or a key."""

from __future__ import annotations

import re

from migration.ownership.catalogue_row import Actuator
from migration.ownership.known import Known
from migration.ownership.programs import Running, mounted_settings


def _dns01(run: Running, known: Known) -> bool:
    """Whether any issuer proves names by DNS: then cert-manager writes to the zone."""
    issuers = [*known.blue.of("clusterissuers.cert-manager.io"), *known.blue.of("issuers.cert-manager.io")]
    solvers = [s for i in issuers for s in ((i.get("spec") or {}).get("acme") or {}).get("solvers") or ()]
    return any("dns01" in solver for solver in solvers)


def _compacts_a_bucket(run: Running, known: Known) -> bool:
    """Of a program whose parts are one by default: whether it is not told to be another part, and keeps its data in a
    bucket by a file that it mounts.
    """
    targets = [target for container in run.containers for target in _TARGET.findall(container.line)]
    return all(target == "all" for target in targets) and any(_BUCKET.search(text) for text in mounted_settings(run, known))


_TARGET = re.compile(r"(?:^|\s)--?target[= ](\S+)")
_BUCKET = re.compile(r"(?m)^[ \t-]*(?:s3|gcs|azure|swift|aws|bucket_?names?|bucket):|\bbackend:\s*(?:s3|gcs|azure)\b|\bs3://")


# secrets, certificates, backups
KEPT_OUTSIDE: tuple[Actuator, ...] = (
    Actuator(
        "external-secrets",
        "pushes Secrets outwards and makes credentials; until it starts, the Secrets that it fetches are not on green",
        images="external-secrets",
        programs="external-secrets",
        groups=r"(?:generators\.)?external-secrets\.io",
        but="webhook|certcontroller|cert-controller",
    ),
    Actuator(
        "cert-manager",
        "proves names by records in the DNS zone (DNS-01), and orders certificates that an authority limits",
        images="cert-manager-controller|cert-manager",
        programs="cert-manager(?:-controller)?",
        flags="--cluster-resource-namespace|--acme-http01-solver-image",
        groups=r"acme\.cert-manager\.io",
        but="webhook|cainjector",
        where=_dns01,
    ),
    Actuator(
        "Vault configuration",
        "writes policies, roles and engines to Vault",
        images="vault-config-operator|bank-vaults|vault-operator",
        groups=r"redhatcop\.redhat\.io",
    ),
    Actuator(
        "Velero",
        "writes to, and deletes from, the backup storage and snapshots of its name",
        images="velero",
        programs="velero",
        flags="--default-backup-storage-location|--default-volume-snapshot-locations|--garbage-collection-frequency",
    ),
    Actuator(
        "a compactor of Loki, Mimir, Cortex or Tempo",
        "compacts and deletes what is in its bucket: two of them take it from each other",
        flags=r"--?target[= ](?:[\w-]+,)*compactor(?:,[\w-]+)*",
        together=(r"--?target[= ](?:[\w-]+,)*backend(?:,[\w-]+)*", r"--?config\.file"),
    ),
    Actuator(
        "a compactor of Loki, Mimir, Cortex or Tempo",
        "as a whole it compacts and deletes in its bucket as well: two of them take it from each other",
        images="loki|mimir|cortex|tempo|pyroscope|enterprise-(?:logs|metrics|traces)",
        where=_compacts_a_bucket,
    ),
    Actuator(
        "Thanos' compactor",
        "compacts and deletes what is in its bucket: one may run on a bucket",
        images="thanos",
        only=r"(?:^|\s)compact(?=\s|$)",
        together=("compact", r"--objstore\.config(?:-file)?"),
    ),
    Actuator(
        "Kasten or Stash",
        "writes to, and deletes from, backup storage",
        images="kanister-tools|kanister/controller|kanister-controller|(?:appscode|stashed)/stash|kubestash|k8up",
        groups=r"k8up\.io|stash\.appscode\.com|cr\.kanister\.io",
    ),
)
# what announces itself outside by a token or a key
JOINING: tuple[Actuator, ...] = (
    Actuator(
        "Cloudflare Tunnel",
        "joins the tunnel of its token: users' requests would reach green at once",
        images="cloudflared",
        programs="cloudflared",
        env="TUNNEL_TOKEN",
    ),
    Actuator(
        "Cloudflare Tunnel operator",
        "makes tunnels and DNS records",
        images="cloudflare-operator|cloudflare-tunnel-ingress-controller|cloudflare-tunnel-gateway-controller",
    ),
    Actuator(
        "ngrok",
        "serves the domain of its token: users' requests would reach green at once",
        images="ngrok|ngrok-operator|ngrok/kubernetes-ingress-controller|ngrok-ingress-controller",
        programs="ngrok",
        env="NGROK_AUTHTOKEN|NGROK_API_KEY",
    ),
    Actuator(
        "inlets",
        "joins the exit server of its token",
        images="inlets|inlets-pro|inlets-operator",
        programs="inlets(?:-pro)?|inlets-operator",
    ),
    Actuator("frp", "joins the server of its token and takes over its names", images="frpc", programs="frpc"),
    Actuator(
        "Tailscale",
        "joins the network by its key, under the name that blue's has",
        images="tailscale/(?:k8s-operator|tailscale|k8s-nameserver)|tailscale-operator|tailscale",
        programs="tailscaled",
        env="TS_AUTHKEY|TS_AUTH_KEY|TS_KUBE_SECRET",
        groups=r"tailscale\.com",
    ),
    Actuator(
        "a private network's agent",
        "joins the network by its key, under the name that blue's has",
        images="netbird|netbirdio/kubernetes-operator|netclient|zerotier|zerotier-one|wireguard|wireguard-go|twingate/connector"
        "|twingate-connector|twingate/kubernetes-operator|firezone/gateway|boundary-worker|pritunl-link",
        programs="netbird|netclient|zerotier-one|wg-quick|wireguard-go",
        env="NB_SETUP_KEY|TWINGATE_REFRESH_TOKEN|FIREZONE_TOKEN|ZEROTIER_API_SECRET",
    ),
    Actuator(
        "Teleport agent",
        "joins Teleport by its token, as blue's does",
        images="teleport-kube-agent|gravitational[/-]teleport(?:-ent)?(?:-distroless)?|teleport-(?:ent-)?distroless|teleport-ent"
        "|teleport-operator",
        programs="teleport|teleport-operator",
        common="teleport",
        second=r"teleport\.yaml|\bTELEPORT_|/var/lib/teleport|/etc/teleport|--diag-addr",
    ),
    Actuator(
        "an agent by which a platform manages the cluster",
        "joins the platform as this cluster by its token",
        images="rancher/rancher-agent|rancher-agent|cattle-cluster-agent|octopusdeploy/kubernetes-agent-[\\w-]+"
        "|kubernetes-agent-tentacle|harness/delegate|delegate-immutable|upbound-agent|komodor-agent",
        env="CATTLE_TOKEN|DELEGATE_TOKEN",
    ),
)
