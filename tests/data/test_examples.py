"""Examples of what was rejected: the worst series of each rule, cut to where it happened."""

import numpy as np
import polars as pl
from series_rows import check, rows

from toto_core.data import examples
from toto_core.data.examples import (
    PER_RULE,
    choose,
    examples_of,
    least_rows,
    worst_items,
    worst_of,
)
from toto_core.data.tables import SORT_KEYS

INF = float("inf")


def broken(item, positions, *, length=600, variate="cpu", value=INF):
    values = (np.arange(length) % 7).astype(float)
    values[positions] = value
    return rows(values.tolist(), item=item, variate=variate)


def seen(*frames, **changes):
    shard = pl.concat(frames).sort(SORT_KEYS, maintain_order=True)
    return shard, check(*frames, **changes).quarantined_rows


def minutes(times):
    first = int(rows([1.0])["timestamp"].to_physical()[0])
    return ((np.asarray(times) - first) // 60_000_000).tolist()


def test_examples_are_the_series_that_lost_the_most_rows_by_a_rule():
    counts = {"a": 1, "b": 5, "c": 3, "d": 2, "e": 4, "f": 1}
    shard, bad = seen(*[broken(item, list(range(n))) for item, n in counts.items()])
    found = examples_of(shard, bad)
    assert [(e.rule, e.item_id, e.rows) for e in found] == [
        ("infinite_value", item, counts[item]) for item in "becd"
    ]
    assert found[0].reason == "value = inf, a finite number is needed"
    assert PER_RULE == 4


def test_window_surrounds_the_first_rejected_row():
    shard, bad = seen(broken("a", [300, 310, 599]))
    (example,) = examples_of(shard, bad)
    assert minutes(example.bad_times) == [300, 310]
    assert np.isinf(example.bad_values).all()
    assert len(example.times) == examples.NUM_POINTS
    assert minutes(example.times)[0] == 180
    assert example.rows == 3
    assert np.isfinite(example.values).all()


def test_window_at_the_end_of_a_series_is_full():
    shard, bad = seen(broken("a", [599]))
    (example,) = examples_of(shard, bad)
    assert len(example.times) == examples.NUM_POINTS
    assert minutes(example.times)[-1] == 598
    assert minutes(example.bad_times) == [599]


def test_series_rejected_whole_is_thinned_out():
    shard, bad = seen(rows([5.0] * 1000), broken("b", []))
    (example,) = examples_of(shard, bad)
    assert (example.rule, example.rows) == ("constant", 1000)
    assert len(example.times) <= examples.NUM_POINTS
    assert minutes(example.times)[-1] >= 990


def test_series_of_the_right_item_and_variate_is_taken():
    frames = [broken(item, [], variate=v) for item in "abc" for v in ("cpu", "memory")]
    frames[3] = broken("b", [7], variate="memory", value=1e9)
    shard, bad = seen(*frames, bounds={"memory": (0, 10)})
    (example,) = examples_of(shard, bad)
    assert (example.item_id, example.variate) == ("b", "memory")
    assert example.values.max() == np.float32(1e9)
    assert example.bad_values.tolist() == [np.float32(1e9)]


def test_rows_that_cannot_be_drawn_or_were_asked_for_are_no_examples():
    shard, bad = seen(broken("a", []), drop_last=3)
    assert bad.height == 3
    assert examples_of(shard, bad) == []
    assert worst_items(shard, bad).is_empty()


def test_choice_does_not_depend_on_the_shards():
    frames = {
        item: broken(item, list(range(n)))
        for item, n in zip("abcdefg", [3, 1, 4, 1, 5, 9, 2], strict=True)
    }
    whole, bad = seen(*frames.values())
    parts = [seen(*[frames[i] for i in part]) for part in ("abc", "de", "fg")]
    together = choose(e for part in parts for e in examples_of(*part))
    at_once = choose(examples_of(whole, bad))
    assert [(e.rule, e.item_id) for e in together] == [(e.rule, e.item_id) for e in at_once]
    assert [e.item_id for e in at_once] == ["f", "e", "c", "a"]
    worst = worst_of([worst_items(*part) for part in parts])
    assert worst.equals(worst_of([worst_items(whole, bad)]))
    assert worst.row(0, named=True) == {
        "item_id": "f",
        "bad": 9,
        "rules": "infinite_value",
        "rows": 600,
    }


def test_series_that_would_not_be_chosen_beside_those_of_other_shards_are_left_out():
    first = seen(
        *[broken(item, list(range(n))) for item, n in zip("bcde", (5, 3, 3, 4), strict=True)]
    )
    second = seen(*[broken(item, list(range(n))) for item, n in zip("afg", (3, 2, 6), strict=True)])
    least = least_rows(examples_of(*first))
    assert least == {"infinite_value": 3}
    assert least_rows(examples_of(*first)[1:]) == {}
    found = examples_of(*second, least)
    assert [e.item_id for e in found] == ["g", "a"]
    everything = [*examples_of(*first), *examples_of(*second)]
    assert [e.item_id for e in choose([*examples_of(*first), *found])] == list("gbea")
    assert [e.item_id for e in choose(everything)] == list("gbea")
