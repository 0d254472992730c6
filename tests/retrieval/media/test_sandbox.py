"""Sandboxed subprocesses answer requests, end at their limits, and start again."""

import io
import time

import pytest

from retrieval.media.sandbox import ProcessEnded, RequestFailed, SandboxedProcess, SandboxPool, WorkerScript

SCRIPT = """
import os, signal, sys, time

def create_handler():
    return handle

def handle(request, file):
    if "content" in request:
        with file:
            file.seek(0)
            return {"path": sys.path}, file.read()
    if "allocate" in request:
        return {}, bytes(request["allocate"])[:1]
    if "crash" in request:
        os.kill(os.getpid(), signal.SIGSEGV)
    if "fail" in request:
        raise ValueError("no such page")
    time.sleep(request.get("sleep", 0))
    return {"pid": os.getpid()}, bytes(request.get("answer_bytes", 0))
"""


@pytest.fixture
def worker(tmp_path):
    script = tmp_path / "worker.py"
    script.write_text(SCRIPT)
    return WorkerScript(script, timeout_seconds=1, max_memory_bytes=1_000_000_000)


@pytest.fixture
def process(worker):
    process = SandboxedProcess(worker)
    yield process
    process.close()


@pytest.mark.parametrize("in_memory", [True, False])
def test_worker_reads_files_in_memory_and_on_disk(in_memory, process, tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    with io.BytesIO(b"content") if in_memory else (tmp_path / "file").open("rb") as file:
        answer, data = process.request({"content": True}, file)
        assert data == b"content"
        assert not file.closed
    assert str(tmp_path) not in answer["path"] and "" not in answer["path"]


def test_process_stays_after_an_error_and_keeps_its_limits(process):
    first, _ = process.request({})
    with pytest.raises(RequestFailed, match="no such page"):
        process.request({"fail": True})
    with pytest.raises(RequestFailed):  # MemoryError
        process.request({"allocate": 2_000_000_000})
    assert process.request({})[0] == first


@pytest.mark.parametrize(
    ("request_", "reason"),
    [({"crash": True}, "broken, or takes more than 1 GB of memory"), ({"sleep": 5}, "more than 1 seconds")],
)
def test_process_that_ended_starts_again_with_the_next_request(request_, reason, process):
    first, _ = process.request({})
    with pytest.raises(ProcessEnded, match=reason):
        process.request(request_)
    assert not process.is_running
    assert process.request({})[0] != first


def test_answers_come_in_the_order_of_requests_and_unread_ones_are_dropped(process):
    for size in (1, 2, 3):
        process.send({"answer_bytes": size})
    process.send({"fail": True})
    assert not process.is_idle
    assert [len(process.receive()[1]) for _ in range(2)] == [1, 2]
    assert len(process.request({"answer_bytes": 4})[1]) == 4
    assert process.is_idle


def test_slow_reader_of_a_large_answer_does_not_end_the_process(process):
    process.send({"answer_bytes": 10_000_000})
    time.sleep(1.5)
    assert len(process.receive()[1]) == 10_000_000


def test_pool_reuses_idle_processes_and_closes_them(worker):
    pool = SandboxPool(worker)
    with pool.borrow() as first, pool.borrow() as second:
        pids = {first.request({})[0]["pid"], second.request({})[0]["pid"]}
    assert len(pids) == 2
    with pool.borrow() as third:
        assert third.request({})[0]["pid"] in pids
        pool.close()  # the other one
        assert [first.is_running, second.is_running].count(True) == 1
    pool.close()
    assert not first.is_running and not second.is_running


def test_pool_closes_processes_with_unread_answers(worker):
    pool = SandboxPool(worker)
    with pytest.raises(KeyboardInterrupt), pool.borrow() as process:
        process.send({"sleep": 0.5})
        raise KeyboardInterrupt
    assert not process.is_running


def test_pool_ends_processes_that_stay_idle(worker):
    pool = SandboxPool(worker, idle_seconds=0.2)
    with pool.borrow() as process:
        process.request({})
    assert process.is_running
    deadline = time.monotonic() + 10
    while process.is_running and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not process.is_running
    with pool.borrow() as process:
        process.request({})
    pool.close()
