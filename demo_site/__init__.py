"""A Django site whose configuration lives in Consul."""

__version__ = "0.1.0"
