"""Channel groups of a graph: which axes must shrink together, what that saves, and removing channels.

    groups = channel_groups(graph)
    for group in groups:
        group.id, group.size, group.name
        group.frozen                     # why nothing of it can go, or None
        group.producers, group.consumers # Weighted nodes: whose outputs, and whose inputs, these channels are
    keep = {3: group.best(scores, count)}
    groups.cost({3: 16})                 # params, macs, bytes of the whole model with 16 atoms of group 3 left
    masked = groups.masked(keep)         # a copy with the removed channels zero: what the sliced graph must equal
    groups.slice(keep)                   # in place; returns which old channels the new ones are
    prove(masked, graph)                 # runs both

A group of `size` atoms, numbered from 0, is one set of channels in the simple case: the outputs of one convolution. A
residual stream makes one group of all convolutions that write to it.
"""

from vggc.analysis.channels.cost import CostModel, TotalCost
from vggc.analysis.channels.group import Channels, Group, Keep, Member, Weighted
from vggc.analysis.channels.group_table import GroupRow, groups_table
from vggc.analysis.channels.groups import Groups, channel_groups
from vggc.analysis.channels.masks import prove
from vggc.analysis.channels.records import Counting

__all__ = [
    "Channels",
    "CostModel",
    "Counting",
    "Group",
    "GroupRow",
    "Groups",
    "Keep",
    "Member",
    "TotalCost",
    "Weighted",
    "channel_groups",
    "groups_table",
    "prove",
]
