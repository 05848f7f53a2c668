"""The embedded library: small real networks that this project trained itself, and published moments of two others.

One module per recipe says how its subjects are built and trained; beside it lie the weights of each (`.safetensors`), or its
seed where only moments are published, and its card (`.json`: recipe, versions, quality, size). It exists so that every claim
can be checked offline, on any machine, with nothing to download. `python -m seeds.library train NAME` rebuilds one.
"""
