"""Many small jobs in parallel, in order, with their progress on the terminal."""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

PLAIN_EVERY = 10.0  # seconds between plain progress lines


def in_parallel(function: Callable[[T], R], items: Iterable[T], chunk: int = 1) -> Iterator[R]:
    """`map(function, items)` on threads, in order, `chunk` items a job, holding only a few jobs at a time.

    Threads do, because reading, decoding and resizing all release Python's lock.

    >>> list(in_parallel(abs, [-1, 2, -3]))
    [1, 2, 3]
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers, walk = min(32, cores), iter(items)
    waiting: deque[Future[list[R]]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        while part := list(itertools.islice(walk, chunk)):
            waiting.append(pool.submit(lambda part: [function(item) for item in part], part))
            if len(waiting) > 2 * workers:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def track(items: Iterable[T], total: int | None, text: str, progress: bool) -> Iterator[T]:
    """Pass `items` on, drawing a bar on a terminal, or a plain line now and then elsewhere (standard error)."""
    if not progress:
        yield from items
    elif sys.stderr.isatty():
        yield from _bar(items, total, text)
    else:
        begin = last = time.monotonic()
        for count, item in enumerate(items, 1):
            yield item
            if time.monotonic() - last > PLAIN_EVERY:
                last = time.monotonic()
                of = f" of {total:,}" if total else ""
                print(f"{text}: {count:,}{of} images, {last - begin:.0f} s", file=sys.stderr, flush=True)


def _bar(items: Iterable[T], total: int | None, text: str) -> Iterator[T]:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(text, total=total)
        for item in items:
            yield item
            bar.advance(task)
