"""Model families: how a kind of vision-language model is loaded, fed, trained and saved. They know no task.

The folder ``families`` is the registry: ``family: qwen2_vl`` in a model's YAML names
``paceline/models/families/qwen2_vl.py``. To add a family, write that one module (a package, where the network itself is
written here) with a class named ``FAMILY`` that derives from :class:`paceline.models.family.Family` and says only what
differs: which module names make up the vision tower, the connector and the language model, how its tiny twin is
configured, and, where the processor wants it, another form of prompt or batch. Then write
``conf/model/tiny_<family>.yaml``: the tests of ``tests/models`` run on every twin that they find there. A lab's own lie
in ``models/`` of its folder (:mod:`paceline.plugins`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from paceline import plugins
from paceline.errors import UserError
from paceline.models.registry import family_names, no_family

__all__ = ["family_names", "load_family"]

if TYPE_CHECKING:
    from paceline.models.family import Family


def load_family(name: str) -> type[Family]:
    """The class that drives a family.

    Raises:
        UserError: there is no such module, with the nearest names; or it is a lab's and can't be imported.
    """
    if why := no_family(name):
        raise UserError(why)
    found: type[Family] = plugins.load("models", name).FAMILY
    return found
