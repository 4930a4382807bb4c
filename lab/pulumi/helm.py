"""Helm releases without Helm: the workloads of the charts that the program uses, from their values.

A release is kept where Helm keeps it, a Secret `sh.helm.release.v1.NAME.vN` in its namespace (here its data is
plain JSON: chart, version, values, objects): when that Secret is gone, the release is. As with Helm, a change made
to an object behind the release's back is not seen.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

from lab.pulumi.helm_charts import CHARTS, ChartError, render
from lab.pulumi.kube_api import ApiError, KubeApi, UnreachableError
from lab.pulumi.kube_await import wait_gone, wait_ready
from lab.pulumi.kube_settings import READY_SECONDS, Settings
from lab.pulumi.plugin import Difference, NotReadyError, PluginError, Request, autoname, compare, planned
from lab.pulumi.values import Properties, has_unknown

MANAGER = "helm"
Reference = tuple[str, str, str, str]  # apiVersion, kind, namespace, name


class Release:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def check(self, request: Request) -> tuple[Properties, list[tuple[str, str]]]:
        if request.old_inputs and self._settings.skips():
            return request.old_inputs, []
        inputs = dict(request.inputs)
        if not inputs.get("name"):
            inputs["name"] = request.old_inputs.get("name") or autoname(request)
        if has_unknown({name: inputs.get(name) for name in ("chart", "repositoryOpts", "version")}):
            return inputs, []
        failures = []
        chart = inputs.get("chart", "")
        if chart not in CHARTS:
            failures.append(("chart", f"the lab has no chart {chart!r}; it has {', '.join(sorted(CHARTS))}"))
        else:
            repository = (inputs.get("repositoryOpts") or {}).get("repo", "")
            if repository.rstrip("/") != CHARTS[chart].repository:
                known = CHARTS[chart].repository
                failures.append(("repositoryOpts.repo", f"chart {chart!r} is not in {repository!r} but in {known}"))
            if not inputs.get("version"):
                failures.append(("version", f"chart {chart!r}: pin a version; the lab looks up no newest one"))
        return inputs, failures

    def diff(self, request: Request) -> Difference:
        matched = compare(request.old_inputs, request.inputs, lambda path: path in ("name", "namespace"))
        return Difference(matched.changes, matched.replaces, delete_first=bool(matched.replaces))

    def _where(self, inputs: Properties) -> tuple[str, str]:
        return inputs.get("namespace") or self._settings.namespace(), inputs["name"]

    def create(self, request: Request) -> tuple[str, Properties]:
        if request.preview:
            self._try(request)
            return "", planned(request, ["status", "resourceNames"])
        api = self._settings.connect()
        namespace, name = self._where(request.inputs)
        if self._record(api, namespace, name) is not None:
            raise PluginError(f"cannot re-use a name that is still in use: release {name!r} in namespace {namespace!r}")
        if request.inputs.get("createNamespace") and api.get(f"/api/v1/namespaces/{namespace}") is None:
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
            api.apply(f"/api/v1/namespaces/{namespace}", body, MANAGER, force=True)
        return f"{namespace}/{name}", self._write(api, request, [], 1)

    def update(self, request: Request) -> Properties:
        if request.preview:
            self._try(request)
            return planned(request, [])
        api = self._settings.connect()
        record = self._record(api, *self._where(request.inputs)) or {"objects": [], "revision": 0}
        old = [(r[0], r[1], r[2], r[3]) for r in record["objects"]]
        return self._write(api, request, old, record["revision"] + 1)

    def read(self, request: Request) -> tuple[str, Properties, Properties] | None:
        namespace, _, name = request.id.rpartition("/")
        try:
            record = self._record(self._settings.connect(), namespace, name)
        except UnreachableError as error:
            if self._settings.flag("deleteUnreachable"):
                return None
            if self._settings.flag("skipUpdateUnreachable"):
                return request.id, request.outputs, request.inputs
            raise PluginError(f"{error}; set skip_update_unreachable on the provider to go on without it") from error
        if record is None:
            return None
        observed = {"chart": record["chart"], "version": record["version"], "values": record["values"]}
        inputs = request.inputs or observed | {"name": name, "namespace": namespace}
        inputs = inputs | {key: value for key, value in observed.items() if key in inputs}
        return request.id, request.outputs | inputs, inputs

    def delete(self, request: Request) -> None:
        api = self._settings.connect()
        namespace, _, name = request.id.rpartition("/")
        record = self._record(api, namespace, name)
        for reference in reversed((record or {}).get("objects", [])):
            self._remove(api, (reference[0], reference[1], reference[2], reference[3]))
        self._forget(api, namespace, name, keep=0)

    # --- the objects ----------------------------------------------------------------------------------------

    def _render(self, inputs: Properties) -> list[Properties]:
        namespace, name = self._where(inputs)
        try:
            return render(inputs["chart"], name, namespace, inputs["version"], inputs.get("values") or {})
        except ChartError as error:
            raise PluginError(f"release {name!r} of chart {inputs['chart']!r}: {error}") from error

    def _try(self, request: Request) -> None:
        """A preview tells of values that the chart would refuse, when all of them are known."""
        if not has_unknown(request.inputs) and not self._settings.unknown:
            try:
                self._render(request.inputs)
            except UnreachableError:
                return

    def _write(self, api: KubeApi, request: Request, old: list[Reference], revision: int) -> Properties:
        inputs = request.inputs
        namespace, name = self._where(inputs)
        objects = self._render(inputs)
        references: list[Reference] = [
            (o["apiVersion"], o["kind"], o["metadata"].get("namespace", ""), o["metadata"]["name"]) for o in objects
        ]
        written = []
        for body, reference in zip(objects, references, strict=True):
            path = self._path(api, reference)
            try:
                written.append((path, api.apply(path, body, MANAGER, force=True)))
            except ApiError as error:
                raise PluginError(f"release {name!r}: {body['kind']} {body['metadata']['name']!r}: {error}") from error
        self._remember(api, namespace, name, revision, inputs, sorted({*old, *references}))
        for reference in old:
            if reference not in references:
                self._remove(api, reference)
        self._remember(api, namespace, name, revision, inputs, references)
        self._forget(api, namespace, name, keep=revision)
        outputs = self._outputs(inputs, namespace, name, revision, references)
        if not inputs.get("skipAwait"):
            for path, live in written:
                _, reason = wait_ready(api, path, live, inputs.get("timeout") or READY_SECONDS)
                if reason is not None:
                    what = f"release {name!r}: {live['kind']} {live['metadata']['name']!r}"
                    raise NotReadyError(f"{what} is not ready: {reason}", f"{namespace}/{name}", outputs, inputs)
        return outputs

    @staticmethod
    def _outputs(inputs: Properties, namespace: str, name: str, revision: int, references: list[Reference]) -> Properties:
        names: dict[str, list[str]] = {}
        for api_version, kind, where, what in references:
            group = f"{kind}/{api_version}" if "/" not in api_version else f"{kind}.{api_version}"
            names.setdefault(group, []).append(f"{where}/{what}" if where else what)
        status = {
            "appVersion": inputs["version"],
            "chart": inputs["chart"],
            "name": name,
            "namespace": namespace,
            "revision": revision,
            "status": "deployed",
            "version": inputs["version"],
        }
        return inputs | {"resourceNames": names, "status": status}

    @staticmethod
    def _path(api: KubeApi, reference: Reference) -> str:
        api_version, kind, namespace, name = reference
        return api.kind(api_version, kind).path(namespace, name)

    def _remove(self, api: KubeApi, reference: Reference) -> None:
        try:
            path = self._path(api, reference)
        except ApiError as error:
            if error.status == 404:
                return
            raise
        live = api.get(path)
        if live is not None:
            api.delete(path)
            wait_gone(api, path, live["metadata"].get("uid"), READY_SECONDS)

    # --- the release's own record ---------------------------------------------------------------------------

    @staticmethod
    def _records(api: KubeApi, namespace: str, name: str) -> list[Properties]:
        listed = api.call("GET", f"/api/v1/namespaces/{namespace}/secrets", labelSelector=f"owner=helm,name={name}")
        return sorted(listed.get("items", []), key=lambda item: int(item["metadata"]["labels"]["version"]))

    def _record(self, api: KubeApi, namespace: str, name: str) -> Properties | None:
        records = self._records(api, namespace, name)
        if not records:
            return None
        matched: Properties = json.loads(b64decode(records[-1]["data"]["release"]))
        return matched

    @staticmethod
    def _remember(
        api: KubeApi, namespace: str, name: str, revision: int, inputs: Mapping[str, Any], objects: list[Reference]
    ) -> None:
        secret = f"sh.helm.release.v1.{name}.v{revision}"
        release = {
            "chart": inputs["chart"],
            "version": inputs["version"],
            "values": inputs.get("values") or {},
            "revision": revision,
            "objects": objects,
        }
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "helm.sh/release.v1",
            "metadata": {
                "name": secret,
                "namespace": namespace,
                "labels": {"owner": "helm", "name": name, "status": "deployed", "version": str(revision)},
            },
            "data": {"release": b64encode(json.dumps(release).encode()).decode()},
        }
        api.apply(f"/api/v1/namespaces/{namespace}/secrets/{secret}", body, MANAGER, force=True)

    def _forget(self, api: KubeApi, namespace: str, name: str, keep: int) -> None:
        for record in self._records(api, namespace, name):
            if int(record["metadata"]["labels"]["version"]) != keep:
                api.delete(f"/api/v1/namespaces/{namespace}/secrets/{record['metadata']['name']}")
