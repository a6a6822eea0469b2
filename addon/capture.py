"""The script that mitmproxy loads: `mitmdump -s addon/capture.py`."""

from response_store.addon import ResponseStore

addons = [ResponseStore()]
