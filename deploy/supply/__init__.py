"""What is shipped with the node, and whether it may be: its bill, its licences, its holes.

    python -m deploy.supply licences      is every licence one that a hospital can live with?
    python -m deploy.supply audit         is a hole known in what is installed?
    python -m deploy.supply bill FILE     write the bill of material, CycloneDX 1.6

All three look at the closure of the requirements of the product as it is installed here.
"""
