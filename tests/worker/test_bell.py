"""Rings of a burst are answered once, and none is lost."""

from __future__ import annotations

import threading
import time

from ingestion.watch.bell import Bell


def test_nothing_rings_and_the_wait_ends():
    began = time.monotonic()
    assert Bell().wait(0.05) is False
    assert time.monotonic() - began >= 0.05


def test_a_ring_before_the_wait_is_answered_and_only_once():
    bell = Bell(quiet=0.01)
    bell.ring()
    assert bell.wait(1) is True
    assert bell.wait(0.01) is False


def test_a_burst_is_answered_once_it_is_quiet():
    bell = Bell(quiet=1, longest=60)
    rung: list[float] = []

    def burst() -> None:
        for _ in range(10):
            rung.append(time.monotonic())
            bell.ring()
            time.sleep(0.02)

    ringing = threading.Thread(target=burst)
    ringing.start()
    assert bell.wait(60) is True
    assert (len(rung), time.monotonic() - rung[-1] >= 1) == (10, True), "after the last ring and the quiet after it"
    ringing.join()
    assert bell.wait(0) is False


def test_a_burst_without_end_is_answered_all_the_same():
    bell, ended = Bell(quiet=60, longest=0.5), threading.Event()

    def burst() -> None:
        while not ended.wait(0.01):
            bell.ring()

    ringing = threading.Thread(target=burst)
    began = time.monotonic()
    ringing.start()
    assert bell.wait(60) is True
    assert 0.5 <= time.monotonic() - began < 30
    assert bell.wait(60) is True, "what rings during the work is answered next"
    ended.set()
    ringing.join()


def test_wake_ends_the_wait_at_once_and_says_that_nothing_rang():
    bell = Bell()
    threading.Timer(0.05, bell.wake).start()
    began = time.monotonic()
    assert bell.wait(30) is False
    assert time.monotonic() - began < 20
