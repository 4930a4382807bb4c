"""Kinds that could not be read: nothing is known of their objects, so nothing is written until they can be, or a person says
which of them are not needed.

A kind is named as kubectl does, `secrets`, and where green's objects could not be read with the cluster: `secrets on fern`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from migration.errors import ConfigError, Held
from migration.objects import kinds
from migration.objects.kinds import Resource
from migration.settings.choices import of_kind
from migration.settings.yaml_reader import did_you_mean
from migration.words import counted

NAMED = 6  # of many kinds that are refused alike
ROLE = "bind the role bluegreen-read (docs/reference/permissions.md) to this user"
_ON = " on "
_USER = re.compile(r'User "(?P<user>[^"]+)" cannot (list|get) resource')
_REQUEST = re.compile(r"\b(GET|POST) \S+: ")
_GROUP = re.compile(r'API group "[^"]*"')


def on(kind: str, cluster: str) -> str:
    """The name of a kind that could not be read on this cluster, `secrets on fern`."""
    return f"{kind}{_ON}{cluster}"


def kind_of(name: str) -> str:
    """The kind, whatever the cluster."""
    return name.partition(_ON)[0]


@dataclass(frozen=True, slots=True)
class Unread:
    """Kinds that one cluster would not list for one and the same reason. `why`: the message of the first; `user`: to whom
    it is forbidden, where it is that; `cluster`: where the kinds say so.
    """

    kinds: tuple[str, ...]
    why: str
    user: str = ""
    cluster: str = ""

    @property
    def text(self) -> str:
        """One kind as its server tells it; of more the first few, and who may not list them."""
        if len(self.kinds) == 1:
            return f"{self.kinds[0]}{f' on {self.cluster}' if self.cluster else ''}: {self.why}"
        named = ", ".join(self.kinds[:NAMED]) + (f" and {len(self.kinds) - NAMED} more" if self.kinds[NAMED:] else "")
        count = f"{len(self.kinds)} kinds{f' on {self.cluster}' if self.cluster else ''}"
        if self.user:
            return f"{count} may not be listed by {self.user}: {named}"
        return f"{count} could not be listed: {named}; of the first: {self.why}"


def by_cause(unread: Mapping[str, str]) -> list[Unread]:
    """The kinds (`secrets`, `secrets on fern`) whose messages differ in no more than what was asked for."""
    alike: dict[tuple[str, str], list[str]] = {}
    for name in sorted(unread, key=lambda name: ("." in name, name)):
        kind, _, cluster = name.partition(_ON)
        plural = kind.partition(".")[0].partition("/")[0]
        text = _GROUP.sub("", _REQUEST.sub("", unread[name]))
        text = re.sub(rf"(?<![\w-]){re.escape(plural)}(\.[\w.-]*\w)?(?![\w-])", "KIND", text)
        alike.setdefault((cluster, text), []).append(name)
    causes = []
    for (cluster, _), names in alike.items():
        why = unread[names[0]]
        user = _USER.search(why)
        causes.append(Unread(tuple(map(kind_of, names)), why, user["user"] if user else "", cluster))
    return sorted(causes, key=lambda each: (each.cluster, each.kinds))


def unread_lines(unread: Mapping[str, str]) -> list[str]:
    """For people: a line for each cause."""
    lines = []
    for each in by_cause(unread):
        lines.append(f"  UNREAD {each.text}")
        if each.user and len(each.kinds) > 1:
            lines.append(f"      {ROLE}")
    return lines


def despite_words(unread: Iterable[str]) -> str:
    """The words with which to go on without these kinds."""
    names = sorted(set(map(kind_of, unread)))
    return " ".join(f"--despite-unread {name}" for name in (names if len(names) <= 3 else ["all"]))


def refuse_unread(unread: Mapping[str, str], despite: Iterable[str], asked: Iterable[Resource] = ()) -> None:
    """Passes where each kind that was not read is named in `despite`. `asked`: the kinds that the clusters have.

    Raises:
        Held: one is not named: what its objects own or need could not be told from anything else.
        ConfigError: `despite` names a kind that neither cluster has: most likely a slip of the pen, and the one that was
            meant is still in the way.
    """
    words = tuple(despite)
    resources = {resource.name: resource for resource in asked}
    names = set(map(kind_of, unread))

    def means(word: str, kind: str) -> bool:
        resource = resources.get(kind)
        return word in ("all", kind) or kind.partition("/")[0] == word or (resource is not None and of_kind(resource, [word]))

    known = {*names, *resources, *kinds.NAMED}
    for word in words if resources else ():
        if not any(means(word, kind) for kind in known):
            raise ConfigError(
                f"--despite-unread {word}: neither cluster has this kind{did_you_mean(word, sorted(known))}",
                remedy=f"unread are: {', '.join(sorted(names)) or 'none'}; name one of them, or all",
            )
    left = {kind: why for kind, why in unread.items() if not any(means(word, kind_of(kind)) for word in words)}
    if left:
        causes = by_cause(left)
        many = any(each.user and len(each.kinds) > 1 for each in causes)
        how = ROLE if many else "let the kubeconfig's user list them"
        raise Held(
            f"nothing was written: {counted(len(left), 'kind')} could not be read: {'; '.join(each.text for each in causes)}",
            remedy=f"{how}, or continue without: {despite_words(left)}",
        )
