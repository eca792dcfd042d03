//! What `examples/speed` times, as a WebAssembly module without imports, for a page to call.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run may stop")]

#[path = "speed/bench.rs"]
mod bench;

use std::cell::RefCell;

use bench::Bench;
use gguf::TensorType;
use kernels::{Activations, Isa};

struct State {
    bench: Bench,
    ty: TensorType,
    x: Activations,
}

thread_local! {
    static STATE: RefCell<Option<State>> = const { RefCell::new(None) };
}

/// Fills so many bytes of memory with weights.
#[unsafe(no_mangle)]
pub extern "C" fn allocate(bytes: usize) {
    let ty = TensorType::F32;
    let (bench, x) = (Bench::new(bytes), Bench::activations(ty, 1));
    STATE.set(Some(State { bench, ty, x }));
}

/// Chooses the type of the weights, by its number in GGUF, and the number of tokens.
#[unsafe(no_mangle)]
pub extern "C" fn choose(ty: u32, tokens: usize) {
    STATE.with_borrow_mut(|state| {
        let state = state.as_mut().unwrap();
        state.ty = TensorType::from_id(ty).unwrap();
        state.x = Bench::activations(state.ty, tokens);
    });
}

/// Multiplies about so many bytes of weights; returns how many exactly.
#[unsafe(no_mangle)]
pub extern "C" fn multiply(bytes: usize) -> usize {
    STATE.with_borrow_mut(|state| {
        let state = state.as_mut().unwrap();
        let State { bench, ty, x } = state;
        bench.multiply(Isa::best(), *ty, bytes, x)
    })
}

/// Reads so many bytes.
#[unsafe(no_mangle)]
pub extern "C" fn read(bytes: usize) -> usize {
    STATE.with_borrow_mut(|state| state.as_mut().unwrap().bench.read(bytes))
}
