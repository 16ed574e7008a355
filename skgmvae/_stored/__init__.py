"""What a fit leaves on the estimator as plain data, for pickles and files, and back, checked."""

from .checks import check_structure
from .parameters import for_file, from_file
from .state import from_state, to_state

__all__ = ["check_structure", "for_file", "from_file", "from_state", "to_state"]
