//! What is refused, with which error and at which byte.

mod common;

use common::{Raw, every_value, finish, string};
use gguf::{Array, ErrorKind, Header, MetadataError, TensorType::*, Value, WriteError, Writer};

macro_rules! refuses {
    ($bytes:expr, $pattern:pat, $offset:expr) => {{
        let bytes: Vec<u8> = $bytes;
        let error = Header::parse(&bytes, Some(bytes.len() as u64)).unwrap_err();
        assert!(matches!(&error.kind, $pattern), "{error:?}");
        assert_eq!(error.offset, $offset, "{error}");
    }};
}

/// Where the first tensor's entry starts when there is no metadata.
const FIRST: u64 = 24;

#[test]
fn files_of_other_kinds_are_refused() {
    refuses!(b"GGML....".to_vec(), ErrorKind::NotGguf, 0);
    refuses!(
        vec![],
        ErrorKind::Truncated {
            needed: 4,
            available: 0
        },
        0
    );
    refuses!(
        Raw {
            version: 1,
            ..Raw::default()
        }
        .bytes(),
        ErrorKind::UnsupportedVersion(1),
        4
    );
    refuses!(
        Raw {
            version: 4,
            ..Raw::default()
        }
        .bytes(),
        ErrorKind::UnsupportedVersion(4),
        4
    );
    refuses!(
        Raw {
            version: 3 << 24,
            ..Raw::default()
        }
        .bytes(),
        ErrorKind::BigEndian,
        4
    );
}

#[test]
fn both_supported_versions_read_the_same() {
    let three = Raw::tensor("a", &[4], F32, 0).bytes();
    let two = Raw {
        version: 2,
        ..Raw::tensor("a", &[4], F32, 0)
    }
    .bytes();
    let [two, three] =
        [two, three].map(|file| Header::parse(&file, Some(file.len() as u64)).unwrap());
    assert_eq!((two.version, three.version), (2, 3));
    assert_eq!(two.tensors, three.tensors);
}

#[test]
fn names_that_occur_twice_are_refused() {
    let metadata = vec![
        ("k".to_owned(), Value::U8(1)),
        ("k".to_owned(), Value::U8(2)),
    ];
    refuses!(
        Raw {
            metadata,
            ..Raw::default()
        }
        .bytes(),
        ErrorKind::DuplicateKey(_),
        24 + 8 + 1 + 4 + 1
    );
    let twice = Raw::tensor("a", &[4], F32, 0).and("a", &[4], F32, 32);
    refuses!(
        twice.bytes(),
        ErrorKind::DuplicateTensor(_),
        FIRST + 8 + 1 + 4 + 8 + 4 + 8
    );
}

#[test]
fn tensors_that_share_bytes_are_refused() {
    let second = FIRST + 8 + 1 + 4 + 8 + 4 + 8;
    refuses!(
        Raw::tensor("a", &[9], F32, 0)
            .and("b", &[4], F32, 32)
            .bytes(),
        ErrorKind::Overlap { .. },
        second
    );
    // Whatever their order in the file.
    refuses!(
        Raw::tensor("a", &[4], F32, 32)
            .and("b", &[9], F32, 0)
            .bytes(),
        ErrorKind::Overlap { .. },
        FIRST
    );
    let apart = Raw::tensor("a", &[4], F32, 32)
        .and("b", &[8], F32, 0)
        .and("empty", &[0, 5], F32, 0)
        .bytes();
    assert!(Header::parse(&apart, Some(apart.len() as u64)).is_ok());
}

#[test]
fn impossible_tensors_are_refused() {
    let huge = 1u64 << 40;
    refuses!(
        Raw::tensor("a", &[4], F32, 4).bytes(),
        ErrorKind::Misaligned { .. },
        FIRST
    );
    refuses!(
        Raw::tensor("a", &[1; 5], F32, 0).bytes(),
        ErrorKind::TooManyDimensions { dimensions: 5, .. },
        FIRST
    );
    refuses!(
        Raw::tensor("a", &[255], Q4_K, 0).bytes(),
        ErrorKind::PartialBlock { block_len: 256, .. },
        FIRST
    );
    refuses!(
        Raw::tensor("a", &[4, huge, huge], F32, 0).bytes(),
        ErrorKind::TooLarge(_),
        FIRST
    );
    refuses!(
        Raw::tensor("a", &[huge], F32, u64::MAX - 31).bytes(),
        ErrorKind::TooLarge(_),
        FIRST
    );
    refuses!(
        Raw::tensor("a", &[huge], F32, 0).bytes(),
        ErrorKind::BeyondEnd { .. },
        FIRST
    );
    let mut unknown = Raw::tensor("a", &[4], F32, 0);
    unknown.tensors[0].2 = 4;
    refuses!(
        unknown.bytes(),
        ErrorKind::UnknownTensorType { id: 4, .. },
        FIRST
    );
}

#[test]
fn a_strange_alignment_is_refused() {
    let with = |value| {
        Raw {
            metadata: vec![("general.alignment".to_owned(), value)],
            ..Raw::default()
        }
        .bytes()
    };
    let value = 24 + 8 + 17;
    refuses!(with(Value::U32(0)), ErrorKind::InvalidAlignment(0), value);
    refuses!(with(Value::U32(12)), ErrorKind::InvalidAlignment(12), value);
    refuses!(with(Value::U64(32)), ErrorKind::AlignmentType(_), value);
}

#[test]
fn strange_values_are_refused() {
    let with = |bytes: &[u8]| {
        let mut file = b"GGUF\x03\0\0\0".to_vec();
        file.extend(0u64.to_le_bytes());
        file.extend(1u64.to_le_bytes());
        string("k", &mut file);
        file.extend(bytes);
        file.resize(file.len().next_multiple_of(32) + 64, 0);
        file
    };
    let value = 24 + 8 + 1;
    refuses!(with(&[13, 0, 0, 0]), ErrorKind::UnknownValueType(13), value);
    refuses!(with(&[7, 0, 0, 0, 2]), ErrorKind::InvalidBool(2), value + 4);
    refuses!(
        with(&[8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xff]),
        ErrorKind::InvalidUtf8,
        value + 4
    );
    let nested: Vec<u8> = [
        [9, 0, 0, 0].as_slice(),
        &[9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0].repeat(5),
    ]
    .concat();
    refuses!(
        with(&nested),
        ErrorKind::NestedTooDeep { .. },
        value + 4 + 4 * 12
    );
}

#[test]
fn counts_are_checked_before_anything_follows_them() {
    let mut file = Raw::default().bytes();
    file[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
    refuses!(file, ErrorKind::Truncated { .. }, 8);
    let mut file = Raw::default().bytes();
    file[16..24].copy_from_slice(&(1u64 << 40).to_le_bytes());
    refuses!(file, ErrorKind::Truncated { .. }, 16);
}

#[test]
fn an_endless_header_is_refused() {
    let mut file = b"GGUF\x03\0\0\0".to_vec();
    file.extend(0u64.to_le_bytes());
    file.extend(1u64.to_le_bytes());
    string("k", &mut file);
    file.extend([8, 0, 0, 0]);
    file.extend((1u64 << 60).to_le_bytes());
    let mut endless = std::io::Read::chain(file.as_slice(), std::io::repeat(b'a'));
    let error = Header::read(&mut endless, None).unwrap_err();
    assert!(
        matches!(error.kind, ErrorKind::HeaderTooLong { .. }),
        "{error}"
    );
}

#[test]
fn a_vocabulary_without_tensors_may_end_at_once() {
    let mut writer = Writer::new();
    let tokens = Value::Array(Array::String(["a", "b"].iter().collect()));
    writer.metadata("tokenizer.ggml.tokens", tokens).unwrap();
    let padded = finish(writer);
    let end = padded.len() - padded.iter().rev().take_while(|&&byte| byte == 0).count();
    let file = &padded[..end];
    for len in [Some(end as u64), None] {
        assert_eq!(Header::parse(file, len).unwrap().data_offset, end as u64);
        let (header, raw) = Header::read(&mut &file[..], len).unwrap();
        assert_eq!((header.data_offset, raw.as_slice()), (end as u64, file));
        assert_eq!(
            header
                .metadata
                .strings("tokenizer.ggml.tokens")
                .unwrap()
                .get(1),
            Some("b")
        );
    }
}

#[test]
fn metadata_says_what_is_missing_or_wrong() {
    let file = every_value();
    let metadata = Header::parse(&file, None).unwrap().metadata;
    assert_eq!(metadata.u32("scalar.0"), Ok(1));
    assert_eq!(metadata.u32("scalar.9"), Ok(4));
    assert!(matches!(
        metadata.u32("scalar.1"),
        Err(MetadataError::WrongType { .. })
    ));
    assert_eq!(metadata.optional::<f64>("scalar.6"), Ok(Some(0.25)));
    assert_eq!(metadata.optional::<u32>("nothing"), Ok(None));
    let error = metadata.str("nothing").unwrap_err().to_string();
    assert_eq!(error, "the model's metadata lacks \"nothing\"");
    let error = metadata.f32("scalar.8").unwrap_err().to_string();
    assert_eq!(
        error,
        "the model's metadata \"scalar.8\" is string, not a 32-bit float"
    );
}

#[test]
fn the_writer_refuses_what_the_reader_would() {
    let mut writer = Writer::new();
    writer.tensor("a", &[32, 2], Q8_0).unwrap();
    assert!(matches!(
        writer.tensor("a", &[32], Q8_0),
        Err(WriteError::Invalid(ErrorKind::DuplicateTensor(_)))
    ));
    assert!(matches!(
        writer.tensor("b", &[33], Q8_0),
        Err(WriteError::Invalid(ErrorKind::PartialBlock { .. }))
    ));
    assert!(matches!(
        writer.metadata("general.alignment", Value::U32(64)),
        Err(WriteError::LateAlignment)
    ));
    let mut short = writer.clone().start(Vec::new()).unwrap();
    short.write(&[0; 67]).unwrap();
    assert!(matches!(short.finish(), Err(WriteError::MissingData(1))));
    let mut long = writer.start(Vec::new()).unwrap();
    assert!(matches!(
        long.write(&[0; 69]),
        Err(WriteError::TooMuchData(1))
    ));
}
