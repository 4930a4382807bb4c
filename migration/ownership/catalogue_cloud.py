"""Rows of the catalogue: what acts on the cloud around a cluster, makes resources there, or acts on whole accounts."""

from __future__ import annotations

from migration.ownership.catalogue_row import Actuator
from migration.ownership.known import Known
from migration.ownership.programs import Running


def _reads_a_queue(run: Running, known: Known) -> bool:
    """The termination handler: as an agent of nodes it minds its own node, with a queue it takes everybody's events."""
    return any(
        str(each.get("name")) in ("QUEUE_URL", "ENABLE_SQS_TERMINATION_DRAINING")
        and str(each.get("value", "")).lower() not in ("", "false")
        for container in run.containers
        for each in container.spec.get("env") or ()
    ) or any("--queue-url" in container.line or "--enable-sqs" in container.line for container in run.containers)


def _has_replicas(run: Running, known: Known) -> bool:
    """Of a driver the controller, not the agent on each node."""
    return run.obj.get("kind") != "DaemonSet"


# the cluster's surroundings in AWS
SURROUNDINGS: tuple[Actuator, ...] = (
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
)
# what makes resources outside from objects
RESOURCES: tuple[Actuator, ...] = (
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
)
# what acts on whole accounts
ACCOUNTS: tuple[Actuator, ...] = (
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
