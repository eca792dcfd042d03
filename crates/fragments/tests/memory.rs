//! Memory does not grow with the model.
#![cfg(feature = "fs")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    fs::File,
    io::BufWriter,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use fragments::{DEFAULT_FRAGMENT_SIZE, cut_to_folder, join_folder, verify_folder};
use gguf::generate::Shape;

struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

fn add(bytes: usize) {
    MOST.fetch_max(NOW.fetch_add(bytes, Relaxed) + bytes, Relaxed);
}

// SAFETY: hands everything on to the system's allocator unchanged; counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller's promises are those asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn models_larger_than_the_memory_allowed_are_cut_verified_and_joined() {
    const ALLOWED: usize = 100 << 20;
    let root = tempfile::tempdir().unwrap();
    let [model, folder, joined] =
        ["model.gguf", "folder", "joined.gguf"].map(|name| root.path().join(name));
    for shape in [Shape::dense(170_000_000), Shape::mixture(170_000_000)] {
        assert!(shape.file_len() > ALLOWED as u64);
        shape
            .write(3, BufWriter::new(File::create(&model).unwrap()))
            .unwrap();
        MOST.store(NOW.load(Relaxed), Relaxed);
        // Joining compares SHA-256 with the original's itself.
        cut_to_folder(&model, &folder, DEFAULT_FRAGMENT_SIZE, &mut ()).unwrap();
        assert!(verify_folder(&folder, &mut ()).unwrap().is_complete());
        join_folder(&folder, &joined, &mut ()).unwrap();
        let most = MOST.load(Relaxed);
        assert!(most < ALLOWED, "{most} bytes");
        std::fs::remove_dir_all(&folder).unwrap();
        std::fs::remove_file(&joined).unwrap();
    }
}
