"""`parley import-seeds`: conversations of the course and of the tutorial, as they lie in their Redis, into Parley.

Nothing there is changed or deleted; doing it again changes nothing here either, and adds what was said there since.
"""

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator
from typing import get_args

from parley.cli.access import Access, open_store
from parley.cli.arguments import add_settings, settings_of
from parley.cli.settings import Settings
from parley.cli.sources import SettingsError
from parley.core.errors import Forbidden
from parley.store import address
from parley.store.migration import Migrated, Migration
from parley.store.nodes import nodes
from parley.store.seed_data import Old, Seed, SeedData

# What is printed of a tutorial's token: whoever has all of it is let in.
SHOWN = 8

WORDS = {
    "new": "imported",
    "more": "brought up to date",
    "there": "there already",
    "deleted": "deleted here a moment ago, left out",
    "empty": "nothing in it that can be read",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to, where from, and what."""
    add_settings(parser, "redis", "prefix", "data", "config")
    parser.add_argument("--from", dest="seeds", choices=get_args(Seed), action="append", help="of one seed only")
    parser.add_argument("--source", metavar="URL", help="the Redis they lie in (the one of --redis)")
    parser.add_argument("--source-prefix", metavar="P", help="what the course's keys begin with (the one of --prefix)")
    parser.add_argument("keys", nargs="*", metavar="KEY", help="only these, where looking for keys is not allowed")


def run(args: argparse.Namespace) -> int:
    """Import, and say what was found; 1 when something that was named is not there."""
    return asyncio.run(_import(settings_of(args), args))


async def _import(settings: Settings, args: argparse.Namespace) -> int:
    access = await open_store(settings)
    try:
        source = nodes(_source(args.source), connections=2) if args.source else access.client
        try:
            data = SeedData(source, _prefix(args.source_prefix or settings.prefix))
            return await _each(data, _migration(access, settings), args)
        finally:
            if source is not access.client:
                await source.aclose()
    finally:
        await access.close()


async def _each(data: SeedData, migration: Migration, args: argparse.Namespace) -> int:
    results: Counter[str] = Counter()
    missing = 0
    async for key in _keys(data, args):
        old = await data.read(key)
        if old is None:
            missing += bool(args.keys)
            if args.keys:
                print(f"{shown(key)}: no conversation of either seed", file=sys.stderr)
            continue
        done = await migration.write(old)
        results[done.result] += 1
        print(_line(old, done))
    counts = ", ".join(f"{number} {WORDS[result]}" for result, number in sorted(results.items()))
    print(f"{results.total()} found{': ' if counts else ''}{counts}. Nothing was deleted.")
    return 1 if missing else 0


async def _keys(data: SeedData, args: argparse.Namespace) -> AsyncIterator[str]:
    for key in args.keys:
        yield key
    if args.keys:
        return
    for seed in args.seeds or get_args(Seed):
        try:
            async for key in data.keys(seed):
                yield key
        except Forbidden as error:
            raise SettingsError(f"{error}: name the keys on the command line") from None


def _line(old: Old, done: Migrated) -> str:
    turns = f", {done.turns} turn{'s' * (done.turns != 1)}" if done.turns else ""
    unread = f", {old.unread} unreadable left out" if old.unread else ""
    where = f" -> {done.conversation}" if done.conversation else ""
    return f"{old.seed:8}  {shown(old.key)}{where}  {WORDS[done.result]}{turns}{unread}"


def shown(key: str) -> str:
    """A key for printing: a course's as it is, of anything else the beginning only."""
    return key if ":" in key else f"{key[:SHOWN]}…"


def _migration(access: Access, settings: Settings) -> Migration:
    return Migration(access.client, access.keys, settings.limits, settings.lifetimes, access.barrier)


def _source(url: str) -> str:
    try:
        return address.normalise(url)
    except ValueError as error:
        raise SettingsError(f"--source cannot be used: {error}") from None


def _prefix(prefix: str) -> str:
    try:
        return address.validate_prefix(prefix)
    except ValueError as error:
        raise SettingsError(f"--source-prefix cannot be used: {error}") from None
