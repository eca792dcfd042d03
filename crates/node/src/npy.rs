//! Matrices for NumPy.

use anyhow::{Context, Result};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Writes rows of equal length as a `.npy` file of 32-bit floats.
pub(crate) fn write(path: &Path, rows: &[Vec<f32>]) -> Result<()> {
    let at = || format!("cannot write {}", path.display());
    let columns = rows.first().map_or(0, Vec::len);
    let mut out = BufWriter::new(File::create(path).with_context(at)?);
    out.write_all(&header(rows.len(), columns))
        .with_context(at)?;
    for value in rows.iter().flatten() {
        out.write_all(&value.to_le_bytes()).with_context(at)?;
    }
    out.flush().with_context(at)?;
    Ok(())
}

/// The format's version 1.0: magic, version, length, a Python literal padded so that the data are aligned to 64 bytes.
fn header(rows: usize, columns: usize) -> Vec<u8> {
    const FIXED: usize = 10;
    let mut text =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    let len = (FIXED + text.len() + 1).next_multiple_of(64) - FIXED;
    text.push_str(&" ".repeat(len - text.len() - 1));
    text.push('\n');
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    // Two numbers of at most 20 digits do not make it longer than 65,535.
    header.extend_from_slice(&(len as u16).to_le_bytes());
    header.extend_from_slice(text.as_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_what_numpy_writes() {
        let header = header(3, 512);
        assert_eq!(header.len() % 64, 0);
        assert_eq!(&header[..8], b"\x93NUMPY\x01\x00");
        let text = String::from_utf8_lossy(&header[10..]);
        assert!(text.starts_with("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 512), }"));
        assert!(text.ends_with('\n'));
    }
}
