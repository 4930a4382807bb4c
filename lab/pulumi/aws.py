"""The lab's aws plugin: types as pulumi_aws has them.

Those that others read in AWS are made in moto, by the tables of the aws_* modules; the rest is kept as given.
"""

from __future__ import annotations

from typing import Any

from lab.pulumi.aws_kind import Aws, Change, Kind
from lab.pulumi.plugin import (
    Difference,
    Plugin,
    PluginError,
    Request,
    Resource,
    autoname,
    compare,
    is_autoname,
    planned,
    serve,
    top,
)
from lab.pulumi.sdk_types import SdkType, find_type, package_version
from lab.pulumi.values import Properties, like

_TAGGED = "tags"


def load_kinds() -> dict[str, Kind]:
    from lab.pulumi import (
        aws_ec2,
        aws_eks,
        aws_eks_access,
        aws_iam,
        aws_keys_logs,
        aws_load_balancers,
        aws_route53,
        aws_security_groups,
    )

    modules = (
        aws_ec2, aws_eks, aws_eks_access, aws_iam, aws_keys_logs, aws_load_balancers, aws_route53, aws_security_groups,
    )  # fmt: skip
    return {token: kind for module in modules for token, kind in module.KINDS.items()}


class AwsPlugin(Plugin):
    package = "aws"

    def __init__(self) -> None:
        self.version = package_version("pulumi-aws")
        self._aws = Aws()
        self._kinds = load_kinds()

    def configure(self, config: Properties) -> None:
        self._aws = Aws()
        if config.get("region"):
            self._aws.region = config["region"]
        tags = config.get("defaultTags") or {}
        if isinstance(tags, str):  # nested configuration arrives as JSON
            import json

            tags = json.loads(tags)
        self._aws.default_tags = tags.get("tags") or {}

    def resource(self, type_token: str) -> Resource:
        known = find_type("pulumi_aws", type_token)
        if known is None:
            raise PluginError(f"pulumi_aws {self.version} has no resource type {type_token}")
        kind = self._kinds.get(type_token)
        return MotoType(self._aws, known, kind) if kind else Kept(self._aws, known)

    def invoke(self, token: str, args: Properties) -> Properties:
        from lab.pulumi.aws_invokes import INVOKES

        if token not in INVOKES:
            known = ", ".join(sorted(name.split(":")[-1] for name in INVOKES))
            raise PluginError(f"{token}: the lab's aws plugin answers only {known}")
        return INVOKES[token](self._aws, args)


class Kept:
    """A type that nothing in the lab reads: the inputs, an id and an ARN."""

    def __init__(self, aws: Aws, known: SdkType) -> None:
        self._aws, self._known = aws, known
        self.name_property: str | None = "name"
        self.defaults: Properties = {}

    def check(self, request: Request) -> tuple[Properties, list[tuple[str, str]]]:
        inputs = dict(self.defaults) | request.inputs
        inputs = {name: value for name, value in inputs.items() if not name.startswith("__")}
        name = self.name_property
        if (
            name
            and name in self._known.inputs
            and name not in inputs
            and f"{name}Prefix" not in inputs
            and not self._known.inputs[name].required
        ):
            inputs[name] = request.old_inputs.get(name) or autoname(request)
        return inputs, list(self._known.unknown_inputs(inputs))

    def diff(self, request: Request) -> Difference:
        return compare(request.old_inputs, request.inputs, self.forces_new)

    def forces_new(self, path: str) -> bool:
        return path == self.name_property

    def computed(self) -> list[str]:
        return [name for name in self._known.outputs if name not in self._known.inputs]

    def create(self, request: Request) -> tuple[str, Properties]:
        if request.preview:
            return "", planned(request, self.computed())
        id = str(request.inputs.get(self.name_property or "") or autoname(request))
        service = self._known.token.split(":")[1].split("/")[0]
        known = {
            "arn": self._aws.arn(service, f"{self._known.token.rsplit(':', 1)[-1].lower()}/{id}"),
            "tagsAll": self._all_tags(request.inputs),
        }
        return id, {name: value for name, value in known.items() if name in self._known.outputs} | request.inputs

    def read(self, request: Request) -> tuple[str, Properties, Properties] | None:
        if not request.outputs:
            raise PluginError(
                f"{self._known.token} is kept by the lab's state alone: there is nothing to import {request.id!r} from"
            )
        return request.id, request.outputs, request.inputs

    def update(self, request: Request) -> Properties:
        return planned(request, [])

    def delete(self, request: Request) -> None:
        """There is nothing to delete but the state."""

    def _all_tags(self, inputs: Properties) -> dict[str, str]:
        return self._aws.default_tags | (inputs.get(_TAGGED) or {})


class MotoType(Kept):
    """A type that is made in moto, by its row of the table."""

    def __init__(self, aws: Aws, known: SdkType, kind: Kind) -> None:
        super().__init__(aws, known)
        self._kind = kind
        self.name_property = kind.name
        self.defaults = dict(kind.defaults)

    def forces_new(self, path: str) -> bool:
        plain = path.split("[", 1)[0]
        return top(path) in self._kind.force_new or plain in self._kind.force_new

    def diff(self, request: Request) -> Difference:
        base = super().diff(request)
        name = self._kind.name
        # Two of one given name cannot stand side by side; names made up differ.
        kept_name = name is not None and name not in base.changes and not is_autoname(request, request.inputs.get(name))
        return Difference(base.changes, base.replaces, delete_first=bool(base.replaces) and (self._kind.unique or kept_name))

    def create(self, request: Request) -> tuple[str, Properties]:
        if request.preview:
            return "", planned(request, self.computed())
        inputs = request.inputs
        if self._kind.name and not inputs.get(self._kind.name):  # a prefix was given
            inputs = inputs | {self._kind.name: f"{inputs.get(f'{self._kind.name}Prefix', '')}{autoname(request)[-7:]}"}
        tags = self._all_tags(inputs)
        arguments = inputs | ({_TAGGED: tags} if tags and _TAGGED in self._known.inputs else {})
        id = self._kind.create(self._aws, arguments)
        if tags and self._kind.tag and _TAGGED in self._known.inputs:
            self._kind.tag(self._aws, id, self._kind.read(self._aws, id, inputs) or {}, tags, [])
        return id, self._outputs(id, inputs)

    def _live(self, id: str, inputs: Properties) -> Properties | None:
        live = self._kind.read(self._aws, id, inputs)
        if live is not None and _TAGGED in live:
            every = live[_TAGGED] or {}
            wanted = inputs.get(_TAGGED) or {}
            live["tagsAll"] = every
            live[_TAGGED] = {
                key: value for key, value in every.items() if key in wanted or self._aws.default_tags.get(key) != value
            }
        return live

    def _outputs(self, id: str, inputs: Properties) -> Properties:
        live = self._live(id, inputs)
        if live is None:
            raise PluginError(f"{self._known.token} {id} is gone right after it was written")
        outputs = {name: value for name, value in live.items() if name in self._known.outputs or name in self._known.inputs}
        if "region" in self._known.outputs:
            outputs["region"] = self._aws.region
        for name, value in inputs.items():
            # What AWS fills in stays beside what was given, so programs can read it (a VPC's id in vpcConfig, say).
            both = isinstance(value, dict) and isinstance(outputs.get(name), dict) and name not in (_TAGGED, "labels")
            outputs[name] = outputs[name] | value if both else value
        return outputs

    def read(self, request: Request) -> tuple[str, Properties, Properties] | None:
        live = self._live(request.id, request.inputs or request.outputs)
        if live is None:
            return None
        wanted = request.inputs
        if not wanted:  # an import or a get: what AWS has is what is wanted
            inputs = {name: value for name, value in live.items() if name in self._known.inputs}
        else:
            inputs = {name: _as_wanted(name, live.get(name, value), value) for name, value in wanted.items()}
            if live.get(_TAGGED) and _TAGGED not in wanted:
                inputs[_TAGGED] = live[_TAGGED]
        return request.id, self._outputs(request.id, inputs), inputs

    def update(self, request: Request) -> Properties:
        if request.preview:
            return planned(request, [])
        changed = frozenset(top(path) for path in compare(request.old_inputs, request.inputs, lambda path: False).changes)
        if self._kind.update is not None and changed - {_TAGGED}:
            self._kind.update(self._aws, Change(request.id, request.old_inputs, request.inputs, changed))
        if _TAGGED in changed and self._kind.tag:
            old, new = self._aws.default_tags | (request.old_inputs.get(_TAGGED) or {}), self._all_tags(request.inputs)
            added = {key: value for key, value in new.items() if old.get(key) != value}
            self._kind.tag(self._aws, request.id, request.outputs, added, [key for key in old if key not in new])
        return self._outputs(request.id, request.inputs)

    def delete(self, request: Request) -> None:
        if self._kind.tag and self._known.token.startswith("aws:ec2/") and request.outputs.get("tagsAll"):
            # moto would list them for good; a resource that cannot be deleted has them again after the next `up`
            self._kind.tag(self._aws, request.id, request.outputs, {}, list(request.outputs["tagsAll"]))
        self._kind.delete(self._aws, request.id, request.outputs)


def _as_wanted(name: str, live: Any, wanted: Any) -> Any:
    """A live value as the inputs would say it: maps cut to what was asked for, but tags and labels whole."""
    return live if name in (_TAGGED, "labels") else like(live, wanted)


def main() -> None:
    serve(AwsPlugin())
