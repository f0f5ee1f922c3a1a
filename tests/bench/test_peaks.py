"""Bandwidth is of memory, not of a cache: the tensor that is read is larger than what the CPU reports."""

import os

import pytest

from powerbert_cli.bench import caches
from powerbert_cli.bench.peaks import read_bytes

MIB = 2**20


def cpu(folder, number, *levels):
    for index, (level, size, shared) in enumerate(levels):
        place = folder / f"cpu{number}" / "cache" / f"index{index}"
        place.mkdir(parents=True)
        for name, value in (("level", level), ("size", size), ("shared_cpu_list", shared)):
            (place / name).write_text(f"{value}\n")


def test_all_caches_of_the_last_level_that_this_process_may_use(tmp_path, monkeypatch):
    """Two of them, each of two CPUs; a third is of CPUs that are not ours."""
    for number, shared in ((0, "0-1"), (1, "0-1"), (2, "2-3"), (4, "4-5")):
        cpu(tmp_path, number, (1, "32K", number), (2, "1024K", number), (3, "240M", shared))
    monkeypatch.setattr(caches, "_CPUS", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    assert caches.last_level_bytes() == 480 * MIB
    monkeypatch.setattr(caches, "_CPUS", tmp_path / "none")
    assert caches.last_level_bytes() is None


def test_memory_that_is_available_within_a_control_group(tmp_path, monkeypatch):
    memory, limit, used = (tmp_path / name for name in ("meminfo", "max", "current"))
    memory.write_text("MemTotal: 4096 kB\nMemAvailable: 2048 kB\n")
    limit.write_text("max\n")
    used.write_text("1000\n")
    monkeypatch.setattr(caches, "_MEMORY", memory)
    monkeypatch.setattr(caches, "_LIMITS", (limit, used))
    assert caches.available_bytes() == 2 * MIB
    limit.write_text(f"{MIB}\n")
    assert caches.available_bytes() == MIB - 1000
    monkeypatch.setattr(caches, "_MEMORY", tmp_path / "none")
    monkeypatch.setattr(caches, "_LIMITS", (tmp_path / "none",) * 2)
    assert caches.available_bytes() is None


@pytest.mark.parametrize(
    ("cache", "available", "read"),
    [(480, 100_000, 1920), (32, 100_000, 256), (None, None, 256), (480, 4000, 1000)],
)
def test_what_is_read_lies_beyond_the_cache(cache, available, read):
    given = (None if size is None else size * MIB for size in (cache, available))
    assert read_bytes("cpu", *given) == read * MIB
