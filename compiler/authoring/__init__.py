"""Recipes written for a user: what a model and a folder show, each guess with its reason, and the text made of them."""

from vggc.authoring.data_source import DataSource, data_source
from vggc.authoring.goal import GOALS, Goal, Runtime
from vggc.authoring.recipe_text import recipe_text
from vggc.authoring.samples_option import prepared_folders

__all__ = ["GOALS", "DataSource", "Goal", "Runtime", "data_source", "prepared_folders", "recipe_text"]
