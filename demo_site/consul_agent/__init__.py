"""Everything that is said to the Consul agent. Knows no Django and no key names."""
