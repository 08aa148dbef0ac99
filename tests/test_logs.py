"""What runserver's log shows of the requests."""

from tests.support.waiting import wait_until


def test_health_checks_that_pass_do_not_fill_the_log(environment, new_site):
    site = new_site(environment).runserver("--noreload")
    for path in ("/livez", "/readyz", "/nowhere", "/"):
        site.get(path)
    wait_until(lambda: '"GET / HTTP/1.1" 200' in site.log(), 30, "the page's line in the log")
    assert '"GET /nowhere HTTP/1.1" 404' in site.log()
    assert "/livez" not in site.log()
    assert "/readyz" not in site.log()


def test_health_check_that_fails_is_logged(environment, new_site, own_redis, consul, config_key):
    consul.put(config_key, {"redis_config": own_redis.document(), "show_message": "hello"})
    site = new_site(environment).runserver("--noreload")
    own_redis.stop()
    assert site.get("/readyz").status_code == 503
    wait_until(lambda: '"GET /readyz HTTP/1.1" 503' in site.log(), 30, "the failed check in the log")
