"""What takes work from a queue does not run on green unasked; what only serves, or is the queue, comes along."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from migration.errors import Conflict
from migration.objects.classes import Action, Answer, Class
from migration.objects.kinds import Resource
from migration.ownership.queues import OBJECTS, QUEUE_TRIGGERS
from migration.replicate.apply import Applied, apply
from migration.replicate.export import export
from migration.replicate.plan import plan
from migration.replicate.transform import transform
from migration.settings.choices import Choices
from tests.unit.replicate.judged import ALL, Server, bundle, findings, one, verdicts, workload

NAME = "Deployment platform/x"
SERVICE = one("Service", "x", spec={"selector": {"app": "x"}, "ports": [{"port": 80, "targetPort": 8080}]})
SQS = "https://sqs.eu-central-1.amazonaws.com/111122223333/orders"


def takes(obj: dict[str, Any], *others: dict[str, Any]) -> bool:
    """Whether it is held back as a consumer until somebody says something."""
    name = f"{obj['kind']} platform/x"
    verdict = verdicts([obj, *others])[name]
    if verdict.cls is not Class.CONSUMER:
        assert (verdict.cls, verdict.action, verdict.unanswered) == (Class.PLAIN, Action.COPY, False)
        return False
    assert verdict.unanswered
    assert verdict.add(name) == f"{name}: hold  # or start | skip"
    return True


COMMANDS = [
    "celery -A shop worker -l info",
    "python -m celery --app=shop worker -Q orders",
    "celery -A shop beat",
    "bundle exec sidekiq -C config/sidekiq.yml",
    "rq worker high default",
    "python manage.py rqworker",
    "bundle exec rake resque:work",
    "bundle exec rake jobs:work",
    "bin/jobs",
    "php artisan queue:work --tries=3",
    "php /app/artisan horizon",
    "php bin/console messenger:consume async",
    "dramatiq shop.tasks",
    "arq shop.WorkerSettings",
    "bundle exec shoryuken -q orders",
    "bundle exec karafka server",
    "bin/connect-distributed.sh /etc/connect.properties",
    "kafka-console-consumer.sh --topic a",
    "/app/orders --consumer-group=orders",
    "/app/orders --input-topic orders",
    "/app/orders consume",
    "airflow celery worker",
    "n8n worker",
    "/app/orders --queue-url https://sqs.eu-central-1.amazonaws.com/1/a --visibility-timeout 30",
    "java -jar app.jar --bootstrap-servers=kafka:9092 --group-id=orders",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_consumer_is_recognized_by_its_command_even_behind_a_service(command: str) -> None:
    assert takes(workload(command=command.split()), SERVICE)
    assert takes(workload(command=["sh", "-c"], args=[f"sleep 1 && exec {command}"]), SERVICE), "in a script"


@pytest.mark.parametrize(
    "env",
    [
        {"KAFKA_BROKERS": "kafka:9092", "KAFKA_GROUP_ID": "orders"},
        {"BOOTSTRAP_SERVERS": "b-1.msk.abc.c2.kafka.eu-central-1.amazonaws.com:9096", "GROUP_ID": "orders"},
        {"BROKERS": "broker:9092", "GROUP_ID": "orders"},
        {"SPRING_KAFKA_CONSUMER_GROUP_ID": "orders"},
        {"SPRING_CLOUD_STREAM_BINDINGS_ORDERS_IN_0_DESTINATION": "orders"},
        {"MP_MESSAGING_INCOMING_ORDERS_CONNECTOR": "smallrye-kafka"},
        {"SQS_QUEUE_URL": SQS, "SQS_WAIT_TIME_SECONDS": "20"},
        {"INPUT_QUEUE_URL": SQS},
        {"KINESIS_APPLICATION_NAME": "orders", "KINESIS_STREAM": "orders"},
        {"NATS_URL": "nats://nats:4222", "DURABLE_NAME": "orders"},
        {"ORDERS": "projects/shop/subscriptions/orders"},
        {"PUBSUB_SUBSCRIPTION": "orders"},
        {"SERVICEBUS_SUBSCRIPTION_NAME": "orders"},
        {"RABBITMQ_PREFETCH_COUNT": "10", "RABBITMQ_HOST": "rabbit"},
        {"CONSUMER_GROUP": "orders", "EVENTHUB_NAME": "orders"},
        {"CONNECT_GROUP_ID": "connect", "CONNECT_BOOTSTRAP_SERVERS": "kafka:9092"},
    ],
    ids=lambda env: " ".join(env),
)
def test_a_consumer_is_recognized_by_its_variables_even_behind_a_service(env: dict[str, str]) -> None:
    assert takes(workload(env=env), SERVICE)


SPEAKING = [
    {"SQS_QUEUE_URL": SQS},
    {"ORDERS_QUEUE": SQS},
    {"KAFKA_BROKERS": "kafka:9092"},
    {"BROKER": "kafka.queues:9092"},
    {"AMQP_URL": "amqp://rabbit:5672/"},
    {"MESSAGING": "amqps://b-1.mq.eu-central-1.amazonaws.com:5671"},
    {"RABBITMQ_HOST": "rabbit"},
    {"NATS_SERVERS": "nats://nats:4222"},
    {"KINESIS_STREAM_NAME": "orders"},
    {"CELERY_BROKER_URL": "redis://redis:6379/0"},
    {"TEMPORAL_ADDRESS": "temporal-frontend:7233"},
    {"AZURE_SERVICEBUS_CONNECTION_STRING": "Endpoint=sb://a.servicebus.windows.net/"},
]


@pytest.mark.parametrize("env", SPEAKING, ids=lambda env: " ".join(env))
def test_what_speaks_to_a_queue_consumes_without_a_service_or_by_its_name(env: dict[str, str]) -> None:
    assert takes(workload(env=env)), "no Service leads to it"
    watched = one("Service", "x", spec={"selector": {"app": "x"}, "ports": [{"name": "http-metrics", "port": 9090}]})
    assert takes(workload(env=env), watched), "a Service for its metrics is nobody's call"
    assert takes(workload(env=env, container="order-consumer"), SERVICE)
    assert takes(workload(env=env, command=["node", "dist/worker.js"]), SERVICE)
    assert takes(workload(env=env, labels={"app": "x", "app.kubernetes.io/component": "worker"}), SERVICE)


@pytest.mark.parametrize("env", SPEAKING, ids=lambda env: " ".join(env))
def test_what_serves_and_speaks_to_a_queue_comes_with_a_note(env: dict[str, str]) -> None:
    obj = workload(env=env)
    assert not takes(obj, SERVICE)
    verdict = verdicts([obj, SERVICE])[NAME]
    assert [next(iter(env)) in note for note in verdict.notes] == [True]
    assert verdicts([obj, SERVICE], answers={NAME: "hold"})[NAME].action is Action.STOP


def test_variables_come_from_config_maps_by_value() -> None:
    settings = one("ConfigMap", "settings", data={"where": SQS, "KAFKA_GROUP_ID": "orders"})
    by_key = [{"name": "WHERE", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "where"}}}]
    assert takes(workload(env=by_key), settings)
    assert takes(workload(envFrom=[{"configMapRef": {"name": "settings"}}]), settings, SERVICE)
    assert takes(workload(envFrom=[{"prefix": "ORDERS_", "configMapRef": {"name": "settings"}}]), settings, SERVICE)


def test_variables_come_from_secrets_by_the_names_of_keys() -> None:
    secret = one("Secret", "secret", data={"KAFKA_GROUP_ID": "aGVsbG8=", "password": "aGVsbG8="})
    assert takes(workload(envFrom=[{"secretRef": {"name": "secret"}}]), secret, SERVICE)
    by_secret = [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "secret", "key": "KAFKA_GROUP_ID"}}}]
    assert takes(workload(env=by_secret), secret, SERVICE)


def test_a_consumer_is_recognized_by_a_mounted_file() -> None:
    text = "spring:\n  kafka:\n    consumer:\n      group-id: orders\n"
    settings = one("ConfigMap", "settings", data={"application.yaml": text})
    volumes = {"volumes": [{"name": "s", "configMap": {"name": "settings"}}]}
    assert takes(workload(pod=volumes), settings, SERVICE)
    settings["data"]["application.yaml"] = "spring:\n  kafka:\n    producer:\n      acks: all\n"
    assert not takes(workload(pod=volumes), settings, SERVICE)


def test_no_value_of_a_secret_is_looked_at() -> None:
    secret = one("Secret", "s", data={"url": "aHR0cHM6Ly9zcXMuZXUtY2VudHJhbC0xLmFtYXpvbmF3cy5jb20vMS9h"}, stringData={"b": SQS})
    assert not takes(workload(envFrom=[{"secretRef": {"name": "s"}}]), secret)


@pytest.mark.parametrize("trigger", sorted(QUEUE_TRIGGERS))
def test_what_keda_scales_by_a_queue_is_a_consumer(trigger: str) -> None:
    scaler = one("ScaledObject", "s", spec={"scaleTargetRef": {"name": "x"}, "triggers": [{"type": trigger}]})
    assert takes(workload(), scaler, SERVICE)
    assert takes(workload(replicas=0), scaler, SERVICE), "an empty queue is no sign of rest"


@pytest.mark.parametrize("trigger", ["cpu", "memory", "cron", "prometheus"])
def test_what_keda_scales_by_load_or_clock_is_no_consumer(trigger: str) -> None:
    scaler = one("ScaledObject", "s", spec={"scaleTargetRef": {"name": "x"}, "triggers": [{"type": trigger}]})
    assert not takes(workload(), scaler, SERVICE)


@pytest.mark.parametrize(
    "given",
    [
        {"env": {"REDIS_ADDR": "redis-cart:6379", "PORT": "7070"}},
        {
            "env": {"REDIS_URL": "redis://redis:6379/0", "DATABASE_URL": "postgres://db/shop"},
            "command": ["gunicorn", "shop.wsgi"],
        },
        {"env": {"PRODUCT_CATALOG_SERVICE_ADDR": "catalog:3550", "SHIPPING_SERVICE_ADDR": "shipping:50051"}},
        {"env": {"LOG_DIR": "/tmp/logs", "SERVICES_DOMAIN": "", "SERVICE_VERSION": "v1", "ENABLE_RATINGS": "true"}},
        {"env": {"PODINFO_UI_COLOR": "#34577c"}, "command": ["./podinfo", "--port=9898", "--cache-server=tcp://redis:6379"]},
        {"env": {"TWITTER_CONSUMER_KEY": "a", "OAUTH_CONSUMER_SECRET": "b"}},
        {"env": {"AZURE_SUBSCRIPTION_ID": "a", "SUBSCRIPTION_PRICE": "10", "STRIPE_SUBSCRIPTION": "b"}},
        {"env": {"KAFKA_ENABLED": "false", "QUEUE_URL": ""}},
        {"env": {"KAFKA_PRODUCER_BROKERS": "kafka:9092"}},
        {"env": {"STRIMZI_KAFKA_IMAGES": "3.9.0=quay.io/strimzi/kafka:0.45", "DEFAULT_RABBITMQ_IMAGE": "rabbitmq:4"}},
        {"env": {"WORKER_PROCESSES": "4", "WEB_CONCURRENCY": "2", "GUNICORN_CMD_ARGS": "--workers=4"}},
        {"command": ["nginx", "-g", "daemon off;"], "env": {"NGINX_WORKER_PROCESSES": "auto"}},
        {"args": ["--group-id=1000", "--user-id=1000"]},
        {"env": {"GROUP_ID": "1000", "APPLICATION_ID": "x"}},
        {"command": ["celery", "-A", "shop", "flower"]},
        {"command": ["node", "server.js"], "env": {"BACKEND_URL": "https://api.example.com/v1/queue"}},
        {"command": ["bash", "-c", "cd /app/sneakers-shop && exec node server.js"]},
        {"env": {"DONATSU": "a", "MQTTLESS": "b", "EVENT_NAME": "c"}},
    ],
    ids=lambda given: " ".join(str(v) for v in given.values())[:70],
)
def test_an_ordinary_service_is_no_consumer_with_a_service_or_without(given: dict[str, Any]) -> None:
    assert not takes(workload(**given), SERVICE)
    assert not takes(workload(**given))


def test_the_web_process_of_a_code_that_has_workers_serves() -> None:
    env = {"CELERY_BROKER_URL": "amqp://rabbit", "KAFKA_GROUP_ID": "shop", "KAFKA_BROKERS": "kafka:9092"}
    assert not takes(workload(env=env, command=["gunicorn", "shop.wsgi"]), SERVICE)
    assert takes(workload(env=env, command=["python", "-m", "shop"]), SERVICE)
    assert takes(workload(env=env, command=["gunicorn", "shop.wsgi"])), "nobody calls it"


@pytest.mark.parametrize(
    ("image", "env"),
    [
        ("docker.io/bitnami/kafka:3.9", {"KAFKA_CFG_PROCESS_ROLES": "broker", "KAFKA_BROKER_ID": "1"}),
        ("confluentinc/cp-kafka:7.9", {"KAFKA_ADVERTISED_LISTENERS": "PLAINTEXT://kafka:9092"}),
        ("corp/own-broker:1", {"KAFKA_ADVERTISED_LISTENERS": "PLAINTEXT://kafka:9092", "KAFKA_NODE_ID": "1"}),
        ("rabbitmq:4-management", {"RABBITMQ_ERLANG_COOKIE": "a"}),
        ("nats:2.11-alpine", {"NATS_SERVER_NAME": "a"}),
        ("provectuslabs/kafka-ui:latest", {"KAFKA_CLUSTERS_0_BOOTSTRAPSERVERS": "kafka:9092"}),
        ("danielqsj/kafka-exporter:v1.9", {"KAFKA_SERVER": "kafka:9092"}),
        ("temporalio/server:1.28", {"TEMPORAL_ADDRESS": "a"}),
        ("redis:8", {"REDIS_PORT": "6379"}),
        ("registry.k8s.io/redis-worker-cache/redis:8", {"REDIS_PORT": "6379"}),
    ],
)
def test_a_broker_or_a_tool_for_one_is_no_consumer(image: str, env: dict[str, str]) -> None:
    assert not takes(workload(image, env=env, kind="StatefulSet"))
    assert not takes(workload(image, env=env), SERVICE)


def test_redis_is_a_queue_for_what_is_called_a_worker() -> None:
    redis = {"REDIS_HOST": "redis"}
    assert takes(workload(env=redis, container="worker"))
    assert takes(workload(env=redis, command=["node", "dist/worker.js"]), SERVICE)
    assert not takes(workload(env=redis, command=["node", "dist/main.js"]))
    assert not takes(workload(env={}, container="worker"))


@pytest.mark.parametrize("name", ["sqs-consumer", "kafka_worker", "orders-queue-processor", "rabbitmq-listener"])
def test_a_name_that_says_of_which_queue_is_enough(name: str) -> None:
    assert takes(workload(container=name), SERVICE)
    assert takes(workload(f"corp/{name}:1"), SERVICE)
    assert not takes(workload("corp/kafka-consumer-lag-exporter:1"), SERVICE)


def test_a_worker_with_a_database_comes_with_a_note() -> None:
    obj = workload(env={"DATABASE_URL": "postgres://db/shop"}, container="worker")
    assert not takes(obj)
    assert ["database" in note for note in verdicts([obj])[NAME].notes] == [True]
    assert verdicts([workload(env={"DATABASE_URL": "postgres://db/shop"})])[NAME].notes == ()


REDIS = {"REDIS_URL": "redis://redis:6379/0"}
GUNICORN = ["/bin/sh", "-c", "gunicorn --bind 0.0.0.0:8000 --workers 3 --worker-class gthread shop.wsgi"]


@pytest.mark.parametrize(
    "given",
    [
        {"command": ["gunicorn", "app:app", "--worker-class", "uvicorn.workers.UvicornWorker"], "env": REDIS},
        {"args": ["-k", "uvicorn.workers.UvicornWorker"], "envFrom": [{"secretRef": {"name": "s"}}]},
        {"command": GUNICORN, "env": {"CELERY_BROKER_URL": "redis://redis:6379/0"}},
        {"command": GUNICORN, "env": {**REDIS, "SQS_QUEUE_URL": SQS}, "container": "sqs-consumer"},
        {"container": "websocket-listener", "env": {"REDIS_HOST": "redis"}},
        {"container": "service-worker-web", "image": "corp/nginx:1", "env": {"REDIS_HOST": "redis"}},
        {"container": "my-web-consumer-portal", "env": {"SQS_QUEUE_URL": SQS}},
        {"container": "sqs-worker-ui", "env": {"SQS_QUEUE_URL": SQS}},
        {"command": ["sh", "-c", "echo 'no worker here'; exec node server.js"], "env": REDIS},
    ],
    ids=lambda given: " ".join(str(v) for v in given.values())[:70],
)
def test_a_web_application_behind_a_service_is_no_consumer_by_mere_words(given: dict[str, Any]) -> None:
    secret = one("Secret", "s", data={"REDIS_URL": "cmVkaXM="})
    assert not takes(workload(**given), SERVICE, secret)


@pytest.mark.parametrize("words", [{"command": GUNICORN}, {"args": ["-k", "uvicorn.workers.UvicornWorker"]}])
def test_an_options_value_is_no_name_with_a_service_or_without(words: dict[str, Any]) -> None:
    assert not takes(workload(env=REDIS, **words))


@pytest.mark.parametrize(
    "command",
    [
        ["node", "--enable-source-maps", "dist/worker.js"],
        ["sh", "-c", "cd /app && exec node dist/worker.js --port 80"],
        ["python", "-m", "shop.worker"],
        ["java", "-jar", "/app/worker.jar"],
        ["/app/orders", "worker"],
        ["/app/orders", "--mode", "worker"],
        ["sh", "-c", "node dist/main.js --role=worker"],
    ],
    ids=" ".join,
)
def test_what_a_command_runs_is_a_name_wherever_it_stands(command: list[str]) -> None:
    assert takes(workload(env=REDIS, command=command), SERVICE)


def test_redis_with_a_consumers_name_asks_where_no_service_leads_to_it() -> None:
    assert takes(workload(env={"REDIS_HOST": "redis"}, container="order-listener"))


def test_redis_with_a_consumers_name_is_a_note_where_a_service_leads_to_it() -> None:
    obj = workload(env={"REDIS_HOST": "redis"}, container="order-listener")
    assert not takes(obj, SERVICE)
    assert ["Redis" in note for note in verdicts([obj, SERVICE])[NAME].notes] == [True]


@pytest.mark.parametrize("name", ["order-processor", "event-handler", "orderProcessor", "order-worker-prod"])
def test_a_consumers_name_with_a_queues_address_asks_even_behind_a_service(name: str) -> None:
    settings = one("ConfigMap", "settings", data={"SQS_QUEUE_URL": SQS})
    obj = workload(container=name, envFrom=[{"configMapRef": {"name": "settings"}}])
    assert takes(obj, settings, SERVICE)
    assert not takes(workload(container=name, env={"LOG_LEVEL": "info"}), SERVICE)
    assert not takes(workload(container=f"{name}-api", env={"SQS_QUEUE_URL": SQS}), SERVICE)


@pytest.mark.parametrize(
    "command",
    [
        "php artisan schedule:work",
        "while true; do php artisan schedule:run; sleep 60; done",
        "airflow scheduler",
        "airflow triggerer",
        "supercronic /etc/crontab",
        "/usr/sbin/crond -f -l 8",
        "cron -f",
        "bundle exec clockwork config/clock.rb",
    ],
)
def test_what_starts_work_by_its_own_clock_asks(command: str) -> None:
    assert takes(workload(command=["sh", "-c", command]), SERVICE)
    assert "by its own clock" in verdicts([workload(command=["sh", "-c", command])])[NAME].reason
    assert not takes(workload(command=["node", "crond-ui.js"], args=["/etc/supercronic.d"]))


@pytest.mark.parametrize(
    "image", ["quay.io/debezium/server:3.0", "mirror.corp/debezium-server", "confluentinc/cp-kafka-connect:7.9"]
)
def test_a_program_that_always_consumes_is_recognized_by_its_image(image: str) -> None:
    assert takes(workload(image), SERVICE)


def test_what_may_consume_is_a_warning_until_it_is_answered() -> None:
    obj = workload(env={"DATABASE_URL": "postgres://db/shop"}, command=["node", "dist/worker.js"])
    (found,) = [f for f in findings([obj]) if f.code == "BG505"]
    assert (found.severity, found.object) == ("warning", NAME)
    assert f"{NAME}: hold" in found.remedy
    assert [f for f in findings([obj], answers={NAME: "start"}) if f.code == "BG505"] == []


# -- shippers of logs --------------------------------------------------------------------------------------------------

SHIPPERS = [
    (
        "fluent/fluent-bit:4.0",
        "[INPUT]\n    Name tail\n    Path /var/log/*\n[OUTPUT]\n    Name kafka\n    Brokers kafka:9092\n",
        "[INPUT]\n    Name kafka\n    Brokers kafka:9092\n[OUTPUT]\n    Name es\n",
    ),
    (
        "fluent/fluent-bit:4.0",
        "pipeline:\n  inputs:\n    - name: tail\n  outputs:\n    - name: kafka\n      group_id: a\n",
        "pipeline:\n  inputs:\n    - name: kafka\n      brokers: kafka:9092\n  outputs:\n    - name: es\n",
    ),
    (
        "fluent/fluentd-kubernetes-daemonset:v1",
        "<source>\n  @type tail\n</source>\n<match **>\n  @type kafka2\n  brokers kafka:9092\n</match>\n",
        "<source>\n  @type kafka_group\n  brokers kafka:9092\n</source>\n<match **>\n  @type elasticsearch\n</match>\n",
    ),
    (
        "docker.elastic.co/logstash/logstash:9.0.0",
        "input {\n  beats { port => 5044 }\n}\noutput {\n  kafka { topic_id => 'a' }\n}\n",
        "input {\n  kafka { topics => ['a'] }\n}\noutput {\n  elasticsearch { }\n}\n",
    ),
    (
        "timberio/vector:0.49",
        "sources:\n  logs:\n    type: kubernetes_logs\nsinks:\n  out:\n    type: kafka\n    inputs:\n      - logs\n",
        "sources:\n  logs:\n    type: kafka\n    group_id: a\nsinks:\n  out:\n    type: console\n",
    ),
    (
        "mirror.corp/vector:0.49",
        "[sources.logs]\ntype = 'kubernetes_logs'\n[sinks.out]\ntype = 'kafka'\n",
        "[sources.logs]\ntype = 'kafka'\n[sinks.out]\ntype = 'console'\n",
    ),
    (
        "otel/opentelemetry-collector-contrib:0.130",
        "receivers:\n  otlp:\n    protocols: {}\nexporters:\n  kafka:\n    brokers: [kafka:9092]\n",
        "receivers:\n  kafka:\n    brokers: [kafka:9092]\nexporters:\n  otlp: {}\n",
    ),
]


@pytest.mark.parametrize(("image", "produces", "consumes"), SHIPPERS)
def test_a_shipper_of_logs_consumes_by_an_input_alone(image: str, produces: str, consumes: str) -> None:
    obj = workload(image, env={"KAFKA_BROKERS": "kafka:9092"}, pod={"volumes": [{"name": "c", "configMap": {"name": "c"}}]})
    assert not takes(obj, one("ConfigMap", "c", data={"file": produces}))
    assert takes(obj, one("ConfigMap", "c", data={"file": consumes}))
    assert takes(obj, one("ConfigMap", "c", data={"file": consumes}), SERVICE)


def test_daemon_sets_and_pods_that_consume_are_left_out() -> None:
    for kind in ("DaemonSet", "Pod"):
        obj = workload(kind=kind, command=["celery", "worker"])
        assert takes(obj)
        name = f"{kind} platform/x"
        assert [verdicts([obj], answers={name: a})[name].action for a in ("hold", "start", "skip")] == [
            Action.LEAVE,
            Action.COPY,
            Action.LEAVE,
        ]


def test_an_object_that_has_an_operator_consume_is_held() -> None:
    connect = one("KafkaConnect", "x", spec={"bootstrapServers": "kafka.example.com:9092", "replicas": 2})
    found = verdicts([connect])["KafkaConnect platform/x"]
    assert (found.cls, found.action, found.unanswered) == (Class.CONSUMER, Action.HOLD, True)
    started = verdicts([connect], answers={"KafkaConnect platform/x": "start"})["KafkaConnect platform/x"]
    assert started.action is Action.COPY
    assert all(len(reason) > 15 for reason in OBJECTS.values())


def test_preflight_names_it_as_blocking_with_the_line_to_add() -> None:
    (found,) = [f for f in findings([workload(env=SPEAKING[0])]) if f.code == "BG505"]
    assert (found.severity, found.object) == ("blocking", NAME)
    assert found.remedy == f"add to `replicate.answers` in migration.yaml: {NAME}: hold  # or start | skip"
    assert "SQS_QUEUE_URL" in found.evidence
    assert SQS not in found.evidence, "values stay where they are"


# -- KEDA --------------------------------------------------------------------------------------------------------------


def scaler(annotations: dict[str, str] | None = None, **target: str) -> dict[str, Any]:
    meta = {"annotations": annotations} if annotations else {}
    spec = {"scaleTargetRef": {"name": "x", **target}, "triggers": [{"type": "aws-sqs-queue"}]}
    return one("ScaledObject", "x", spec=spec, metadata=meta)


PAUSED, KEPT = "autoscaling.keda.sh/paused-replicas", "bluegreen.io/suspend"


@pytest.mark.parametrize(("before", "kept"), [({}, "null"), ({PAUSED: "3"}, '"3"'), ({KEPT: "9"}, "null")])
@pytest.mark.parametrize("target", [{}, {"kind": "Deployment", "apiVersion": "apps/v1"}, {"kind": "StatefulSet"}])
def test_the_scaler_of_what_is_stopped_comes_paused_at_zero(before: dict[str, str], kept: str, target: dict[str, str]) -> None:
    obj = workload(kind=target.get("kind", "Deployment"))
    once = transform(bundle([obj, scaler(before, **target)]))
    items = {item.resource.kind: item for item in once.items}
    made = items["ScaledObject"]
    assert made.obj["metadata"]["annotations"] == {PAUSED: "0", KEPT: kept}
    assert "is to stay at 0 replicas" in made.verdict.reason
    assert {i.name: i.obj for i in transform(once).items} == {i.name: i.obj for i in once.items}, "again is the same"


@pytest.mark.parametrize("before", [{}, {PAUSED: "3"}])
def test_the_scaler_of_what_is_to_start_comes_as_it_is(before: dict[str, str]) -> None:
    made = transform(bundle([workload(), scaler({**before, KEPT: "9"})], answers={NAME: "start"}))
    (found,) = [item.obj for item in made.items if item.resource.kind == "ScaledObject"]
    assert found["metadata"].get("annotations", {}) == before


def test_answers_that_a_consumer_allows() -> None:
    assert verdicts([workload(env=SPEAKING[0])])[NAME].answers == (Answer.HOLD, Answer.START, Answer.SKIP)


# -- stopped, started, stopped again -----------------------------------------------------------------------------------


HPA = one("HorizontalPodAutoscaler", "x", spec={"scaleTargetRef": {"kind": "Deployment", "name": "x"}, "maxReplicas": 9})
WORKER = workload(command=["celery", "worker"], replicas=3)


class Green(Server):
    """Refuses an apply without force of replicas that another manager owns, as API servers do; notes what was forced."""

    forced: tuple[str, ...] = ()

    async def apply(self, resource: Resource, obj: Any, *, force: bool = False, **more: Any) -> Any:
        key = (resource.group, resource.kind, obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
        entries = self.objects.get(key, {}).get("metadata", {}).get("managedFields") or ()
        owned = any(e.get("subresource") == "scale" for e in entries) and "replicas" in (obj.get("spec") or {})
        if owned and not force:
            raise Conflict("conflict", managers=("kube-controller-manager",), fields=("spec.replicas",))
        if owned:
            self.forced += (obj["metadata"]["name"],)
            kept = [e for e in entries if e.get("subresource") != "scale"]
            self.objects[key]["metadata"]["managedFields"] = kept
        return await super().apply(resource, obj, force=force, **more)

    def replicas(self) -> int:
        found: int = self.objects["apps", "Deployment", "platform", "x"]["spec"]["replicas"]
        return found

    def scale(self, replicas: int, manager: str) -> None:
        """By the scale subresource, as autoscalers and `kubectl scale` do."""
        obj = self.objects["apps", "Deployment", "platform", "x"]
        obj["spec"]["replicas"] = replicas
        entry = {
            "manager": manager,
            "operation": "Update",
            "subresource": "scale",
            "fieldsV1": {"f:spec": {"f:replicas": {}}},
            "time": "t999999",
        }
        for each in obj["metadata"]["managedFields"]:
            each["fieldsV1"].get("f:spec", {}).pop("f:replicas", None)
        obj["metadata"]["managedFields"].append(entry)


def replicated(green: Green, answer: str | None, *more: dict[str, Any]) -> Applied:
    said = Choices(answers={NAME: Answer(answer)} if answer else {})

    async def act() -> Applied:
        made = await export(Server("plum", [WORKER, *more], resources=ALL), green, choices=said)
        return await apply(await plan(transform(made), green), green)

    return asyncio.run(act())


@pytest.mark.parametrize("more", [(), (HPA,), (scaler(),)], ids=["alone", "with an HPA", "with KEDA"])
def test_a_stopped_consumer_follows_its_answer(more: tuple[dict[str, Any], ...]) -> None:
    green = Green("fern", resources=ALL)
    assert replicated(green, None, *more).unanswered
    assert green.replicas() == 0
    again = replicated(green, None, *more)
    assert (again.writes, len(again.unanswered)) == (0, 1)
    for answer, replicas in (("hold", 0), ("start", 3), ("hold", 0)):
        done = replicated(green, answer, *more)
        assert (green.replicas(), done.verdict()) == (replicas, None), answer
        assert replicated(green, answer, *more).writes == 0, answer


@pytest.mark.parametrize("manager", ["kube-controller-manager", "keda"])
def test_hold_stops_what_an_autoscaler_has_raised_meanwhile(manager: str) -> None:
    green = Green("fern", resources=ALL)
    replicated(green, "start", HPA)
    green.scale(7, manager)
    assert replicated(green, "start", HPA).writes == 0, "while it runs the number is the autoscaler's"
    done = replicated(green, "hold", HPA)
    assert (green.replicas(), done.verdict(), green.forced) == (0, None, ("x",))
    assert replicated(green, "hold", HPA).writes == 0


def test_what_an_autoscaler_raised_though_it_was_held_is_stopped() -> None:
    green = Green("fern", resources=ALL)
    replicated(green, "hold")
    green.scale(2, "keda")
    replicated(green, "hold")
    assert green.replicas() == 0


def test_what_a_person_scaled_on_green_stays() -> None:
    green = Green("fern", resources=ALL)
    replicated(green, "hold")
    green.scale(2, "kubectl")
    done = replicated(green, "hold")
    assert (done.writes, done.conflicts, done.verdict()) == (0, [], None)
    assert green.replicas() == 2


def test_a_number_kept_when_blue_was_a_green_is_not_carried_on() -> None:
    obj = workload(metadata={"annotations": {"bluegreen.io/replicas": "7"}})
    (made,) = transform(bundle([obj])).items
    assert "annotations" not in made.obj["metadata"]
