"""Run a command without the rights by which root passes over file permissions.

python limited.py COMMAND ...
"""

import ctypes
import os
import sys

PR_CAPBSET_DROP = 24
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER = 1, 2, 3


def drop() -> None:
    """Take the rights from whatever is executed next; a user other than root has none."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER):
        if libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0):
            sys.exit(f"cannot drop capability {capability}: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    if os.geteuid() == 0:
        drop()
    os.execv(sys.argv[1], sys.argv[1:])
