"""Keepers: the promises of storage (`protocol`), how they are run (`plan`), and three that keep them."""
