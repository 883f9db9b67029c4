"""Real servers for the tests: provisioned on demand, private, and gone without a trace afterwards.

`postgres.py` and `pgbouncer.py` each start one server in a temporary folder of its own, on a free port,
as an unprivileged user when the tests run as root. `fixtures.py` hands them to tests. `watching.py` is
the process that clears up when the tests themselves are killed, and `leaks.py` fails a run that leaves
anything behind.
"""
