"""The site's registration in Consul: its definition, and how it is made, kept up and ended."""
