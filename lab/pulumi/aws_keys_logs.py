"""Keys of KMS and log groups of CloudWatch, made in moto."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lab.pulumi.aws_kind import Aws, Change, Kind, delete_by, missing_ok, pascal, pick
from lab.pulumi.values import Properties


def _create_key(aws: Aws, inputs: Properties) -> str:
    wanted = pascal(inputs, "description", "keyUsage", "policy", "multiRegion")
    id: str = aws("kms").create_key(**wanted)["KeyMetadata"]["KeyId"]
    if inputs.get("enableKeyRotation"):
        aws("kms").enable_key_rotation(KeyId=id)
    return id


def _read_key(aws: Aws, id: str, inputs: Properties) -> Properties | None:
    answer = missing_ok(aws("kms").describe_key, KeyId=id)
    if answer is None or answer["KeyMetadata"]["KeyState"] == "PendingDeletion":
        return None
    tags = aws("kms").list_resource_tags(KeyId=id)["Tags"]
    live = {"arn": answer["KeyMetadata"]["Arn"], "keyId": id, "description": answer["KeyMetadata"]["Description"]}
    live["enableKeyRotation"] = aws("kms").get_key_rotation_status(KeyId=id)["KeyRotationEnabled"]
    return live | {"tags": {tag["TagKey"]: tag["TagValue"] for tag in tags}}


def _update_key(aws: Aws, change: Change) -> None:
    if "description" in change.changed:
        aws("kms").update_key_description(KeyId=change.id, Description=change.new.get("description") or "")
    if "enableKeyRotation" in change.changed:
        on = change.new.get("enableKeyRotation")
        (aws("kms").enable_key_rotation if on else aws("kms").disable_key_rotation)(KeyId=change.id)
    if "policy" in change.changed and change.new.get("policy"):
        aws("kms").put_key_policy(KeyId=change.id, PolicyName="default", Policy=change.new["policy"])


def _tag_key(aws: Aws, id: str, outputs: Properties, added: Mapping[str, str], removed: Iterable[str]) -> None:
    if added:
        aws("kms").tag_resource(KeyId=id, Tags=[{"TagKey": key, "TagValue": value} for key, value in added.items()])
    if removed:
        aws("kms").untag_resource(KeyId=id, TagKeys=list(removed))


def _create_log_group(aws: Aws, inputs: Properties) -> str:
    aws("logs").create_log_group(logGroupName=inputs["name"], **pick(inputs, "kmsKeyId"))
    if inputs.get("retentionInDays"):
        aws("logs").put_retention_policy(logGroupName=inputs["name"], retentionInDays=inputs["retentionInDays"])
    return str(inputs["name"])


def _read_log_group(aws: Aws, id: str, inputs: Properties) -> Properties | None:
    listed = aws("logs").describe_log_groups(logGroupNamePrefix=id)["logGroups"]
    log_group = next((group for group in listed if group["logGroupName"] == id), None)
    if log_group is None:
        return None
    tags = aws("logs").list_tags_log_group(logGroupName=id)["tags"]
    return {
        "name": id,
        "arn": log_group["arn"].removesuffix(":*"),
        "retentionInDays": log_group.get("retentionInDays", 0),
        "tags": tags,
    }


def _update_log_group(aws: Aws, change: Change) -> None:
    if "retentionInDays" in change.changed:
        if days := change.new.get("retentionInDays"):
            aws("logs").put_retention_policy(logGroupName=change.id, retentionInDays=days)
        else:
            aws("logs").delete_retention_policy(logGroupName=change.id)


def _tag_log_group(aws: Aws, id: str, outputs: Properties, added: Mapping[str, str], removed: Iterable[str]) -> None:
    if added:
        aws("logs").tag_log_group(logGroupName=id, tags=dict(added))
    if removed:
        aws("logs").untag_log_group(logGroupName=id, tags=list(removed))


KINDS: dict[str, Kind] = {
    "aws:kms/key:Key": Kind(
        create=_create_key,
        read=_read_key,
        update=_update_key,
        tag=_tag_key,
        delete=delete_by("kms", "schedule_key_deletion", "KeyId", PendingWindowInDays=7),
        force_new=frozenset({"keyUsage", "customerMasterKeySpec", "multiRegion"}),
    ),
    "aws:cloudwatch/logGroup:LogGroup": Kind(
        create=_create_log_group,
        read=_read_log_group,
        update=_update_log_group,
        tag=_tag_log_group,
        name="name",
        delete=delete_by("logs", "delete_log_group", "logGroupName"),
        force_new=frozenset({"name", "namePrefix"}),
    ),
}
