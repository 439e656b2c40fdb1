"""The registry of codes: every message has one, which stays the same when its words change.

`explanations.md` beside this file has a section for each code. `vggc explain-error CODE` prints it, and the page
docs/errors.md is made of all of them. A number is never used again for another meaning.
"""

from __future__ import annotations

from enum import Enum
from functools import cache
from importlib import resources

PREFIX = "VGGC"


class Code(Enum):
    """What a message is about: its `number`, and a `title` in a few words."""

    number: int
    title: str

    def __init__(self, number: int, title: str) -> None:
        self.number, self.title = number, title

    @property
    def id(self) -> str:
        """`VGGC121`"""
        return f"{PREFIX}{self.number:03}"

    OWN = 1, "A message of a Python file that the recipe uses"
    # --- 1xx: the recipe
    STATEMENT = 101, "A statement cannot be read"
    VALUE = 102, "A value cannot be read"
    RULE_TEXT = 103, "A rule cannot be read"
    INCOMPLETE = 104, "A statement has too much or too little"
    CHARACTER = 105, "A character has no meaning in a recipe"
    BRACKET = 106, "A bracket or a quote has no partner"
    BLOCK = 107, "A statement or a block is in the wrong place"
    TOO_LARGE = 108, "The recipe is larger than the language allows"
    UNIT = 109, "A number or its unit is not known"
    UNREADABLE_RECIPE = 110, "The recipe cannot be read"
    EMPTY_RECIPE = 111, "The recipe does nothing"
    UNKNOWN_PASS = 121, "There is no pass with this name"
    UNKNOWN_TARGET = 122, "There is no target with this name"
    UNKNOWN_LOADER = 123, "There is no loader with this name"
    UNKNOWN_NAME = 124, "A name is not declared"
    DECLARED_TWICE = 125, "A name has two meanings"
    UNUSED_NAME = 126, "A name is declared and never used"
    WRONG_KIND = 127, "A name is used as something that it is not"
    UNKNOWN_OPTION = 131, "There is no option with this name"
    MISSING_OPTION = 132, "A required option is missing"
    OPTION_ORDER = 133, "Options are given twice, in the wrong order, or too many"
    OPTION_TYPE = 134, "An option has a value of another type"
    OPTION_LIMITS = 135, "The value of an option is outside its limits"
    OPTION_CONFLICT = 136, "Options exclude or need each other"
    UNITS_DIFFER = 141, "Two numbers have units that do not fit"
    NOT_COMPARABLE = 142, "Two values cannot be compared"
    ORIGINAL = 143, "`original` has no value here"
    ARITHMETIC = 144, "A calculation has no result"
    RANGE = 145, "A range is wrong"
    NOT_A_VALUE = 146, "This is not a value"
    NOT_A_CONDITION = 147, "This is not a condition"
    NOT_A_MEASURE = 148, "This measures nothing"
    OBJECTIVE = 149, "This cannot be minimized or maximized"
    PARAM = 151, "A parameter does not fit its declaration"
    UNKNOWN_PARAM = 152, "The recipe has no such parameter"
    DEFINE = 153, "A `define` cannot be used like this"
    USE = 154, "A file cannot be brought in"
    PYTHON_REFUSED = 155, "The recipe brings in Python, which is refused"
    PYTHON_FILE = 156, "A Python file of the recipe cannot be imported"
    PYTHON_FUNCTION = 157, "A function of a Python file cannot be named in a recipe"
    NO_FILE = 158, "A file or folder of the recipe is not there"
    # --- 2xx: rules
    RULE_NAME = 201, "A name of a rule has no or another meaning"
    RULE_TWICE = 202, "A name or label of a rule is given twice"
    RULE_UNUSED = 203, "A capture of a rule is never used"
    RULE_OPERATOR = 204, "A rule does not fit the operator"
    RULE_ATTRIBUTE = 205, "A rule does not fit the attributes of an operator"
    RULE_FUNCTION = 206, "A function in a rule is not known or gets wrong arguments"
    RULE_PATTERN = 207, "The pattern of a rule is not one connected piece"
    RULE_TYPES = 208, "The expressions of a rule have types that do not fit"
    RULE_WRONG = 209, "A rule does not keep the results"
    RULE_ENDLESS = 210, "Rules would rewrite for ever"
    RULE_OVERLAP = 211, "Rules match the same nodes"
    RULE_UNTRIED = 212, "A rule could not be tested"
    # --- 3xx: data
    UNREADABLE_DATA = 301, "A data file cannot be read"
    DATA_ARRAYS = 302, "A data file has no usable arrays of samples"
    TOO_FEW_SAMPLES = 303, "There are too few samples"
    LABELS = 304, "Labels are not class numbers of the samples"
    DATA_FIT = 305, "The data does not fit the model's inputs"
    NOT_FINITE_DATA = 306, "The data has NaN, infinite or too large numbers"
    IMAGES = 307, "An image cannot be used"
    IMAGE_FOLDER = 308, "A folder of images cannot be used"
    IMAGE_OPTIONS = 309, "The options of `images` do not fit"
    LOADER = 310, "Your own loader failed or returned something else"
    RANDOM_DATA = 311, "Random data cannot be made for this model"
    IMAGE_SCALE = 312, "The images do not have the scale of the training data"
    ANNOTATIONS = 313, "The boxes or masks of images cannot be used"
    # --- 4xx: the model
    NO_MODEL = 401, "The model cannot be read"
    NOT_ONNX = 402, "The file is not an ONNX model"
    INVALID_MODEL = 403, "The model is not valid ONNX"
    WEIGHTS_FILE = 404, "The weights of the model cannot be read"
    WEIGHTS_NOT_FINITE = 405, "The weights have NaN or infinite numbers"
    MODEL_FUNCTIONS = 406, "The functions of the model cannot be inlined"
    SHAPES = 407, "Types or shapes of the model cannot be inferred"
    ONNXRUNTIME = 408, "onnxruntime cannot load or run the model"
    MEMORY = 409, "The model needs more memory than there is"
    MODEL_INPUT = 410, "An input of the model is missing or does not fit"
    MODEL_OUTPUT = 411, "An output of the model is missing or does not fit"
    NO_NODE = 412, "No node has this name"
    RANDOM_INPUTS = 413, "The model does not run on random inputs"
    OPSET = 414, "The opset of the model is too old or too new"
    # --- 5xx: steps and requirements
    PASS_RAISED = 501, "A pass, a measure, a target or a check failed with an exception"
    RESULTS_CHANGED = 502, "A step that promises the same results changed them"
    NOT_FINITE_RESULT = 503, "A step makes NaN or infinite numbers"
    REPEAT = 504, "A `repeat` does not settle"
    REQUIREMENT = 505, "A requirement is not met"
    NEEDS_SAMPLES = 506, "A step needs samples"
    NEEDS_LABELS = 507, "A step or measure needs labels"
    QUANTIZE = 508, "The model cannot be quantized like this"
    PRUNE = 509, "The model cannot be pruned like this"
    BATCH = 510, "The batch size is baked into the model"
    INPUT_SHAPES = 511, "The input shapes cannot be set"
    INTERFACE = 512, "Inputs or outputs changed"
    NOT_WRITTEN = 513, "The compiled model does not load"
    SLOW = 514, "A step makes the model slower"
    RECOVER = 515, "The model cannot be trained like this"
    NEEDS_ARRAY = 516, "A measure needs an array that the data does not have"
    # --- 6xx: targets and engines
    TARGET_OPTIONS = 601, "The options of a target are wrong"
    PROFILE = 602, "The profiles of an engine do not fit the inputs"
    FILE_NAMES = 603, "Two files of the output have one name, or a name is not allowed"
    CAPABILITY = 604, "A GPU generation does not support what the model needs"
    NO_ENGINE = 605, "A target needs what another target writes"
    TRITON = 606, "Triton cannot serve the model like this"
    UNSUPPORTED_NODE = 611, "TensorRT cannot build a node"
    UNSUPPORTED_TYPE = 612, "TensorRT does not support a type"
    UNSUPPORTED_OPSET = 613, "TensorRT's importer does not know the opset"
    UNSUPPORTED_QUANTIZER = 614, "TensorRT does not support this quantization"
    IMPORT = 615, "TensorRT's importer refuses the model"
    ENGINE_INTERFACE = 616, "The engine would have other outputs or inputs than the model"
    BAKED_SIZE = 617, "A size is baked into the model, but the batch varies"
    UNCHECKED = 618, "A part of the model could not be checked"
    RUNS_IN_FLOAT = 621, "A node between quantized nodes runs in float"
    BUILD = 631, "TensorRT does not build the engine"
    BUILD_ENDED = 632, "The build of the engine crashed, was killed or took too long"
    BUILD_MEMORY = 633, "There is not enough memory to build the engine"
    SIDECAR = 641, "The sidecar of an engine cannot be used"
    OTHER_ENGINE = 642, "The engine, its model or its weights are not the ones described"
    ENGINE_RUN = 643, "The engine does not run here"
    ENGINE_DIFFERS = 644, "The engine computes other numbers than onnxruntime"
    CONVERSION = 651, "A converter does not support the model"
    CONVERSION_ENDED = 652, "A converter crashed, was killed or took too long"
    CONVERSION_DIFFERS = 653, "A converted model computes other numbers than the model it was made from"
    # --- 7xx: PyTorch and other frameworks
    FACTORY = 701, "The PyTorch module cannot be made"
    MODULE_INPUTS = 702, "The inputs of the PyTorch module are wrong"
    CHECKPOINT = 703, "The weights of the PyTorch module cannot be loaded"
    EXPORT = 704, "PyTorch cannot export the module"
    EXPORT_DIFFERS = 705, "The exported model does not compute what the module computes"
    SOURCE = 706, "A model of another framework cannot be converted"
    # --- 8xx: the machine
    MISSING_PACKAGE = 801, "A Python package is missing or too old"
    OUTPUT_FOLDER = 802, "The output folder cannot be written"
    CANNOT_WRITE = 803, "A file cannot be written"
    VARIABLE = 804, "An environment variable has a value that vggc cannot use"
    LOCK = 805, "The compile is not the one of the lock file"
    WORKER = 806, "A process that trains with others has ended"
    # --- 9xx: the tools around a compile
    NOT_A_MODEL = 901, "An object or option does not fit this kind of model"
    BENCH = 902, "A model or engine cannot be measured"
    BISECT = 903, "The measure of a bisection is not a number"
    SEARCH = 904, "A search cannot be run, or cannot go on"
    PLACE = 905, "Trials cannot run at this place"
    REPORT = 906, "A report cannot be read, or not be exported"


ROOMS = {
    0: "your own Python files",
    1: "the recipe",
    2: "rules",
    3: "data",
    4: "the model",
    5: "steps and requirements",
    6: "targets and engines",
    7: "PyTorch and other frameworks",
    8: "the machine",
    9: "the tools around a compile",
}
"""By hundred: what the messages are about."""


def code_of(text: str) -> Code | None:
    """The code that a user means by `VGGC121`, `vggc121` or `121`; None when there is none."""
    digits = text.upper().removeprefix(PREFIX)
    return next((each for each in Code if digits.isdecimal() and each.number == int(digits)), None)


@cache
def explanations() -> dict[Code, str]:
    """For each code, what causes the message and what to do: Markdown, in lines as they are in the file."""
    text = (resources.files("vggc.diagnostics") / "explanations.md").read_text(encoding="utf-8")
    sections = [each.partition("\n") for each in text.split("\n## ")[1:]]
    by_id = {each.id: each for each in Code}
    return {by_id[heading.strip()]: body.strip() for heading, _, body in sections}
