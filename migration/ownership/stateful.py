"""What keeps data on volumes: on green it would begin with an empty disk, and its clients there would find "their" database.

So it comes with 0 replicas, and what has no replicas waits, until a person says how: `empty`, `external` (it does not run
on green, its clients use blue's or an outside one; its Service comes along), `hold`, or `start` where it finds its data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from migration.objects.classes import Action, Answer, Class, Sign
from migration.objects.kinds import Object, Resource
from migration.objects.view import View
from migration.ownership import volumes
from migration.ownership.known import Known
from migration.ownership.programs import SCALED

SUSPENDED = frozenset({"jobs.batch", "cronjobs.batch"})  # they come suspended anyway

# Volumes that a pod names by themselves, without a claim: what it is, and the fields that say which.
BY_ID: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "awsElasticBlockStore": ("disk", ("volumeID",)),
    "gcePersistentDisk": ("disk", ("pdName",)),
    "azureDisk": ("disk", ("diskURI", "diskName")),
    "cinder": ("disk", ("volumeID",)),
    "vsphereVolume": ("disk", ("volumePath",)),
    "portworxVolume": ("disk", ("volumeID",)),
    "iscsi": ("disk", ("iqn", "targetPortal")),
    "fc": ("disk", ("targetWWNs", "wwids")),
    "rbd": ("disk", ("image",)),
    "scaleIO": ("disk", ("volumeName",)),
    "storageos": ("disk", ("volumeName",)),
    "photonPersistentDisk": ("disk", ("pdID",)),
    "flexVolume": ("disk", ("driver",)),
    "nfs": ("share", ("server", "path")),
    "azureFile": ("share", ("shareName",)),
    "cephfs": ("share", ("path", "monitors")),
    "glusterfs": ("share", ("endpoints", "path")),
    "quobyte": ("share", ("volume",)),
}
# attributes by which an inline CSI volume names what is there already; those of drivers that make one (secrets, certificates,
# scratch space) have none of them
HANDLES = ("volumeHandle", "volumeId", "fileSystemId", "server", "share", "shareName", "source", "bucketName", "bucket")
# Places of the node itself, which every node has; another path is data that stays behind on blue's nodes.
OF_NODES = (
    "/proc", "/sys", "/dev", "/run", "/var/run", "/etc", "/lib", "/lib64", "/usr", "/boot", "/var/log", "/var/lib/kubelet",
    "/var/lib/docker", "/var/lib/containerd", "/var/lib/cni", "/var/lib/containers", "/opt/cni", "/tmp",
)  # fmt: skip

# Custom resources from which an operator makes a database, a broker, a store or a machine. (group, kind)
DATABASES = frozenset(
    {
        ("postgresql.cnpg.io", "Cluster"),
        ("acid.zalan.do", "postgresql"),
        ("postgres-operator.crunchydata.com", "PostgresCluster"),
        ("stackgres.io", "SGCluster"),
        ("stackgres.io", "SGShardedCluster"),
        ("pgv2.percona.com", "PerconaPGCluster"),
        ("pxc.percona.com", "PerconaXtraDBCluster"),
        ("ps.percona.com", "PerconaServerMySQL"),
        ("psmdb.percona.com", "PerconaServerMongoDB"),
        ("mongodbcommunity.mongodb.com", "MongoDBCommunity"),
        ("mongodb.com", "MongoDB"),
        ("mongodb.com", "MongoDBMultiCluster"),
        ("mongodb.com", "MongoDBOpsManager"),
        ("mysql.oracle.com", "InnoDBCluster"),
        ("mysql.presslabs.org", "MysqlCluster"),
        ("moco.cybozu.com", "MySQLCluster"),
        ("k8s.mariadb.com", "MariaDB"),
        ("mariadb.mmontes.io", "MariaDB"),
        ("planetscale.com", "VitessCluster"),
        ("pingcap.com", "TidbCluster"),
        ("crdb.cockroachlabs.com", "CrdbCluster"),
        ("operator.yugabyte.io", "YBUniverse"),
        ("clickhouse.altinity.com", "ClickHouseInstallation"),
        ("clickhouse-keeper.altinity.com", "ClickHouseKeeperInstallation"),
        ("cassandra.datastax.com", "CassandraDatacenter"),
        ("k8ssandra.io", "K8ssandraCluster"),
        ("scylla.scylladb.com", "ScyllaCluster"),
        ("elasticsearch.k8s.elastic.co", "Elasticsearch"),
        ("opensearch.opster.io", "OpenSearchCluster"),
        ("opensearch.org", "OpenSearchCluster"),
        ("databases.spotahome.com", "RedisFailover"),
        ("redis.redis.opstreelabs.in", "Redis"),
        ("redis.redis.opstreelabs.in", "RedisCluster"),
        ("redis.redis.opstreelabs.in", "RedisReplication"),
        ("app.redislabs.com", "RedisEnterpriseCluster"),
        ("app.redislabs.com", "RedisEnterpriseDatabase"),
        ("dragonflydb.io", "Dragonfly"),
        ("kafka.strimzi.io", "Kafka"),
        ("kafka.strimzi.io", "KafkaNodePool"),
        ("kafka.banzaicloud.io", "KafkaCluster"),
        ("cluster.redpanda.com", "Redpanda"),
        ("redpanda.vectorized.io", "Cluster"),
        ("platform.confluent.io", "Kafka"),
        ("platform.confluent.io", "KRaftController"),
        ("platform.confluent.io", "Zookeeper"),
        ("zookeeper.pravega.io", "ZookeeperCluster"),
        ("rabbitmq.com", "RabbitmqCluster"),
        ("couchbase.com", "CouchbaseCluster"),
        ("database.arangodb.com", "ArangoDeployment"),
        ("asdb.aerospike.com", "AerospikeCluster"),
        ("hazelcast.com", "Hazelcast"),
        ("milvus.io", "Milvus"),
        ("minio.min.io", "Tenant"),
        ("ceph.rook.io", "CephCluster"),
        ("vault.banzaicloud.com", "Vault"),
        ("operator.etcd.io", "EtcdCluster"),
        ("apps.kubeblocks.io", "Cluster"),
        ("kubevirt.io", "VirtualMachine"),
        ("cdi.kubevirt.io", "DataVolume"),
    }
)
DATABASE_GROUPS = frozenset({"kubedb.com"})  # each kind is a database

WAITING = {Answer.HOLD: Action.HOLD, Answer.EXTERNAL: Action.LEAVE, Answer.EMPTY: Action.COPY, Answer.SKIP: Action.LEAVE}


def sign(obj: Object, resource: Resource, known: Known) -> Sign | None:
    """What would begin on green without its data, or with blue's."""
    if of_volume := volumes.sign(obj, resource, known):
        return of_volume
    if resource.name in SUSPENDED:
        return None
    if (resource.group, resource.kind) in DATABASES or resource.group in DATABASE_GROUPS:
        return Sign(Class.STATEFUL, f"a {resource.kind} that would begin empty on green", Action.HOLD, WAITING, required=True)
    if "." in resource.group and obj["metadata"].get("uid") in known.blue.once(_makers):
        reason = f"its operator keeps data on volumes for it: the {resource.kind} would begin empty on green"
        return Sign(Class.STATEFUL, reason, Action.HOLD, WAITING, required=True)
    pods = pod_of(obj, resource)
    return _workload(obj, resource, known, pods) if pods is not None else None


def pod_of(obj: Object, resource: Resource) -> Object | None:
    """The spec of the pods that an object runs, of whatever kind it is."""
    spec = obj.get("spec")
    if not isinstance(spec, dict):
        return None
    if resource.name == "pods":
        return spec
    template = spec.get("template")
    pod = template.get("spec") if isinstance(template, dict) else None
    if spec.get("volumeClaimTemplates") and not isinstance(pod, dict):
        return {}
    return pod if isinstance(pod, dict) and isinstance(pod.get("containers"), list) else None


def _workload(obj: Object, resource: Resource, known: Known, pods: Object) -> Sign | None:
    meta, spec = obj["metadata"], obj["spec"]
    namespace = meta.get("namespace", "")
    templates = [str(_dict(each.get("metadata")).get("name", "?")) for each in _dicts(spec.get("volumeClaimTemplates"))]
    sources = _dicts(pods.get("volumes"))
    claims = sorted(set(_claims(pods)))
    shared = [text for source in sources for text in _by_id(source)]
    local = [] if resource.kind == "DaemonSet" else list(_on_the_node(sources, pods))
    if not (templates or claims or shared or local):
        return None
    waits = Action.STOP if resource.kind in SCALED else Action.HOLD
    answers = {Answer.HOLD: waits, Answer.EXTERNAL: Action.LEAVE}
    reasons = []
    if templates or claims or local:
        what = [f"claim templates {', '.join(templates)}"] if templates else []
        what += [f"claims {', '.join(claims)}"] if claims else []
        what += [f"directories of its nodes {', '.join(local)}"] if local else []
        reasons.append(f"keeps data on {' and '.join(what)}")
        answers[Answer.EMPTY] = Action.COPY
    if shared:
        reasons.append(f"names {', '.join(shared)}, which blue's pods use")
    bound = claims + (volumes.claims_of_set(known, namespace, meta["name"]) if templates else [])
    imported = bool(bound) and all(_imported(known, namespace, claim) for claim in bound)
    if imported or (shared and not (templates or claims or local)):
        answers[Answer.START] = Action.COPY
    ending = "" if imported else ": it would begin empty on green" if Answer.EMPTY in answers else ""
    return Sign(Class.STATEFUL, "; ".join(reasons) + ending, waits, {**answers, Answer.SKIP: Action.LEAVE}, required=True)


def _imported(known: Known, namespace: str, claim: str) -> bool:
    volume = volumes.of_claim(known, namespace, claim)
    return volume is not None and volumes.fate(known, volume) is Action.IMPORT


def _by_id(source: Mapping[str, Any]) -> Iterator[str]:
    """`disk vol-1`: what a volume of a pod names by itself."""
    for key, (what, fields) in BY_ID.items():
        if isinstance(source.get(key), dict):
            yield f"{what} {' '.join(str(source[key][f]) for f in fields if source[key].get(f)) or key}"
    inline = source.get("csi")
    if isinstance(inline, dict):
        attributes = _dict(inline.get("volumeAttributes"))
        if handles := [str(attributes[key]) for key in HANDLES if attributes.get(key)]:
            yield f"volume {' '.join(handles)} of {inline.get('driver')}"


def _on_the_node(sources: list[Any], pods: Object) -> Iterator[str]:
    """Directories of the node that a container writes and that are not the node's own."""
    written = {
        mount.get("name")
        for container in (*_dicts(pods.get("containers")), *_dicts(pods.get("initContainers")))
        for mount in _dicts(container.get("volumeMounts"))
        if not mount.get("readOnly")
    }
    for source in sources:
        place = _dict(source.get("hostPath"))
        path = str(place.get("path", ""))
        if not path or source.get("name") not in written or place.get("type") in ("Socket", "CharDevice", "BlockDevice"):
            continue
        if path != "/" and not any(path == each or path.startswith(each + "/") for each in OF_NODES):
            yield path


def _claims(pods: Object) -> Iterator[str]:
    for volume in _dicts(pods.get("volumes")):
        if name := _dict(volume.get("persistentVolumeClaim")).get("claimName"):
            yield str(name)


def _dict(value: Any) -> Object:
    """A custom resource may have anything anywhere."""
    return value if isinstance(value, dict) else {}


def _dicts(value: Any) -> list[Object]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _makers(view: View) -> frozenset[str]:
    """uids of what, by owner references, made a claim or a workload with claims: an operator's object, or the one above it."""
    parents: dict[str, str] = {}
    leaves = []
    for name, objects in view.objects.items():
        for obj in objects:
            meta = obj["metadata"]
            owner = next((o for o in meta.get("ownerReferences") or () if o.get("controller")), None) or next(
                iter(meta.get("ownerReferences") or ()), None
            )
            if owner is None or not owner.get("uid") or owner.get("kind") == "Pod":  # a pod's own scratch claim
                continue
            parents[meta.get("uid", "")] = owner["uid"]
            spec = _dict(obj.get("spec"))
            if (
                name == "persistentvolumeclaims"
                or spec.get("volumeClaimTemplates")
                or (name == "deployments.apps" and any(_claims(_dict(_dict(spec.get("template")).get("spec")))))
            ):
                leaves.append(meta.get("uid", ""))
    makers: set[str] = set()
    for leaf in leaves:
        at = parents.get(leaf, "")
        while at and at not in makers:
            makers.add(at)
            at = parents.get(at, "")
    return frozenset(makers)
