"""How often somebody may ask: counted here, and shared with other processes through Valkey.

A request is counted in memory and waits for nobody. A thread tells Valkey twice a second what was
counted since, and learns what other processes have. So a Valkey that is dead or silent costs a
request nothing: each process then goes on by its own count.

Log-ins are counted in Valkey itself, one by one: there a count that another process does not know
of is a guess at a password more. Where Valkey does not answer, they are refused.

Whoever is counted has a name in Valkey that says nothing of them: a hash under Valkey's password.

    in the last minute ── what was asked in this one, and of the one before the part that still
                          lies within sixty seconds
"""

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

import redis
import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry

WINDOW_S = 60
# How long what was counted may be unknown to other processes.
SHARE_EVERY_S = 0.5
# How long the thread waits for an answer: nobody waits for the thread.
SHARED_WITHIN_S = 1.0
# How long a log-in waits for one. Valkey takes a millisecond; a process that is busy with the
# hashes of passwords may take long to notice, and must not turn people away for that.
ANSWER_S = 1.0
# After a failure nobody asks Valkey for so long.
BREAKER_S = 1.0
# Who was counted in this minute and the one before, 200 bytes each.
COUNTED_MAX = 100_000
# Counts that are told in one round trip.
TOLD_MAX = 1_000
CLOSE_S = 1.0
KEY = "trident:rate:{}:{}"
# As much of a hash as tells everybody apart whom a minute has.
NAME_BYTES = 12

log = structlog.get_logger("trident.rates")


class Bound(NamedTuple):
    """At most so many requests a minute: of what (`tenant`, ...), by whose count."""

    name: str
    who: str
    most: int


class Standing(NamedTuple):
    """How far a bound is used up: what is left, and for how long there is no more than that."""

    bound: Bound
    left: int
    seconds: int


class OverError(Exception):
    """It was asked too often."""

    def __init__(self, standing: Standing) -> None:
        super().__init__(standing.bound.name)
        self.standing = standing


class AwayError(Exception):
    """Valkey does not answer, and without it this may not be counted."""


class _Count:
    """What was counted under one name: here, of that told, elsewhere, and the minute before."""

    __slots__ = ("before", "elsewhere", "here", "minute", "told")

    def __init__(self, minute: int) -> None:
        self.minute, self.here, self.told, self.elsewhere, self.before = minute, 0, 0, 0, 0

    def turn(self, minute: int) -> None:
        """Begin another minute."""
        last = self.here + self.elsewhere if minute == self.minute + 1 else 0
        self.minute, self.here, self.told, self.elsewhere, self.before = minute, 0, 0, 0, last


class Rates:
    """The counts of one process. Safe for threads."""

    def __init__(self, url: str, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._valkey = _client(url, SHARED_WITHIN_S)
        self._strict = _client(url, ANSWER_S)
        self._secret = hashlib.sha256((urlsplit(url).password or "").encode()).digest()
        self._away_until = 0.0
        self._counts: dict[str, _Count] = {}
        self._untold: set[str] = set()
        self._lock = threading.Lock()
        self._counted, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._share, name="trident-rates", daemon=True)
        self._thread.start()

    def take(self, bounds: Sequence[Bound]) -> Standing:
        """Count one request under each of the bounds; the one that is used up most.

        Raises OverError, and then counts it nowhere: who is refused may ask again in time.
        """
        minute, second = divmod(self._now(), WINDOW_S)
        past = 1 - second / WINDOW_S
        counts, nearest, least = [], bounds[0], float("inf")
        with self._lock:
            if len(self._counts) > COUNTED_MAX:  # what was told is learned anew from Valkey
                self._counts.clear()
                self._untold.clear()
            for bound in bounds:
                count = self._count(bound.who, int(minute))
                total = count.here + count.elsewhere
                left = bound.most - total - count.before * past
                if left <= 0:
                    raise OverError(_over(bound, total, count.before, second))
                if left < least:
                    nearest, least = bound, left
                counts.append(count)
            for count in counts:
                count.here += 1
            self._untold.update([bound.who for bound in bounds])
        if not self._counted.is_set():
            self._counted.set()
        return Standing(nearest, int(least - 1) if least > 1 else 0, WINDOW_S - int(second))

    def take_strictly(self, bound: Bound) -> Standing:
        """Count one request in Valkey itself; raises OverError, and AwayError without Valkey."""
        minute, second = divmod(self._now(), WINDOW_S)
        if time.monotonic() < self._away_until:
            raise AwayError
        now, last = (self._key(bound.who, int(minute) - ago) for ago in (0, 1))
        try:
            pipe = self._strict.pipeline(transaction=False)
            pipe.incr(now)
            pipe.expire(now, 2 * WINDOW_S)
            pipe.get(last)
            count, _, before = pipe.execute()
            used = _used(count - 1, int(before or 0), second)
            if used >= bound.most:
                self._strict.decr(now)
                raise OverError(_over(bound, count - 1, int(before or 0), second))
        except redis.RedisError as error:
            self._away_until = time.monotonic() + BREAKER_S
            log.warning("log_in_not_counted", error=type(error).__name__)
            raise AwayError from None
        return Standing(bound, max(0, int(bound.most - used - 1)), WINDOW_S - int(second))

    def stop(self) -> None:
        """End the thread."""
        self._ended.set()
        self._counted.set()
        self._thread.join(CLOSE_S)
        self._valkey.close()
        self._strict.close()

    def _count(self, who: str, minute: int) -> _Count:
        count = self._counts.get(who)
        if count is None:
            count = self._counts[who] = _Count(minute)
        elif count.minute != minute:
            count.turn(minute)
        return count

    def _key(self, who: str, minute: int) -> str:
        name = hashlib.blake2b(who.encode(), key=self._secret, digest_size=NAME_BYTES)
        return KEY.format(name.hexdigest(), minute)

    def _share(self) -> None:
        pruned = self._now()
        while self._counted.wait() and not self._ended.is_set():
            self._counted.clear()
            try:
                while self._tell():
                    pass
                pause_s = SHARE_EVERY_S
            except redis.RedisError as error:
                log.warning("rates_not_shared", error=type(error).__name__)
                self._counted.set()  # what could not be told still has to be
                pause_s = BREAKER_S
            if self._now() - pruned > WINDOW_S:
                pruned = self._now()
                self._prune(int(pruned // WINDOW_S))
            self._ended.wait(pause_s)

    def _tell(self) -> bool:
        """Tell Valkey of some counts, and learn theirs; whether there are more."""
        with self._lock:
            names = [self._untold.pop() for _ in range(min(len(self._untold), TOLD_MAX))]
            found = [(who, self._counts[who]) for who in names]
            new = [(who, count.minute, count.here, count.here - count.told) for who, count in found]
        if not new:
            return False
        try:
            pipe = self._valkey.pipeline(transaction=False)
            for who, minute, _, more in new:
                key = self._key(who, minute)
                pipe.incrby(key, more)
                pipe.expire(key, 2 * WINDOW_S)
            totals = pipe.execute()[::2]
        except redis.RedisError:
            with self._lock:
                self._untold.update(who for who in names if who in self._counts)
            raise
        with self._lock:
            for (who, minute, here, _), total in zip(new, totals, strict=True):
                known = self._counts.get(who)
                if known is not None and known.minute == minute:
                    known.told, known.elsewhere = here, max(0, total - here)
            return bool(self._untold)

    def _prune(self, minute: int) -> None:
        """Forget who has not asked for a minute."""
        with self._lock:
            old = [who for who, count in self._counts.items() if count.minute < minute - 1]
            for who in old:
                del self._counts[who]
                self._untold.discard(who)


def _client(url: str, answer_s: float) -> redis.Redis:
    """A client that gives up in time, and at once."""
    return redis.Redis.from_url(
        url,
        socket_timeout=answer_s,
        socket_connect_timeout=answer_s,
        retry=Retry(NoBackoff(), 0),
    )


def _used(count: int, before: int, second: float) -> float:
    """How much was asked in the last minute."""
    return count + before * (1 - second / WINDOW_S)


def _over(bound: Bound, count: int, before: int, second: float) -> Standing:
    """When there is room for one more, if nobody asks meanwhile."""
    if count >= bound.most:  # only in the next minute, as this one's count fades
        wait_s = WINDOW_S - second + WINDOW_S * (1 - (bound.most - 1) / count)
    else:
        wait_s = WINDOW_S * (1 - (bound.most - count) / before) - second
    return Standing(bound, 0, int(wait_s) + 1)
