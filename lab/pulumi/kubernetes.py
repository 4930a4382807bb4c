"""The lab's kubernetes plugin.

Any kind of object by server-side apply on a real API server, patches of it, and Helm releases.

It follows the real provider in what a program can tell: names made up when none is given, an existing object is not
adopted unless `upsert_existing_objects` says so, data of a ConfigMap or Secret is replaced unless the provider is
told that they are mutable, patches give up their fields when deleted, and a cluster that does not answer is skipped
with `skip_update_unreachable`.
"""

from __future__ import annotations

import hashlib
import os
import time
from typing import Any

from lab.pulumi import kube_config, kube_shape
from lab.pulumi.helm import Release
from lab.pulumi.kube_api import ApiError, Kind, KubeApi, UnreachableError
from lab.pulumi.kube_await import wait_gone, wait_ready
from lab.pulumi.kube_settings import READY_SECONDS, Settings
from lab.pulumi.plugin import (
    Difference,
    NotReadyError,
    Plugin,
    PluginError,
    Request,
    Resource,
    compare,
    planned,
    serve,
)
from lab.pulumi.sdk_types import package_version
from lab.pulumi.values import UNKNOWN, Properties, has_unknown

MANAGER = "pulumi-kubernetes"
LAB_MANAGER = "bluegreen-lab"
KIND_SECONDS = 20.0  # how long a kind may be unknown: its definition may have been made a moment ago

_FORCE_NEW = {
    ("apps", "Deployment"): ("spec.selector",),
    ("apps", "DaemonSet"): ("spec.selector",),
    ("apps", "StatefulSet"): (
        "spec.podManagementPolicy",
        "spec.selector",
        "spec.serviceName",
        "spec.volumeClaimTemplates",
    ),
    ("", "ConfigMap"): ("data", "binaryData"),
    ("", "Secret"): ("type", "data", "stringData"),
    ("", "Service"): ("spec.clusterIP",),
    ("", "PersistentVolumeClaim"): ("spec",),
    ("", "ResourceQuota"): ("spec.scopes",),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): ("roleRef",),
    ("rbac.authorization.k8s.io", "RoleBinding"): ("roleRef",),
    ("storage.k8s.io", "StorageClass"): ("parameters", "provisioner"),
    ("batch", "Job"): ("spec.completions", "spec.parallelism", "spec.selector", "spec.template"),
}


class KubernetesPlugin(Plugin):
    package = "kubernetes"

    def __init__(self) -> None:
        self.version = package_version("pulumi-kubernetes")
        self._settings = Settings({})

    def configure(self, config: Properties) -> None:
        self._settings = Settings(config)

    def check_config(self, config: Properties) -> list[tuple[str, str]]:
        if Settings(config).config.get("enableServerSideApply") in (False, "false"):
            return [("enableServerSideApply", "the lab's kubernetes plugin knows server-side apply only")]
        return []

    def diff_config(self, old: Properties, new: Properties) -> Difference:
        """A new kubeconfig for the same cluster changes nothing in it: only another cluster replaces what was made."""
        if old.get("clusterIdentifier") or new.get("clusterIdentifier"):
            return compare(old, new, lambda path: path == "clusterIdentifier")
        moved = _server(old) != _server(new)
        return compare(old, new, lambda path: moved and path in ("kubeconfig", "context", "cluster"))

    def resource(self, type_token: str) -> Resource:
        _, api_version, kind = type_token.split(":")
        if type_token == "kubernetes:helm.sh/v3:Release":
            return Release(self._settings)
        if api_version.startswith(("helm.sh/", "yaml/", "kustomize/")):
            raise PluginError(
                f"{type_token}: the lab's kubernetes plugin has no such component; use helm.v3.Release or objects"
            )
        if kind.endswith("Patch"):
            return ObjectPatch(self._settings)
        return KubernetesObject(self._settings)


def _is_labs_own(live: Properties) -> bool:
    """What the lab puts into a cluster so that its parts run (Istio's namespace, say) a real one would not have yet."""
    return any(entry.get("manager") == LAB_MANAGER for entry in live["metadata"].get("managedFields", []))


def _server(config: Properties) -> str | None:
    if not config.get("kubeconfig") or config["kubeconfig"] == UNKNOWN:
        return None
    try:
        return kube_config.read(config["kubeconfig"], config.get("context"), config.get("cluster")).server
    except PluginError:
        return None


class KubernetesObject:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    # --- what the plugin needs to know of an object ----------------------------------------------------------

    def _kind(self, inputs: Properties, patient: bool = False) -> Kind:
        end = time.monotonic() + (KIND_SECONDS if patient else 0)
        while True:
            try:
                return self._settings.connect().kind(inputs["apiVersion"], inputs["kind"])
            except ApiError as error:
                if error.reason != "NoKind" or time.monotonic() > end:
                    raise
                time.sleep(0.3)

    def _path(self, kind: Kind, inputs: Properties) -> str:
        metadata = inputs["metadata"]
        return kind.path(metadata.get("namespace") or self._settings.namespace(), metadata["name"])

    def _id(self, kind: Kind, inputs: Properties) -> str:
        metadata = inputs["metadata"]
        namespace = metadata.get("namespace") or self._settings.namespace()
        return f"{namespace}/{metadata['name']}" if kind.namespaced else str(metadata["name"])

    def _annotation(self, inputs: Properties, name: str) -> str:
        return str((inputs.get("metadata", {}).get("annotations") or {}).get(f"pulumi.com/{name}", ""))

    def _manager(self, request: Request) -> str:
        return self._annotation(request.inputs, "patchFieldManager") or MANAGER

    def _force(self, request: Request) -> bool:
        given = self._annotation(request.inputs, "patchForce")
        return given.lower() == "true" if given else self._settings.flag("enablePatchForce")

    def _seconds(self, request: Request) -> float:
        given = self._annotation(request.inputs, "timeoutSeconds")
        return request.timeout_seconds or (float(given) if given else READY_SECONDS)

    # --- check and diff -------------------------------------------------------------------------------------

    def check(self, request: Request) -> tuple[Properties, list[tuple[str, str]]]:
        if request.old_inputs and self._settings.skips():
            return request.old_inputs, []  # nothing to be done there now: wanted is what was
        inputs = {name: value for name, value in request.inputs.items() if not name.startswith("__")}
        _, api_version, kind = request.type.split(":")
        inputs.setdefault("apiVersion", api_version.removeprefix("core/"))
        inputs.setdefault("kind", kind.removesuffix("Patch"))
        metadata = dict(inputs.get("metadata") or {})
        inputs["metadata"] = metadata
        if not metadata.get("name"):
            failure = self._name(request, metadata)
            if failure:
                return inputs, [("metadata.name", failure)]
        return inputs, []

    def _name(self, request: Request, metadata: Properties) -> str | None:
        old = request.old_inputs.get("metadata", {})
        if old.get("name") and (old.get("annotations") or {}).get("pulumi.com/autonamed"):
            metadata["name"] = old["name"]
        else:
            stem = metadata.get("generateName") or f"{request.name}-"
            metadata["name"] = stem + hashlib.sha256(os.urandom(16)).hexdigest()[:8]
        metadata["annotations"] = (metadata.get("annotations") or {}) | {"pulumi.com/autonamed": "true"}
        return None

    def diff(self, request: Request) -> Difference:
        group = request.inputs["apiVersion"].rpartition("/")[0] if "/" in request.inputs["apiVersion"] else ""
        immovable = (
            "apiVersion",
            "kind",
            "metadata.name",
            "metadata.namespace",
            *self._immutable(group, request.inputs["kind"]),
        )

        def force_new(path: str) -> bool:
            return any(path == fixed or path.startswith((f"{fixed}.", f"{fixed}[")) for fixed in immovable)

        matched = compare(request.old_inputs, request.inputs, force_new)
        same_name = "metadata.name" not in matched.changes and "metadata.namespace" not in matched.changes
        named = not self._annotation(request.inputs, "autonamed")
        return Difference(matched.changes, matched.replaces, delete_first=bool(matched.replaces) and same_name and named)

    def _immutable(self, group: str, kind: str) -> tuple[str, ...]:
        if (kind == "ConfigMap" and self._settings.flag("enableConfigMapMutable")) or (
            kind == "Secret" and self._settings.flag("enableSecretMutable")
        ):
            return ("type",) if kind == "Secret" else ()
        return _FORCE_NEW.get((group, kind), ())

    # --- create, read, update, delete -----------------------------------------------------------------------

    def create(self, request: Request) -> tuple[str, Properties]:
        if request.preview:
            return "", self._preview(request)
        kind = self._kind(request.inputs, patient=True)
        api, path = self._settings.connect(), self._path(kind, request.inputs)
        self._may_create(api, path, request)
        live = self._apply(api, path, request)
        return self._id(kind, request.inputs), self._await(api, path, live, request, self._id(kind, request.inputs))

    def _may_create(self, api: KubeApi, path: str, request: Request) -> None:
        if self._settings.flag("upsertExistingObjects"):
            return
        present = api.get(path)
        if present is not None and not present["metadata"].get("deletionTimestamp") and not _is_labs_own(present):
            what = f"{request.inputs['kind']} {request.inputs['metadata']['name']!r}"
            raise PluginError(
                f"{what} already exists in the cluster and is not in this stack's state: import it, or set "
                "upsert_existing_objects on the provider to adopt it"
            )

    def _apply(self, api: KubeApi, path: str, request: Request, dry_run: bool = False) -> Properties:
        body = {name: value for name, value in request.inputs.items() if name != "status"}
        manager = self._manager(request)
        end = time.monotonic() + KIND_SECONDS
        while True:
            try:
                return api.apply(path, body, manager, self._force(request), dry_run)
            except ApiError as error:
                if error.status == 409 and "object is being deleted" in str(error) and time.monotonic() < end and not dry_run:
                    time.sleep(0.3)
                    continue
                where = f"{request.inputs['kind']} {request.inputs['metadata']['name']!r}"
                if error.status == 409 and "conflict" in str(error):
                    hint = "set annotation pulumi.com/patchForce: 'true' to take the fields over"
                    raise PluginError(f"{where}, as field manager {manager!r}: {error}; {hint}") from error
                raise PluginError(f"{where}: {error}") from error

    def _await(self, api: KubeApi, path: str, live: Properties, request: Request, id: str) -> Properties:
        reason = None
        if self._annotation(request.inputs, "skipAwait").lower() != "true":
            live, reason = wait_ready(api, path, live, self._seconds(request))
        outputs = self._outputs(live, request)
        if reason is not None:
            what = f"{request.inputs['kind']} {id!r}"
            raise NotReadyError(f"{what} was written but did not become ready: {reason}", id, outputs, request.inputs)
        return outputs

    def _outputs(self, live: Properties, request: Request) -> Properties:
        return kube_shape.outputs(live)

    def _preview(self, request: Request) -> Properties:
        """What the API server would make of it; the plain plan where it cannot be asked yet."""
        plan = planned(request, ["status"])
        if has_unknown(request.inputs) or self._settings.unknown:
            return plan
        try:
            kind = self._kind(request.inputs)
            api, path = self._settings.connect(), self._path(kind, request.inputs)
            if not self._preview_possible(api, kind, path, request):
                return plan
            live = self._apply(api, path, request, dry_run=True)
        except UnreachableError:
            return plan
        except ApiError as error:
            if error.status == 404:
                return plan
            raise
        if request.id:
            return plan
        return plan | {name: value for name, value in kube_shape.outputs(live).items() if name not in ("metadata", "status")}

    def _preview_possible(self, api: KubeApi, kind: Kind, path: str, request: Request) -> bool:
        if not request.id:
            present = api.get(path)
            if present is not None:
                return not present["metadata"].get("deletionTimestamp") and self._settings.flag("upsertExistingObjects")
        namespace = path.split("/namespaces/")[1].split("/")[0] if kind.namespaced else None
        return namespace is None or api.get(f"/api/v1/namespaces/{namespace}") is not None

    def read(self, request: Request) -> tuple[str, Properties, Properties] | None:
        known = request.inputs or request.outputs
        if not known.get("kind"):  # an import or a get: the type and the id are all there is
            _, api_version, kind_name = request.type.split(":")
            namespace, _, name = request.id.rpartition("/")
            metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
            known = {
                "apiVersion": api_version.removeprefix("core/"),
                "kind": kind_name.removesuffix("Patch"),
                "metadata": metadata,
            }
        try:
            path = self._path(self._kind(known), known)
            live = self._settings.connect().get(path)
        except ApiError as error:
            if error.reason == "NoKind":
                return None  # the definition went, and every object with it
            raise
        except UnreachableError as error:
            return self._unreachable(request, error)
        if live is None or live["metadata"].get("deletionTimestamp"):
            return None
        inputs = kube_shape.as_inputs(live, request.inputs) if request.inputs else kube_shape.imported(live)
        return request.id, self._outputs(live, request), inputs

    def _unreachable(self, request: Request, error: UnreachableError) -> tuple[str, Properties, Properties] | None:
        if self._settings.flag("deleteUnreachable"):
            return None
        if self._settings.flag("skipUpdateUnreachable"):
            return request.id, request.outputs, request.inputs
        raise PluginError(f"{error}; set skip_update_unreachable on the provider to go on without this cluster") from error

    def update(self, request: Request) -> Properties:
        if request.preview:
            return self._preview(request)
        kind = self._kind(request.inputs)
        api, path = self._settings.connect(), self._path(kind, request.inputs)
        return self._await(api, path, self._apply(api, path, request), request, request.id)

    def delete(self, request: Request) -> None:
        try:
            path = self._path(self._kind(request.inputs or request.outputs), request.inputs or request.outputs)
            api = self._settings.connect()
            live = api.get(path)
            if live is None:
                return
            api.delete(path, self._annotation(request.inputs, "deletionPropagationPolicy").capitalize() or "Background")
        except ApiError as error:
            if error.reason == "NoKind":
                return
            raise
        except UnreachableError:
            if self._settings.flag("deleteUnreachable"):
                return
            raise
        if self._annotation(request.inputs, "skipAwait").lower() != "true":
            wait_gone(api, path, live["metadata"].get("uid"), self._seconds(request))


class ObjectPatch(KubernetesObject):
    """Fields of an object that somebody else may own: applied by a manager of their own, given up when deleted."""

    def _name(self, request: Request, metadata: Properties) -> str | None:
        return "a patch names the object that it changes: set metadata.name"

    def _immutable(self, group: str, kind: str) -> tuple[str, ...]:
        return ()

    def _may_create(self, api: KubeApi, path: str, request: Request) -> None:
        """A patch is for objects that are there, and makes those that are not."""

    def _preview_possible(self, api: KubeApi, kind: Kind, path: str, request: Request) -> bool:
        return api.get(path) is not None

    def _manager(self, request: Request) -> str:
        """As told; else one of its own, kept in the state, so that two patches of one object do not fight."""
        given = self._annotation(request.inputs, "patchFieldManager")
        digest = hashlib.sha256(request.urn.encode()).hexdigest()[:8]
        return given or request.outputs.get("__fieldManager") or f"{MANAGER}-{digest}"

    def _outputs(self, live: Properties, request: Request) -> Properties:
        return kube_shape.outputs(live) | {"__fieldManager": self._manager(request)}

    def delete(self, request: Request) -> None:
        inputs = request.inputs or request.outputs
        kind = self._kind(inputs)
        api, path = self._settings.connect(), self._path(kind, inputs)
        if api.get(path) is None:
            return
        metadata = {name: inputs["metadata"][name] for name in ("name", "namespace") if inputs["metadata"].get(name)}
        body: dict[str, Any] = {"apiVersion": inputs["apiVersion"], "kind": inputs["kind"], "metadata": metadata}
        api.apply(path, body, self._manager(request), force=True)


def main() -> None:
    serve(KubernetesPlugin())
