"""The configuration document: its members, its parsing, its fields. Pure: no I/O, no Django."""
