"""Stage ``protocol``: data/valid, data/splits.json and params -> reports/protocol.json, frozen.

It runs before training, which takes what it finds here with it; a change of a threshold later on
trains nothing anew, but the verdict then says what was changed.
"""

from pathlib import Path

from flows import paths
from flows.stage import Summary, run_stage
from toto_core.config import Params
from toto_core.data.frequency import default_seasonality, parse_freq
from toto_core.data.shards import write_table
from toto_core.data.splits import Splits, to_us
from toto_core.data.tables import TARGET, read_items, read_items_table
from toto_core.evaluation.metrics.keys import QUANTILE_LEVELS
from toto_core.evaluation.protocol import freeze, protocol_hash, target_hashes
from toto_core.files import write_json, writing
from toto_core.registry.fingerprint import combined, file_sha256, folder_files


def run(params: Params, root: Path) -> Summary:
    """Write down how a candidate will be judged, and on what."""
    splits = Splits.load(root / paths.SPLITS)
    period = to_us(splits.test_start), to_us(splits.test_end)
    hashes = target_hashes(read_items(root / paths.VALID), period)
    with writing(root / paths.TARGETS) as path:
        write_table(path, hashes)
    protocol = freeze(
        data={
            "valid_sha256": combined(folder_files(root / paths.VALID)),
            "targets_sha256": file_sha256(root / paths.TARGETS),
        },
        splits=splits.to_json(),
        seasonality=_seasonality(params, root),
        baselines=params.evaluate.baselines,
        levels=QUANTILE_LEVELS,
        calibrate=params.calibrate,
        evaluate=params.evaluate,
        register=params.register_,
    )
    write_json(root / paths.PROTOCOL, protocol)
    return Summary(
        text=f"protocol {protocol_hash(protocol)[:12]} for the targets of {hashes.height} items at "
        f"{len(splits.test_origins)} origins from {splits.test_start.isoformat()}"
    )


def _seasonality(params: Params, root: Path) -> dict[str, int]:
    items = read_items_table(root / paths.VALID)
    freqs = items.filter(items["role"] == TARGET)["freq"].unique().sort()
    asked = params.evaluate.seasonality
    if isinstance(asked, int):
        return dict.fromkeys(freqs, asked)
    return {freq: default_seasonality(parse_freq(freq)) for freq in freqs}


if __name__ == "__main__":
    run_stage("protocol", run)
