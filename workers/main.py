"""What ``dramatiq workers.main`` loads: reads the settings, opens this process's world and sets the broker.

Importing it has these effects; nothing else in the product imports it.
"""

from __future__ import annotations

import dramatiq

from ledger import observe, settings
from workers.processes import open_worker

_settings = settings.load()
observe.configure(_settings.log_format)
broker = open_worker(_settings)
# Dramatiq's command line ignores what a callable returns: the global broker is what counts.
dramatiq.set_broker(broker)
