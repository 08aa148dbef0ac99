"""What this service is called: a service of its own is renamed here, and nowhere else in the code.

Constants only: `make run` reads them before there is a virtual environment.
"""

NAME = "mydemo"  # in Consul's catalog and DNS: the default of SERVICE_NAME
KEY = "demo-config"  # of the document in Consul KV: the default of DEMO_CONFIG_KEY
TITLES = {"en": "Demo site", "zh-hans": "演示站点"}  # of the admin, by language; English where there is no other
COUNTER_KEY = "hits"  # in Redis
METRICS_PREFIX = "demo"  # counter_... are the app's own

# These two stand in what is stored already. Changed in a service that runs, they lose the permissions that users have,
# and every fingerprint of a secret is another one.
LABEL = "demo_site"  # of the Django app: it names permissions and migrations in the database
FINGERPRINT_SALT = "demo_site.config.effective"
