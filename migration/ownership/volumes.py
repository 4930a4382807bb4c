"""Volumes, their claims and snapshots: a disk or a share can have one owner, and goes with whoever deletes it first.

A volume comes to green only where a person says `import`, and then with reclaim policy Retain. Its claim does what it
does: waits with it, is bound to it, or begins anew. Claims of a StatefulSet are made by the set on green.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from migration.objects import kinds
from migration.objects.classes import Action, Answer, Class, Sign
from migration.objects.kinds import Object, Resource
from migration.objects.view import View
from migration.ownership.closure import why_unasked
from migration.ownership.known import Known

VOLUMES = Resource("", "v1", "PersistentVolume", "persistentvolumes", False)
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
IMPORTED: Mapping[Answer, Action] = {Answer.IMPORT: Action.IMPORT, Answer.SKIP: Action.LEAVE}
PROVISIONED: Mapping[Answer, Action] = {Answer.SKIP: Action.LEAVE, Answer.IMPORT: Action.IMPORT}
SNAPSHOTS = ("snapshot.storage.k8s.io", "groupsnapshot.storage.k8s.io")
CONTENTS = {
    "VolumeSnapshot": ("VolumeSnapshotContent", "volumeSnapshotContentName"),
    "VolumeGroupSnapshot": ("VolumeGroupSnapshotContent", "volumeGroupSnapshotContentName"),
}
# Parameters by which a class gives a claim a place that depends on the claim's name alone: green's claim of the same name
# gets blue's directory, and deletes it with itself. {driver's parameter in small letters, as drivers read it: what it is}
SHARED_PLACES: Mapping[str, str] = {
    "reuseaccesspoint": "the access point",  # efs.csi.aws.com
    "subpathpattern": "the directory",  # efs.csi.aws.com, which ends it with the claim's uid unless UNIQUE says otherwise
    "subdir": "the directory",  # nfs.csi.k8s.io, smb.csi.k8s.io
    "sub-dir": "the directory",  # azurelustre.csi.azure.com
    "pathpattern": "the directory",  # nfs-subdir-external-provisioner, csi.juicefs.com
    "sharename": "the share",  # file.csi.azure.com
    "containername": "the container",  # blob.csi.azure.com
    "bucket": "the bucket",  # S3 drivers
    "bucketname": "the bucket",
}
OF_ITS_OWN = ("${pv.metadata.name}", "${.pv.", "${pvc.metadata.uid}", "${.pvc.uid}")
UNIQUE = "ensureuniquedirectory"
NO = ("false", "f", "0")


def sign(obj: Object, resource: Resource, known: Known) -> Sign | None:
    """Volumes, claims, snapshots and classes: what would be attached to two clusters, or deleted by either."""
    if resource.name == VOLUMES.name:
        return _volume(obj, known)
    if resource.name == kinds.PVC.name:
        return _claim(obj, known)
    if resource.group in SNAPSHOTS:
        return _snapshot(obj, resource, known)
    if resource.name == kinds.STORAGE_CLASS.name:
        return _class(obj, known)
    return None


def fate(known: Known, name: str) -> Action:
    """What becomes of a volume by its name: IMPORT, HOLD or LEAVE. One that is not on blue is left."""
    volume = known.blue.once(_by_name).get(name)
    if volume is None or why_unasked(known, volume, VOLUMES):
        return Action.LEAVE
    answer = known.choices.answers.get(f"PersistentVolume {name}")
    if answer is Answer.IMPORT:
        return Action.IMPORT
    return Action.HOLD if answer is None and not provisioned(volume) else Action.LEAVE


def provisioned(volume: Object) -> bool:
    """Made for its claim by a driver."""
    return PROVISIONED_BY in (volume["metadata"].get("annotations") or {})


def of_claim(known: Known, namespace: str, name: str) -> str | None:
    """The volume that a claim is bound to or waits for."""
    return known.blue.once(_bound).get((namespace, name))


def set_of(known: Known, namespace: str, name: str) -> str | None:
    """The StatefulSet from whose templates a claim was made (TEMPLATE-SET-ORDINAL)."""
    prefix, _, ordinal = name.rpartition("-")
    return known.blue.once(_of_sets).get((namespace, prefix)) if ordinal.isdigit() else None


def claims_of_set(known: Known, namespace: str, name: str) -> list[str]:
    """The claims on blue that were made from a StatefulSet's templates."""
    return known.once(_claims_of_sets).get((namespace, name), [])


def _by_name(view: View) -> dict[str, Object]:
    return {volume["metadata"]["name"]: volume for volume in view.of(VOLUMES.name)}


def _bound(view: View) -> dict[tuple[str, str], str]:
    """(namespace, claim) -> volume, by what either side says."""
    bound = {}
    for volume in view.of(VOLUMES.name):
        reference = (volume.get("spec") or {}).get("claimRef") or {}
        if reference.get("name"):
            bound[reference.get("namespace", ""), reference["name"]] = volume["metadata"]["name"]
    for claim in view.of(kinds.PVC.name):
        if name := (claim.get("spec") or {}).get("volumeName"):
            bound[claim["metadata"].get("namespace", ""), claim["metadata"]["name"]] = name
    return bound


def _of_sets(view: View) -> dict[tuple[str, str], str]:
    """(namespace, TEMPLATE-SET) -> SET."""
    sets = {}
    for name, objects in view.objects.items():
        if not name.startswith("statefulsets."):
            continue
        for obj in objects:
            meta = obj["metadata"]
            for template in (obj.get("spec") or {}).get("volumeClaimTemplates") or ():
                prefix = f"{(template.get('metadata') or {}).get('name', '')}-{meta['name']}"
                sets[meta.get("namespace", ""), prefix] = meta["name"]
    return sets


def _claims_of_sets(known: Known) -> dict[tuple[str, str], list[str]]:
    claims = defaultdict(list)
    for claim in known.blue.of(kinds.PVC.name):
        meta = claim["metadata"]
        if owner := set_of(known, meta.get("namespace", ""), meta["name"]):
            claims[meta.get("namespace", ""), owner].append(meta["name"])
    return claims


def _volume(obj: Object, known: Known) -> Sign:
    spec = obj.get("spec") or {}
    claim = spec.get("claimRef") or {}
    waits = f"; claim {claim.get('namespace', '')}/{claim['name']} goes with it" if claim.get("name") else ""
    policy = spec.get("persistentVolumeReclaimPolicy", "Retain")
    if provisioned(obj):
        reason = "a volume made for its claim; green makes its own, an empty one"
        return Sign(Class.VOLUME, reason, Action.LEAVE, PROVISIONED, notes=_retained(obj, known, policy, "reclaim"))
    reason = f"the same disk or share for two clusters (reclaim policy {policy} on blue){waits}"
    return Sign(Class.VOLUME, reason, Action.HOLD, IMPORTED, required=True, notes=_retained(obj, known, policy, "reclaim"))


def _retained(obj: Object, known: Known, policy: str, word: str) -> tuple[str, ...]:
    """What has to be told of an object that is imported."""
    if policy == "Retain" or known.answer(obj) is not Answer.IMPORT:
        return ()
    return (f"{word} policy Retain on green instead of blue's {policy}",)


def _claim(obj: Object, known: Known) -> Sign | None:
    meta, spec = obj["metadata"], obj.get("spec") or {}
    namespace = meta.get("namespace", "")
    volume = of_claim(known, namespace, meta["name"])
    becomes = fate(known, volume) if volume else Action.LEAVE
    if becomes is Action.IMPORT:
        return Sign(Class.VOLUME, f"bound to PersistentVolume {volume}, which is imported", Action.IMPORT)
    if set_of(known, namespace, meta["name"]):
        return Sign(Class.CONTROLLER, "made for its StatefulSet, which makes its own on green")
    if becomes is Action.HOLD:
        return Sign(Class.VOLUME, f"waits for the answer about PersistentVolume {volume}", Action.HOLD)
    notes = []
    source = spec.get("dataSourceRef") or spec.get("dataSource")
    if source:
        notes.append(f"asks for the data of {source.get('kind')} {source.get('name')}: it waits until green has that")
    if volume and spec.get("storageClassName") == "":
        notes.append("asks for no class: it waits until green has a volume for it")
    return Sign(Class.RENAMED, "", Action.COPY, notes=tuple(notes)) if notes else None


def _snapshot(obj: Object, resource: Resource, known: Known) -> Sign | None:
    source = (obj.get("spec") or {}).get("source") or {}
    if resource.kind.endswith("Content"):
        if not (source.get("snapshotHandle") or source.get("groupSnapshotHandles")):
            return Sign(Class.CONTROLLER, "made for its snapshot of a volume of blue")
        policy = (obj.get("spec") or {}).get("deletionPolicy", "Delete")
        notes = _retained(obj, known, policy, "deletion")
        reason = f"the same snapshot for two clusters (deletion policy {policy} on blue)"
        return Sign(Class.VOLUME, reason, Action.HOLD, IMPORTED, required=True, notes=notes)
    if resource.kind not in CONTENTS:
        return None
    kind, field = CONTENTS[resource.kind]
    content = source.get(field)
    if not content:
        return Sign(Class.FINISHED, "a snapshot taken of a volume of blue: green would take one of an empty volume")
    answer = known.choices.answers.get(f"{kind} {content}")
    if answer is None:
        return Sign(Class.VOLUME, f"waits for the answer about {kind} {content}", Action.HOLD)
    if answer is Answer.IMPORT:
        return Sign(Class.VOLUME, f"bound to {kind} {content}, which is imported", Action.COPY)
    return Sign(Class.VOLUME, f"its {kind} does not come along")


def _class(obj: Object, known: Known) -> Sign | None:
    """A class whose claims get a place by their name: the same one on both clusters."""
    parameters = obj.get("parameters") or {}
    unique = next((str(value).lower() for key, value in parameters.items() if key.lower() == UNIQUE), "true") not in NO
    for key, value in parameters.items():
        what = SHARED_PLACES.get(key.lower())
        if not what or str(value).lower() in ("", *NO) or any(each in str(value).lower() for each in OF_ITS_OWN):
            continue
        if unique and key.lower() == "subpathpattern":
            continue
        policy = obj.get("reclaimPolicy", "Delete")
        reason = f"gives claims of one name {what} that blue's have ({key}: {value}; reclaim policy {policy} on blue)"
        notes = _retained(obj, known, policy, "reclaim")
        return Sign(Class.VOLUME, reason, Action.HOLD, IMPORTED, required=True, notes=notes)
    return None
