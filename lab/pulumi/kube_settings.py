"""The kubernetes provider's configuration, and the cluster it leads to."""

from __future__ import annotations

import json

from lab.pulumi import kube_config
from lab.pulumi.kube_api import KubeApi, UnreachableError
from lab.pulumi.plugin import PluginError
from lab.pulumi.values import UNKNOWN, Properties

READY_SECONDS = 300.0


class Settings:
    """The provider's configuration; nested values and flags arrive as text."""

    def __init__(self, config: Properties) -> None:
        self.config = config
        self.api: KubeApi | None = None
        self._reachable: bool | None = None
        self.unknown = any(config.get(name) == UNKNOWN for name in ("kubeconfig", "context", "cluster"))

    def flag(self, name: str) -> bool:
        return str(self.config.get(name, "")).lower() == "true"

    def connect(self) -> KubeApi:
        if self.unknown:
            raise UnreachableError("the provider's kubeconfig is not known yet")
        if self.api is None:
            kubeconfig = self.config.get("kubeconfig")
            if not kubeconfig:
                raise PluginError("the kubernetes provider has no kubeconfig; the lab's plugin never takes an ambient one")
            if isinstance(kubeconfig, dict):
                kubeconfig = json.dumps(kubeconfig)
            access = kube_config.read(kubeconfig, self.config.get("context"), self.config.get("cluster"))
            self.api = KubeApi(access)
        return self.api

    def namespace(self) -> str:
        return str(self.config.get("namespace") or self.connect().access.namespace)

    def skips(self) -> bool:
        """Is this cluster one that does not answer and that the program wants to go on without?"""
        return self.flag("skipUpdateUnreachable") and not self.unknown and not self.reachable()

    def reachable(self) -> bool:
        if self._reachable is None:
            try:
                self.connect().call("GET", "/version")
                self._reachable = True
            except UnreachableError:
                self._reachable = False
        return self._reachable
