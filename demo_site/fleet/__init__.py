"""Who runs what: each serving worker publishes its state in Consul KV, and `overview` reads them all."""
