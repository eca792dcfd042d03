use gguf::TensorType;
use wgpu::{BufferDescriptor, BufferUsages};

use crate::{Error, Gpu, format::Format, memory::Memory, scope::Scope};

/// Weights in the memory of the graphics processor, freed when dropped.
#[derive(Debug)]
pub struct Matrix {
    pub(crate) format: Format,
    pub(crate) rows: u32,
    /// Groups of 32 weights in a row.
    pub(crate) groups: u32,
    /// Words in a row.
    pub(crate) stride: u32,
    pub(crate) buffer: Memory,
}

impl Matrix {
    /// Weights in a row: the width of the activations it is multiplied with.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.groups as usize * 32
    }

    /// Rows: results for each token.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows as usize
    }

    /// Bytes of the graphics processor's memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        // Was counted in a usize when it was uploaded.
        self.buffer.size() as usize
    }
}

impl Gpu {
    /// Whether weights of this type can be multiplied.
    #[must_use]
    pub fn supports(ty: TensorType) -> bool {
        Format::of(ty).is_some()
    }

    /// Uploads `rows` rows of weights, packed as in a GGUF file.
    ///
    /// # Errors
    /// When there is no shader for the type, the sizes do not fit together, or the device has no memory for it.
    pub async fn upload(
        &self,
        ty: TensorType,
        weights: &[u8],
        rows: usize,
    ) -> Result<Matrix, Error> {
        let format = Format::of(ty).ok_or(Error::Unsupported(ty))?;
        let block = ty.block_bytes();
        let row = weights.len().checked_div(rows).unwrap_or(0);
        if row == 0 || !row.is_multiple_of(block) || row * rows != weights.len() {
            return Err(Error::Length {
                what: "bytes of whole rows",
                expected: row.div_ceil(block).max(1) * block * rows,
                found: weights.len(),
            });
        }
        let blocks = row / block;
        let stride = blocks * format.block_words();
        let size = (stride * rows * 4) as u64;
        if size > self.device.limits().max_storage_buffer_binding_size {
            return Err(Error::TooLarge("the weights"));
        }
        let number =
            |value: usize| u32::try_from(value).map_err(|_| Error::TooLarge("the weights"));
        let (rows, groups) = (number(rows)?, number(blocks * ty.block_len() / 32)?);
        let stride = number(stride)?;
        let scope = Scope::open(&self.device);
        let buffer = self.device.create_buffer(&BufferDescriptor {
            label: Some("weights"),
            size,
            usage: BufferUsages::STORAGE | BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        self.queue.write_buffer(&buffer, 0, &format.pack(weights));
        scope.close().await?;
        Ok(Matrix {
            format,
            rows,
            groups,
            stride,
            buffer: Memory(buffer),
        })
    }
}
