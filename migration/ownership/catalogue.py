"""Programs that act on what is outside their cluster, and how each is told, whatever registry its image comes from.

A row with a wrong reason can be disagreed with without reading code. Images, options and API groups are those of the
programs' own charts and manifests. Not in it, on purpose: what only reads from outside (Flux' source-controller, Argo CD's
repo-server, exporters, agents that report), and what acts inside its own cluster alone (kured, descheduler, node agents).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from migration.ownership.known import Known
from migration.ownership.programs import Running, mounted_settings


@dataclass(frozen=True)
class Actuator:
    """One program. It is told by any of: `images` (the end of an image's path), `programs` (at a command's position),
    `flags` (options that only it has), `env` (variables that only it has), `groups` (it may write the status of objects of
    these API groups); all are regular expressions.

    `together`: options or words that many have, and that only it has together. `common`: an image's path that ends with an
    ordinary word (`shop/keel`) tells it only with a `second` sign, among its words, variables and the paths it mounts.

    `only`: of an image that several programs share, a word of command (no option), container name or component label;
    `but`: words by which another program of the image is told; `which`: of an image, the part by which one is told from the
    next; `where`: what else must be so on blue.
    """

    name: str
    reason: str
    images: str = ""
    programs: str = ""
    flags: str = ""
    env: str = ""
    groups: str = ""
    together: tuple[str, ...] = ()
    common: str = ""
    second: str = ""
    only: str = ""
    but: str = ""
    which: str = ""
    where: Callable[[Running, Known], bool] | None = None


def _dns01(run: Running, known: Known) -> bool:
    """Whether any issuer proves names by DNS: then cert-manager writes to the zone."""
    issuers = [*known.blue.of("clusterissuers.cert-manager.io"), *known.blue.of("issuers.cert-manager.io")]
    solvers = [s for i in issuers for s in ((i.get("spec") or {}).get("acme") or {}).get("solvers") or ()]
    return any("dns01" in solver for solver in solvers)


def _reads_a_queue(run: Running, known: Known) -> bool:
    """The termination handler: as an agent of nodes it minds its own node, with a queue it takes everybody's events."""
    return any(
        str(each.get("name")) in ("QUEUE_URL", "ENABLE_SQS_TERMINATION_DRAINING")
        and str(each.get("value", "")).lower() not in ("", "false")
        for container in run.containers
        for each in container.spec.get("env") or ()
    ) or any("--queue-url" in container.line or "--enable-sqs" in container.line for container in run.containers)


def _compacts_a_bucket(run: Running, known: Known) -> bool:
    """Of a program whose parts are one by default: whether it is not told to be another part, and keeps its data in a
    bucket by a file that it mounts.
    """
    targets = [target for container in run.containers for target in _TARGET.findall(container.line)]
    return all(target == "all" for target in targets) and any(_BUCKET.search(text) for text in mounted_settings(run, known))


_TARGET = re.compile(r"(?:^|\s)--?target[= ](\S+)")
_BUCKET = re.compile(r"(?m)^[ \t-]*(?:s3|gcs|azure|swift|aws|bucket_?names?|bucket):|\bbackend:\s*(?:s3|gcs|azure)\b|\bs3://")


def _has_replicas(run: Running, known: Known) -> bool:
    """Of a driver the controller, not the agent on each node."""
    return run.obj.get("kind") != "DaemonSet"


CATALOGUE: tuple[Actuator, ...] = (
    # -- the cluster's surroundings in AWS
    Actuator(
        "external-dns",
        "writes DNS records, and deletes those of its owner id that its own cluster does not ask for",
        images="external-dns",
        programs="external-dns",
        flags="--txt-owner-id|--txt-prefix|--txt-suffix",
        together=(
            r"--source[= ](?:service|ingress|crd|node|pod|gateway-\w+|istio-\w+|contour-\w+|traefik-proxy|openshift-route)",
            r"--(?:provider|domain-filter|zone-id-filter|aws-zone-type|registry)[= ]\S+",
        ),
        env="EXTERNAL_DNS_[A-Z0-9_]+",
        groups=r"externaldns\.(?:k8s|nginx)\.(?:io|org)",
    ),
    Actuator(
        "cluster-autoscaler",
        "resizes and ends instances of the node groups that carry the cluster's name",
        images="cluster-autoscaler",
        programs="cluster-autoscaler",
        flags=r"--node-group-auto-discovery|--scale-down-delay-after-add|--skip-nodes-with-local-storage"
        r"|--nodes[= ]\d+:\d+:\S+",
        together=(
            "--cloud-provider",
            r"--(?:expander|scale-down-[\w-]+|balance-similar-node-groups|skip-nodes-with-[\w-]+|max-node-provision-time)",
        ),
    ),
    Actuator(
        "Escalator",
        "resizes and drains instance groups by its own file of node groups",
        images="atlassian[/-]escalator",
        programs="escalator",
        common="escalator",
        second="--nodegroups",
        together=("--nodegroups", "--(?:cloud-provider|drymode|kubeconfig|scaninterval|leader-elect[\\w-]*)"),
    ),
    Actuator(
        "Consul's catalogue sync",
        "writes the cluster's Services to Consul, and deletes there those that its own cluster has not",
        images="consul-k8s(?:-control-plane)?",
        only="sync-catalog",
        together=("consul-k8s(?:-control-plane)?", "sync-catalog"),
    ),
    Actuator(
        "Karpenter",
        "starts and ends instances by the cluster's name, and takes messages from its interruption queue",
        images="karpenter(?:[/-]controller)?|karpenter-provider-aws",
        programs="karpenter(?:-controller)?",
        flags="--interruption-queue(?:-name)?",
        env="KARPENTER_SERVICE|INTERRUPTION_QUEUE",
        groups=r"karpenter\.sh|karpenter\.k8s\.aws",
    ),
    Actuator(
        "AWS Load Balancer Controller",
        "makes load balancers by the cluster's name and deregisters targets that are not in its cluster",
        images="aws-load-balancer-controller|aws-alb-ingress-controller",
        programs="aws-load-balancer-controller|aws-alb-ingress-controller",
        together=("--cluster-name", "--ingress-class"),
        flags="--aws-vpc-id|--enable-shield|--enable-waf(?:v2)?|--targetgroupbinding-max-concurrent-reconciles",
        groups=r"elbv2\.k8s\.aws",
    ),
    Actuator(
        "AWS Gateway API Controller",
        "makes service networks and target groups in VPC Lattice",
        images="aws-gateway-controller|aws-application-networking-(?:k8s|controller)",
        groups=r"application-networking\.k8s\.aws",
    ),
    Actuator(
        "AWS App Mesh controller",
        "makes the mesh's objects in AWS",
        images="appmesh-controller",
        groups=r"appmesh\.k8s\.aws",
    ),
    Actuator(
        "cloud controller manager",
        "makes load balancers, routes and node records by the cluster's name",
        images="(?:aws-)?cloud-controller-manager",
        programs="(?:aws-)?cloud-controller-manager",
    ),
    Actuator(
        "node termination handler",
        "takes messages about instances from a queue and ends their life cycle hooks",
        images="aws-node-termination-handler",
        programs="node-termination-handler|aws-node-termination-handler",
        where=_reads_a_queue,
    ),
    Actuator(
        "EBS CSI controller",
        "makes, attaches and deletes volumes",
        images="aws-ebs-csi-driver",
        programs="aws-ebs-csi-driver",
        where=_has_replicas,
    ),
    Actuator(
        "EFS CSI controller",
        "makes and deletes access points",
        images="aws-efs-csi-driver",
        programs="aws-efs-csi-driver",
        where=_has_replicas,
    ),
    Actuator(
        "FSx CSI controller",
        "makes and deletes file systems",
        images="aws-fsx-csi-driver|aws-fsx-openzfs-csi-driver",
        programs="aws-fsx-csi-driver",
        where=_has_replicas,
    ),
    Actuator(
        "Spot Ocean",
        "reports to Spot which nodes the cluster of this identifier needs",
        images="spotinst-kubernetes-controller|spotinst-artifacts/kubernetes-cluster-controller|ocean-controller|ocean-kubernetes-controller",
        env="SPOTINST_TOKEN|SPOTINST_ACCOUNT",
    ),
    Actuator(
        "CAST AI",
        "adds and drains nodes by the cluster's identifier",
        images="castai/cluster-controller|castai/(?:agent|spot-handler)|castai-cluster-controller|castai-agent",
        env="CASTAI_CLUSTER_ID",
    ),
    Actuator(
        "kOps",
        "writes the cluster's DNS names and admits its nodes",
        images="kops-controller|(?:kops[/-])dns-controller",
        programs="kops-controller|dns-controller",
    ),
    Actuator(
        "AWS service broker",
        "makes AWS resources for service instances",
        images="aws-servicebroker|awsservicebroker",
        programs="aws-servicebroker",
    ),
    # -- GitOps and delivery
    Actuator(
        "Argo CD application controller",
        "deploys to every cluster it knows, blue among them, and prunes what it does not expect",
        images="argocd|argo-cd",
        programs="argocd-application-controller",
        env="ARGOCD_CONTROLLER_REPLICAS|ARGOCD_APPLICATION_CONTROLLER_[A-Z_]+",
        only=r"application-controller",
    ),
    Actuator(
        "Argo CD ApplicationSet controller",
        "makes and deletes Applications of every cluster it knows",
        images="argocd|argo-cd|argocd-applicationset",
        programs="argocd-applicationset(?:-controller)?",
        env="ARGOCD_APPLICATIONSET_CONTROLLER_[A-Z_]+",
        only=r"applicationset",
    ),
    Actuator(
        "Argo CD notifications controller",
        "sends messages about Applications",
        images="argocd|argo-cd|argocd-notifications",
        programs="argocd-notifications(?:-controller)?",
        only=r"notifications",
    ),
    Actuator(
        "Argo CD Image Updater",
        "commits image versions to Git",
        images="argocd-image-updater",
        programs="argocd-image-updater",
    ),
    Actuator(
        "Flux",
        "deploys from Git to its own cluster and to those it has kubeconfigs of, prunes, writes to Git and notifies others",
        images="(?:kustomize|helm|notification|image-automation)-controller",
        programs="(?:kustomize|helm|notification|image-automation)-controller",
        groups=r"(?:kustomize|helm|notification)\.toolkit\.fluxcd\.io",
        which=r"((?:kustomize|helm|notification|image-automation)-controller)",
    ),
    Actuator("Flux", "syncs from Git and writes to it", images="fluxcd/flux|fluxcd/helm-operator", programs="fluxd"),
    Actuator(
        "Fleet",
        "deploys to the clusters it manages",
        images="fleet-agent|rancher/fleet",
        groups=r"fleet\.cattle\.io",
        programs="fleetagent",
    ),
    Actuator(
        "KubeVela",
        "deploys to every cluster that has joined",
        images="vela-core",
        programs="vela-core|core.oam.dev",
        groups=r"core\.oam\.dev",
    ),
    Actuator(
        "GitLab agent", "joins GitLab as this cluster and deploys", images="gitlab-agent/agentk|agentk", programs="agentk"
    ),
    Actuator("Spinnaker", "deploys to every account it knows", images="(?:spinnaker|armory)/(?:orca|clouddriver(?:-rw)?|echo)"),
    Actuator(
        "Keel",
        "updates workloads and notifies others",
        images="keelhq[/-]keel",
        programs="keel",
        common="keel",
        second=r"\b(?:KEEL_\w+|HELM_PROVIDER|HELM3_PROVIDER|TILLER_\w+|POLL|NOTIFICATION_LEVEL)\b",
    ),
    Actuator(
        "Argo Rollouts",
        "steers rollouts by the target groups of AWS, which are blue's",
        flags="--aws-verify-target-group",
    ),
    # -- what makes resources outside from objects
    Actuator(
        "Crossplane",
        "makes and deletes resources outside from its objects",
        images="crossplane|universal-crossplane",
        programs="crossplane",
        but=r"rbac",
    ),
    Actuator(
        "Crossplane provider",
        "makes, changes and deletes resources outside from its objects",
        images=r"provider-(?:aws|gcp|azure|azuread|helm|kubernetes|terraform|github|gitlab|vault|sql|family|upjet|opentofu"
        r"|argocd|datadog|mongodb\w*|cloudflare|keycloak|grafana|confluent)[\w-]*",
        groups=r"(?:[\w.-]+\.)?(?:aws|gcp|azure)(?:\.m)?\.(?:upbound|crossplane)\.io",
        which=r"(provider-[\w-]+)",
    ),
    Actuator(
        "ACK controller",
        "makes, changes and deletes AWS resources from its objects",
        images=r"aws-controllers-k8s/[a-z0-9-]+-controller|ack-[a-z0-9-]+-controller|aws-controllers-k8s-[a-z0-9-]+-controller",
        programs=r"ack-[a-z0-9-]+-controller",
        flags="--reconcile-default-resync-seconds|--reconcile-default-max-concurrent-syncs|--enable-carm",
        together=("--aws-region", "--(?:watch-namespace|deletion-policy|resource-tags|aws-identity-endpoint-url)"),
        env="ACK_[A-Z0-9_]+",
        groups=r"[a-z0-9-]+\.services\.k8s\.aws",
        which=r"([a-z0-9]+)-controller",
    ),
    Actuator(
        "Config Connector",
        "makes and deletes Google Cloud resources from its objects",
        images="cnrm/(?:manager|controller)|configconnector-operator",
        groups=r"[\w-]+\.cnrm\.cloud\.google\.com",
    ),
    Actuator(
        "Azure Service Operator",
        "makes and deletes Azure resources from its objects",
        images="azureserviceoperator|azure-service-operator",
        groups=r"[\w.-]+\.azure\.com",
    ),
    Actuator(
        "Terraform",
        "applies Terraform or OpenTofu from objects in its cluster",
        images=r"(?:hcp-)?terraform-operator|terraform-cloud-operator|terraform-k8s|(?:tf|tofu)-controller|terraform-controller"
        r"|terranetes-controller|tfc-agent|terraform-runner|terraform-applier",
        programs="(?:hcp-)?terraform-operator|(?:tf|tofu)-controller|terraform-controller|tfc-agent",
        groups=r"infra\.contrib\.fluxcd\.io|tf\.galleybytes\.com|app\.terraform\.io|terraform\.(?:core\.oam\.dev|appvia\.io)",
        but="runner-init",
    ),
    Actuator(
        "Pulumi operator",
        "runs Pulumi stacks from objects in its cluster",
        images="pulumi-kubernetes-operator",
        programs="pulumi-kubernetes-operator",
        groups=r"(?:auto\.)?pulumi\.com",
    ),
    Actuator(
        "Cluster API",
        "makes and deletes whole clusters and their machines",
        images=r"cluster-api-[\w-]+|cluster-api/cluster-api-controller|kubeadm-(?:bootstrap|control-plane)-controller"
        r"|cluster-api-operator|capi-operator",
        groups=r"(?:[\w-]+\.)?cluster\.x-k8s\.io",
        which=r"([\w-]+)$",
    ),
    Actuator(
        "Gardener or Hive", "makes and deletes whole clusters", images="openshift/hive|gardenlet|gardener-controller-manager"
    ),
    # -- secrets, certificates, backups
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
    # -- what announces itself outside by a token or a key
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
    # -- what takes jobs of builds and deliveries
    Actuator(
        "GitHub Actions runners",
        "take jobs of GitHub, and register and remove runners there",
        images="gha-runner-scale-set-controller|actions-runner-controller|actions-runner(?:-dind)?|github-runner|github-actions-runner",
        programs="ghalistener|github-webhook-server",
        groups=r"actions\.(?:github\.com|summerwind\.dev)",
        env="ACTIONS_RUNNER_[A-Z_]+|RUNNER_SCALE_SET_NAME|CONTROLLER_MANAGER_CONTAINER_IMAGE",
    ),
    Actuator(
        "GitLab Runner",
        "takes jobs of GitLab by its token",
        images="gitlab-runner|gitlab-runner-operator",
        programs="gitlab-runner",
        env="CI_SERVER_TOKEN",
    ),
    Actuator(
        "Jenkins",
        "runs builds and deploys by its own clock",
        images="(?:jenkins|jenkinsci|bitnami|bitnamilegacy|library)[/-]jenkins|jenkins-operator|inbound-agent|jnlp-slave",
        programs="jenkins.sh",
        common="jenkins",
        second=r"\bJENKINS_|jenkins_home|jenkins\.war|--httpPort|\bCASC_|\bhudson\.",
    ),
    Actuator(
        "Buildkite agent",
        "takes jobs of Buildkite by its token",
        images="agent-stack-k8s/(?:controller|agent)|agent-stack-k8s(?:-controller)?|buildkite/agent|buildkite-agent",
        programs="buildkite-agent|agent-stack-k8s",
        env="BUILDKITE_(?:AGENT_)?TOKEN",
    ),
    Actuator(
        "Drone or Woodpecker",
        "takes or gives jobs of builds",
        images="drone[/-]drone|drone-runner-[\\w-]+|woodpecker-(?:agent|server)",
        programs="drone-server|drone-runner-[\\w-]+|woodpecker-(?:agent|server)",
        common="drone",
        second=r"\bDRONE_",
        env="DRONE_RPC_SECRET|WOODPECKER_AGENT_SECRET",
    ),
    Actuator(
        "another agent that takes builds",
        "takes jobs by its token",
        images="circleci/(?:runner-agent|container-agent)|container-agent|teamcity-(?:minimal-)?agent|azure-pipelines-agent|azp-agent"
        "|concourse[/-]concourse|bitnami[/-]concourse|spacelift/launcher|spacelift-worker|kubernetes-operator-spacelift|env0/deployment-agent|scalr/agent"
        "|bamboo-agent(?:-base)?|go-?cd-agent[\\w.-]*|earthly/buildkitd|act_runner|forgejo-runner|gitea/runner",
        programs="act_runner|forgejo-runner|circleci-runner",
        common="concourse",
        second=r"\bCONCOURSE_|/concourse-work-dir|(?:^|[\s/])concourse (?:web|worker|quickstart)\b",
        env="AZP_TOKEN|CIRCLECI_RUNNER_[A-Z_]+|SPACELIFT_TOKEN|GITEA_RUNNER_REGISTRATION_TOKEN",
    ),
    Actuator(
        "Atlantis",
        "plans and applies Terraform for pull requests",
        images="runatlantis[/-]atlantis",
        programs="atlantis",
        common="atlantis",
        second=r"\bATLANTIS_|--repo-(?:allow|white)list|--gh-(?:user|token|app-id)|--gitlab-(?:user|token)",
        env="ATLANTIS_[A-Z_]+",
    ),
    Actuator(
        "Renovate",
        "opens and merges pull requests",
        images="renovate(?:bot)?[/-]renovate(?:-(?:server|worker|full))?|renovate-(?:ce|ee)(?:-(?:server|worker|full))?|mend-renovate[\\w-]*|renovate-operator|dependabot[\\w-]*",
        programs="renovate",
        common="renovate",
        second=r"\bRENOVATE_|renovate\.json",
        env="RENOVATE_TOKEN|MEND_RNV_[A-Z_]+",
    ),
    # -- what acts on whole accounts
    Actuator(
        "Cloud Custodian",
        "changes and deletes resources of an account by rules",
        images="cloudcustodian/c7n|c7n",
        programs="custodian",
    ),
    Actuator(
        "a cleaner of accounts", "deletes resources of an account", images="aws-nuke|cloud-nuke", programs="aws-nuke|cloud-nuke"
    ),
    Actuator(
        "kube-downscaler of AWS resources",
        "stops and starts resources outside by a clock",
        images="cloud-scheduler|kubecloudscaler|cloudscaler",
    ),
)
