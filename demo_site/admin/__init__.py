"""The admin's own pages: who runs what, the effective configuration, changing it, its history."""
