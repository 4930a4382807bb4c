"""Numbers of a policy that can never pass, or never hold, are refused with their range and unit; and which version of the file
is read.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from migration.errors import ConfigError
from migration.model import GatewayCounters, ServiceCounters, Tally, Verdict
from migration.settings.migration_file import load
from migration.settings.policy import Policy, impossible
from migration.shift.analysis import fast
from migration.shift.samples import LONGEST_SECONDS, RECENT_SECONDS, Samples

GOOD = """\
version: 1
clusters:
  plum: {kubeconfig: a, gateway: {address: 127.0.0.10}}
  fern: {kubeconfig: b, gateway: {address: 127.0.0.11}}
edge: stacks/Pulumi.edge.yaml
"""
METRICS = "metrics: {url: 'http://metrics.test'}\n"


def refused(folder: Path, text: str) -> str:
    path = folder / "migration.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    return str(caught.value).removeprefix(f"{path}:")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("latency_limit_ms: 0", "must be a number from 1 to 3600000 milliseconds, got 0"),
        ("latency_limit_ms: 0.25", "must be a number from 1 to 3600000 milliseconds, got 0.25"),
        ("latency_factor: 0.9", "must be a number from 1 to 1000 times blue's, got 0.9"),
        ("min_requests: 0", "must be a whole number from 1 to 1000000000 requests, got 0"),
        ("min_errors: 0", "must be a whole number from 1 to 10000 errors, got 0"),
        ("bake_seconds: -1", "must be a number from 0 to 2678400 seconds, got -1"),
        ("dwell_seconds: -0.1", "must be a number from 0 to 2678400 seconds, got -0.1"),
        ("in_flight: 0", "must be a whole number from 1 to 10000 services, got 0"),
        ("inconclusive_limit_seconds: 0", "must be a number from 1 to 2678400 seconds, got 0"),
        ("error_rate_limit: 1", "must be a number from 0 to 0.99 of the answers (0.01 is 1 %), got 1"),
        ("error_margin: 5", "must be a number from 0 to 0.99 of the answers (0.01 is 1 %), got 5"),
        ("hang_seconds: 0", "must be a number from 0.1 to 60 seconds, got 0"),
        ("hang_seconds: 61", "must be a number from 0.1 to 60 seconds, got 61"),
        ("hang_requests: 0", "must be a whole number from 1 to 1000000 requests, got 0"),
        ("fail_limit: 0", "must be a whole number from 1 to 1000 answers, got 0"),
        ("error_limit: 0", "must be a whole number from 1 to 10000 samples, got 0"),
        ("false_alarm: 0", "must be a number from 1e-15 to 0.05 (a probability), got 0"),
        ("analysis_interval_seconds: 0", "must be a number from 1 to 3600 seconds, got 0"),
        ("analysis_window_seconds: 0", "must be a number from 1 to 86400 seconds, got 0"),
        ("windows_seconds: [0]", "[0]: must be a number from 0.1 to 600 seconds, got 0"),
        ("windows_seconds: [5, 2]", "must be seconds that grow: at least one, such as [1, 2, 5, 10], got [5, 2]"),
        ("windows_seconds: []", "must be seconds that grow: at least one, such as [1, 2, 5, 10], got []"),
        (
            "steps_bp: [5000, 100, 10000]",
            "must be basis points that grow and end with 10000, such as [10, 100, 2500, 10000]",
        ),
        ("steps_bp: [0, 10000]", "[0]: must be a whole number from 1 to 10000 basis points, got 0"),
    ],
)
def test_what_can_never_pass_is_refused_with_range_and_unit(tmp_path: Path, text: str, told: str) -> None:
    name = text.partition(":")[0]
    common = refused(tmp_path, f"{GOOD}{METRICS}policy:\n  {text}\n")
    assert common.startswith(f"8: policy.{name}")
    assert told in common
    own = refused(tmp_path, f"{GOOD}{METRICS}services:\n  a/b:\n    policy:\n      {text}\n")
    assert own.startswith(f"10: services.a/b.policy.{name}")
    assert told in own


LIMIT = "latency_limit_ms: needs a metrics store"
SHORT = "inconclusive_limit_seconds: must be at least policy.sample_interval_seconds (30 seconds), got 20"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("policy: {latency_limit_ms: 200}\n", f"6: policy.{LIMIT}", id="a limit that nobody looks at"),
        pytest.param("policy: {latency_factor: 2}\n", "6: policy.latency_factor: needs a metrics", id="a factor, too"),
        pytest.param(
            "services: {a/b: {policy: {latency_limit_ms: 200}}}\n", f"6: services.a/b.policy.{LIMIT}", id="of one service"
        ),
        pytest.param(
            "policy: {sample_interval_seconds: 30, inconclusive_limit_seconds: 20}\n", f"6: policy.{SHORT}", id="over at once"
        ),
        pytest.param(
            "policy: {sample_interval_seconds: 30}\nservices: {a/b: {policy: {inconclusive_limit_seconds: 20}}}\n",
            f"7: services.a/b.policy.{SHORT}",
            id="only together with the common policy",
        ),
    ],
)
def test_what_can_never_work_together_is_refused(tmp_path: Path, text: str, told: str) -> None:
    assert refused(tmp_path, GOOD + text).startswith(told)


def test_a_service_may_have_what_works_with_the_common_policy(tmp_path: Path) -> None:
    path = tmp_path / "migration.yaml"
    path.write_text(
        f"{GOOD}{METRICS}policy: {{latency_limit_ms: 200, sample_interval_seconds: 30}}\n"
        "services: {a/b: {policy: {latency_limit_ms: null, inconclusive_limit_seconds: 30}}}\n"
    )
    assert load(path).policy_of("a/b").latency_limit_ms is None
    assert load(path).policy_of("c/d").latency_limit_ms == 200


def test_the_default_works_with_and_without_a_metrics_store() -> None:
    assert [*impossible(Policy(), metrics=False), *impossible(Policy(), metrics=True)] == []


# -- that the ranges are right: beyond them the rule is dead -------------------------------------------------------------


def hung(policy: Policy, seconds: int) -> Verdict:
    """Green has ten requests open and finishes none."""
    samples = Samples()
    samples.restart(0.0)
    for at in range(seconds):
        green = ServiceCounters(local=Tally(5, 0, 10))
        samples.add(float(at), {"blue": GatewayCounters({}, "e"), "green": GatewayCounters({"a/b": green}, "e")}, "a/b")
    return fast(samples, policy).verdict


def test_the_longest_allowed_time_to_hang_is_the_longest_that_is_noticed() -> None:
    assert hung(Policy(hang_seconds=RECENT_SECONDS), 100) is Verdict.FAIL
    assert hung(Policy(hang_seconds=RECENT_SECONDS + 2), 1000) is not Verdict.FAIL
    assert Policy.__dataclass_fields__["hang_seconds"].metadata["key"].high == RECENT_SECONDS
    assert Policy.__dataclass_fields__["windows_seconds"].metadata["key"].high == LONGEST_SECONDS


def failing(policy: Policy) -> Verdict:
    """Every answer of green is an error, none of blue's."""
    samples = Samples()
    samples.restart(0.0)
    for at in range(20):
        green, blue = Tally(1000 * at, 1000 * at), Tally(1000 * at)
        there = [GatewayCounters({"a/b": ServiceCounters(local=tally)}, "e") for tally in (blue, green)]
        samples.add(float(at), {"blue": there[0], "green": there[1]}, "a/b")
    return fast(samples, policy).verdict


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        ("error_rate_limit", lambda value: Policy(error_rate_limit=value)),
        ("error_margin", lambda value: Policy(error_margin=value)),
    ],
)
def test_the_highest_allowed_limit_still_fails_a_bad_service(name: str, policy: Callable[[float], Policy]) -> None:
    assert failing(Policy()) is Verdict.FAIL
    assert failing(policy(1.0)) is Verdict.PASS
    assert failing(policy(Policy.__dataclass_fields__[name].metadata["key"].high)) is Verdict.FAIL


# -- version -----------------------------------------------------------------------------------------------------------


def test_a_file_without_a_version_is_read_with_one_line_that_says_what_to_add(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "migration.yaml"
    path.write_text(GOOD.replace("version: 1\n", ""))
    assert load(path).version == 1
    (line,) = caplog.messages
    assert line == f"{path}: has no version and is read as version 1; add the line `version: 1`"
    caplog.clear()
    path.write_text(GOOD)
    assert load(path).version == 1
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("2", "got 2"),
        ("0", "got 0"),
        ("1.5", "got 1.5"),
        ("'1'", "got '1': without quotes, `version: 1`"),
        ("true", "got true"),
        ("v1", "got 'v1'"),
        ("", "got nothing"),
        ("[1]", "got [1]"),
        (".nan", "got nan"),
    ],
)
def test_another_version_is_refused_before_keys_that_only_it_has(tmp_path: Path, said: str, told: str) -> None:
    path = tmp_path / "migration.yaml"
    path.write_text(GOOD.replace("version: 1", f"waves: [a]\nversion: {said}"))
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value) == f"{path}:2: version: must be 1, the only one that this bluegreen knows, {told}"
    assert "bluegreen that this file was written for" in (caught.value.remedy or "")
