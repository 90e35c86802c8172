"""The only place that speaks Redis: keys, connections, scripts, log, runs (leases), bell, embedded server."""
