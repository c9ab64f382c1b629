"""The modules that this one was split into, by its old name. Nothing new uses it."""

# pylint: disable=unused-wildcard-import,wildcard-import
from collectd import *  # noqa: F401,F403
from kernel import *  # noqa: F401,F403
from listeners import *  # noqa: F401,F403
from names import *  # noqa: F401,F403
from processes import *  # noqa: F401,F403
from system_test import *  # noqa: F401,F403
from system_test import skip as _skip  # noqa: F401
from waiting import *  # noqa: F401,F403
