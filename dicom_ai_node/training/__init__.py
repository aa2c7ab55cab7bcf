"""What the recipes of our models share: cases, augmentation, fitting, scores, the model folder.

A recipe (`bundles/NAME/configs/train.py`) reads its data, splits it and hands a `Recipe` to
`recipe.main`.  Nothing here runs in a node; it needs the extra `[train]`.
"""
