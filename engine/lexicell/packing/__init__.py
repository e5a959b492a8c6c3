"""Many inputs become one AnnData-Zarr that is read fast; ``lexicell.pack``."""

from lexicell.packing.api import pack
from lexicell.packing.plan import PackPlan, plan_pack
from lexicell.packing.run import Packed, run_pack

__all__ = ["PackPlan", "Packed", "pack", "plan_pack", "run_pack"]
