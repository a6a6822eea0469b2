"""The script that mitmproxy loads: `mitmdump -s addon/capture.py`."""

import logging

from response_store.requirements import explain_missing

addons: list[object] = []
if (problem := explain_missing()) is not None:
    logging.error(problem)  # noqa: LOG015 - as mitmproxy starts, this ends it with the line alone
else:
    from response_store.addon import ResponseStore

    addons.append(ResponseStore())
