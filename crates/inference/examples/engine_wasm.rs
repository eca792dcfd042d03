//! What `examples/engine` times, as a WebAssembly module for a page to call.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run may stop")]

#[path = "engine/run.rs"]
mod run;

use std::cell::RefCell;

thread_local! {
    static FILE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static ENGINE: RefCell<Option<run::Engine>> = const { RefCell::new(None) };
}

#[link(wasm_import_module = "page")]
unsafe extern "C" {
    /// A token of the answer has come.
    safe fn token();
}

/// Room for a file of so many bytes; where it is.
#[unsafe(no_mangle)]
pub extern "C" fn allocate(bytes: usize) -> *mut u8 {
    FILE.with_borrow_mut(|file| {
        *file = vec![0; bytes];
        file.as_mut_ptr()
    })
}

/// Makes the file a model.
#[unsafe(no_mangle)]
pub extern "C" fn open() {
    let file = FILE.take();
    ENGINE.set(Some(run::Engine::new(&file)));
}

/// Reads a prompt of so many tokens and answers with so many.
#[unsafe(no_mangle)]
pub extern "C" fn answer(prompt: usize, answer: usize) {
    ENGINE.with_borrow(|engine| engine.as_ref().unwrap().run(prompt, answer, || token()));
}
