//! What holds for every file, and for every damaged one.

mod common;

use common::{any_file, entries, every_value, finish};
use gguf::{ErrorKind, Header};
use proptest::prelude::*;

/// A reader that hands out a few bytes at a time.
struct Trickle<'a>(&'a [u8]);

impl std::io::Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = buffer.len().min(self.0.len()).min(7);
        buffer[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

/// A header is either refused or keeps its promises.
fn is_well_formed(header: &Header, file_len: u64) {
    assert!(header.data_offset <= file_len);
    let mut places = Vec::new();
    for tensor in &header.tensors {
        assert!(tensor.offset.is_multiple_of(header.alignment));
        let end = tensor.offset + tensor.byte_len();
        assert!(header.data_offset + end <= file_len);
        assert_eq!(header.tensor(&tensor.name), Some(tensor));
        if tensor.byte_len() > 0 {
            places.push((tensor.offset, end));
        }
    }
    places.sort_unstable();
    assert!(places.is_sorted_by(|a, b| a.1 <= b.0));
    for (key, value) in header.metadata.iter() {
        assert_eq!(
            header.metadata.get(key).map(|value| value.value_type()),
            Some(value.value_type())
        );
    }
}

fn parse(bytes: &[u8]) -> Result<Header, gguf::Error> {
    let len = bytes.len() as u64;
    let parsed = Header::parse(bytes, Some(len));
    // Reading from a stream finds the same.
    match (&parsed, Header::read(&mut Trickle(bytes), Some(len))) {
        (Ok(header), Ok((read, raw))) => {
            assert_eq!(format!("{header:?}"), format!("{read:?}"));
            assert_eq!(raw, bytes[..header.data_offset as usize]);
            is_well_formed(header, len);
        }
        (Err(error), Err(read)) => assert_eq!(error.to_string(), read.to_string()),
        (parsed, read) => panic!("{parsed:?} but {read:?}"),
    }
    parsed
}

proptest! {
    #[test]
    fn what_is_written_is_read_back((metadata, writer) in any_file()) {
        let tensors = writer.tensors().to_vec();
        let announced = writer.file_len();
        let file = finish(writer);
        prop_assert_eq!(file.len() as u64, announced);
        let header = parse(&file).unwrap();
        prop_assert_eq!(entries(&header.metadata), metadata);
        prop_assert_eq!(&header.tensors, &tensors);
        for tensor in &tensors {
            let start = (header.data_offset + tensor.offset) as usize;
            prop_assert!(file[start..][..tensor.byte_len() as usize].iter().all(|&byte| byte == 0xab));
        }
        // A header alone reads the same, as a manifest keeps it.
        let alone = Header::parse(&file[..header.data_offset as usize], Some(announced)).unwrap();
        prop_assert_eq!(alone, header);
    }

    #[test]
    fn damaged_files_are_refused_or_well_formed(
        (_, writer) in any_file(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8u8), 1..4),
    ) {
        let mut file = finish(writer);
        for (place, bit) in flips {
            let place = place.index(file.len());
            file[place] ^= 1 << bit;
        }
        let _ = parse(&file);
    }

    #[test]
    fn noise_after_the_magic_is_refused_or_well_formed(noise in any::<Vec<u8>>()) {
        let mut file = b"GGUF\x03\0\0\0".to_vec();
        file.extend(noise);
        let _ = parse(&file);
    }
}

#[test]
fn every_truncation_of_the_header_is_refused() {
    let file = every_value();
    let header = parse(&file).unwrap();
    for len in 0..header.data_offset as usize {
        let error = Header::parse(&file[..len], None).unwrap_err();
        assert!(
            matches!(error.kind, ErrorKind::Truncated { .. }),
            "{len}: {error}"
        );
        assert!(error.offset <= len as u64);
        assert!(parse(&file[..len]).is_err());
        assert!(Header::read(&mut Trickle(&file[..len]), None).is_err());
    }
    for len in header.data_offset as usize..file.len() - 32 {
        let error = parse(&file[..len]).unwrap_err();
        assert!(
            matches!(error.kind, ErrorKind::BeyondEnd { .. }),
            "{len}: {error}"
        );
    }
}

#[test]
fn every_flipped_bit_is_refused_or_well_formed() {
    let mut file = every_value();
    for place in 0..file.len() {
        for bit in 0..8 {
            file[place] ^= 1 << bit;
            let _ = parse(&file);
            file[place] ^= 1 << bit;
        }
    }
}
