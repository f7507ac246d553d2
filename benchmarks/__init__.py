"""cloudrle beside memory and its peers: `python -m pytest benchmarks` prints the table and writes RESULTS.md."""

import os

# One thread for everybody, said before NumPy and the peers are imported; a row that uses more says so.
for _library in ("OMP", "OPENBLAS", "MKL", "NUMBA", "RAYON"):
    os.environ[f"{_library}_NUM_THREADS"] = "1"
