"""Seeds: compact summaries of a network's weights, and what they keep and lose.

    subject -> extract -> Seed -> store -> assemble -> evaluate -> quantity -> verdict -> report

Each stage is a module that knows only the ones before it. Nothing is imported here, so that `import seeds` costs nothing:

    from seeds.extract import extract
    from seeds.store import load, save
    from seeds.assemble import assemble
"""

__version__ = "0.1.0"
