"""The script that mitmproxy loads beside the capturing one where a command has its own proxy."""

from response_store.run.companion import Companion

addons = [Companion()]
