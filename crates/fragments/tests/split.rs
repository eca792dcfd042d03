//! Models in several files.
#![allow(clippy::unwrap_used, reason = "tests may panic")]
#![cfg(feature = "fs")]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
};

use common::{header, model, split};
use fragments::{
    CutError, FolderError, Manifest, ManifestError, cut_files_in_memory, cut_in_memory,
    cut_to_folder, join_folder, open_model, verify_folder,
};
use gguf::SplitError;
use proptest::prelude::*;

const SIZE: u32 = 262_144;

fn names(folder: &Path, prefix: &str, count: usize) -> Vec<PathBuf> {
    let name = |number| folder.join(format!("{prefix}-{number:05}-of-{count:05}.gguf"));
    (1..=count).map(name).collect()
}

fn write(folder: &Path, prefix: &str, files: &[Vec<u8>]) -> Vec<PathBuf> {
    let names = names(folder, prefix, files.len());
    for (name, file) in names.iter().zip(files) {
        fs::write(name, file).unwrap();
    }
    names
}

fn borrow(files: &[Vec<u8>]) -> Vec<&[u8]> {
    files.iter().map(Vec::as_slice).collect()
}

#[test]
fn a_split_model_has_the_fragments_of_the_whole_one() {
    let whole = model(Some(4));
    let tensors = header(&whole).tensors.len();
    let (expected, _) = cut_in_memory(&whole, SIZE).unwrap();
    for parts in [
        vec![10, tensors - 10],
        vec![0, 1, tensors - 1],
        vec![tensors, 0],
    ] {
        let files = split(&whole, &parts);
        let (manifest, fragments) = cut_files_in_memory(&borrow(&files), SIZE).unwrap();
        assert_eq!(manifest.fragment_ids(), expected.fragment_ids());
        assert_ne!(manifest.id(), expected.id());
        let again = Manifest::decode_verified(&manifest.encode(), &manifest.id()).unwrap();
        assert_eq!(again.plan(), manifest.plan());
        assert_eq!(again.header(), manifest.header());
        for (index, (id, bytes)) in (0..).zip(fragments) {
            again.open_fragment(index, bytes).unwrap();
            assert_eq!(again.fragment_id(index), Some(id));
        }
    }
}

#[test]
fn a_split_model_is_cut_from_any_of_its_files_and_joined_into_the_same() {
    let root = tempfile::tempdir().unwrap();
    let whole = model(None);
    let tensors = header(&whole).tensors.len();
    let files = split(&whole, &[3, 7, tensors - 10]);
    let given = write(root.path(), "model", &files);
    let folder = root.path().join("fragments");
    let manifest = cut_to_folder(&given[1], &folder, SIZE, &mut ()).unwrap();
    assert_eq!(
        cut_to_folder(&given[0], &folder, SIZE, &mut ())
            .unwrap()
            .id(),
        manifest.id()
    );
    assert!(verify_folder(&folder, &mut ()).unwrap().is_complete());

    for (output, prefix) in [
        ("joined.gguf", "joined"),
        ("again-00002-of-00009.gguf", "again"),
        ("third", "third"),
    ] {
        let (_, joined) = join_folder(&folder, &root.path().join(output), &mut ()).unwrap();
        assert_eq!(joined, names(root.path(), prefix, 3));
        for (joined, file) in joined.iter().zip(&files) {
            assert!(fs::read(joined).unwrap() == *file, "{}", joined.display());
        }
    }
    let error = join_folder(&folder, &root.path().join("joined.gguf"), &mut ()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("joined-00001-of-00003.gguf exists already")
    );
}

#[test]
fn files_that_do_not_belong_together_are_refused() {
    let whole = model(None);
    let tensors = header(&whole).tensors.len();
    let files = split(&whole, &[3, 7, tensors - 10]);
    let other = split(&whole, &[3, tensors - 3]);
    let refusal = |files: &[&[u8]]| match cut_files_in_memory(files, SIZE) {
        Err(CutError::Split(error)) => error,
        other => panic!("{other:?}"),
    };
    let [a, b, c] = [&files[0], &files[1], &files[2]].map(Vec::as_slice);
    let (expected, found) = (3, 2);
    assert_eq!(refusal(&[a, b]), SplitError::Count { expected, found });
    assert_eq!(
        refusal(&[a, c, b]),
        SplitError::Order { place: 2, found: 3 }
    );
    assert_eq!(
        refusal(&[b, a, c]),
        SplitError::Order { place: 1, found: 2 }
    );
    assert!(matches!(
        refusal(&[a, &other[1], c]),
        SplitError::Count { .. }
    ));
    assert!(matches!(refusal(&[a]), SplitError::Count { .. }));
    assert!(matches!(refusal(&[]), SplitError::Count { .. }));
    let longer = split(&whole, &[3, 8, tensors - 11]);
    let expected = tensors as u64;
    let found = tensors + 1;
    assert_eq!(
        refusal(&[a, &longer[1], c]),
        SplitError::Tensors { expected, found }
    );
    let shifted = split(&whole, &[2, 9, tensors - 11]);
    assert!(matches!(
        refusal(&[a, &shifted[1], &shifted[2]]),
        SplitError::Tensors { .. } | SplitError::DuplicateTensor(_)
    ));
}

#[test]
fn a_missing_or_renamed_file_is_named() {
    let root = tempfile::tempdir().unwrap();
    let whole = model(None);
    let tensors = header(&whole).tensors.len();
    let files = split(&whole, &[3, tensors - 3]);
    let given = write(root.path(), "model", &files);
    let renamed = root.path().join("renamed.gguf");
    fs::rename(&given[1], &renamed).unwrap();
    let error = open_model(&given[0]).unwrap_err().to_string();
    assert!(error.contains("model-00002-of-00002.gguf"), "{error}");
    let error = open_model(&renamed).unwrap_err();
    assert!(
        matches!(&error, FolderError::SplitName { count: 2, .. }),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains("must end in -00001-of-00002.gguf"),
        "{error}"
    );
}

#[test]
fn every_changed_byte_of_a_split_models_manifest_is_refused_or_another_model() {
    let whole = model(None);
    let tensors = header(&whole).tensors.len();
    let (manifest, _) =
        cut_files_in_memory(&borrow(&split(&whole, &[2, tensors - 2])), SIZE).unwrap();
    let bytes = manifest.encode();
    for place in 0..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[place] ^= 1 << (place % 8);
        assert!(Manifest::decode_verified(&bytes, &manifest.id()).is_err());
        if let Ok(other) = Manifest::decode(&bytes) {
            assert_eq!(other.encode(), bytes);
            assert_eq!(other.plan().fragments.len(), other.fragment_ids().len());
        }
    }
    let mut older = bytes;
    older[7] = 1;
    assert!(matches!(
        Manifest::decode(&older),
        Err(ManifestError::UnsupportedVersion(1))
    ));
}

proptest! {
    #[test]
    fn however_a_model_is_split_its_fragments_are_the_same(
        cuts in proptest::collection::btree_set(0usize..21, 1..6),
        size in 60_000u32..2_000_000,
    ) {
        let whole = model(None);
        let tensors = header(&whole).tensors.len();
        let mut parts = Vec::new();
        let mut last = 0;
        for cut in cuts.into_iter().filter(|&cut| cut < tensors) {
            parts.push(cut - last);
            last = cut;
        }
        parts.push(tensors - last);
        prop_assume!(parts.len() > 1);
        let files = split(&whole, &parts);
        match (cut_files_in_memory(&borrow(&files), size), cut_in_memory(&whole, size)) {
            (Ok((a, _)), Ok((b, _))) => prop_assert_eq!(a.fragment_ids(), b.fragment_ids()),
            (a, b) => prop_assert!(a.is_err() && b.is_err()),
        }
    }
}
