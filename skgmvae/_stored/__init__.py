"""What a fit leaves on the estimator as plain data, for pickles and files, and back, checked."""

from .checks import check_structure
from .layout import LAYOUT, check_layout, versions, warn_of_other_version
from .parameters import for_file, from_file
from .state import from_state, to_state

__all__ = [
    "LAYOUT", "check_layout", "check_structure", "for_file", "from_file", "from_state", "to_state",
    "versions", "warn_of_other_version",
]
