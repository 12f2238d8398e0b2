"""Stage ``validate``: data/series -> data/valid, data/quarantine.

python -m flows.validate
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile

import polars as pl

from flows import paths
from flows.stage import Summary, run_stage
from toto_core.config import Params, ValidateParams
from toto_core.data import rules, tables
from toto_core.data.conservation import Sums
from toto_core.data.examples import (
    Example,
    choose,
    examples_of,
    least_rows,
    worst_items,
    worst_of,
)
from toto_core.data.in_order import in_order
from toto_core.data.series_facts import absent_series, collect_calendars, series_facts
from toto_core.data.shards import (
    REJECTED_FILE,
    join_tables,
    write_items,
    write_shard,
    write_table,
)
from toto_core.data.tables import shard_path
from toto_core.data.tally import Counts
from toto_core.data.validation import Checked, check_shard, judge_rejected
from toto_core.errors import DataError
from toto_core.files import whole_parquet, write_json, writing
from toto_core.report.validation_page import Findings, page


@dataclass(frozen=True)
class Seen:
    """What is left of a shard for the report, and where its quarantined rows lie."""

    part: Path
    examples: list[Example]
    worst: pl.DataFrame


Done = tuple[Checked, Seen]


def run(params: Params, root: Path) -> Summary:
    """Validate the series of ``root``/data/series, ``NUM_AT_ONCE`` shards in memory at a time.

    Raises:
        DataError: if more than ``validate.max_quarantined`` of the rows, or all series, are
            rejected; data/quarantine then says why, and data/valid stays as it was.
        ConfigError: if ``validate`` names variates that do not exist.
    """
    with writing(root / paths.VALID) as valid:
        valid.mkdir()
        with writing(root / paths.QUARANTINE) as quarantine:
            quarantine.mkdir()
            counts, found = _validate(root / paths.SERIES, params.validate_, valid, quarantine)
        with writing(root / paths.VALIDATION_REPORT) as report:
            report.write_text(page(found), encoding="utf-8")
        _refuse_too_many(counts, params.validate_, root / paths.QUARANTINE)
    table = [
        {"rule": rule, "rows": counts.rule_rows[rule], "series": counts.rule_series[rule]}
        for rule in sorted((*rules.ROW_RULES, *rules.SERIES_RULES))
    ]
    write_json(root / paths.METRICS / "validate.json", found.counts)
    with writing(root / paths.PLOTS / "quarantine.csv") as path:
        pl.DataFrame(table).write_csv(path)
    return Summary(
        text=_sentence(counts), metrics=counts.totals(), tables={"quarantine-counts": table}
    )


def _validate(
    source: Path, params: ValidateParams, valid: Path, quarantine: Path
) -> tuple[Counts, Findings]:
    items = tables.read_items_table(source)
    rules.check_names(params, set(items["variate"]))
    _refuse_too_wide(items, params.max_items)
    facts = series_facts(items, params)
    shards = tables.shard_paths(source)
    columns = ["item_id", "timestamp", "value"]
    calendars = collect_calendars((pl.read_parquet(p, columns=columns) for p in shards), facts)
    counts, sums = Counts(), Sums()
    bad_rows, bad_series, kept, worst = [], [], [], []
    examples: list[Example] = []
    least: dict[str, int] = {}
    rejected = source / REJECTED_FILE
    if rejected.is_file():
        found, part = judge_rejected(pl.read_parquet(whole_parquet(rejected)))
        counts.add(part)
        bad_rows.append(_write_part(found, quarantine, 0))

    def work(index: int) -> Done:
        shard = pl.read_parquet(shards[index])
        checked = check_shard(shard, facts, params, calendars)
        bad = checked.quarantined_rows
        part = _write_part(bad, quarantine, index + 1)
        seen = Seen(part, examples_of(shard, bad, least), worst_items(shard, bad))
        if checked.is_unchanged:
            # Written as this stage writes, so there is nothing to gain by encoding it again.
            copyfile(shards[index], shard_path(valid, index))
        elif checked.rows.height:
            write_shard(valid, index, checked.rows)
        return checked.without_rows(), seen

    for checked, seen in in_order(work, range(len(shards))):
        counts.add(checked.counts)
        sums.add(checked.sums)
        bad_rows.append(seen.part)
        examples = choose([*examples, *seen.examples])
        least.update(least_rows(examples))
        worst.append(seen.worst)
        bad_series.append(checked.quarantined_series)
        kept.append(checked.series)
    known = pl.concat([*kept, *[bad.select("item_id", "variate") for bad in bad_series]])
    absent = absent_series(facts, known, params)
    counts.add(
        Counts(
            series_in=absent.height,
            series_quarantined=absent.height,
            rule_series=Counter(too_short=absent.height),
        )
    )
    counts.check()
    sums.check()
    join_tables(bad_rows, quarantine / "rows.parquet")
    for part in bad_rows:
        part.unlink()
    write_table(
        quarantine / "series.parquet", pl.concat([*bad_series, absent]).sort("item_id", "variate")
    )
    write_items(valid, items.join(pl.concat(kept), on=["item_id", "variate"], how="semi"))
    return counts, Findings(
        counts={**counts.to_json(), "checksums": sums.to_json()},
        settings=params.model_dump(mode="json"),
        examples=examples,
        worst=worst_of(worst),
    )


def _refuse_too_wide(items: pl.DataFrame, max_items: int | None) -> None:
    found = items["item_id"].n_unique()
    if max_items is not None and found > max_items:
        first, last = items["item_id"].min(), items["item_id"].max()
        raise DataError(
            f"validate: items = {found}, from {first!r} to {last!r}, at most "
            f"validate.max_items = {max_items}; a label such as a request id makes every value an "
            "item of its own: leave it out of the source, or raise the limit"
        )


def _write_part(rows: pl.DataFrame, directory: Path, index: int) -> Path:
    path = directory / f"part-{index:05d}.parquet"
    write_table(path, rows)
    return path


def _refuse_too_many(counts: Counts, params: ValidateParams, quarantine: Path) -> None:
    where = (
        f"see {paths.VALIDATION_REPORT}, or the column reason of {paths.QUARANTINE}/rows.parquet"
    )
    if counts.series_valid == 0:
        raise DataError(
            f"validate: valid series = 0 of {counts.series_in}, at least 1 is needed; "
            f"{_worst(counts.rule_series, 'series', quarantine)}; {where} and series.parquet, "
            "mend the data or params.yaml: validate"
        )
    faulty = counts.rows_quarantined - sum(counts.rule_rows[rule] for rule in rules.WANTED)
    share = faulty / counts.rows_in
    if share > params.max_quarantined:
        raise DataError(
            f"validate: quarantined = {share:.4g} of {counts.rows_in} rows, at most "
            f"validate.max_quarantined = {params.max_quarantined:g}; "
            f"{_worst(counts.rule_rows, 'rows', quarantine)}; {where}, "
            "mend the data or params.yaml: validate"
        )


def _worst(by_rule: Counter[str], unit: str, quarantine: Path) -> str:
    worst = sorted(by_rule.items(), key=lambda entry: (-entry[1], entry[0]))[:3]
    text = "the worst rules are " + ", ".join(f"{rule} ({n} {unit})" for rule, n in worst if n)
    example = (
        pl.concat(
            pl.scan_parquet(quarantine / f"{name}.parquet").select(
                "item_id", "variate", "rule", "reason"
            )
            for name in ("series", "rows")
        )
        .filter(pl.col("rule") == worst[0][0])
        .head(1)
        .collect()
    )
    for item, variate, _, reason in example.iter_rows():
        text += f", for example in {item}/{variate}: {reason}"
    return text


def _sentence(counts: Counts) -> str:
    repairs = ", ".join(f"{rule} {n:,}" for rule, n in sorted(counts.repairs.items()) if n)
    return (
        f"{counts.rows_valid:,} of {counts.rows_in:,} rows and {counts.series_valid:,} of "
        f"{counts.series_in:,} series are valid, {counts.rows_quarantined:,} rows in quarantine; "
        f"repairs: {repairs or 'none'}"
    )


if __name__ == "__main__":
    run_stage("validate", run)
