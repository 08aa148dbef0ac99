"""The client of the Consul agent. Knows no Django and no key names."""
