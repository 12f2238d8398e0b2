"""Stage ``train``: data/corpus -> models/candidate and models/checkpoints.

The candidate is trained on everything before T0 and chosen by its loss on [T0, T1).
"""

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import torch

from flows import paths, tracking
from flows.base_model import BaseModel
from flows.fitting import Fit, Job, fit
from flows.stage import Summary, run_stage
from toto_core.config import Params
from toto_core.data.augmentation_examples import augmentation_examples
from toto_core.data.corpus import TRAIN, Corpus
from toto_core.data.fingerprints import Fingerprints, merged
from toto_core.data.splits import Splits
from toto_core.data.tables import Item, read_items
from toto_core.errors import DataError
from toto_core.files import write_json, writing

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def run(params: Params, root: Path) -> Summary:
    """Train the candidate from ``root``/data/corpus."""
    frozen = _frozen(root)
    tracked = tracking.start("train", params.model_dump(include={"seed", "model", "train"}))
    try:
        fitted = fit(job(params, root), track=tracked.log)
        metrics = _metrics(fitted)
        _write(params, root, fitted, metrics, frozen)
        _write_examples(params, root, fitted)
        tracked.log_model(root / paths.CANDIDATE, "toto")
    finally:
        tracked.finish()
    fitted.store.remove()
    return Summary(text=_sentence(params, metrics), metrics=metrics)


def job(params: Params, root: Path) -> Job:
    """Return the training run of the candidate."""
    return Job(params, root, "train", ("train",), TRAIN, params.train.max_steps, validated=True)


def last_training_time(root: Path) -> datetime:
    """Find the time of the newest real point that training could see.

    It is read off the validated series at the limits that the corpus set, not off the cut-off,
    so that it shows what was used.

    Raises:
        DataError: if the corpus and the validated series have no item in common.
    """
    return max(_time(item.timestamps[limit - 1]) for item, limit in _trained(root))


def training_ends(root: Path) -> dict[str, datetime]:
    """Find, for each frequency, until when the newest point that training could see tells.

    That is when the next point is due, as in ``data.splits.points_before``: the value of a day is
    stamped at its start and tells of the hours up to its end.
    """
    ends: dict[str, datetime] = {}
    for item, limit in _trained(root):
        stamps = item.timestamps
        if limit < len(stamps):
            end = stamps[limit]
        else:
            end = 2 * stamps[-1] - stamps[-2] if len(stamps) > 1 else stamps[-1]
        ends[item.freq] = max(ends.get(item.freq, _EPOCH), _time(end))
    return ends


def _trained(root: Path) -> Iterator[tuple[Item, int]]:
    """Yield the items of the corpus, and how many points of each training could see."""
    corpus = Corpus.open(root / paths.CORPUS)
    limits = corpus.limits_at(TRAIN)
    real = {
        corpus.item_id(n): int(limits[n])
        for n in range(corpus.num_items)
        if not corpus.is_synthetic[n]
    }
    found = False
    for item in read_items(root / paths.VALID):
        if limit := real.get(item.item_id, 0):
            found = True
            yield item, limit
    if not found:
        raise DataError(
            f"{root / paths.CORPUS}: items that {root / paths.VALID} holds too = 0 of "
            f"{len(real)}, the same items are needed; run dvc repro"
        )


def _time(us: np.integer) -> datetime:
    return _EPOCH + timedelta(microseconds=int(us))


def _metrics(fitted: Fit) -> dict[str, float]:
    state = fitted.state
    best = state.kept[0]
    metrics: dict[str, float] = {
        "best_step": best.step,
        "steps": state.step,
        "validation_loss": best.val_loss,
        "points_seen": state.points,
        "parameters": fitted.model.num_parameters(),
        "learning_parameters": fitted.num_learning,
    }
    for point in state.curve:  # the last training loss counts; a base is validated at step 0
        if point.split == "train":
            metrics["train_loss"] = point.loss
        elif point.step == 0:
            metrics["base_validation_loss"] = point.loss
    return metrics


def _frozen(root: Path) -> dict[str, bytes]:
    """Read, before training, how and by which targets the candidate will be judged.

    DVC does not know that the protocol is read here: a threshold that is changed must not train
    anew, and what the candidate carries is what was decided before.

    Raises:
        DataError: if one of the files is missing.
    """
    try:
        return {path.name: (root / path).read_bytes() for path in (paths.PROTOCOL, paths.TARGETS)}
    except OSError as error:
        raise DataError(
            f"{error.filename}: unreadable, it must be frozen before training; "
            "run dvc repro protocol"
        ) from None


def _write(
    params: Params,
    root: Path,
    fitted: Fit,
    metrics: Mapping[str, float],
    frozen: Mapping[str, bytes],
) -> None:
    facts = _run_facts(params, root, fitted, metrics)
    facts["protocol_sha256"] = hashlib.sha256(frozen[paths.PROTOCOL.name]).hexdigest()
    with writing(root / paths.CANDIDATE) as folder:
        fitted.model.save_pretrained(folder)
        write_json(folder / "run.json", facts)
        for name, content in frozen.items():
            (folder / name).write_bytes(content)
        _seen(root, fitted.base).save(folder / paths.SEEN.name)
    with writing(root / paths.CHECKPOINTS) as folder:
        for kept in fitted.state.kept:
            fitted.take(kept.step)
            fitted.model.save_pretrained(folder / f"step-{kept.step:06d}")
    write_json(root / paths.METRICS / "train.json", metrics)
    with writing(root / paths.PLOTS / "loss.csv") as path:
        lines = [f"{point.step},{point.loss!r},{point.split}" for point in fitted.state.curve]
        path.write_text("\n".join(["step,loss,split", *lines, ""]), encoding="utf-8")


def _write_examples(params: Params, root: Path, fitted: Fit) -> None:
    """Write what the report shows of the augmentations."""
    examples = augmentation_examples(
        Corpus.open(root / paths.CORPUS),
        fitted.state.settings.augment,
        cutoff=TRAIN,
        seed=params.seed,
    )
    lines = [
        f"{example.name},{step},{_number(before)},{_number(after)}"
        for example in examples
        for step, (before, after) in enumerate(zip(example.before, example.after, strict=True))
    ]
    with writing(root / paths.PLOTS / "augmentation.csv") as path:
        text = "\n".join(["augmentation,step,before,after", *lines, ""])
        path.write_text(text, encoding="utf-8")


def _number(value: np.floating) -> str:
    return "" if np.isnan(value) else f"{value:.5g}"


def _run_facts(
    params: Params, root: Path, fitted: Fit, metrics: Mapping[str, float]
) -> dict[str, object]:
    """Gather what is known of how the candidate came about, the same for the same inputs."""
    hashes = fitted.data_hashes
    return {
        **metrics,
        "seed": params.seed,
        "model": params.model.model_dump(),
        # The steps that were planned: max_minutes may have allowed fewer.
        "train": params.train.model_dump() | {"max_steps": fitted.state.settings.max_steps},
        "base": fitted.base and fitted.base.facts,
        "context_length": params.model.context_length,
        "prediction_length": Splits.load(root / paths.SPLITS).prediction_length,
        "quantile_levels": fitted.model.config.quantile_levels,
        "compute_dtype": str(fitted.model.compute_dtype).removeprefix("torch."),
        "corpus_sha256": {name: hashes[name] for name in hashes if name != paths.SPLITS.name},
        "splits_sha256": hashes[paths.SPLITS.name],
        "last_training_time": _newest_seen(root, fitted.base).isoformat(),
        "training_ends": {freq: end.isoformat() for freq, end in training_ends(root).items()},
        "versions": {"torch": str(torch.__version__), "numpy": np.__version__},
    }


def _seen(root: Path, base: BaseModel | None) -> Fingerprints:
    """Gather the fingerprints of what the candidate saw, those of its base included."""
    own = Fingerprints.load(root / paths.FINGERPRINTS)
    if base is None:
        return own
    stored = base.directory / paths.SEEN.name
    if stored.is_file():
        return merged([own, Fingerprints.load(stored)])
    return dataclasses.replace(own, unknown=(str(base.facts["init"]),))


def _newest_seen(root: Path, base: BaseModel | None) -> datetime:
    """Find the newest point that the candidate saw, or its base where that is known and later."""
    own, of_base = last_training_time(root), base and base.facts["last_training_time"]
    return max(own, datetime.fromisoformat(str(of_base))) if of_base else own


def _sentence(params: Params, metrics: Mapping[str, float]) -> str:
    base_loss = metrics.get("base_validation_loss")
    return (
        f"{params.model.size} with {metrics['parameters']:,} parameters, "
        f"{metrics['steps']:g} steps over {metrics['points_seen'] / 1e6:.1f}M points; "
        f"validation loss {metrics['validation_loss']:.4f} at step {metrics['best_step']:g}"
        + (f" (base: {base_loss:.4f})" if base_loss is not None else "")
    )


if __name__ == "__main__":
    run_stage("train", run)
