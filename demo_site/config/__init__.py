"""The configuration document: where it is read, what it holds, which one is in force."""
