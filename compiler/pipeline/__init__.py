"""Running a bound recipe on a model."""

from vggc.pipeline.compile import compile_model, plan_model
from vggc.pipeline.verify import VerifyMode

__all__ = ["VerifyMode", "compile_model", "plan_model"]
