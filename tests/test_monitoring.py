"""deploy/monitoring: Prometheus finds and scrapes the instances, and each alert fires and is resolved."""

import json
import re

import pytest

from demo_site import metrics
from tests.support.monitoring import promtool, raise_every_alert, shipped

FACTOR = 60  # a minute of the rules is a second of the test; tests/soak has the full length


@pytest.mark.slow
def test_alerts_fire_at_every_scrape_interval_up_to_a_minute_and_not_for_what_is_over(tmp_path):
    assert "SUCCESS" in promtool(tmp_path, "test", "rules", "alerts_test.yml")


def test_every_alert_has_a_test():
    alerts = re.findall(r"- alert: (\w+)", shipped("alerts.yml"))
    tests = shipped("alerts_test.yml")
    assert len(alerts) == 11
    assert [name for name in alerts if f"alertname: {name}" not in tests] == []


@pytest.mark.parametrize("name", ["alerts.yml", "dashboard.json"])
def test_what_is_looked_at_is_a_metric_of_the_site(name):
    exposed = set(re.findall(r"^# TYPE (\w+) ", metrics.exposition(), re.MULTILINE)) - set(metrics._FORMER_NAMES)
    text = shipped(name)
    if name == "dashboard.json":
        text = "\n".join(target["expr"] for panel in json.loads(text)["panels"] for target in panel["targets"])
    prefixes = {each.partition("_")[0] for each in exposed}
    named = set(re.findall(rf"\b(?:{'|'.join(prefixes)})_\w+", text))
    assert named and {each.removesuffix("_bucket") for each in named} <= exposed


@pytest.mark.slow
def test_each_alert_fires_and_is_resolved_when_its_fault_is_made(own_consul, redis, config_key):
    raised = raise_every_alert(own_consul, redis, config_key, FACTOR)
    assert raised == set(re.findall(r"- alert: (\w+)", shipped("alerts.yml")))
