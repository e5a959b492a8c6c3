"""Many inputs become one AnnData-Zarr that is read fast."""

from lexicell.atlas.packing.pack import Packed, PackPlan, plan_pack, run_pack

__all__ = ["PackPlan", "Packed", "plan_pack", "run_pack"]
