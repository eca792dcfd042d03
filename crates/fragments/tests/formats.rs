//! Manifests and fragments as bytes, also as strangers send them.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

mod common;

use common::{fill, model};
use fragments::{
    Fragment, FragmentError, FragmentId, IdError, Manifest, ManifestError, MemoryStore, ModelId,
    Store, cut_in_memory, join, verify,
};
use gguf::{TensorType, Writer};
use proptest::prelude::*;

const SIZE: u32 = 262_144;

fn small() -> Vec<u8> {
    let mut writer = Writer::new();
    writer
        .tensor("token_embd.weight", &[32, 100], TensorType::Q8_0)
        .unwrap();
    writer
        .tensor("output_norm.weight", &[33], TensorType::F32)
        .unwrap();
    fill(writer)
}

#[test]
fn the_formats_do_not_change() {
    // If this fails, everything that was ever cut gets other names: a new version of the formats is needed.
    let file = small();
    let (manifest, _) = cut_in_memory(&file, 2048).unwrap();
    assert_eq!(
        manifest.id().to_string(),
        "bafkr4iaweiewrykmtx57at2zcptakq3jasg7tpbzduphu5j5otuojjocsi"
    );
    assert_eq!(
        manifest.fragment_ids()[0].to_string(),
        "bafkr4idpoclsh4fuhzw7ilfmjlz5ea3bvrycquuu4e42lc5zwrycoka65m"
    );
}

#[test]
fn ids_are_content_identifiers() {
    let id = FragmentId::of(b"hello");
    let text = id.to_string();
    // As other programs write it: version 1, raw, BLAKE3, base 32.
    assert_eq!(
        text,
        "bafkr4ihkr4ld3m4gqkjf4reryxsy2s5tkbxprqkow6fin2iiyvreuzzab4"
    );
    assert_eq!(text.parse(), Ok(id));
    assert_eq!(FragmentId::from_cid_bytes(&id.to_cid_bytes()), Ok(id));
    assert_eq!(id.to_cid_bytes()[..4], [0x01, 0x55, 0x1e, 0x20]);
    assert_eq!("hello".parse::<ModelId>(), Err(IdError::NotACid));
    let sha256 = "bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";
    assert_eq!(sha256.parse::<ModelId>(), Err(IdError::OtherKind));
    assert_eq!(serde_json::to_value(id).unwrap(), text);
    assert_eq!(
        serde_json::from_value::<FragmentId>(text.into()).unwrap(),
        id
    );
}

#[test]
fn a_fragment_with_a_flipped_bit_is_refused_by_name() {
    let file = small();
    let (manifest, fragments) = cut_in_memory(&file, 2048).unwrap();
    let (id, bytes) = fragments.get(0).unwrap();
    for place in 0..bytes.len() {
        let mut bytes = bytes.to_vec();
        bytes[place] ^= 1 << (place % 8);
        let error = manifest.open_fragment(0, &bytes).unwrap_err();
        assert!(matches!(error, FragmentError::WrongContent { expected, .. } if expected == id));
        assert!(error.to_string().contains(&id.to_string()));
        // Without its digest it is read as something well formed, or not at all.
        if let Ok(fragment) = Fragment::open(&bytes) {
            for slice in fragment.parts().iter().flat_map(|part| &part.slices) {
                assert_eq!(fragment.slice_bytes(slice).len(), slice.len as usize);
            }
        }
    }
    for len in 0..bytes.len() {
        assert!(Fragment::open(&bytes[..len]).is_err());
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(matches!(
        Fragment::open(longer),
        Err(FragmentError::WrongLength { .. })
    ));
}

#[test]
fn fragments_of_other_versions_are_refused() {
    let file = small();
    let (_, fragments) = cut_in_memory(&file, 2048).unwrap();
    let mut bytes = fragments.get(0).unwrap().1.to_vec();
    bytes[7] = 3;
    assert!(matches!(
        Fragment::open(&bytes),
        Err(FragmentError::UnsupportedVersion(3))
    ));
    bytes[0] = b'X';
    assert!(matches!(
        Fragment::open(&bytes),
        Err(FragmentError::NotAFragment)
    ));
}

#[test]
fn a_fragment_at_another_place_is_refused() {
    let file = small();
    let (manifest, fragments) = cut_in_memory(&file, 2048).unwrap();
    let (_, second) = fragments.get(1).unwrap();
    assert!(manifest.open_fragment(1, &second).is_ok());
    assert!(manifest.open_fragment(0, &second).is_err());
}

#[test]
fn every_flipped_bit_of_a_manifest_is_refused_or_another_model() {
    let file = small();
    let (manifest, _) = cut_in_memory(&file, 2048).unwrap();
    let bytes = manifest.encode();
    for place in 0..bytes.len() {
        for bit in 0..8 {
            let mut bytes = bytes.clone();
            bytes[place] ^= 1 << bit;
            assert!(Manifest::decode_verified(&bytes, &manifest.id()).is_err());
            if let Ok(other) = Manifest::decode(&bytes) {
                assert_ne!(other.id(), manifest.id());
                assert_eq!(other.encode(), bytes);
                assert_eq!(other.plan().fragments.len(), other.fragment_ids().len());
            }
        }
    }
    for len in 0..bytes.len() {
        assert!(Manifest::decode(&bytes[..len]).is_err());
    }
}

#[test]
fn a_manifest_has_one_form_only() {
    let file = small();
    let (manifest, _) = cut_in_memory(&file, 2048).unwrap();
    let mut bytes = manifest.encode();
    // A field nobody knows, which the encoding would allow.
    bytes.extend([0x78, 1]);
    assert!(matches!(
        Manifest::decode(&bytes),
        Err(ManifestError::Invalid(_))
    ));
    let error = Manifest::decode_verified(&bytes, &manifest.id()).unwrap_err();
    assert!(matches!(error, ManifestError::WrongContent { .. }));
    let mut newer = manifest.encode();
    newer[7] = 3;
    assert!(matches!(
        Manifest::decode(&newer),
        Err(ManifestError::UnsupportedVersion(3))
    ));
}

#[test]
fn a_false_manifest_does_not_join() {
    let file = small();
    let (manifest, fragments) = cut_in_memory(&file, 2048).unwrap();
    let store = MemoryStore::new();
    for (id, bytes) in fragments {
        store.put(&id, &bytes).unwrap();
    }
    let mut bytes = manifest.encode();
    // Another digest of the whole file.
    let place = bytes
        .windows(32)
        .position(|window| window == manifest.sha256()[0])
        .unwrap();
    bytes[place] ^= 1;
    let manifest = Manifest::decode(&bytes).unwrap();
    assert!(verify(&manifest, &store, &mut ()).is_complete());
    let error = join(
        &manifest,
        &store,
        vec![std::io::Cursor::new(Vec::new())],
        &mut (),
    )
    .unwrap_err();
    assert!(error.to_string().contains("its manifest is false"));
}

#[test]
fn a_manifest_asking_for_much_gets_nothing() {
    // Few digests, and a header that pretends to describe an enormous model. Room for it would be too much for any
    // machine, and going through it would never end.
    let (manifest, _) = cut_in_memory(&model(Some(4)), SIZE).unwrap();
    let original = manifest.encode();
    for value in [u64::MAX, 1 << 62, 1 << 40, 1 << 32, 1 << 24] {
        for place in (8..original.len() - 8).step_by(3) {
            let mut bytes = original.clone();
            bytes[place..place + 8].copy_from_slice(&value.to_le_bytes());
            let _ = Manifest::decode(&bytes);
        }
    }
}

proptest! {
    #[test]
    fn noise_is_no_fragment(noise in any::<Vec<u8>>(), len in 0..300u32) {
        let mut bytes = b"IAP2P-F\x01".to_vec();
        bytes.extend(len.to_le_bytes());
        bytes.extend(noise);
        let _ = Fragment::open(bytes);
    }

    #[test]
    fn noise_is_no_manifest(noise in any::<Vec<u8>>()) {
        let mut bytes = b"IAP2P-M\x01".to_vec();
        bytes.extend(noise);
        prop_assert!(Manifest::decode(&bytes).is_err());
    }
}
