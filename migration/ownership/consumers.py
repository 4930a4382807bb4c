"""What takes work from queues: two of them take each message from the other, and answer by two states of the world.

A producer looks much like a consumer. So signs are of two strengths. *Consuming*: a command, a group, a subscription, a
scaler that counts a queue; it is a consumer. *Speaking* to a queue (its address is among the variables): a consumer where
the name says so or where nobody calls it, that is where no Service leads to it; otherwise it comes along as it is, it is
told, and a person may say `hold`. Redis alone is no queue; with the command of a worker it is, and with its name where no
Service leads to it. A name weighs nothing against a web server that a Service leads to.

A program that starts work by its own clock does harm in the same way and is asked about here: two clocks start all twice.

Variables count by name and, where they are literal or from a ConfigMap, by value; of Secrets the names of keys alone.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from migration.objects import kinds
from migration.objects.classes import Action, Answer, Class, Sign
from migration.objects.kinds import Object, Resource
from migration.objects.view import View
from migration.ownership import queues
from migration.ownership.known import Known
from migration.ownership.programs import SCALED, Container, Running, Variable, mounted_settings, names_run, running, variables

STOPPED = {Answer.HOLD: Action.STOP, Answer.START: Action.COPY}
LEFT_OUT = {Answer.HOLD: Action.LEAVE, Answer.START: Action.COPY}
HELD = {Answer.HOLD: Action.HOLD, Answer.START: Action.COPY}


MAY_TAKE = "where it takes work that blue's takes as well, say `hold`"  # the end of what is told of what comes along


def sign(obj: Object, resource: Resource, known: Known) -> Sign | None:
    """Whether it takes work from a queue."""
    what = queues.OBJECTS.get((resource.group, resource.kind)) or queues.OBJECTS.get((resource.group, "*"))
    if what:
        return Sign(Class.CONSUMER, what, Action.HOLD, HELD, required=True)
    run = running(obj, resource, known)
    if run is None:
        return None
    facts = evidence(run, known)
    if facts == NONE:
        return None
    serves = _serves(run, known)
    consumes = facts.consumes or ("" if serves and _is_web(run) else facts.named)
    if facts.settings and not consumes and not (serves and _is_web(run)):  # a web process shares them with its workers
        consumes = facts.settings
    if not consumes and facts.redis:
        if serves:
            facts = replace(facts, maybe=facts.maybe or facts.redis)
        else:
            consumes = facts.redis
    if facts.speaks and not consumes and not serves:
        consumes = f"{facts.speaks}, and no Service leads to it"
    if consumes:
        scaled = obj["kind"] in SCALED
        action, answers = (Action.STOP, STOPPED) if scaled else (Action.LEAVE, LEFT_OUT)
        return Sign(Class.CONSUMER, f"{facts.begins}: {consumes}", action, answers, required=True)
    said = facts.settings or facts.speaks or facts.maybe or facts.named
    note = f"{said}: {MAY_TAKE}"
    answers = STOPPED if obj["kind"] in SCALED else LEFT_OUT
    return Sign(Class.PLAIN, "", Action.COPY, answers, notes=(note,), doubt=note)


@dataclass(frozen=True, slots=True)
class Evidence:
    """In words, "" where there is none. `consumes`: that it takes work, and `begins` how it comes by it; `named`: that it is
    called so, and perhaps has a queue's address; `redis`: that it is called so and has Redis; `settings`: that its variables
    or files are a consumer's; `speaks`: that it has a queue's address; `maybe`: that it is called a worker and has a database.
    """

    consumes: str = ""
    named: str = ""
    redis: str = ""
    settings: str = ""
    speaks: str = ""
    maybe: str = ""
    begins: queues.Begins = queues.Begins.QUEUE

    def then(self, other: Evidence) -> Evidence:
        """With the evidence of another container where this one has none."""
        return Evidence(
            self.consumes or other.consumes,
            self.named or other.named,
            self.redis or other.redis,
            self.settings or other.settings,
            self.speaks or other.speaks,
            self.maybe or other.maybe,
            self.begins if self.consumes else other.begins,
        )


NONE = Evidence()


def evidence(run: Running, known: Known) -> Evidence:
    """What is seen of a workload and queues."""
    trigger = _trigger(run, known)
    facts = Evidence(consumes=f"KEDA scales it by {trigger}" if trigger else "")
    for container in run.containers:
        facts = facts.then(_of_container(container, run, known))
    if not facts.consumes and not facts.settings and not any(queues.BROKERS.search(c.image) for c in run.containers):
        ships = [_ships(container, run, known) for container in run.containers]
        for text in mounted_settings(run, known):
            if any(ships) and (kind := next(_queue_inputs(text), "")):
                return facts.then(Evidence(settings=f"a file that it mounts has an input of {kind}"))
            if not all(ships) and (match := queues.CONSUMING_TEXT.search(text)):
                return facts.then(Evidence(settings=f"a file that it mounts says {match[0].strip()[:40]!r}"))
    return facts


def _of_container(container: Container, run: Running, known: Known) -> Evidence:
    line = container.line
    if program := _matching(queues.COMMANDS, line) or _matching(queues.IMAGES, container.image):
        return Evidence(consumes=f"it runs {program.what}", begins=program.begins)
    if queues.BROKERS.search(container.image):
        return NONE
    settings = [v for v in variables(container, run.namespace, known) if not _means_nothing(v)]
    if any(queues.BROKERS_OWN.match(variable.name) for variable in settings):
        return NONE
    speaks = next((f"its variable {v.name} is of a queue" for v in settings if _speaks(v)), "")
    if not speaks and (match := queues.SPEAKS_LINE.search(line) or queues.SPEAKS_VALUE.search(line)):
        speaks = f"its argument {match[0].strip()} is of a queue"
    if match := queues.OPTIONS.search(line) or (queues.OPTIONS_BESIDE.search(line) if speaks else None):
        return Evidence(consumes=f"its option {match[0].strip()} is a consumer's", speaks=speaks)
    of_settings = next((f"its variable {v.name} is a consumer's" for v in settings if _consumers(v, speaks=bool(speaks))), "")
    if _ships(container, run, known):  # its addresses are those of outputs, unless an input says otherwise
        return Evidence(settings=of_settings, maybe=f"it ships records, and {speaks}" if speaks else "")
    facts = Evidence(settings=of_settings, speaks=speaks)
    if called := _called(container, run, queues.QUEUE_WORKER):
        return replace(facts, named=f"it is called {called}")
    worker = _called(container, run, queues.WORKER)
    if speaks and (called := worker or _called(container, run, queues.PROCESSOR)):
        return replace(facts, named=f"it is called {called}, and {speaks}")
    if worker and any(queues.REDIS.search(v.name.upper()) or queues.REDIS_VALUE.match(v.value) for v in settings):
        if runs := _first(names_run(container), queues.WORKER):
            return replace(facts, named=f"it runs {runs}, and it speaks to Redis")
        return replace(facts, redis=f"it is called {worker}, and it speaks to Redis")
    database = worker and any(queues.DATABASE.search(v.name.upper()) for v in settings)
    return replace(facts, maybe=f"it is called {worker} and has a database" if database else "")


def _matching(programs: Iterable[queues.Program], text: str) -> queues.Program | None:
    return next((each for each in programs if each.expression.search(text)), None) if text else None


def _consumers(variable: Variable, *, speaks: bool) -> bool:
    upper = variable.name.upper()
    return bool(
        queues.GROUPS.search(upper)
        or queues.CONSUMING_VALUES.match(variable.value)
        or (speaks and queues.GROUP_ID.search(upper))
    )


def _ships(container: Container, run: Running, known: Known) -> bool:
    """Whether it is a shipper of logs or metrics. `vector` is a word of many meanings: its file tells."""
    if queues.SHIPPERS.search(container.image):
        return True
    named = container.image.rpartition("/")[2] == "vector"
    return named and any("sinks" in text for text in mounted_settings(run, known))


def _queue_inputs(text: str) -> Iterator[str]:
    """Inputs of queues that the file of a shipper has."""
    for match in queues.INPUTS.finditer(text):
        part = next(each for each in match.groups() if each is not None)
        yield from (each["name"] for each in queues.QUEUE_INPUT.finditer(part))
    inside: int | None = None
    for line in text.splitlines():
        if not line.strip():
            continue
        indent = len(line) - len(line.lstrip(" "))
        if inside is not None and (indent > inside or (indent == inside and line.lstrip().startswith("- "))):
            if each := queues.QUEUE_INPUT.match(line):
                yield each["name"]
            continue
        header = queues.INPUT_SECTION.match(line)
        inside = len(header["indent"]) if header else None


def _means_nothing(variable: Variable) -> bool:
    # a value that is not known may be anything
    return bool(queues.NO_WORD.search(variable.name.upper())) or variable.value.strip().lower() in queues.OFF


def _speaks(variable: Variable) -> bool:
    return bool(queues.SPEAKS_NAME.search(variable.name.upper()) or queues.SPEAKS_VALUE.search(variable.value))


def _called(container: Container, run: Running, expression: re.Pattern[str]) -> str:
    """Which of its names, or of what its command runs, matches; a name that ends with a server's word is one."""
    labels = run.labels
    called = (
        str(run.obj["metadata"]["name"]),
        container.name,
        container.image.rpartition("/")[2],
        str(labels.get("app.kubernetes.io/component", "")),
        str(labels.get("app", "")),
    )
    names = (*called, *names_run(container))
    return _first((name for name in names if not queues.SAYS_WEB.search(name)), expression)


def _first(names: Iterable[str], expression: re.Pattern[str]) -> str:
    return next((name for name in names if expression.search(name)), "")


def _is_web(run: Running) -> bool:
    return any(queues.WEB.search(container.line) or queues.WEB_IMAGE.search(container.image) for container in run.containers)


# -- who calls it, who scales it ---------------------------------------------------------------------------------------


def _serves(run: Running, known: Known) -> bool:
    """Whether a Service leads to its pods by a port that is not there for being watched."""
    index = known.blue.once(_services)
    return any(
        selector <= set(run.labels.items())
        for key_value in run.labels.items()
        for selector in index.get((run.namespace, *key_value), ())
    )


def _services(view: View) -> dict[tuple[str, str, str], list[frozenset[tuple[str, str]]]]:
    """Selectors of Services that serve, by namespace and the first of their labels."""
    selectors: dict[tuple[str, str, str], list[frozenset[tuple[str, str]]]] = defaultdict(list)
    for service in view.of(kinds.SERVICE.name):
        spec = service.get("spec") or {}
        selector = frozenset((str(k), str(v)) for k, v in (spec.get("selector") or {}).items())
        ports = [str(port.get("name") or port.get("targetPort") or "") for port in spec.get("ports") or ()]
        watched = bool(ports) and all(queues.ONLY_WATCHED.search(port) for port in ports)
        if selector and not watched:
            selectors[service["metadata"].get("namespace", ""), *min(selector)].append(selector)
    return selectors


def _trigger(run: Running, known: Known) -> str:
    return known.blue.once(_triggers).get((run.obj["kind"], run.namespace, run.obj["metadata"]["name"]), "")


def _triggers(view: View) -> dict[tuple[str, str, str], str]:
    """For each workload that KEDA scales by a queue: the trigger's type."""
    by_workload = {}
    for scaler in view.of("scaledobjects.keda.sh"):
        spec = scaler.get("spec") or {}
        target = spec.get("scaleTargetRef") or {}
        for trigger in spec.get("triggers") or ():
            if trigger.get("type") in queues.QUEUE_TRIGGERS:
                place = (
                    str(target.get("kind") or "Deployment"),
                    scaler["metadata"].get("namespace", ""),
                    str(target.get("name")),
                )
                by_workload[place] = f"{trigger['type']} ({kinds.name_of(scaler)})"
    return by_workload
