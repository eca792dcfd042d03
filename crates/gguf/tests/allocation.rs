//! False lengths must not make the reader allocate.

mod common;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use common::every_value;
use gguf::{Array, Header, Value, Writer};

struct Counting;

thread_local! {
    static NOW: Cell<usize> = const { Cell::new(0) };
    static MOST: Cell<usize> = const { Cell::new(0) };
}

fn count(more: usize, less: usize) {
    let now = (NOW.get() + more).saturating_sub(less);
    NOW.set(now);
    MOST.set(MOST.get().max(now));
}

// SAFETY: hands everything on to the system's allocator unchanged; counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller's promises are those asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // The old and the new block exist at the same time.
        count(size, 0);
        count(0, layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most bytes that were allocated at once while `work` ran.
fn peak(work: impl FnOnce()) -> usize {
    let before = NOW.get();
    MOST.set(before);
    work();
    MOST.get() - before
}

#[test]
fn damaged_files_allocate_little() {
    let original = every_value();
    let len = original.len();
    let mut file = original.clone();
    // Large numbers where lengths and counts are, wherever that is.
    for place in 0..len {
        for value in [u64::MAX, 1 << 62, 1 << 40, 1 << 31, 1 << 24] {
            let end = len.min(place + 8);
            file[place..end].copy_from_slice(&value.to_le_bytes()[..end - place]);
            // Pretending that the file is long hides nothing either: what is not there is not read.
            for claimed in [Some(len as u64), Some(1 << 50), None] {
                let peak = peak(|| {
                    let _ = Header::parse(&file, claimed);
                    let _ = Header::read(&mut file.as_slice(), claimed);
                });
                assert!(
                    peak < 1 << 20,
                    "{peak} bytes for {value:x} at {place}, {claimed:?}"
                );
            }
            file[place..end].copy_from_slice(&original[place..end]);
        }
    }
}

#[test]
fn a_large_vocabulary_is_kept_compactly() {
    let mut writer = Writer::new();
    let tokens = (0..131_072).map(|token| format!("token{token}")).collect();
    writer
        .metadata("tokens", Value::Array(Array::String(tokens)))
        .unwrap();
    let file = writer.header_bytes();
    let mut header = None;
    let before = NOW.get();
    let peak = peak(|| header = Header::parse(&file, None).ok());
    let kept = NOW.get() - before;
    assert_eq!(
        header.unwrap().metadata.strings("tokens").unwrap().len(),
        131_072
    );
    assert!(kept < file.len(), "{kept} bytes for {}", file.len());
    assert!(peak < 3 * file.len(), "{peak} bytes for {}", file.len());
}
