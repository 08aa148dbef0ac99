"""What has to be imported before there are threads."""

from importlib import import_module

from django.conf import settings

_OF_DJANGO_REDIS = ("django_redis.cache", "django_redis.serializers.pickle", "django_redis.compressors.identity")


def import_for_requests() -> None:
    """Import what the first request would, for `start` or earlier, before the fork.

    Threads that import at once, some for a request and some for what is here, can meet half-initialised modules: a
    worker that replaced a dead one answered 500 to its first visitors.
    """
    for module in (settings.ROOT_URLCONF, "demo_site.redis_cache.client", *_OF_DJANGO_REDIS):
        import_module(module)
