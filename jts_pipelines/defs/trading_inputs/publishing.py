"""The sensor that says on the bus what was materialised.

It looks at the newest materialisation and at the topic, and publishes what is missing there: after
a failure, a timed-out answer or a wiped Redis the next look does what is left to do, and never
more. What it publishes is the kept file of that version, checked by its digest, so neither a later
run nor a hand-edited `inputs.json` can get in between.
"""

from pathlib import Path

import dagster as dg

from jts_pipelines.defs.joint import ask_bus, envelope_of, publish_once
from jts_pipelines.defs.resources import HouseResource
from jts_pipelines.defs.trading_inputs.assets import KEY

TOPIC = "trading.inputs"


@dg.sensor(
    name="trading_inputs_published",
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Publishes the materialised trading inputs on the bus topic trading.inputs, once.",
)
def trading_inputs_published(
    context: dg.SensorEvaluationContext, house: HouseResource
) -> dg.SkipReason:
    """Publish the newest materialised document if the bus does not hold it."""
    from jts_pipelines.defs.trading_inputs.document import read_kept

    event = context.instance.get_latest_materialization_event(KEY)
    made = None if event is None else event.asset_materialization
    if event is None or made is None:
        return dg.SkipReason("trading_inputs was never materialised")
    path, sha256 = made.metadata["document"].value, made.metadata["sha256"].value
    inputs = read_kept(Path(str(path)), str(sha256))
    opened = house.open()
    envelope = envelope_of(
        inputs,
        message_id=f"trading_inputs/{inputs.version}/{str(sha256)[:16]}",
        now_ns=opened.clock.now_ns(),
        correlation_id=event.run_id,
        causation_id=event.run_id,
    )
    is_new = ask_bus(opened, lambda bus: publish_once(bus, TOPIC, envelope))
    said = "published" if is_new else "is on the bus"
    return dg.SkipReason(f"version {inputs.version} {said} ({len(inputs.instances)} instances)")
