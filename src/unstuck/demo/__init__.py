"""The demo: real work on real files, with a worker killed on the way, and a balance at the end."""
