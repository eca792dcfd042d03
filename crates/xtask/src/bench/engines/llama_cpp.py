"""Times llama.cpp as PyPI's xllamacpp has it: FILE PROMPT ANSWER THREADS ROUNDS."""

import json
import sys

import xllamacpp

file, (prompt, answer, threads, rounds) = sys.argv[1], map(int, sys.argv[2:6])
params = xllamacpp.CommonParams()
params.model.path = file
params.n_ctx = 1024
params.n_parallel = 1
params.n_gpu_layers = 0
params.cpuparams.n_threads = threads
params.cpuparams_batch.n_threads = threads
server = xllamacpp.Server(params)
best = {"prefill": 0.0, "decode": 0.0}
for _ in range(rounds):
    result = server.handle_completions({
        "prompt": [300 + i * 7 % 200 for i in range(prompt)],
        "n_predict": answer,
        "cache_prompt": False,
        "ignore_eos": True,
        "temperature": 0,
    })
    timings = (json.loads(result) if isinstance(result, str) else result)["timings"]
    best["prefill"] = max(best["prefill"], timings["prompt_per_second"])
    best["decode"] = max(best["decode"], timings["predicted_per_second"])
print(json.dumps(best))
