"""The alerts in full length: the shipped rules and intervals, as tests/test_monitoring.py has them in a minute."""

import pytest

from tests.support.monitoring import raise_every_alert


@pytest.mark.timeout(3600)
def test_each_alert_fires_and_is_resolved_in_the_time_that_its_rule_says(own_consul, redis, config_key, report):
    raise_every_alert(own_consul, redis, config_key, 1, lambda what, seconds: report(what, f"{seconds:.0f} s"))
