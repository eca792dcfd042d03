use std::io::Read;

use crate::{Error, ErrorKind, MAX_HEADER_BYTES};

/// How far ahead a stream is read: headers are made of very many very small values.
const READ_AHEAD: u64 = 256 << 10;

/// Bytes in order, with an upper bound of how many can still follow.
pub(crate) trait Source {
    fn position(&self) -> u64;

    /// How many bytes can still follow at most.
    fn remaining(&self) -> u64;

    /// The next `len` bytes. Allocates no more than what really follows.
    fn take(&mut self, len: usize) -> Result<&[u8], Error>;

    /// Refuses `len` bytes that cannot follow.
    fn check(&self, needed: u64) -> Result<(), Error> {
        let available = self.remaining();
        if needed <= available {
            return Ok(());
        }
        let kind = if self.position() + available == MAX_HEADER_BYTES {
            ErrorKind::HeaderTooLong {
                limit: MAX_HEADER_BYTES,
            }
        } else {
            ErrorKind::Truncated { needed, available }
        };
        Err(kind.at(self.position()))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u32(&mut self) -> Result<u32, Error> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, Error> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// The number of entries that follow, each of which takes at least `min_bytes`.
    fn count(&mut self, min_bytes: u64) -> Result<usize, Error> {
        let offset = self.position();
        let count = self.u64()?;
        self.check(count.saturating_mul(min_bytes))
            .map_err(|error| error.kind.at(offset))?;
        // What passed the check is below MAX_HEADER_BYTES, so it fits on 32-bit targets too.
        Ok(count as usize)
    }

    fn string(&mut self) -> Result<&str, Error> {
        let offset = self.position();
        let len = self.count(1)?;
        str::from_utf8(self.take(len)?).map_err(|_| ErrorKind::InvalidUtf8.at(offset))
    }
}

/// Bytes that are in memory.
pub(crate) struct Slice<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Slice<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        let len = bytes.len().min(MAX_HEADER_BYTES as usize);
        Self {
            bytes: &bytes[..len],
            position: 0,
        }
    }
}

impl Source for Slice<'_> {
    fn position(&self) -> u64 {
        self.position as u64
    }

    fn remaining(&self) -> u64 {
        (self.bytes.len() - self.position) as u64
    }

    fn take(&mut self, len: usize) -> Result<&[u8], Error> {
        self.check(len as u64)?;
        let start = self.position;
        self.position += len;
        Ok(&self.bytes[start..self.position])
    }
}

/// Bytes that are read as they are needed, and kept.
pub(crate) struct Stream<R> {
    reader: R,
    raw: Vec<u8>,
    position: usize,
    limit: u64,
}

impl<R: Read> Stream<R> {
    pub(crate) fn new(reader: R, file_len: Option<u64>) -> Self {
        let limit = file_len.unwrap_or(u64::MAX).min(MAX_HEADER_BYTES);
        Self {
            reader,
            raw: Vec::new(),
            position: 0,
            limit,
        }
    }

    /// What was read, including what was read ahead.
    pub(crate) fn into_raw(self) -> Vec<u8> {
        self.raw
    }
}

impl<R: Read> Source for Stream<R> {
    fn position(&self) -> u64 {
        self.position as u64
    }

    fn remaining(&self) -> u64 {
        self.limit - self.position as u64
    }

    fn take(&mut self, len: usize) -> Result<&[u8], Error> {
        self.check(len as u64)?;
        let end = self.position + len;
        while self.raw.len() < end {
            let read = self.raw.len() as u64;
            let wanted = (end as u64 - read).max(READ_AHEAD).min(self.limit - read);
            // Grows with what arrives, not with what was announced.
            let arrived = self
                .reader
                .by_ref()
                .take(wanted)
                .read_to_end(&mut self.raw)
                .map_err(|error| ErrorKind::Io(error).at(read))?;
            if arrived == 0 {
                self.limit = read;
                self.check(len as u64)?;
            }
        }
        let start = self.position;
        self.position = end;
        Ok(&self.raw[start..end])
    }
}
