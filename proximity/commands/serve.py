"""`proximity serve`: the service, until a signal ends it."""

import signal
import threading

from proximity.configuration import load_configuration
from proximity.logs import set_up_logs
from proximity.runtime import running
from proximity.settings import read_settings


def run(**given: object) -> None:
    """ProximityError when a part cannot start."""
    settings = read_settings(**given)
    set_up_logs(json=settings.log_json)
    configuration = load_configuration(settings.config)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with running(settings, configuration) as service:
        print(f"pages and API   {service.api.url}", flush=True)
        print(f"with names      {service.api.url}/?key={service.token}", flush=True)
        print(f"MQTT broker     {service.broker_url}", flush=True)
        service.service.turns.on_failure = ended.set
        ended.wait()
        if service.service.turns.failure is not None:
            raise service.service.turns.failure
