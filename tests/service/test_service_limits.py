"""Rate limits, with a clock that the test moves."""

from skillpm_registry.app import limits
from skillpm_registry.app.limits import RateLimit


def test_a_client_gets_its_rate_and_a_burst_and_others_are_not_affected() -> None:
    limit = RateLimit("reads", 60)
    assert all(limit.take("a", 0).allowed for _ in range(10))
    refused = limit.take("a", 0)
    assert not refused.allowed
    assert 0 < refused.reset <= 1
    assert limit.take("b", 0).allowed
    assert limit.take("a", 1.01).allowed
    assert not limit.take("a", 1.02).allowed
    assert sum(limit.take("a", 1000).allowed for _ in range(50)) == 10


def test_a_304_is_free() -> None:
    limit = RateLimit("reads", 6)
    for _ in range(100):
        assert limit.take("a", 0).allowed
        limit.give_back("a", 0)
    assert limit.take("a", 0).allowed
    assert not limit.take("a", 0).allowed


def test_headers_name_the_limit_and_what_remains() -> None:
    limit = RateLimit("writes", 60)
    headers = limit.headers(limit.take("a", 0))
    assert headers["ratelimit"].startswith('"writes";r=9;t=')
    assert headers["ratelimit-policy"] == '"writes";q=10;w=10'


def test_zero_means_no_limit() -> None:
    limit = RateLimit("reads", 0)
    assert all(limit.take("a", 0).allowed for _ in range(1000))
    assert limit.headers(limit.take("a", 0)) == {}


def test_a_clock_that_goes_back_gives_nothing() -> None:
    limit = RateLimit("reads", 6)
    assert limit.take("a", 100).allowed
    assert not limit.take("a", 50).allowed


def test_the_number_of_buckets_is_bounded() -> None:
    limit = RateLimit("reads", 60)
    for number in range(limits.CLIENTS + 50):
        limit.take(str(number), 0)
    assert len(limit._buckets) == limits.CLIENTS
