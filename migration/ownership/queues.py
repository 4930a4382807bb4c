"""Kinds, programs, options, variables and names by which a consumer of a queue, or what speaks to one, is known."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

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
