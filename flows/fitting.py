"""Fit a model to the corpus: what ``train`` and each refit of ``crossval`` have in common.

The state that a killed run goes on from lies in runs/<key>/, where the key is the hash of all
that decides the result, this code included: the same key resumes, another one starts afresh.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

import toto_core
from flows import paths
from flows.base_model import BaseModel, find_base
from flows.launch import Log, launch
from flows.progress import Track, shown
from toto_core.config import ModelParams, Params
from toto_core.data.corpus import ARRAYS_FILE, NAMES_FILE, Corpus
from toto_core.data.leakage import check_purged
from toto_core.data.splits import Splits
from toto_core.data.windows import Batch, TrainingWindows, validation_batches
from toto_core.errors import ConfigError, TrainingError
from toto_core.model import SIZES, ModelConfig, Toto2, for_context
from toto_core.model.weights import load_model
from toto_core.training.checkpoint import CheckpointStore, file_hash, run_key
from toto_core.training.device import choose_device, choose_dtype, suit_threads, threads_of
from toto_core.training.finetune import choose_learners, merged, num_learning, remove_changes
from toto_core.training.loop import final_weights
from toto_core.training.settings import TrainSettings
from toto_core.training.state import TrainState
from toto_core.training.supervision import supervised

# Batches whose windows are checked to end before the cut-off, before training begins.
PURGE_CHECKED = 8
# Below toto_core/, with this file: the code that decides the weights.
_CODE = (
    *(f"data/{part}" for part in ("augmentation", "corpus", "drawing.py", "reading.py")),
    *("data/windows.py", "model", "optim", "training"),
)


@dataclass(frozen=True)
class Job:
    """A training run to do, in this process or in several.

    Attributes:
        root: the project.
        name: of the run, for people.
        worker: what ``flows.worker`` takes to find the job itself.
        cutoff: name of a cut-off of the corpus; everything before it is trained on.
        validated: whether the validation period chooses the weights and stops the run; else the
            last averaged weights are final.
    """

    params: Params
    root: Path
    name: str
    worker: tuple[str, ...]
    cutoff: str
    max_steps: int
    validated: bool


@dataclass(frozen=True)
class Prepared:
    """What the training loop takes.

    Attributes:
        model: on ``device``, at step 0.
    """

    model: Toto2
    windows: TrainingWindows
    validation: list[Batch]
    settings: TrainSettings
    device: torch.device


@dataclass(frozen=True)
class Fit:
    """A fitted model.

    Attributes:
        model: on its device, with the final weights.
        state: the run at its end.
        store: the run's scratch; remove it once the results are written.
        data_hashes: SHA-256 of the splits and of the corpus's index, which holds those of its
            shards, by name.
        base: what it was fine-tuned from, if it was.
        num_learning: parameters that learned.
    """

    model: Toto2
    state: TrainState
    store: CheckpointStore
    data_hashes: dict[str, str]
    base: BaseModel | None
    num_learning: int

    def take(self, step: int) -> None:
        """Give ``model`` the weights that were kept after ``step`` steps."""
        tensors = self.store.load_weights(step)
        self.model.load_state_dict(merged(tensors, self.state.settings.finetune))


def fit(job: Job, *, track: Track) -> Fit:
    """Do ``job``, from where an earlier try was stopped.

    Args:
        job: the run.
        track: called with the numbers of a step and the step, now and then.

    Raises:
        ConfigError: if ``model.size`` is unknown, ``train.init`` does not fit, or there is nothing
            to learn and no model to begin with.
        DataError: if the corpus is broken or holds no window.
        TrainingError, StoppedError, CheckpointError: see ``training.loop.train``.
    """
    base = base_of(job)
    data_hashes = hash_data(job.root)
    store = store_of(job, base, data_hashes)
    every = job.params.train.validate_every
    with shown(job.name, max_steps=job.max_steps, every=every, track=track) as log:
        if job.params.train.processes > 1:
            _train_on_several(job, store, log)
        prepared = prepare(job, base)
        settings, model = prepared.settings, prepared.model
        learning = num_learning(model)
        state = supervised(
            model,
            prepared.windows,
            prepared.validation,
            settings,
            seed=job.params.seed,
            store=store,
            device=prepared.device,
            log=log,
        )
    weights = merged(final_weights(state, store), settings.finetune)
    remove_changes(model)
    model.load_state_dict(weights)
    return Fit(model, state, store, data_hashes, base, learning)


def _train_on_several(job: Job, store: CheckpointStore, log: Log) -> None:
    """Bring ``store`` to the end of the run, unless it is there, so that nothing is left to do."""
    if not store.holds_the_end():
        processes = job.params.train.processes
        threads = threads_of(model_config(job.params.model).d_model, processes)
        launch(job.name, job.worker, processes=processes, threads=threads, root=job.root, log=log)
    if not store.holds_the_end():
        raise TrainingError(
            f"{job.name}: {store.directory} = without the end of the run, the workers were to "
            f"leave it there; is {paths.PARAMS} as it was when the stage began? run dvc repro"
        )


def base_of(job: Job) -> BaseModel | None:
    """Find the model to begin with, if one is named."""
    model_config(job.params.model)  # the size is known
    if job.params.train.init is not None:
        return find_base(job.params.train.init, job.root, job.params.model)
    if job.max_steps == 0:
        raise ConfigError(
            f"params.yaml: max_steps of {job.name} = 0, at least 1 is needed from scratch; raise "
            "it or name a model in train.init"
        )
    return None


def prepare(job: Job, base: BaseModel | None) -> Prepared:
    """Build the network, its data and its settings: the same in every process of a run."""
    params, root, config = job.params, job.root, model_config(job.params.model)
    values = params.train.model_dump() | {"max_steps": job.max_steps}
    settings = TrainSettings.from_mapping(values)
    corpus, splits = Corpus.open(root / paths.CORPUS), Splits.load(root / paths.SPLITS)
    shape = {
        "context_length": params.model.context_length,
        "batch_size": settings.batch_size,
        "num_variates": settings.num_variates,
    }
    windows = TrainingWindows(
        corpus,
        cutoff=job.cutoff,
        seed=params.seed,
        augment=settings.augment,
        **shape,
    )
    check_purged(windows, corpus, job.cutoff, range(PURGE_CHECKED))
    validation = (
        validation_batches(
            corpus,
            prediction_length=splits.prediction_length,
            max_windows=settings.validation_windows,
            **shape,
        )
        if job.validated
        else []
    )
    device = choose_device(settings.device)
    suit_threads(config.d_model)
    model = start_model(config, base, settings, seed=params.seed).to(device)
    model.to_compute(choose_dtype(settings.precision, device))
    return Prepared(model, windows, validation, settings, device)


def store_of(job: Job, base: BaseModel | None, data_hashes: Mapping[str, str]) -> CheckpointStore:
    """Find the scratch of a run: its name is the hash of all that decides the result.

    A run that begins reads the whole corpus once and compares the checksums; one that goes on
    does not.

    Raises:
        DataError: naming each shard of the corpus that is damaged.
    """
    decisive = job.params.model_dump(mode="json", include={"seed", "model", "train"})
    decisive |= {"name": job.name, "cutoff": job.cutoff, "max_steps": job.max_steps}
    decisive |= {"data": dict(data_hashes), "code": hash_code(), "base": base and base.facts}
    directory = job.root / paths.RUNS / run_key(decisive)
    if not directory.exists():
        Corpus.open(job.root / paths.CORPUS, verify=True)
        directory.mkdir(parents=True)
    return CheckpointStore(directory, interval_s=job.params.train.checkpoint_interval_s)


def start_model(
    config: ModelConfig, base: BaseModel | None, settings: TrainSettings, *, seed: int
) -> Toto2:
    """Build the network at step 0: drawn from ``seed``, or the base with what learns of it."""
    if base is None:
        return Toto2(config, seed=seed)
    model = load_model(base.directory)
    choose_learners(model, settings.finetune, seed=seed)
    return model


def model_config(params: ModelParams) -> ModelConfig:
    """Look up the configuration of ``model.size``, for the context and with the head asked for.

    Raises:
        ConfigError: if there is no such size.
    """
    if params.size not in SIZES:
        raise ConfigError(
            f"params.yaml: model.size = {params.size!r}, one of {', '.join(SIZES)}; "
            "choose one of these"
        )
    return dataclasses.replace(
        for_context(SIZES[params.size], params.context_length),
        head=params.head,
        quantile_levels=params.quantile_levels,
        num_components=params.num_components if params.head == "student_t" else 0,
    )


def hash_data(root: Path) -> dict[str, str]:
    """SHA-256 of the splits and of the corpus's index, which holds those of its shards, by name."""
    files = [root / paths.CORPUS / name for name in (NAMES_FILE, ARRAYS_FILE)]
    return {path.name: file_hash(path) for path in [*files, root / paths.SPLITS]}


def hash_code() -> dict[str, str]:
    """SHA-256 of each file of code that decides the weights, by path."""
    package = Path(toto_core.__file__).parent
    files = [Path(__file__)]
    for name in _CODE:
        part = package / name
        files += [part] if part.suffix else sorted(part.rglob("*.py"))
    return {path.relative_to(package.parent).as_posix(): file_hash(path) for path in files}
