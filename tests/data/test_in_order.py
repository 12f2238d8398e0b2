"""Results come in the order of their tasks, whichever is done first."""

import threading

import pytest

from toto_core.data.in_order import NUM_AT_ONCE, in_order


def test_results_come_in_order_though_the_second_is_done_first():
    second_is_done = threading.Event()

    def work(task):
        if task == 0:
            assert second_is_done.wait(10)
        if task == 1:
            second_is_done.set()
        return task * task

    assert list(in_order(work, range(5))) == [0, 1, 4, 9, 16]


def test_no_more_tasks_are_under_way_than_asked_for():
    begun = []
    results = in_order(lambda task: begun.append(task) or task, range(20))
    assert begun == []
    assert next(results) == 0
    assert len(begun) <= NUM_AT_ONCE
    assert list(results) == list(range(1, 20))


def test_failure_of_a_task_is_raised_in_its_turn():
    def work(task):
        if task == 1:
            raise ValueError("no room")
        return task

    results = in_order(work, range(5))
    assert next(results) == 0
    with pytest.raises(ValueError, match="no room"):
        next(results)
