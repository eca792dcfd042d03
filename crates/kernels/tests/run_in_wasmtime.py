#!/usr/bin/env python3
"""Runs the checks of tests/bits.rs in wasmtime, whose compiler is not the browser's.

    pip install wasmtime==50.0.1
    cargo build -p kernels --target wasm32-unknown-unknown --example wasmtime
    python tests/run_in_wasmtime.py target/wasm32-unknown-unknown/debug/examples/wasmtime.wasm

The engine comes as a Python wheel because the crate takes minutes to build on a small machine.
"""

import sys

from wasmtime import Engine, Instance, Module, Store

SEEDS = 200

engine = Engine()
store = Store(engine)
exports = Instance(store, Module.from_file(engine, sys.argv[1]), []).exports(store)


def require(holds, what):
    if not holds:
        sys.exit(f"wasmtime: {what}")


require(exports["is_simd128"](store), "the module was built without simd128")
for seed in range(SEEDS):
    exports["check"](store, seed)
require(exports["digests_match"](store), "the bits are not those on record")
print(f"wasmtime: {SEEDS} seeds and all digests give the same bits")
