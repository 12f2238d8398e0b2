"""The head of a card as the client of the Hugging Face hub reads it."""

import math

from huggingface_hub import ModelCard
from small_card import small_card

from toto_core.registry.card_page import card_markdown
from toto_core.registry.hub_metadata import front_matter


def read(card):
    return ModelCard(card_markdown(card)).data


def test_hub_reads_task_tags_and_results():
    data = read(small_card())
    assert (data.pipeline_tag, data.library_name) == ("time-series-forecasting", "toto-pipeline")
    assert data.tags == ["time-series", "forecasting", "quantiles", "toto", "verdict-pass"]
    assert data.model_name == "toto"
    found = {result.metric_type: result.metric_value for result in data.eval_results}
    assert found == {"mase": 0.6, "sql": 0.5, "wql": 0.1, "coverage80": 0.79, "skill": 0.2}
    (first, *_) = data.eval_results
    assert first.dataset_name == "28 items at 1h, 2025-08-10 to 2025-10-12"
    assert first.dataset_revision == "s" * 64


def test_base_of_the_hub_is_named_and_a_folder_is_not():
    base = {"init": "owner/base@main", "revision": "abc", "sha256": {}, "base": None}
    data = read(small_card(run={"base": base}))
    assert (data.base_model, data.base_model_relation) == ("owner/base", "finetune")
    of_here = read(small_card(run={"base": base | {"init": "models/mine", "revision": None}}))
    assert of_here.base_model is None


def test_what_is_not_known_is_left_out():
    scores = {"pooled": {"model": {"sql": math.nan, "mase": None}}}
    assert "model-index" not in front_matter(small_card(scores=scores))
    assert "verdict-fail" in front_matter(small_card(outcome="FAIL"))
