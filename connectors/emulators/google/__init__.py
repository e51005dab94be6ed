"""An honest Google Calendar and its sign-in on 127.0.0.1 (README.md here says what each rule rests on)."""

from connectors.emulators.google.control import Control
from connectors.emulators.google.server import RunningEmulator, start_google

__all__ = ["Control", "RunningEmulator", "start_google"]
