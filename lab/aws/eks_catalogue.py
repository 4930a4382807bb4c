"""What the lab's EKS offers: Kubernetes versions, add-ons and their versions, access policies.

Dates are those of the EKS release calendar. Add-on versions follow EKS's pattern; which of them exist is the lab's own
choice, but for kube-proxy: its minor is the cluster's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# minor: release, end of standard support, end of extended support
CALENDAR = {
    "1.31": ("2024-09-26", "2025-11-26", "2026-11-26"),
    "1.32": ("2025-01-25", "2026-03-23", "2027-03-23"),
    "1.33": ("2025-05-28", "2026-07-29", "2027-07-29"),
    "1.34": ("2025-10-06", "2026-12-02", "2027-12-02"),
    "1.35": ("2026-01-28", "2027-03-27", "2028-03-27"),
    "1.36": ("2026-06-02", "2027-08-02", "2028-08-02"),
}
DEFAULT_VERSION = "1.36"
ANY = tuple(CALENDAR)

# add-on: type, then (version, Kubernetes minors it works with), newest first
ADDONS: Mapping[str, tuple[str, tuple[tuple[str, tuple[str, ...]], ...]]] = {
    "vpc-cni": ("networking", (("v1.21.1-eksbuild.1", ANY), ("v1.20.4-eksbuild.2", ANY))),
    "coredns": (
        "networking",
        (
            ("v1.14.1-eksbuild.1", ("1.34", "1.35", "1.36")),
            ("v1.13.2-eksbuild.1", ANY[1:]),
            ("v1.12.4-eksbuild.1", ANY[:-1]),
            ("v1.11.4-eksbuild.2", ANY[:3]),
        ),
    ),
    "kube-proxy": (
        "networking",
        tuple(
            (f"v{minor}.{patch}-eksbuild.{build}", (minor,))
            for minor in reversed(ANY)
            for patch, build in ((3, 2), (2, 1), (1, 2), (0, 2))
        ),
    ),
    "aws-ebs-csi-driver": ("storage", (("v1.54.0-eksbuild.1", ANY), ("v1.48.0-eksbuild.1", ANY[:-1]))),
    "aws-efs-csi-driver": ("storage", (("v2.2.0-eksbuild.1", ANY),)),
    "snapshot-controller": ("storage", (("v8.3.0-eksbuild.1", ANY),)),
    "eks-pod-identity-agent": ("security", (("v1.3.10-eksbuild.1", ANY), ("v1.3.9-eksbuild.3", ANY))),
    "metrics-server": ("observability", (("v0.8.1-eksbuild.1", ANY), ("v0.8.0-eksbuild.2", ANY))),
    "kube-state-metrics": ("observability", (("v2.17.0-eksbuild.2", ANY),)),
    "prometheus-node-exporter": ("observability", (("v1.10.2-eksbuild.1", ANY),)),
    "cert-manager": ("security", (("v1.19.1-eksbuild.1", ANY),)),
    "external-dns": ("networking", (("v0.20.0-eksbuild.1", ANY),)),
}

ACCESS_POLICIES = (
    "AmazonEKSAdminPolicy",
    "AmazonEKSAdminViewPolicy",
    "AmazonEKSAutoNodePolicy",
    "AmazonEKSClusterAdminPolicy",
    "AmazonEKSEditPolicy",
    "AmazonEKSViewPolicy",
)
ACCESS_POLICY_ARN = "arn:aws:eks::aws:cluster-access-policy/"


def minor_after(version: str) -> str:
    major, minor = version.split(".")[:2]
    return f"{major}.{int(minor) + 1}"


def works_with(addon: str, version: str, kubernetes: str) -> bool:
    """Whether the catalogue says that this version of the add-on runs on that Kubernetes minor."""
    return any(name == version and kubernetes in minors for name, minors in ADDONS[addon][1])


def default_addon_version(addon: str, kubernetes: str) -> str | None:
    return next((name for name, minors in ADDONS[addon][1] if kubernetes in minors), None)


def describe_addons(name: str | None, kubernetes: str | None) -> list[dict[str, Any]]:
    """DescribeAddonVersions: newest version first, the newest that fits is the default one of its minor."""
    addons = []
    for addon, (kind, versions) in ADDONS.items():
        if name not in (None, addon):
            continue
        offered = []
        for version, minors in versions:
            shown = [minor for minor in minors if kubernetes in (None, minor)]
            compatible = [
                {
                    "clusterVersion": minor,
                    "platformVersions": ["*"],
                    "defaultVersion": default_addon_version(addon, minor) == version,
                }
                for minor in shown
            ]
            if compatible:
                offered.append(
                    {
                        "addonVersion": version,
                        "architecture": ["amd64", "arm64"],
                        "compatibilities": compatible,
                        "requiresConfiguration": False,
                        "requiresIamPermissions": False,
                    }
                )
        if offered:
            addons.append({"addonName": addon, "type": kind, "publisher": "eks", "owner": "aws", "addonVersions": offered})
    return addons


def describe_versions(wanted: list[str], today: str, only_default: bool = False) -> list[dict[str, Any]]:
    """DescribeClusterVersions; versions past their extended support are not offered unless named."""
    from datetime import UTC, datetime

    def moment(day: str) -> float:
        return datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()

    versions = []
    for minor, (released, standard, extended) in reversed(CALENDAR.items()):
        status = "STANDARD_SUPPORT" if today < standard else "EXTENDED_SUPPORT" if today < extended else "UNSUPPORTED"
        if (wanted and minor not in wanted) or (only_default and minor != DEFAULT_VERSION):
            continue
        if status == "UNSUPPORTED" and not wanted:
            continue
        versions.append(
            {
                "clusterVersion": minor,
                "clusterType": "eks",
                "defaultPlatformVersion": "eks.1",
                "defaultVersion": minor == DEFAULT_VERSION,
                "releaseDate": moment(released),
                "endOfStandardSupportDate": moment(standard),
                "endOfExtendedSupportDate": moment(extended),
                "status": status.lower(),
                "versionStatus": status,
                "kubernetesPatchVersion": f"{minor}.0",
            }
        )
    return versions
