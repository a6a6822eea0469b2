"""How fast the addon is, measured beside a mitmproxy without it. See docs/measuring.md.

What is measured is the package of this checkout, whatever else is installed.
"""

import sys

from benchmarks.places import PACKAGE_ROOT

sys.path.insert(0, str(PACKAGE_ROOT))
