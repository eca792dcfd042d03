use crate::TensorType;

/// Where a tensor lies and how it is stored.
///
/// Those of a [`Header`](crate::Header) are checked: sizes fit 64 bits, rows are whole blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name, such as `blk.0.attn_q.weight`.
    pub name: String,
    /// Its dimensions; the first is the length of a row.
    pub shape: Vec<u64>,
    /// How its weights are stored.
    pub ty: TensorType,
    /// Offset from the start of the data.
    pub offset: u64,
}

impl TensorInfo {
    /// Weights of a row.
    pub fn row_len(&self) -> u64 {
        self.shape.first().copied().unwrap_or(1)
    }

    /// Number of rows: the product of all dimensions but the first.
    pub fn rows(&self) -> u64 {
        self.shape.iter().skip(1).product()
    }

    /// Bytes of a row.
    ///
    /// # Panics
    /// If rows are not whole blocks, which cannot be the case for a tensor of a header that was read.
    pub fn row_bytes(&self) -> u64 {
        self.ty
            .row_bytes(self.row_len())
            .expect("rows were checked to be whole blocks when the header was made")
    }

    /// Bytes of the tensor.
    pub fn byte_len(&self) -> u64 {
        self.rows() * self.row_bytes()
    }

    /// The same, for a tensor that was not checked yet.
    pub(crate) fn checked_byte_len(&self) -> Option<u64> {
        let rows = self
            .shape
            .iter()
            .skip(1)
            .try_fold(1u64, |rows, &n| rows.checked_mul(n))?;
        rows.checked_mul(self.ty.row_bytes(self.row_len())?)
    }
}
