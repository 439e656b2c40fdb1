"""What is kept between runs in the user's cache folder, and what it depends on."""

from vggc.cache.folder import VARIABLE, cache_folder, not_written, open_store
from vggc.cache.store import Store, Unusable

__all__ = ["VARIABLE", "Store", "Unusable", "cache_folder", "not_written", "open_store"]
