"""What each worker runs: every serving worker publishes its state in Consul KV, and `overview` reads them all."""
