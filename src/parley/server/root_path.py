"""The path below which a server is served, by a proxy or a program that mounts it."""

import re

ROOT = re.compile(r"(/[A-Za-z0-9._~-]+){1,8}")
# The header in which proxies (Traefik's, Spring's, and whoever is told to) say what they took off the path.
FORWARDED = "x-forwarded-prefix"
