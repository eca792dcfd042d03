"""A thin layer over llama.cpp's C interface (as shipped by llama-cpp-python).

llama.cpp is the reference here, so everything that could change its numbers is
set by hand: one sequence, no repacked weights, F32 key-value cache and no flash
attention.
"""

import ctypes
from contextlib import contextmanager
from pathlib import Path

import llama_cpp as lib
import numpy as np

FTYPE_Q4_K_M = 15

# Mixes of types, by llama.cpp's numbers for them.
MIXES = {
    "F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q5_0": 8, "Q5_1": 9, "Q2_K": 10,
    "Q3_K_S": 11, "Q3_K_M": 12, "Q3_K_L": 13, "Q4_K_S": 14, "Q4_K_M": FTYPE_Q4_K_M,
    "Q5_K_S": 16, "Q5_K_M": 17, "Q6_K": 18, "BF16": 32,
}
_GGML_TYPE_F32 = 0
_FLASH_ATTENTION_OFF = 0


@lib.llama_log_callback
def _quiet(_level, _text, _user_data):
    pass


lib.llama_log_set(_quiet, ctypes.c_void_p(0))
lib.llama_backend_init()


def version() -> str:
    return f"llama-cpp-python {lib.__version__}"


def quantize(source: Path, target: Path, ftype: int = FTYPE_Q4_K_M, threads: int = 2) -> None:
    """Quantises a GGUF file with llama.cpp's own choice of type per tensor."""
    params = lib.llama_model_quantize_default_params()
    params.ftype = ftype
    params.nthread = threads
    code = lib.llama_model_quantize(
        str(source).encode(), str(target).encode(), ctypes.byref(params)
    )
    if code != 0:
        raise RuntimeError(f"llama_model_quantize returned {code} for {source}")


class Model:
    def __init__(self, path: Path, context: int = 1024, threads: int = 1):
        params = lib.llama_model_default_params()
        params.n_gpu_layers = 0
        params.use_extra_bufts = False
        self._model = lib.llama_model_load_from_file(str(path).encode(), params)
        if not self._model:
            raise RuntimeError(f"llama.cpp cannot load {path}")
        self._vocab = lib.llama_model_get_vocab(self._model)
        params = lib.llama_context_default_params()
        params.n_ctx = context
        params.n_batch = context
        params.n_ubatch = context
        params.n_threads = threads
        params.n_threads_batch = threads
        params.type_k = _GGML_TYPE_F32
        params.type_v = _GGML_TYPE_F32
        params.flash_attn_type = _FLASH_ATTENTION_OFF
        self._context = lib.llama_init_from_model(self._model, params)
        if not self._context:
            raise RuntimeError(f"llama.cpp cannot make a context for {path}")

    def close(self) -> None:
        lib.llama_free(self._context)
        lib.llama_model_free(self._model)

    @property
    def vocabulary_size(self) -> int:
        return lib.llama_vocab_n_tokens(self._vocab)

    def is_end(self, token: int) -> bool:
        return bool(lib.llama_vocab_is_eog(self._vocab, token))

    def tokenize(self, text: str, add_special: bool, parse_special: bool) -> list[int]:
        raw = text.encode()
        room = len(raw) + 8
        tokens = (lib.llama_token * room)()
        count = lib.llama_tokenize(
            self._vocab, raw, len(raw), tokens, room, add_special, parse_special
        )
        if count < 0:
            raise RuntimeError(f"llama_tokenize returned {count}")
        return list(tokens[:count])

    def piece(self, token: int) -> bytes:
        buffer = ctypes.create_string_buffer(256)
        count = lib.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, False)
        return buffer.raw[: max(count, 0)]

    def decode(self, tokens: list[int]) -> str:
        return b"".join(self.piece(token) for token in tokens).decode(errors="replace")

    def logits(self, tokens: list[int]) -> np.ndarray:
        """Logits after every token, computed in one batch from an empty cache."""
        lib.llama_memory_clear(lib.llama_get_memory(self._context), True)
        return self._feed(tokens, 0)

    def greedy(self, prompt: list[int], limit: int, stop: bool = True) -> tuple[list[int], list[float]]:
        """The greedy continuation and, per step, the gap between the two best logits.

        With `stop` the first end token closes the continuation (and is part of it).
        """
        row = self.logits(prompt)[-1]
        tokens, gaps = [], []
        for _ in range(limit):
            second, best = np.partition(row, -2)[-2:]
            token = int(row.argmax())
            tokens.append(token)
            gaps.append(round(float(best - second), 5))
            if stop and self.is_end(token):
                break
            row = self._feed([token], len(prompt) + len(tokens) - 1)[-1]
        return tokens, gaps

    def _feed(self, tokens: list[int], start: int) -> np.ndarray:
        batch = lib.llama_batch_init(len(tokens), 0, 1)
        try:
            batch.n_tokens = len(tokens)
            for i, token in enumerate(tokens):
                batch.token[i] = token
                batch.pos[i] = start + i
                batch.n_seq_id[i] = 1
                batch.seq_id[i][0] = 0
                batch.logits[i] = 1
            code = lib.llama_decode(self._context, batch)
            if code != 0:
                raise RuntimeError(f"llama_decode returned {code}")
            flat = lib.llama_get_logits(self._context)
            shape = (len(tokens), self.vocabulary_size)
            return np.ctypeslib.as_array(flat, shape=shape).copy()
        finally:
            lib.llama_batch_free(batch)


@contextmanager
def opened(path: Path, **options):
    model = Model(path, **options)
    try:
        yield model
    finally:
        model.close()
