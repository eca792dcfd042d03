use std::ops::Deref;

use wgpu::Buffer;

/// Memory of the graphics processor, given back when dropped. Without this a browser waits for its garbage collector,
/// which sees a few bytes where there are megabytes.
#[derive(Debug)]
pub(crate) struct Memory(pub(crate) Buffer);

impl Deref for Memory {
    type Target = Buffer;

    fn deref(&self) -> &Buffer {
        &self.0
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // Work that was submitted before is finished first.
        self.0.destroy();
    }
}
