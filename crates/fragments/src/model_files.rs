//! A model's file, or the several files it was split into, read and written as one.

use std::{
    io::{self, Read, Seek, SeekFrom, Write},
    ops::Range,
};

use gguf::{Header, MAX_HEADER_BYTES, MAX_SPLIT_FILES, SplitError};

use crate::{assemble::SourceError, cut::CutError};

/// The file of a model, or the files of one that was split, with the header that describes them all.
///
/// Read as one imaginary file, it has all headers first, one after the other, and then what follows them in each
/// file: so a split model is planned and cut as if it had never been split.
#[derive(Clone, Debug)]
pub struct ModelFiles<F> {
    files: Span<F>,
    header: Header,
    header_bytes: Vec<u8>,
    extents: Vec<Extent>,
}

/// How long a file is, and how much of it is its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) header_len: u64,
    pub(crate) file_len: u64,
}

impl<F: Read + Seek> ModelFiles<F> {
    /// Reads the headers of a model's files, which are given in order.
    pub fn open(mut files: Vec<F>) -> Result<Self, CutError> {
        let found = files.len();
        if !(1..=MAX_SPLIT_FILES).contains(&found) {
            let expected = 1;
            return Err(SplitError::Count { expected, found }.into());
        }
        let mut headers = Vec::with_capacity(found);
        let mut header_bytes = Vec::new();
        let mut extents = Vec::with_capacity(found);
        for file in &mut files {
            let file_len = length(file)?;
            let (header, mut bytes) = Header::read(file, Some(file_len))?;
            let header_len = bytes.len() as u64;
            header_bytes.append(&mut bytes);
            if header_bytes.len() as u64 > MAX_HEADER_BYTES {
                return Err(CutError::HeadersTooLong);
            }
            headers.push((header, file_len));
            extents.push(Extent {
                header_len,
                file_len,
            });
        }
        Ok(Self {
            header: Header::merge(headers)?,
            header_bytes,
            files: Span::new(files, &extents),
            extents,
        })
    }
}

impl<F> ModelFiles<F> {
    /// The header; of a split model that of all files together.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Bytes of all files.
    pub fn total_len(&self) -> u64 {
        self.files.len
    }

    /// How many files there are.
    pub fn count(&self) -> usize {
        self.extents.len()
    }

    pub(crate) fn header_bytes(&self) -> &[u8] {
        &self.header_bytes
    }

    pub(crate) fn extents(&self) -> &[Extent] {
        &self.extents
    }
}

impl<F: Clone> ModelFiles<F> {
    /// The files as one, with a position of their own.
    pub(crate) fn span(&self) -> Span<F> {
        self.files.clone()
    }
}

impl<F: Read + Seek> Read for ModelFiles<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.files.read(buffer)
    }
}

impl<F> Seek for ModelFiles<F> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.files.seek(to)
    }
}

fn length(file: &mut impl Seek) -> Result<u64, SourceError> {
    let mut seek = || {
        let len = file.seek(SeekFrom::End(0))?;
        file.rewind()?;
        Ok(len)
    };
    let position = 0;
    seek().map_err(|source| SourceError { position, source })
}

/// Where the headers and the bodies of files are in the imaginary file made of them all.
fn segments(extents: &[Extent]) -> Vec<Segment> {
    let mut position = 0;
    let mut place = |file: usize, from: u64, to: u64| {
        let range = position..position + (to - from);
        position = range.end;
        Segment { range, file, from }
    };
    let mut segments = Vec::with_capacity(2 * extents.len());
    for (file, extent) in extents.iter().enumerate() {
        segments.push(place(file, 0, extent.header_len));
    }
    for (file, extent) in extents.iter().enumerate() {
        segments.push(place(file, extent.header_len, extent.file_len));
    }
    segments
}

/// Where the bytes of one file are in the imaginary file: its header, and its body.
pub(crate) fn ranges(extents: &[Extent], file: usize) -> [Range<u64>; 2] {
    let segments = segments(extents);
    [file, extents.len() + file].map(|index| segments[index].range.clone())
}

/// Several files as one.
#[derive(Clone, Debug)]
pub(crate) struct Span<F> {
    files: Vec<F>,
    segments: Vec<Segment>,
    len: u64,
    position: u64,
}

#[derive(Clone, Debug)]
struct Segment {
    /// In the imaginary file.
    range: Range<u64>,
    file: usize,
    /// Where it starts in its file.
    from: u64,
}

impl<F> Span<F> {
    pub(crate) fn new(files: Vec<F>, extents: &[Extent]) -> Self {
        let segments = segments(extents);
        Self {
            files,
            len: segments.last().map_or(0, |last| last.range.end),
            segments,
            position: 0,
        }
    }
}

impl<F: Seek> Span<F> {
    /// Does something with the file at the position, which may go on for so many bytes, and says how many it did.
    fn step(
        &mut self,
        wanted: usize,
        act: impl FnOnce(&mut F, usize) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let before = |segment: &Segment| segment.range.end <= self.position;
        let index = self.segments.partition_point(before);
        let Some(Segment { range, file, from }) = self.segments.get(index) else {
            return Ok(0);
        };
        let file = &mut self.files[*file];
        file.seek(SeekFrom::Start(from + (self.position - range.start)))?;
        let left = usize::try_from(range.end - self.position).unwrap_or(usize::MAX);
        let count = act(file, wanted.min(left))?;
        self.position += count as u64;
        Ok(count)
    }
}

impl<F: Read + Seek> Read for Span<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.step(buffer.len(), |file, len| file.read(&mut buffer[..len]))
    }
}

impl<F: Write + Seek> Write for Span<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.step(bytes.len(), |file, len| file.write(&bytes[..len]))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.files.iter_mut().try_for_each(F::flush)
    }
}

impl<F> Seek for Span<F> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(target) => Some(target),
            SeekFrom::End(offset) => self.len.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
