"""The wire: files that really cross a link of a set bandwidth and latency, and a download that ends whole or not at all.

    a file -> [serve -> link -> download] -> the same file, seconds

What a download takes is measured here and not computed, down to 56 kbit/s. `link` is the relay that limits, `serve` and
`folder` the server, `download` and `part` the client. This package knows nothing of seeds, models and quality.
"""
