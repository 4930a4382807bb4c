"""What a workload runs: images, the words of its commands, its variables. Pure; one shape for every kind that makes pods."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from migration.objects import kinds
from migration.objects.kinds import Object, Resource
from migration.objects.view import View
from migration.ownership.known import Known

# Kinds whose number of pods is `spec.replicas`: these can be on a cluster without running
SCALED = frozenset({"Deployment", "StatefulSet", "ReplicaSet", "ReplicationController", "Rollout"})
BY_A_CLOCK = frozenset({"Job", "CronJob"})  # suspended in any case
# At a command's position in a script: at its start, after a separator or a wrapper's `--`, after words that run another
_COMMAND = re.compile(
    r"(?:^|[;&|({`\n]|\s--\s)[^\S\n]*+(?:(?:exec|nohup|sudo|env|time|command|then|do|else|\w+=\S*)[^\S\n]++)*"
    r"([^\s;&|(){}`'\"=]+)(?=[\s;&|)`]|$)"
)


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable, or a key that may become one. `value` is "" where it is not known (a Secret's is never read)."""

    name: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class Container:
    """`image`: the last two parts of its path without registry, tag and digest, in lower case; `words`: command and
    arguments as given; `programs`: the names that stand where a command stands.
    """

    name: str
    image: str
    words: tuple[str, ...]
    programs: tuple[str, ...]
    spec: Mapping[str, Any]

    @property
    def line(self) -> str:
        """Command and arguments as one text, with spaces between."""
        return " ".join(self.words)


@dataclass(frozen=True, slots=True)
class Running:
    """What one workload runs."""

    obj: Object
    namespace: str
    pod: Object
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    containers: tuple[Container, ...]

    @property
    def account(self) -> tuple[str, str]:
        """Namespace and name of the ServiceAccount it runs as."""
        return self.namespace, self.pod.get("serviceAccountName") or self.pod.get("serviceAccount") or "default"


def image_path(image: str) -> str:
    """`registry.k8s.io/external-dns/external-dns:v0.14@sha256:..` -> `external-dns/external-dns`."""
    parts = image.partition("@")[0].split("/")
    parts[-1] = parts[-1].partition(":")[0]
    if len(parts) > 1 and ("." in parts[0] or ":" in parts[0] or parts[0] == "localhost"):
        del parts[0]
    return "/".join(parts[-2:]).lower()


def running(obj: Object, resource: Resource, known: Known) -> Running | None:
    """What an object runs; None: it makes no pods (or is a Job), or its pods are not known."""
    spec = obj.get("spec")
    if not isinstance(spec, dict):
        return None
    meta = obj["metadata"]
    namespace = str(meta.get("namespace", ""))
    if resource.name == "pods":
        template: Any = obj
    elif resource.kind in BY_A_CLOCK or resource.name == "podtemplates":
        return None
    else:
        template = spec.get("template")
        if not template and spec.get("workloadRef"):  # a Rollout that takes the template of a Deployment
            template = _template_of(known.blue, namespace, spec["workloadRef"])
    pod = template.get("spec") if isinstance(template, dict) else None
    listed = pod.get("containers") if isinstance(pod, dict) else None
    if not isinstance(listed, list) or not isinstance(pod, dict):
        return None
    sidecars = [c for c in pod.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    about = template.get("metadata") or {}
    containers = tuple(_container(each) for each in (*listed, *sidecars))
    return Running(obj, namespace, pod, about.get("labels") or {}, about.get("annotations") or {}, containers)


def _template_of(view: View, namespace: str, reference: Mapping[str, Any]) -> Any:
    deployment = view.once(_deployments).get((namespace, str(reference.get("name", ""))))
    return ((deployment or {}).get("spec") or {}).get("template")


def _deployments(view: View) -> dict[tuple[str, str], Object]:
    return {(d["metadata"].get("namespace", ""), d["metadata"]["name"]): d for d in view.of(kinds.DEPLOYMENT.name)}


def _container(spec: Mapping[str, Any]) -> Container:
    words = tuple(str(word) for word in (*(spec.get("command") or ()), *(spec.get("args") or ())))
    return Container(str(spec.get("name", "")), image_path(str(spec.get("image", ""))), words, tuple(_programs(words)), spec)


def _programs(words: tuple[str, ...]) -> Iterator[str]:
    """Names at a command's position: of a list the first words that are no options (wrappers such as tini come before the
    program), of a script those that it calls.
    """
    value_of_option = False
    for number, word in enumerate(words):
        if " " in word or "\n" in word or ";" in word:
            yield from (_base(command) for command in _COMMAND.findall(word))
        elif number < 8 and word and not word.startswith("-") and not value_of_option:
            yield _base(word)
        value_of_option = word.startswith("--") and word != "--" and "=" not in word


def _base(path: str) -> str:
    return path.rpartition("/")[2]


# Options whose value is what runs: `python -m shop.worker`, `java -jar worker.jar`
_RUNS_ITS_VALUE = frozenset({"-m", "-jar", "--"})
# `--mode worker`, `--role=consumer`: so a program of several parts is told which to be
_WHICH_PART = re.compile(r"^--?(?:mode|role|component|process(?:-type)?|type|target|profile|run)(?:=(?P<part>.+))?$")
_FILE = re.compile(r"\.(?:[cm]?js|ts|py|rb|php|jar|sh|pl|dll|exs?)$")
_SAYS = frozenset({"echo", "printf", "#"})  # whose words are for people
_SPLIT = re.compile(r"[;&|(){}`\n]+")


def names_run(container: Container) -> Iterator[str]:
    """Of its command the words that name what runs: programs, files, subcommands. No option, no option's value (but a
    file that runs after an option without one: `node --inspect dist/worker.js`), and of a script each command's words.
    """
    for word in container.words:
        if _is_script(word):
            for command in _SPLIT.split(word):
                words = command.split()
                yield from _named_in(words) if words and words[0] not in _SAYS else ()
    yield from _named_in([word for word in container.words if not _is_script(word)])


def _is_script(word: str) -> bool:
    return any(each in word for each in " \n;")


def _named_in(words: Iterable[str]) -> Iterator[str]:
    before = ""
    for word in words:
        runs = before in _RUNS_ITS_VALUE or _WHICH_PART.match(before)
        value = before.startswith("-") and "=" not in before and not runs
        if (which := _WHICH_PART.match(word)) and which["part"]:
            yield which["part"]
        if not word.startswith(("-", "$")) and "=" not in word and (not value or _FILE.search(word)):
            yield word.strip("'\"")
        before = word


# -- variables ---------------------------------------------------------------------------------------------------------


def variables(container: Container, namespace: str, known: Known) -> Iterator[Variable]:
    """Its variables with what is known of their values: literal ones and those of ConfigMaps; of Secrets only the names of
    the keys.
    """
    for each in container.spec.get("env") or ():
        source = each.get("valueFrom") or {}
        name = str(each.get("name", ""))
        if key := source.get("configMapKeyRef"):
            value = known.blue.once(_settings).get((namespace, str(key.get("name", ""))), {}).get(str(key.get("key")), "")
            yield Variable(name, value)
        elif key := source.get("secretKeyRef"):
            yield Variable(name)
            yield Variable(str(key.get("key", "")))
        elif source or each.get("value"):  # one that is empty says nothing
            yield Variable(name, str(each.get("value") or ""))
    for each in container.spec.get("envFrom") or ():
        prefix = str(each.get("prefix") or "")
        if reference := each.get("configMapRef"):
            settings = known.blue.once(_settings).get((namespace, str(reference.get("name", ""))), {})
            yield from (Variable(prefix + name, value) for name, value in settings.items())
        elif reference := each.get("secretRef"):
            keys = known.blue.once(_secret_keys).get((namespace, str(reference.get("name", ""))), ())
            yield from (Variable(prefix + name) for name in keys)


def mounted_settings(run: Running, known: Known) -> Iterator[str]:
    """The texts of the ConfigMaps that its pods mount."""
    for volume in run.pod.get("volumes") or ():
        sources = [volume, *((volume.get("projected") or {}).get("sources") or ())]
        for source in sources:
            if reference := source.get("configMap"):
                yield from known.blue.once(_settings).get((run.namespace, str(reference.get("name", ""))), {}).values()


def _settings(view: View) -> dict[tuple[str, str], dict[str, str]]:
    return {
        (m["metadata"].get("namespace", ""), m["metadata"]["name"]): {k: str(v) for k, v in (m.get("data") or {}).items()}
        for m in view.of(kinds.CONFIG_MAP.name)
    }


def _secret_keys(view: View) -> dict[tuple[str, str], tuple[str, ...]]:
    return {
        (s["metadata"].get("namespace", ""), s["metadata"]["name"]): (*(s.get("data") or {}), *(s.get("stringData") or {}))
        for s in view.of("secrets")
    }
