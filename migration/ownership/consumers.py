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
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from migration.objects import kinds
from migration.objects.classes import Action, Answer, Class, Sign
from migration.objects.kinds import Object, Resource
from migration.objects.view import View
from migration.ownership.known import Known
from migration.ownership.programs import SCALED, Container, Running, Variable, mounted_settings, names_run, running, variables

STOPPED = {Answer.HOLD: Action.STOP, Answer.START: Action.COPY}
LEFT_OUT = {Answer.HOLD: Action.LEAVE, Answer.START: Action.COPY}
HELD = {Answer.HOLD: Action.HOLD, Answer.START: Action.COPY}

# Objects that have somebody take from a queue: (group, kind) -> what they are
OBJECTS: Mapping[tuple[str, str], str] = {
    ("kafka.strimzi.io", "KafkaConnect"): "Strimzi runs Kafka Connect for it, which joins the group of blue's",
    ("kafka.strimzi.io", "KafkaMirrorMaker"): "copies records between brokers: two copy each of them twice",
    ("kafka.strimzi.io", "KafkaMirrorMaker2"): "copies records between brokers: two copy each of them twice",
    ("argoproj.io", "EventSource"): "Argo Events takes events from outside (queues, calendars) for it",
    ("argoproj.io", "Sensor"): "Argo Events starts work for it at each event",
    ("platform.confluent.io", "Connect"): "Confluent runs Kafka Connect for it, which joins the group of blue's",
    ("dapr.io", "Subscription"): "Dapr takes the topic's messages for it",
    ("sources.knative.dev", "KafkaSource"): "Knative takes messages for it",
    ("sources.knative.dev", "AwsSqsSource"): "Knative takes messages for it",
    ("sources.knative.dev", "RabbitmqSource"): "Knative takes messages for it",
    ("sources.knative.dev", "RedisStreamSource"): "Knative takes messages for it",
    ("sources.knative.dev", "CloudPubSubSource"): "Knative takes messages for it",
    ("sources.knative.dev", "IntegrationSource"): "Knative takes messages for it",
    ("sources.triggermesh.io", "*"): "TriggerMesh takes messages for it",
    ("camel.apache.org", "Integration"): "Camel K runs a route for it, which may begin with a queue",
    ("camel.apache.org", "KameletBinding"): "Camel K runs a route for it, which may begin with a queue",
    ("camel.apache.org", "Pipe"): "Camel K runs a route for it, which may begin with a queue",
    ("numaflow.numaproj.io", "Pipeline"): "Numaflow takes messages for it",
}

# Scalers of KEDA that count what waits to be taken (type of a trigger)
QUEUE_TRIGGERS = frozenset((
    "activemq", "apache-kafka", "artemis-queue", "aws-dynamodb-streams", "aws-kinesis-stream", "aws-sqs-queue",
    "azure-eventhub", "azure-pipelines", "azure-queue", "azure-servicebus", "beanstalkd", "forgejo-runner", "gcp-cloudtasks",
    "gcp-pubsub", "github-runner", "ibmmq", "kafka", "liiklus", "nats-jetstream", "nsq", "pulsar", "rabbitmq", "redis",
    "redis-cluster", "redis-cluster-streams", "redis-sentinel", "redis-sentinel-streams", "redis-streams",
    "solace-event-queue", "stan", "temporal",
))  # fmt: skip

# What runs on this image is the broker itself or looks at one. Its own clients are told by their command first.
BROKERS = re.compile(
    r"(?:^|[/._-])(?:kafka|cp-(?:kafka|server|zookeeper|schema-registry|kafka-rest|enterprise-\w[\w-]*)|kafka-native|zookeeper"
    r"|redpanda|console|rabbitmq|nats|nats-server|nats-streaming|jetstream|nats-box|redis|redis-stack(?:-server)?|redis-sentinel"
    r"|redis-cluster|valkey|keydb|dragonfly|pulsar(?:-all)?|activemq[\w-]*|artemis|elasticmq(?:-native)?|localstack[\w-]*|faktory"
    r"|beanstalkd|nsq|kafka-ui|akhq|kafdrop|kowl|burrow|cruise-control|schema-registry|zeebe|emqx|mosquitto|flower"
    r"|temporal(?:io)?[/-](?:server|auto-setup|ui|web|admin-tools)|redisinsight)$|(?:exporter|commander)$"
)
BROKERS_OWN = re.compile(
    r"^(?:KAFKA_(?:CFG_)?(?:ADVERTISED_LISTENERS|LISTENERS|BROKER_ID|NODE_ID|PROCESS_ROLES|CONTROLLER_QUORUM_VOTERS|LOG_DIRS)"
    r"|RABBITMQ_(?:DEFAULT_USER|DEFAULT_PASS|ERLANG_COOKIE|NODENAME|USE_LONGNAME)|KAFKA_CLUSTERS_\d+_\w+|REDPANDA_\w+)$"
)

# -- consuming ---------------------------------------------------------------------------------------------------------


class Begins(StrEnum):
    """How a program comes by its work."""

    QUEUE = "takes work from a queue"
    CLOCK = "starts work by its own clock"


@dataclass(frozen=True, slots=True)
class Program:
    """`what`: in words; `expression`: what its command, or the end of its image's path, matches."""

    what: str
    expression: re.Pattern[str]
    begins: Begins


def _program(what: str, *expressions: str, begins: Begins = Begins.QUEUE) -> Program:
    return Program(what, re.compile("|".join(expressions)), begins)


# Commands of programs that take work
COMMANDS: tuple[Program, ...] = (
    _program("a Celery worker", r"\bcelery\b.*\b(?:worker|multi)\b", r"\bcelery[_-]?worker\b"),
    _program("Celery's clock, which puts work into the queue", r"\bcelery\b.*\bbeat\b", r"\bcelery[_-]?beat\b"),
    _program("a clock that puts work into a queue", r"\brqscheduler\b", r"\bresque:scheduler\b"),
    _program("a clock: Ruby's clockwork", r"(?:^|[\s/])clockwork(?=\s|$)", begins=Begins.CLOCK),
    _program("a clock: Laravel's schedule", r"\bartisan\s+schedule:(?:work|run)\b", begins=Begins.CLOCK),
    _program(
        "a clock: Airflow's, which starts tasks and triggers",
        r"\bairflow\s+(?:scheduler|triggerer|standalone)\b",
        begins=Begins.CLOCK,
    ),
    _program(
        "a clock: cron in a container",
        r"(?:^|[\s/;&])(?:crond|supercronic|yacron|go-crond)(?=\s|$)",
        r"(?:^|[\s/;&])cron\s+-\w*f",
        r"\bofelia\s+daemon\b",
        r"\bwhenever\s.*(?:--(?:update|write)-crontab|\s-[iw]\b)",
        begins=Begins.CLOCK,
    ),
    _program("a Sidekiq worker", r"\bsidekiq(?:swarm)?\b(?![-.\w]*(?:web|exporter))"),
    _program("an RQ worker", r"\brq[ _-]?worker\b"),
    _program("a Resque worker", r"\bresque:workers?\b", r"\bresque:work\b", r"\bresque-pool\b"),
    _program(
        "a worker of Rails' jobs",
        r"\bjobs:work(?:off)?\b",
        r"\bdelayed_job\b",
        r"\bgood_job\s+start",
        r"\bbin/(?:jobs|que)\b",
    ),
    _program("a worker of Rails' jobs", r"\bsolid_queue\b"),
    _program("a Laravel worker", r"\bartisan\s+(?:queue:(?:work|listen)|horizon\b)"),
    _program("a Symfony worker", r"\bmessenger:consume\b", r"\brabbitmq:(?:\w+-)?consumer\b", r"\benqueue:consume\b"),
    _program("a worker of a Python queue", r"\bdramatiq\b", r"\bhuey_consumer", r"\barq\s+\S+", r"\bqcluster\b"),
    _program("a worker of a Python queue", r"\btaskiq\s+worker", r"\bfaust\b.*\bworker\b"),
    _program(
        "a worker of a Ruby queue",
        r"\bshoryuken\b",
        r"\bkarafka\b",
        r"\bracecar\b",
        r"\bsneakers:(?:run|work)",
        r"\bphobos\s+start",
    ),
    _program("a worker of jobs in a database", r"\bgraphile-worker\b", r"\briver\s+worker\b"),
    _program("a Faktory worker", r"\bfaktory[-_ ]?worker\b"),
    _program(
        "a Kafka consumer",
        r"\bkafka-console-consumer",
        r"\bkafka-consumer(?!-groups)\b",
        r"\b(?:kcat|kafkacat)\b.*\s-[CG]\b",
    ),
    _program("Kafka Connect", r"\bconnect-(?:distributed|standalone)\b"),
    _program("MirrorMaker", r"\bconnect-mirror-maker\b", r"\bkafka-mirror-maker\b"),
    _program("a NATS consumer", r"\bnats\b.*\s(?:sub|subscribe|consumer\s+next)\b", r"\bnats-sub\b"),
    _program("a worker of workflows", r"\bprefect\s+(?:worker|agent)\b", r"\bairflow\s+celery\s+worker", r"\bn8n\s+worker\b"),
    _program("a command that consumes", r"\b\w+:consume\b", r"(?:^|\s)consume(?:[-_]\w+)?(?=\s|$)"),
)
# Programs that take work whatever their command is, by the end of the image's path
IMAGES: tuple[Program, ...] = (
    _program(
        "Debezium, which takes from a replication slot or a binary log",
        r"(?:^|[/._-])debezium[/-](?:server|connect)$",
    ),
    _program("Maxwell, which takes from a binary log", r"(?:^|[/._-])zendesk[/-]maxwell$"),
    _program("Kafka Connect", r"(?:^|[/._-])(?:cp-)?kafka-connect(?:-base)?$"),
    _program("a clock: cron in a container", r"(?:^|[/._-])(?:supercronic|mcuadros[/-]ofelia)$", begins=Begins.CLOCK),
)
# Shippers of logs and metrics: mostly producers. They take from a queue by an input alone, not by an address
SHIPPERS = re.compile(
    r"(?:^|[/._-])(?:(?:aws-for-)?fluent-?bit|fluentd(?:-[\w-]+)?|timberio[/-]vector|logstash(?:-[\w-]+)?|filebeat|alloy"
    r"|(?:aws-)?otel-?collector(?:-[\w-]+)?|opentelemetry-collector(?:-[\w-]+)?|otelcol(?:-[\w-]+)?)$"
)
# Where their inputs stand: Fluent Bit, Fluentd, Logstash, Vector's TOML; of YAML the section of this name
INPUTS = re.compile(
    r"(?ims)^[ \t]*\[INPUT\](?P<bit>.*?)(?=^[ \t]*\[|\Z)|<source>(?P<fluentd>.*?)</source>"
    r"|^[ \t]*input\s*\{(?P<logstash>.*?)(?=^[ \t]*(?:filter|output|input)\s*\{|\Z)"
    r"|^[ \t]*\[sources\.[^\]]+\](?P<toml>.*?)(?=^[ \t]*\[(?!sources)|\Z)"
)
INPUT_SECTION = re.compile(r"^(?P<indent> *)[\w.-]*\b(?:inputs|sources|receivers):\s*$")
QUEUE_INPUT = re.compile(
    r"(?im)^[ \t-]*+(?:(?:@?type|name)[ \t]*+[=:]?[ \t]*[\"']?)?"
    r"(?P<name>\w*kafka\w*|(?:aws_)?sqs|aws_s3|rabbitmq|amqp|nats|pulsar|redis"
    r"|\w*kinesis\w*|gcp_pubsub|googlecloudpubsub|google_pubsub|azure_?event_?hubs?|solace)[\"']?(?:/[\w-]+)?\s*(?:[:{]|$)"
)
# Options of consumers; the second kind says so only beside a queue's address
OPTIONS = re.compile(
    r"(?:^|\s)--?(?:consumer[-._]?group(?:[-._]?(?:id|name))?|kafka[-._]group(?:[-._]?id)?|consumer[-._]topics?"
    r"|from[-._](?:queue|topic)|(?:input|source|in)[-._](?:queue|topic|stream)(?:[-._]\w+)?|consume[-._]\w+)(?=[=\s]|$)"
)
OPTIONS_BESIDE = re.compile(
    r"(?:^|\s)--?(?:group(?:[-._]?id)?|subscription(?:[-._](?:id|name))?|durable(?:[-._]name)?|consumer(?:[-._](?:name|id))?"
    r"|prefetch(?:[-._]count)?|visibility[-._]timeout)(?=[=\s]|$)"
)

GROUPS = re.compile(
    r"(?:^|_)(?:CONSUMER_?GROUP(?:_?(?:ID|NAME))?|CONSUMERGROUP|KAFKA_?(?:CONSUMER_?)?GROUP(?:_?(?:ID|NAME))?|CONNECT_GROUP_ID"
    r"|(?:KAFKA|KINESIS|SQS|RABBIT(?:MQ)?|AMQP|NATS|JETSTREAM|PULSAR|REDIS|STREAM|QUEUE|EVENTHUB)_(?:\w+_)?CONSUMERS?(?:_\w+)?"
    r"|CONSUMERS?_(?:\w+_)?(?:GROUP|TOPICS?|QUEUES?|STREAM|CONCURRENCY|THREADS|BATCH_SIZE|PREFETCH)(?:_\w+)?"
    r"|KCL_\w+|KINESIS_(?:CLIENT_)?APPLICATION_NAME|SPRING_CLOUD_STREAM_BINDINGS_\w*_?IN_?\d+_\w+|SPRING_CLOUD_STREAM_BINDINGS_INPUT_\w+"
    r"|SPRING_(?:KAFKA|RABBITMQ)_(?:LISTENER|CONSUMER)_\w+|MP_MESSAGING_INCOMING_\w+|JETSTREAM_DURABLE\w*|NATS_DURABLE\w*|DURABLE_NAME"
    r"|(?:SQS|PUBSUB|SERVICE_?BUS|SB|GCP|GOOGLE)_(?:\w+_)?SUBSCRIPTION(?:_?(?:ID|NAME|PATH))?"
    r"|(?:INPUT|INBOUND|INCOMING|SOURCE)_(?:SQS_|KAFKA_)?(?:QUEUE|TOPIC|STREAM)(?:_\w+)?|(?:SQS_|QUEUE_)VISIBILITY_TIMEOUT\w*"
    r"|SQS_(?:WAIT_TIME\w*|MAX_(?:NUMBER_OF_)?MESSAGES|POLL\w*|BATCH_SIZE)|(?:AMQP|RABBIT(?:MQ)?)_PREFETCH\w*)$"
)
# with an address of Kafka beside it
GROUP_ID = re.compile(
    r"(?:^|_)(?:GROUP_?ID|APPLICATION_ID|DURABLE|SUBSCRIPTION(?:_NAME)?|PREFETCH(?:_COUNT)?|DLQ(?:_\w+)?|DEAD_LETTER\w*)$"
)
CONSUMING_VALUES = re.compile(r"^projects/[\w-]+/subscriptions/\S+$")
CONSUMING_TEXT = re.compile(
    # Spring, librdkafka, Logstash, Vector
    r"(?im)^[ \t]*[\w.\-\"]*(?:group[-._]id|consumer[-._]group|groupId|group_id)\"?\s*[:=]>?\s*\S"
    r"|\[\[inputs\.(?:kafka_consumer|amqp_consumer|nats_consumer|kinesis_consumer|cloud_pubsub)"  # Telegraf
    r"|mp\.messaging\.incoming\.|-in-\d+[.:]"  # MicroProfile, Spring Cloud Stream
    r"|^[ \t]*(?:aws_sqs|kafka_franz|amqp_0_9|nats_jetstream|gcp_pubsub|redis_streams)\s*:"  # Redpanda Connect
)

# -- speaking ----------------------------------------------------------------------------------------------------------

SPEAKS_NAME = re.compile(
    r"(?:^|_)(?:SQS|KAFKA|RABBIT(?:MQ)?|AMQPS?|KINESIS|NATS|JETSTREAM|PUBSUB|SERVICE_?BUS|EVENT_?HUBS?|PULSAR|ACTIVEMQ|ARTEMIS|STOMP|CELERY"
    r"|SIDEKIQ|RESQUE|BULL(?:MQ)?|FAKTORY|TEMPORAL|BEANSTALKD?|GEARMAN|ZEEBE|NSQ|IBMMQ|MQ|SOLACE"
    r"|QUEUE_(?:URLS?|ARN|NAME)|BROKERS?_URL|BOOTSTRAP_SERVERS?|TASK_QUEUE)(?:_|$)"
)
SPEAKS_VALUE = re.compile(
    r"\bsqs[.-][\w.-]*amazonaws\.com|\bqueue\.amazonaws\.com|\barn:aws[\w-]*:(?:sqs|kinesis|mq):|\bqueue\.core\.windows\.net"
    r"|\bservicebus\.windows\.net|\b(?:amqps?|kafka|nats|tls\+nats|pulsar(?:\+ssl)?|stomp|activemq|beanstalkd?)://"
    r"|\.kafka(?:-serverless)?\.[\w-]+\.amazonaws\.com|\.confluent\.cloud:\d|\.mq\.[\w-]+\.amazonaws\.com|[\w.-]:(?:9092|9094|5671|5672|4222|6650|61616|11300)(?:$|[,/;\s])|\bsqs://|\bhttps?://[\w.:-]+/\d{12}/[\w.-]+$"
)
SPEAKS_LINE = re.compile(
    r"(?:^|\s)--?(?:[\w.-]*(?:queue[-._]?(?:url|name|arn)|bootstrap[-._]?servers?|kafka[-._]?(?:brokers?|url)|brokers?(?:[-._](?:list|url))?"
    r"|amqp[-._]?(?:url|uri)|nats[-._]?(?:url|servers?)|task[-._]?queue|stream[-._]arn))(?=[=\s]|$)"
)
REDIS = re.compile(r"(?:^|_)(?:REDIS|VALKEY|SENTINEL|IOREDIS)(?:_|$)|REDIS\w*_(?:URL|HOST|ADDR\w*)$")
REDIS_VALUE = re.compile(r"^(?:rediss?|valkeys?|unix)(?:\+\w+)?://")
# Variables that speak of what is sent, or of a program's own memory, logs and versions
NO_WORD = re.compile(
    r"PRODUC|PUBLISH|(?:^|_)(?:OUTPUT|OUT|SINK|TARGET|EMIT\w*|SEND\w*|OPTS|HEAP|JMX|LOG4J|LOG_LEVEL|VERSION|IMAGES?|UI|EXPORTER"
    r"|METRICS|CONSUMER_(?:KEY|SECRET))(?:_|$)|^STRIMZI_"
)
OFF = frozenset({"false", "0", "no", "off", "disabled", "none", "null"})
WORKER = re.compile(
    r"(?i)(?:^|[^a-z])(?:workers?|consumers?|subscribers?|listeners?|pollers?|dequeuer|jobs?-?runner|queue-?(?:runner|processor|reader))(?:$|[^a-z])"
    r"|(?<=[a-z])(?:Worker|Consumer|Subscriber|Listener)(?:$|[^a-z])"
)
# What is called so and has a queue's address takes from it; without one it may process anything
PROCESSOR = re.compile(
    r"(?i)(?:^|[^a-z])(?:processors?|handlers?|ingest(?:or|er)s?|dispatchers?)(?:$|[^a-z])"
    r"|(?<=[a-z])(?:Processor|Handler)(?:$|[^a-z])"
)
# What is called so at its end serves, whatever stands before: `web-consumer-portal`, `service-worker-web`
SAYS_WEB = re.compile(
    r"(?i)(?:^|[^a-z])(?:web(?:app|site|server|ui)?|portal|front-?end|ui|api|www|site|gateway|dashboard|console|bff|graphql"
    r"|nginx|httpd|proxy)[\d._-]*$"
)
# A name that says of which queue
QUEUE_WORKER = re.compile(
    r"(?i)(?:^|[^a-z])(?:sqs|kafka|rabbit(?:mq)?|amqp|kinesis|nats|jetstream|pub-?sub|queue|servicebus|celery|sidekiq|rq|bullmq|temporal)"
    r"[-_.]?(?:workers?|consumers?|subscribers?|listeners?|pollers?|readers?|processors?|runners?)(?:$|[^a-z])"
)
# Jobs can wait in a database as well
DATABASE = re.compile(r"(?:^|_)(?:DATABASE|DB|POSTGRES\w*|PG\w*|MYSQL|MARIADB|MONGO\w*)(?:_|$)")
# A process that serves pages, started by that name: in the same code as its workers and with the same variables
WEB = re.compile(
    r"\b(?:gunicorn|uvicorn|hypercorn|daphne|waitress-serve|puma|unicorn|rackup|php-fpm|apache2\S*|nginx|httpd|runserver|granian|uwsgi)\b"
    r"|\brails\s+s(?:erver)?\b|\bartisan\s+serve\b|\bnext\s+start\b|\bnuxt\s+start\b|\bflask\s+run\b|\bnpm\s+run\s+(?:web|serve)\b"
)
WEB_IMAGE = re.compile(r"(?:^|[/._-])(?:nginx(?:-unprivileged)?|httpd|caddy|openresty|traefik|haproxy|envoy|tomcat|varnish)$")
ONLY_WATCHED = re.compile(r"metrics|prom|monitoring|health|probe|stats|admin|actuator|debug|pprof|jmx")


MAY_TAKE = "where it takes work that blue's takes as well, say `hold`"  # the end of what is told of what comes along


def sign(obj: Object, resource: Resource, known: Known) -> Sign | None:
    """Whether it takes work from a queue."""
    what = OBJECTS.get((resource.group, resource.kind)) or OBJECTS.get((resource.group, "*"))
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
    begins: Begins = Begins.QUEUE

    def then(self, other: Evidence) -> Evidence:
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
    if not facts.consumes and not facts.settings and not any(BROKERS.search(c.image) for c in run.containers):
        ships = [_ships(container, run, known) for container in run.containers]
        for text in mounted_settings(run, known):
            if any(ships) and (kind := next(_queue_inputs(text), "")):
                return facts.then(Evidence(settings=f"a file that it mounts has an input of {kind}"))
            if not all(ships) and (match := CONSUMING_TEXT.search(text)):
                return facts.then(Evidence(settings=f"a file that it mounts says {match[0].strip()[:40]!r}"))
    return facts


def _of_container(container: Container, run: Running, known: Known) -> Evidence:
    line = container.line
    if program := _matching(COMMANDS, line) or _matching(IMAGES, container.image):
        return Evidence(consumes=f"it runs {program.what}", begins=program.begins)
    if BROKERS.search(container.image):
        return NONE
    settings = [v for v in variables(container, run.namespace, known) if not _means_nothing(v)]
    if any(BROKERS_OWN.match(variable.name) for variable in settings):
        return NONE
    speaks = next((f"its variable {v.name} is of a queue" for v in settings if _speaks(v)), "")
    if not speaks and (match := SPEAKS_LINE.search(line) or SPEAKS_VALUE.search(line)):
        speaks = f"its argument {match[0].strip()} is of a queue"
    if match := OPTIONS.search(line) or (OPTIONS_BESIDE.search(line) if speaks else None):
        return Evidence(consumes=f"its option {match[0].strip()} is a consumer's", speaks=speaks)
    of_settings = next((f"its variable {v.name} is a consumer's" for v in settings if _consumers(v, speaks=bool(speaks))), "")
    if _ships(container, run, known):  # its addresses are those of outputs, unless an input says otherwise
        return Evidence(settings=of_settings, maybe=f"it ships records, and {speaks}" if speaks else "")
    facts = Evidence(settings=of_settings, speaks=speaks)
    if called := _called(container, run, QUEUE_WORKER):
        return replace(facts, named=f"it is called {called}")
    worker = _called(container, run, WORKER)
    if speaks and (called := worker or _called(container, run, PROCESSOR)):
        return replace(facts, named=f"it is called {called}, and {speaks}")
    if worker and any(REDIS.search(v.name.upper()) or REDIS_VALUE.match(v.value) for v in settings):
        if runs := _first(names_run(container), WORKER):
            return replace(facts, named=f"it runs {runs}, and it speaks to Redis")
        return replace(facts, redis=f"it is called {worker}, and it speaks to Redis")
    database = worker and any(DATABASE.search(v.name.upper()) for v in settings)
    return replace(facts, maybe=f"it is called {worker} and has a database" if database else "")


def _matching(programs: Iterable[Program], text: str) -> Program | None:
    return next((each for each in programs if each.expression.search(text)), None) if text else None


def _consumers(variable: Variable, *, speaks: bool) -> bool:
    upper = variable.name.upper()
    return bool(GROUPS.search(upper) or CONSUMING_VALUES.match(variable.value) or (speaks and GROUP_ID.search(upper)))


def _ships(container: Container, run: Running, known: Known) -> bool:
    """Whether it is a shipper of logs or metrics. `vector` is a word of many meanings: its file tells."""
    if SHIPPERS.search(container.image):
        return True
    named = container.image.rpartition("/")[2] == "vector"
    return named and any("sinks" in text for text in mounted_settings(run, known))


def _queue_inputs(text: str) -> Iterator[str]:
    """Inputs of queues that the file of a shipper has."""
    for match in INPUTS.finditer(text):
        part = next(each for each in match.groups() if each is not None)
        yield from (each["name"] for each in QUEUE_INPUT.finditer(part))
    inside: int | None = None
    for line in text.splitlines():
        if not line.strip():
            continue
        indent = len(line) - len(line.lstrip(" "))
        if inside is not None and (indent > inside or (indent == inside and line.lstrip().startswith("- "))):
            if each := QUEUE_INPUT.match(line):
                yield each["name"]
            continue
        header = INPUT_SECTION.match(line)
        inside = len(header["indent"]) if header else None


def _means_nothing(variable: Variable) -> bool:
    # a value that is not known may be anything
    return bool(NO_WORD.search(variable.name.upper())) or variable.value.strip().lower() in OFF


def _speaks(variable: Variable) -> bool:
    return bool(SPEAKS_NAME.search(variable.name.upper()) or SPEAKS_VALUE.search(variable.value))


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
    return _first((name for name in names if not SAYS_WEB.search(name)), expression)


def _first(names: Iterable[str], expression: re.Pattern[str]) -> str:
    return next((name for name in names if expression.search(name)), "")


def _is_web(run: Running) -> bool:
    return any(WEB.search(container.line) or WEB_IMAGE.search(container.image) for container in run.containers)


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
        watched = bool(ports) and all(ONLY_WATCHED.search(port) for port in ports)
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
            if trigger.get("type") in QUEUE_TRIGGERS:
                place = (
                    str(target.get("kind") or "Deployment"),
                    scaler["metadata"].get("namespace", ""),
                    str(target.get("name")),
                )
                by_workload[place] = f"{trigger['type']} ({kinds.name_of(scaler)})"
    return by_workload
