"""The site's entry in Consul: its definition, registering it, keeping it, removing it."""
