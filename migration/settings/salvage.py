"""What can still be read of broken files, for the way back alone: a typo elsewhere must not keep users on a bad green.

Everybody else reads strictly (migration_file.load, StackFile.read). Here a key that is not understood is left out and told, a
file with marks of a merge conflict is read in both versions, and what they disagree about is unknown, but for shares: of
two the larger counts, since all that it decides is who is taken back first, and whether the entry goes back too.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import routing
from migration.errors import BluegreenError, ConfigError, StoreError
from migration.model import WHOLE_BP
from migration.objects.kinds import Object
from migration.settings import migration_file
from migration.settings.migration_file import Cluster, Gateway, Migration
from migration.settings.policy import Policy
from migration.settings.stack_file import KEYS, PREFIX, Edge, StackFile, edge_of
from migration.settings.yaml_reader import SERVICE, Reader, read_yaml

NEAR = 0.7  # how like a known key a misspelt one is
MARKS = ("<<<<<<<", "|||||||", "=======", ">>>>>>>")
SHARE = re.compile(r"""["']?(?<![\w.-])([a-z0-9][\w.-]*(?:/[a-z0-9][\w.-]*)?)["']?\s*:\s*["']?(\d+)\b""", re.IGNORECASE)
SIDE = re.compile(r"""\b(blue|green)["']?\s*:\s*["']?([A-Za-z0-9][\w.-]*)""")


def load(path: Path) -> tuple[Migration, list[str]]:
    """migration.yaml as far as a way back needs it, and what of it is wrong.

    Raises:
        ConfigError, StoreError: clusters or the name of the stack file cannot be read.
    """
    try:
        return migration_file.load(path), []
    except (ConfigError, StoreError) as problem:
        whole: BluegreenError = problem
        problems = [str(problem)]
    try:
        document, lines = read_yaml(path, "migration.yaml")
        top = dict(document) if isinstance(document, Mapping) else {}
    except (ConfigError, StoreError):
        top, lines = _blocks_of(path), {}
    reader = Reader(path, lines)
    folder = path.resolve().parent
    top = _near(top, migration_file.KEYS[""])
    clusters: dict[str, Cluster] = {}
    named = top.get("clusters")
    refused: list[ConfigError] = []
    for name, entry in (named if isinstance(named, Mapping) else {}).items():
        try:
            near = _near(entry, migration_file.KEYS["clusters.NAME"]) if isinstance(entry, Mapping) else entry
            clusters[str(name)] = _cluster(reader, str(name), near, folder)
        except ConfigError as problem:
            refused.append(problem)
            problems.append(str(problem))
    stack = edge_beside(folder)
    if not isinstance(top.get("edge"), str) and stack is not None:
        top["edge"] = str(stack.relative_to(folder))
        problems.append(f"{path}: edge is not to be read; {stack} is the only stack file of an edge beside it, and is used")
    if not clusters or not isinstance(top.get("edge"), str):
        stuck = refused[0] if refused and not clusters else whole
        stuck.remedy = f"{stuck.remedy}; without bluegreen: {_other_way(stack)}"
        raise stuck
    if not _blue_is_known(folder / top["edge"], clusters, named) and refused:
        raise refused[0]
    store = top.get("store")
    return Migration(
        path, clusters, folder / top["edge"], None, folder / (store if isinstance(store, str) else ".bluegreen"), Policy(), {}
    ), problems


def edge_beside(folder: Path) -> Path | None:
    """The one stack file of an edge in `stacks/`; None: there is none, or more than one."""
    try:
        files = sorted((folder / "stacks").glob("Pulumi.*.yaml"))
    except OSError:
        return None
    edges = [file for file in files if re.search(rf"^\s+{PREFIX}kind\s*:\s*[\"']?edge\b", _text(file), re.MULTILINE)]
    return edges[0] if len(edges) == 1 else None


def _other_way(stack: Path | None) -> str:
    name = stack.name.removeprefix("Pulumi.").removesuffix(".yaml") if stack else "EDGE"
    return f"set every share of {PREFIX}services to 0 in {stack or 'the edge stack file'}, then `pulumi up --stack {name}`"


def _near(section: Mapping[Any, Any], known: Iterable[str]) -> dict[str, Any]:
    """With the value of a misspelt key where the right one is missing and only one key is like it."""
    fields = {str(key): value for key, value in section.items()}
    names = list(known)
    strange = [key for key in fields if key not in names]
    for name in names:
        like = difflib.get_close_matches(name, strange, 2, NEAR)
        if fields.get(name) is None and len(like) == 1:
            fields[name] = fields[like[0]]
    return fields


def _blue_is_known(file: Path, clusters: Mapping[str, Cluster], named: Any) -> bool:
    """Whether the cluster that the stack file calls blue is not one of those that migration.yaml has and that are of no
    use.
    """
    try:
        blue = StackFile(file).read().blue
    except (ConfigError, StoreError):
        blue = read_words(file).sides.get("blue", "")
    return blue in clusters or not isinstance(named, Mapping) or blue not in named


def _cluster(reader: Reader, name: str, entry: Any, folder: Path) -> Cluster:
    key = f"clusters.{name}"
    fields = reader.mapping(entry, key, None, required=("kubeconfig",))
    kubeconfig = str(migration_file.path_of(reader, fields["kubeconfig"], f"{key}.kubeconfig", folder))
    context = fields.get("context")
    gateway = fields.get("gateway")
    gateway_fields = gateway if isinstance(gateway, Mapping) else {}

    def port(name: str, default: int) -> int:
        value = gateway_fields.get(name)
        return value if isinstance(value, int) and 0 < value < 65536 else default

    address, peer = (str(gateway_fields.get(name) or "") for name in ("address", "peer_address"))
    reached = Gateway(address or "127.0.0.1", port("port", 80), port("peer_port", routing.PEER_PORT), peer or None)
    return Cluster(name, kubeconfig, context if isinstance(context, str) else None, reached, None)


@dataclass
class Words:
    """The keys of an edge's stack file that could be read, without their prefix."""

    config: dict[str, Any]
    problems: list[str] = field(default_factory=list)

    @property
    def sides(self) -> dict[str, str]:
        """The clusters' names by side, as far as the file says them."""
        sides = self.config.get("sides")
        return {k: str(v) for k, v in sides.items() if v} if isinstance(sides, Mapping) else {}

    def edge(self, path: Path, sides: Mapping[str, str], record: Mapping[str, Any]) -> Edge:
        """`sides`: as found out. `record`: `services`, `entry`, `generation` of the live one, where the file has none;
        a service that only the record has was enrolled, too.
        """
        reader = Reader(path, {})
        known: dict[str, Any] = {"sides": dict(sides)}
        values = {**record, **self.config}
        values["services"] = _good_shares(record.get("services")) | _good_shares(self.config.get("services"))
        values["entry"] = _even(_good_shares(values.get("entry")), sides)
        for key in KEYS:
            if key == "sides" or values.get(key) is None:
                continue
            try:
                edge_of(reader, {**known, key: values[key]})
            except ConfigError as problem:
                self.problems.append(str(problem))
            else:
                known[key] = values[key]
        return edge_of(reader, known)


def _good_shares(value: Any) -> dict[str, int]:
    """What is a name with a share of it; a share that is none counts as unknown, so 0."""
    shares = value.items() if isinstance(value, Mapping) else ()
    return {
        name: share if isinstance(share, int) and 0 <= share <= WHOLE_BP else 0
        for name, share in shares
        if isinstance(name, str) and ("/" not in name or SERVICE.match(name))
    }


def _even(entry: Mapping[str, int], sides: Mapping[str, str]) -> dict[str, int] | None:
    """Green's share, and the rest for blue."""
    green = sides.get("green")
    if not entry or green is None:
        return None
    share = entry.get(green, 0)
    return {sides["blue"]: WHOLE_BP - share, green: share}


def read_words(path: Path) -> Words:
    """Of a stack file that `StackFile.read` refuses. Raises nothing."""
    try:
        document, _ = read_yaml(path, "the edge's stack file")
        config = document.get("config") if isinstance(document, Mapping) else None
        if isinstance(config, Mapping):
            return Words({str(k).removeprefix(PREFIX): v for k, v in config.items() if str(k).startswith(PREFIX)})
    except (ConfigError, StoreError):
        pass
    texts = _blocks(_text(path), re.compile(rf"""^(\s+)["']?{PREFIX}(\w+)["']?\s*:"""))
    known: dict[str, Any] = {}
    for key, versions in texts.items():
        whole = "\n".join(versions)
        if key == "sides":
            candidates = {side: {name for at, name in SIDE.findall(whole) if at == side} for side in ("blue", "green")}
            sides = {side: names.pop() for side, names in candidates.items() if len(names) == 1}
            if "blue" in sides and sides.get("green") != sides["blue"]:
                known[key] = sides
        elif key in ("services", "entry"):
            known[key] = _shares(whole.partition(":")[2].partition(":")[2], services=key == "services")
        elif (value := _agreed(versions, largest=key == "generation")) is not None:
            known[key] = value
    return Words(known)


def _shares(text: str, *, services: bool) -> dict[str, int]:
    shares: dict[str, int] = {}
    for name, share in SHARE.findall(text):
        if bool(SERVICE.match(name)) is services and int(share) <= WHOLE_BP:
            shares[name] = max(shares.get(name, 0), int(share))
    return shares


def _value(text: str) -> Any:
    """Of a key with its value as YAML; of a broken one what its first line says, or what is left when tabs are spaces, or
    those keys below it that are whole. None: nothing.
    """
    import yaml

    head, _, rest = text.partition("\n")
    shapes = [text, head, *(text.replace("\t", " " * width) for width in (2, 4, 6, 8, 3, 1))]
    for shape in dict.fromkeys(shapes):
        try:
            value = next(iter(yaml.safe_load(shape).values()))
        except (yaml.YAMLError, ValueError, AttributeError, StopIteration, RecursionError):
            continue
        if value is not None:
            return value
    below = _blocks(rest.replace("\t", "  "), re.compile(r"""^(\s+)["']?([\w.-]+)["']?\s*:"""))
    inner = {key: value for key, texts in below.items() if (value := _value(texts[0].lstrip())) is not None}
    return inner or None


def _agreed(versions: list[str], *, largest: bool) -> Any:
    values = []
    for text in versions:
        if (value := _value(text)) is None:
            return None
        if value not in values:
            values.append(value)
    numbers = [int(value) for value in values if str(value).isdigit()]
    if largest and numbers:
        return max(numbers)
    return values[0] if len(values) == 1 else None


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _blocks_of(path: Path) -> dict[str, Any]:
    """Top-level keys of a broken YAML file whose own text is whole."""
    values = {key: _agreed(texts, largest=False) for key, texts in _blocks(_text(path), re.compile(r"^()(\w+)\s*:")).items()}
    return {key: value for key, value in values.items() if value is not None}


def _blocks(text: str, head: re.Pattern[str]) -> dict[str, list[str]]:
    """The text of each key that `head` (indentation, name) finds, in every version that a conflict left."""
    blocks: dict[str, list[list[str]]] = {}
    lines: list[str] | None = None  # of the key that we are in
    indent = 0
    for line in text.splitlines():
        bare = line.split(" #")[0].rstrip()
        if line.startswith(MARKS) or not bare or bare.lstrip().startswith("#"):
            continue
        if match := head.match(line):
            lines, indent = [bare], len(match[1])
            blocks.setdefault(match[2], []).append(lines)
        elif lines is not None and len(line) - len(line.lstrip()) > indent:
            lines.append(bare)
        else:
            lines = None
    return {key: ["\n".join(each) for each in versions] for key, versions in blocks.items()}


def original(service: str, live: Mapping[routing.Side, Mapping[str, Object]]) -> tuple[Object, str] | None:
    """A service's original from what the clusters hold, and where it was found. `live`: routes by side and
    `namespace/name`. What the peer route keeps comes first where a gateway's route is made of it: it is exact.
    """
    kept = [
        kept_original for side in live if (kept_original := routing.original_of(live[side].get(routing.peer_of(service)) or {}))
    ]
    public = {side: live[side][service] for side in live if service in live[side]}
    for kept_original in kept:
        if any(routing.live_split(route, kept_original, side) is not None for side, route in public.items()):
            return kept_original, "its peer route"
    for side, route in public.items():
        if (restored := routing.original_of_split(route)) is not None and routing.live_split(route, restored, side) is not None:
            return restored, f"{side}'s route"
    return (kept[0], "its peer route") if kept else None
