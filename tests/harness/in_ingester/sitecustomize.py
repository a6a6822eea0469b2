"""Run the scripts that `HARNESS_IN_INGESTER` names, in the ingester's process alone.

A Python that is started with this folder on `PYTHONPATH` imports this module first.
"""

import os
import runpy
import sys

if any("response_store.ingester" in argument for argument in sys.orig_argv):
    sys.path.append(os.environ["HARNESS_PACKAGE"])
    for script in os.environ["HARNESS_IN_INGESTER"].split(os.pathsep):
        runpy.run_path(script)
