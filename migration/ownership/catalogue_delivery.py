"""Rows of the catalogue: what deploys (GitOps), and what takes jobs of builds and deliveries."""

from __future__ import annotations

from migration.ownership.catalogue_row import Actuator

# GitOps and delivery
DELIVERY: tuple[Actuator, ...] = (
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
)
# what takes jobs of builds and deliveries
BUILDS: tuple[Actuator, ...] = (
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
)
