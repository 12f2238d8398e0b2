"""Range queries to Prometheus: a real server, and a local one that fails in each possible way."""

import json
import threading
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

import numpy as np
import polars as pl
import prometheus_server as real
import pytest
from http_server import answering, send
from ingested import ingest_params

from toto_core.data import prometheus, web
from toto_core.data.sources import ingest_source
from toto_core.errors import ConfigError, DataError

START = datetime.fromtimestamp(real.START_S, UTC)


def params(url, queries, steps=real.NUM_SAMPLES, start=START, **changes):
    settings = {
        "url": url,
        "queries": queries,
        "start": start,
        "end": start + timedelta(seconds=(steps - 1) * real.STEP_S),
        "step": "1min",
        "item_labels": ["instance"],
        "timeout_s": 20.0,
    }
    top = {key: changes.pop(key) for key in ("past_covariates",) if key in changes}
    return ingest_params(source="prometheus", prometheus=settings | changes, **top)


def ingest(tmp_path, *args, **changes):
    directory = tmp_path / "series"
    directory.mkdir()
    report = ingest_source(params(*args, **changes), tmp_path, directory)
    return report, pl.read_parquet(directory / "part-*.parquet"), directory


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    if real.MISSING:
        pytest.skip(f"{' and '.join(real.MISSING)} not installed (Debian: prometheus)")
    with real.serving(tmp_path_factory.mktemp("prometheus")) as address:
        yield address


def steps_of(rows, item, variate):
    rows = rows.filter(pl.col("item_id") == item, pl.col("variate") == variate)
    seconds = rows["timestamp"].dt.epoch("s").to_numpy()
    return (seconds - real.START_S) // real.STEP_S, rows["value"].to_numpy()


def test_real_server_gives_each_sample_once_over_all_pages(tmp_path, url, monkeypatch):
    monkeypatch.setattr(prometheus, "PAGE_VALUES", 1400)
    queries = {"cpu": "cpu", "memory": 'memory{job="api"}'}
    report, rows, directory = ingest(tmp_path, url, queries, past_covariates=["memory"])
    assert report.freqs == {"1min": 2}
    assert dict(report.sources) == {"prometheus/cpu": 2997, "prometheus/memory": 3000}
    steps, values = steps_of(rows, "web-1", "cpu")
    expected = [step for step in range(real.NUM_SAMPLES) if step not in real.GAP]
    np.testing.assert_array_equal(steps, expected)
    np.testing.assert_allclose(values, [real.value(1, step) for step in expected], rtol=1e-6)
    steps, values = steps_of(rows, "web-2", "memory")
    np.testing.assert_array_equal(steps, np.arange(real.NUM_SAMPLES))
    roles = pl.read_parquet(directory / "items.parquet").select("variate", "role").unique()
    assert dict(roles.iter_rows()) == {"cpu": "target", "memory": "past_covariate"}
    assert [path.name for path in directory.iterdir() if path.is_dir()] == []


def test_real_server_refuses_longer_answers_than_a_page(tmp_path, url, monkeypatch):
    monkeypatch.setattr(prometheus, "MAX_STEPS", 11_002)
    with pytest.raises(ConfigError, match=r"bad_data: exceeded maximum resolution of 11,000 point"):
        ingest(tmp_path, url, {"cpu": "sum(cpu)"}, steps=11_200, item_labels=[])


def test_real_server_takes_the_longest_page(tmp_path, url):
    queries = {"cpu": "sum(cpu)"}
    report, _, _ = ingest(tmp_path, url, queries, steps=11_200, item_labels=[])
    # The server repeats the last sample for five minutes, before its version 3 inclusively.
    assert report.num_rows - real.NUM_SAMPLES in (4, 5)


def test_real_server_names_the_fault_of_a_query(tmp_path, url):
    with pytest.raises(ConfigError) as caught:
        ingest(tmp_path, url, {"cpu": "cpu("})
    assert str(caught.value) == (
        f"prometheus {url[7:]}: queries.cpu = 'cpu(', bad_data: 1:5: parse error: unclosed left "
        "parenthesis; mend it in params.yaml"
    )


def test_real_server_without_points_is_told(tmp_path, url):
    with pytest.raises(
        DataError, match=r"queries\.no = 'no', 0 points from 2025-01-01T00:00:00\+0"
    ):
        ingest(tmp_path, url, {"no": "no"})


def test_expression_is_an_item_of_its_own_labels(tmp_path, url):
    _, rows, _ = ingest(
        tmp_path, url, {"mean": "avg by (job) (memory)", "all": "sum(cpu)"}, item_labels=[]
    )
    assert sorted(rows["item_id"].unique()) == ["all", "job=api"]


def test_two_series_of_one_item_are_refused(tmp_path, url):
    with pytest.raises(DataError) as caught:
        ingest(tmp_path, url, {"cpu": "cpu"}, item_labels=["job"])
    assert "queries.cpu: item 'api' = both {'instance': 'web-1', 'job': 'api'} and {'inst" in str(
        caught.value
    )


def matrix(*series, **more):
    result = [{"metric": metric, "values": values} for metric, values in series]
    data = {"resultType": "matrix", "result": result}
    return {"status": "success", "data": data} | more


POINTS = [[real.START_S + i * real.STEP_S, str(i)] for i in range(9)]
WEB = {"instance": "web-1"}


@pytest.fixture
def without_pauses(monkeypatch):
    monkeypatch.setattr(web, "FIRST_PAUSE_S", 0.0)


class Script:
    """Answers in turn; the last one for ever."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []
        self.headers = []

    def __call__(self, handler):
        length = int(handler.headers["content-length"])
        self.asked.append(parse_qs(handler.rfile.read(length).decode()))
        self.headers.append(handler.headers)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if callable(answer):
            answer(handler)
        elif isinstance(answer, int):
            send(handler, b"{}", answer)
        else:
            send(handler, json.dumps(answer).encode())


def torn(handler):
    send(handler, json.dumps(matrix((WEB, POINTS))).encode()[:99], content_length="400")


def torn_without_length(handler):
    handler.wfile.write(
        b"HTTP/1.0 200 OK\r\n\r\n" + json.dumps(matrix((WEB, POINTS))).encode()[:99]
    )


def ask(tmp_path, script, **changes):
    with answering(script) as address:
        return ingest(tmp_path, address, {"load": "sum(load)"}, steps=9, **changes)


@pytest.mark.parametrize("fault", [503, 500, 429, torn, torn_without_length])
def test_busy_or_torn_answer_is_asked_for_again(tmp_path, without_pauses, fault):
    script = Script(fault, fault, matrix((WEB, POINTS)))
    report, _, _ = ask(tmp_path, script)
    assert report.num_rows == 9
    assert len(script.asked) == 3


def test_pauses_between_attempts_double(tmp_path, monkeypatch):
    pauses = []
    monkeypatch.setattr(web.time, "sleep", pauses.append)
    with pytest.raises(DataError, match="status 503 in 5 attempts"):
        ask(tmp_path, Script(503))
    assert pauses == [1.0, 2.0, 4.0, 8.0]


WHOLE = r"prometheus 127.0.0.1:\d+: queries\.load = "
FAULTS = {
    "busy": (503, DataError, r"status 503 in 5 attempts, a whole answer is needed; see whether th"),
    "torn": (torn, DataError, r"a torn answer \(301 bytes are missing\) in 5 attempts, a whole"),
    "torn without length": (
        torn_without_length,
        DataError,
        r"an answer of 99 bytes that is not whole JSON in 5 attempts",
    ),
    "reason": (
        lambda handler: send(handler, b'{"status": "error", "error": "query timed out"}', 503),
        DataError,
        r"status 503 \(query timed out\) in 5 attempts",
    ),
    "partial": (
        matrix((WEB, POINTS), warnings=["store 2 is down"]),
        DataError,
        r"partial data \(store 2 is down\), all of it is needed; run again when the server has it",
    ),
    "not let in": (
        401,
        ConfigError,
        r"status 401, the server must let you in; set TOTO_PROMETHEUS_AUTHORIZATION, for exam",
    ),
    "another server": (
        404,
        DataError,
        r"status 404 without Prometheus data, its query API is needed; mend ingest.prometheus.url",
    ),
    "scalar": (
        {"status": "success", "data": {"resultType": "vector", "result": []}},
        DataError,
        r"a vector, a matrix is needed; mend the query",
    ),
    "histogram": (
        {
            "status": "success",
            "data": {"resultType": "matrix", "result": [{"metric": WEB, "histograms": [[0, {}]]}]},
        },
        DataError,
        r"a native histogram, numbers are needed; ask for histogram_quantile or",
    ),
    "too many series": (
        lambda handler: send(
            handler, b'{"status": "error", "error": "query would load too many samples"}', 422
        ),
        DataError,
        r"'sum\(load\)', too many series for the server's --query.max-samples; select fewer",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_server_without_a_whole_answer_is_refused(tmp_path, without_pauses, name):
    answer, kind, message = FAULTS[name]
    with pytest.raises(kind, match=WHOLE + message) as caught:
        ask(tmp_path, Script(answer))
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "series").glob("*.parquet"))


def test_server_that_is_not_there_is_refused(tmp_path, without_pauses):
    with answering(Script(503)) as address:
        pass
    with pytest.raises(DataError, match=r"no connection \(connection refused\) in 5 attempts"):
        ingest(tmp_path, address, {"load": "load"})


@pytest.mark.parametrize("trickle", [False, True], ids=["silent", "trickling"])
def test_server_that_times_out_is_refused(tmp_path, without_pauses, monkeypatch, trickle):
    monkeypatch.setattr(web, "ATTEMPTS", 2)
    over = threading.Event()

    def respond(handler):
        if trickle:
            handler.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n")
        while not over.wait(0.05):
            try:
                handler.wfile.write(b" " if trickle else b"")
            except OSError:
                return

    try:
        with pytest.raises(DataError, match=r"no whole answer within 0.3 s in 2 attempts"):
            ask(tmp_path, Script(respond, respond), timeout_s=0.3)
    finally:
        over.set()


def test_page_that_is_too_long_for_the_server_is_halved(tmp_path):
    def respond(handler):
        asked = script.asked[-1]
        first, last = (int(asked[key][0]) for key in ("start", "end"))
        points = [point for point in POINTS if first <= point[0] <= last]
        if len(points) > 3:
            send(handler, b'{"status": "error", "error": "query would load too many samples"}', 422)
        else:
            send(handler, json.dumps(matrix((WEB, points))).encode())

    script = Script(respond)
    report, rows, _ = ask(tmp_path, script)
    assert report.num_rows == 9
    assert rows["value"].to_list() == list(range(9))


def test_values_that_are_no_numbers_keep_their_meaning(tmp_path):
    odd = [[real.START_S + i * 60, text] for i, text in enumerate(["NaN", "+Inf", "-Inf", "1e3"])]
    _, rows, _ = ask(tmp_path, Script(matrix((WEB, odd))))
    np.testing.assert_array_equal(rows["value"].to_numpy(), [np.nan, np.inf, -np.inf, 1000.0])


def test_authorization_comes_from_the_environment_and_does_not_follow_elsewhere(
    tmp_path, monkeypatch
):
    monkeypatch.setenv(prometheus.AUTHORIZATION_ENV, "Bearer word")
    there = Script(matrix((WEB, POINTS)))
    with answering(there) as target:
        ask(tmp_path, there)
        assert there.headers[-1]["Authorization"] == "Bearer word"
        seen = []

        def elsewhere(handler):
            seen.append(handler.headers.get("Authorization"))
            send(handler, json.dumps(matrix((WEB, POINTS))).encode())

        with answering(elsewhere) as other:
            redirect = Script(lambda h: send(h, b"", 302, location=f"{other}{h.path}"))
            (tmp_path / "again").mkdir()
            ask(tmp_path / "again", redirect)
        assert redirect.headers[-1]["Authorization"] == "Bearer word"
        assert seen == [None]
        assert target


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"step": "1M"}, r"ingest.prometheus.step = '1M', whole seconds are needed"),
        ({"step": "lunar"}, r"ingest.prometheus.step: freq = 'lunar', a count and one of"),
    ],
)
def test_step_must_be_whole_seconds(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        ingest(tmp_path, "http://127.0.0.1:9", {"load": "load"}, **changes)
