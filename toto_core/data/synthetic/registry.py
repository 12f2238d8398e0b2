"""The table of families: the names that ``augment.families`` gives a weight to."""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from jaxtyping import Float32

from toto_core.data.synthetic.calendars import (
    daily_counts,
    daily_weekly,
    road_traffic,
    sites,
)
from toto_core.data.synthetic.counts import intermittent, seasonal_counts
from toto_core.data.synthetic.gaussians import gaussian_process, kernel_synth
from toto_core.data.synthetic.growth import (
    economy,
    epidemic,
    exponential_growth,
    life_cycle,
    saturating_growth,
)
from toto_core.data.synthetic.multivariate import (
    causal_graph,
    cointegrated,
    hierarchy,
    lead_lag,
    mixed_factors,
    price_bars,
    service,
)
from toto_core.data.synthetic.processes import (
    autoregressive,
    copied_pattern,
    drifting_season,
    exponential_smoothing,
    random_walk,
    regime_ou,
    seasonal_arima,
)
from toto_core.data.synthetic.seasonal import trend_season
from toto_core.data.synthetic.shapes import (
    periodic_anomalies,
    sawtooth,
    shifts_spikes,
    sine_waves,
    spike_train,
    step_patterns,
)
from toto_core.data.synthetic.telemetry import (
    batch_jobs,
    bursty_gauge,
    collected_memory,
    counter,
    disk_space,
    error_count,
    latency,
    queue_depth,
    request_rate,
    scheduled_jobs,
    utilisation,
)
from toto_core.data.synthetic.weather import solar, weather, weather_station

Family = Callable[[np.random.Generator, int], Float32[np.ndarray, "V T"]]
SHORTEST: Final = 256  # steps; a family is never asked for fewer
FAMILIES: Final[Mapping[str, Family]] = {
    function.__name__: function
    for function in (
        trend_season,
        daily_weekly,
        daily_counts,
        solar,
        weather,
        road_traffic,
        drifting_season,
        copied_pattern,
        autoregressive,
        seasonal_arima,
        exponential_smoothing,
        random_walk,
        regime_ou,
        gaussian_process,
        kernel_synth,
        sawtooth,
        sine_waves,
        step_patterns,
        spike_train,
        periodic_anomalies,
        shifts_spikes,
        saturating_growth,
        epidemic,
        exponential_growth,
        life_cycle,
        economy,
        intermittent,
        seasonal_counts,
        request_rate,
        utilisation,
        collected_memory,
        disk_space,
        counter,
        latency,
        error_count,
        scheduled_jobs,
        batch_jobs,
        bursty_gauge,
        queue_depth,
        causal_graph,
        mixed_factors,
        lead_lag,
        cointegrated,
        hierarchy,
        service,
        price_bars,
        sites,
        weather_station,
    )
}
