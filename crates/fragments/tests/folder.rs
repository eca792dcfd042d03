//! Models in folders.
#![allow(clippy::unwrap_used, reason = "tests may panic")]
#![cfg(feature = "fs")]

mod common;

use std::{
    cell::Cell,
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use bytes::Bytes;
use common::model;
use fragments::{
    CutError, FolderError, FolderStore, FragmentId, JoinError, MANIFEST_FILE, MemoryStore,
    ModelFiles, Progress, Stage, Store, StoreError, Stored, cut, cut_to_folder, join, join_folder,
    name_web_seeds, read_manifest, verify_folder,
};
use tempfile::TempDir;

const SIZE: u32 = 262_144;

struct Place {
    root: TempDir,
    model: PathBuf,
    folder: PathBuf,
}

/// A model's file, and a folder that does not exist yet.
fn place() -> Place {
    let root = tempfile::tempdir().unwrap();
    let (file, folder) = (root.path().join("model.gguf"), root.path().join("a/b"));
    fs::write(&file, model(Some(4))).unwrap();
    Place {
        root,
        model: file,
        folder,
    }
}

fn cut_again(place: &Place) -> Result<fragments::Manifest, FolderError> {
    cut_to_folder(&place.model, &place.folder, SIZE, &mut ())
}

fn files(folder: &Path) -> BTreeMap<String, (SystemTime, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let file = |entry: fs::DirEntry| {
        let time = entry.metadata().unwrap().modified().unwrap();
        (
            entry.file_name().into_string().unwrap(),
            (time, fs::read(entry.path()).unwrap()),
        )
    };
    entries.map(file).collect()
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let place = bytes.len() / 2;
    bytes[place] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_model_is_cut_verified_and_joined() {
    let place = place();
    let manifest = cut_again(&place).unwrap();
    let names: Vec<_> = files(&place.folder).into_keys().collect();
    assert_eq!(names.len(), manifest.fragment_ids().len() + 1);
    assert!(
        names
            .iter()
            .all(|name| name == MANIFEST_FILE || name.ends_with(".fragment"))
    );
    assert_eq!(read_manifest(&place.folder).unwrap().id(), manifest.id());

    let report = verify_folder(&place.folder, &mut ()).unwrap();
    assert!(report.is_complete());
    assert_eq!(report.good as usize, manifest.fragment_ids().len());

    let joined = place.root.path().join("joined.gguf");
    join_folder(&place.folder, &joined, &mut ()).unwrap();
    assert_eq!(fs::read(&joined).unwrap(), fs::read(&place.model).unwrap());
    let again = join_folder(&place.folder, &joined, &mut ()).unwrap_err();
    assert!(matches!(again, FolderError::Join(JoinError::Exists(path)) if path == joined));
}

#[test]
fn cutting_again_writes_nothing_again() {
    let place = place();
    cut_again(&place).unwrap();
    let before = files(&place.folder);
    cut_again(&place).unwrap();
    assert_eq!(files(&place.folder), before);
}

#[test]
fn an_interrupted_cut_goes_on_and_cleans_up() {
    let place = place();
    let manifest = cut_again(&place).unwrap();
    let complete = files(&place.folder);
    let store = FolderStore::open(&place.folder).unwrap();
    // As a process that was killed leaves it: no manifest, some fragments, one half written.
    fs::remove_file(place.folder.join(MANIFEST_FILE)).unwrap();
    for id in &manifest.fragment_ids()[5..] {
        store.remove(id).unwrap();
    }
    let kept = files(&place.folder);
    let half = place.folder.join(format!(
        "{}.fragment.123.0.partial",
        manifest.fragment_ids()[5]
    ));
    fs::write(&half, b"half").unwrap();
    assert!(matches!(
        verify_folder(&place.folder, &mut ()),
        Err(FolderError::NoManifest(_))
    ));

    cut_again(&place).unwrap();
    let after = files(&place.folder);
    assert!(
        kept.iter().all(|(name, file)| after[name] == *file),
        "what was stored is not written again"
    );
    let contents = |files: BTreeMap<String, (SystemTime, Vec<u8>)>| -> Vec<_> {
        files
            .into_iter()
            .map(|(name, (_, bytes))| (name, bytes))
            .collect()
    };
    assert_eq!(contents(after), contents(complete));
}

#[test]
fn every_missing_and_damaged_fragment_is_named() {
    let place = place();
    let manifest = cut_again(&place).unwrap();
    let store = FolderStore::open(&place.folder).unwrap();
    let id = |index: u32| manifest.fragment_id(index).unwrap();
    for index in [1, 7] {
        flip(&store.path(&id(index)));
    }
    fs::write(store.path(&id(4)), b"").unwrap();
    fs::remove_file(store.path(&id(5))).unwrap();
    fs::create_dir(store.path(&id(5))).unwrap();
    for index in [2, 9] {
        store.remove(&id(index)).unwrap();
    }
    let report = verify_folder(&place.folder, &mut ()).unwrap();
    let missing: Vec<_> = report
        .missing
        .iter()
        .map(|missing| (missing.index, missing.id))
        .collect();
    assert_eq!(missing, [(2, id(2)), (9, id(9))]);
    let bad: Vec<_> = report.bad.iter().map(|bad| (bad.index, bad.id)).collect();
    assert_eq!(bad, [1, 4, 5, 7].map(|index| (index, id(index))));
    assert!(
        report.bad[0].reason.contains("damaged"),
        "{}",
        report.bad[0].reason
    );
    assert_eq!(report.good as usize, manifest.fragment_ids().len() - 6);

    let joined = place.root.path().join("joined.gguf");
    let error = join_folder(&place.folder, &joined, &mut ()).unwrap_err();
    let FolderError::Join(JoinError::Missing { missing, .. }) = &error else {
        panic!("{error}")
    };
    assert_eq!(*missing, [id(2), id(9)]);
    assert!(error.to_string().contains(&id(2).to_string()));
    assert_eq!(
        fs::read_dir(place.root.path()).unwrap().count(),
        2,
        "nothing half joined is left"
    );

    // Cutting again repairs it, once nothing is in the way.
    fs::remove_dir(store.path(&id(5))).unwrap();
    cut_again(&place).unwrap();
    assert!(verify_folder(&place.folder, &mut ()).unwrap().is_complete());
}

#[test]
fn joining_stops_at_a_damaged_fragment() {
    let place = place();
    let manifest = cut_again(&place).unwrap();
    let id = manifest.fragment_ids()[3];
    flip(&FolderStore::open(&place.folder).unwrap().path(&id));
    let error = join_folder(
        &place.folder,
        &place.root.path().join("joined.gguf"),
        &mut (),
    )
    .unwrap_err();
    assert!(
        error
            .to_string()
            .contains(&format!("fragment {id} is damaged")),
        "{error}"
    );
    assert_eq!(
        fs::read_dir(place.root.path()).unwrap().count(),
        2,
        "nothing half joined is left"
    );
}

#[test]
fn a_folder_keeps_its_model() {
    let place = place();
    cut_again(&place).unwrap();
    let before = files(&place.folder);
    let other_size = cut_to_folder(&place.model, &place.folder, SIZE * 2, &mut ()).unwrap_err();
    assert!(matches!(other_size, FolderError::OtherModel(_)));
    fs::write(&place.model, model(None)).unwrap();
    assert!(matches!(cut_again(&place), Err(FolderError::OtherModel(_))));
    let files_now: Vec<_> = files(&place.folder)
        .into_iter()
        .filter(|(name, _)| before.contains_key(name))
        .collect();
    assert_eq!(files_now.into_iter().collect::<BTreeMap<_, _>>(), before);
}

#[test]
fn a_damaged_manifest_is_named_and_written_again() {
    let place = place();
    let manifest = cut_again(&place).unwrap();
    let path = place.folder.join(MANIFEST_FILE);
    fs::write(&path, b"IAP2P-M\x02noise").unwrap();
    let error = read_manifest(&place.folder).unwrap_err().to_string();
    assert!(error.contains(MANIFEST_FILE), "{error}");
    cut_again(&place).unwrap();
    assert_eq!(read_manifest(&place.folder).unwrap().id(), manifest.id());
    // That of a newer program is left alone.
    fs::write(&path, b"IAP2P-M\x09future").unwrap();
    assert!(matches!(
        cut_again(&place),
        Err(FolderError::Manifest { .. })
    ));
}

#[test]
fn two_processes_do_not_cut_into_one_folder() {
    let place = place();
    fs::create_dir_all(&place.folder).unwrap();
    let lock = fs::File::create(place.folder.join(".cutting.lock")).unwrap();
    lock.lock().unwrap();
    assert!(matches!(cut_again(&place), Err(FolderError::Busy(_))));
    drop(lock);
    cut_again(&place).unwrap();
}

/// A store with room for so many bytes.
struct Limited {
    inner: MemoryStore,
    room: Cell<u64>,
}

impl Store for Limited {
    fn get(&self, id: &FragmentId) -> Result<Option<Bytes>, StoreError> {
        self.inner.get(id)
    }

    fn put(&self, id: &FragmentId, bytes: &[u8]) -> Result<Stored, StoreError> {
        let needed = bytes.len() as u64;
        if self.contains(id)? {
            return Ok(Stored::Already);
        }
        let Some(room) = self.room.get().checked_sub(needed) else {
            let full = std::io::ErrorKind::StorageFull.into();
            return Err(StoreError::from_io(full, "/disk".into(), needed));
        };
        self.room.set(room);
        self.inner.put(id, bytes)
    }

    fn contains(&self, id: &FragmentId) -> Result<bool, StoreError> {
        self.inner.contains(id)
    }

    fn remove(&self, id: &FragmentId) -> Result<(), StoreError> {
        self.inner.remove(id)
    }

    fn list(&self) -> Result<Vec<FragmentId>, StoreError> {
        self.inner.list()
    }
}

#[test]
fn a_full_disk_says_how_much_is_missing_and_loses_nothing() {
    let file = model(Some(4));
    let store = Limited {
        inner: MemoryStore::new(),
        room: Cell::new(1_000_000),
    };
    let mut source = ModelFiles::open(vec![std::io::Cursor::new(&file)]).unwrap();
    let error = cut(&mut source, SIZE, &store, &mut ()).unwrap_err();
    let message = error.to_string();
    let CutError::Full {
        place,
        missing,
        stored,
        total,
    } = error
    else {
        panic!("{message}")
    };
    assert_eq!(
        (place.as_str(), stored),
        ("/disk", store.list().unwrap().len())
    );
    assert!(stored > 0 && stored < total);
    assert!(
        message.contains(&format!("up to {:.1} MB more", missing as f64 / 1e6))
            && message.contains("are safe"),
        "{message}"
    );
    // With exactly that much more it goes on to the end.
    store.room.set(store.room.get() + missing);
    let manifest = cut(&mut source, SIZE, &store, &mut ()).unwrap();
    let mut joined = std::io::Cursor::new(Vec::new());
    join(&manifest, &store, vec![&mut joined], &mut ()).unwrap();
    assert!(joined.into_inner() == file);
}

#[derive(Default)]
struct Recorded(Vec<(Stage, u64, u64)>);

impl Progress for Recorded {
    fn begin(&mut self, stage: Stage, bytes: u64) {
        self.0.push((stage, bytes, 0));
    }

    fn advance(&mut self, bytes: u64) {
        self.0.last_mut().unwrap().2 += bytes;
    }
}

#[test]
fn progress_arrives_where_it_said_it_would() {
    let place = place();
    let mut progress = Recorded::default();
    cut_to_folder(&place.model, &place.folder, SIZE, &mut progress).unwrap();
    verify_folder(&place.folder, &mut progress).unwrap();
    join_folder(
        &place.folder,
        &place.root.path().join("joined.gguf"),
        &mut progress,
    )
    .unwrap();
    let stages: Vec<_> = progress.0.iter().map(|&(stage, ..)| stage).collect();
    assert_eq!(
        stages,
        [
            Stage::Cutting,
            Stage::Hashing,
            Stage::Verifying,
            Stage::Joining,
            Stage::Checking
        ]
    );
    for (stage, announced, arrived) in progress.0 {
        assert_eq!(announced, arrived, "{stage:?}");
    }
}

#[test]
fn stores_forget_and_list() {
    let root = tempfile::tempdir().unwrap();
    let folder = FolderStore::create(root.path().join("store")).unwrap();
    let memory = MemoryStore::new();
    assert!(FolderStore::open(root.path().join("nowhere")).is_err());
    fs::write(folder.folder().join("unrelated.fragment"), b"").unwrap();
    for store in [&folder as &dyn Store, &memory] {
        let id = FragmentId::of(b"content");
        assert_eq!(store.get(&id).unwrap(), None);
        assert_eq!(store.put(&id, b"content").unwrap(), Stored::New);
        assert_eq!(store.put(&id, b"content").unwrap(), Stored::Already);
        assert_eq!(store.get(&id).unwrap().as_deref(), Some(&b"content"[..]));
        assert_eq!(store.list().unwrap(), [id]);
        assert!(store.contains(&id).unwrap());
        store.remove(&id).unwrap();
        store.remove(&id).unwrap();
        assert!(!store.contains(&id).unwrap());
    }
}

#[test]
fn web_seeds_are_named_by_the_manifest_and_change_nothing_else() {
    let place = place();
    let plain = cut_again(&place).unwrap();
    assert!(plain.web_seeds().is_empty());
    let seeds = [
        "https://example.org/models/demo/".to_owned(),
        "http://10.0.0.1:8080/".to_owned(),
    ];
    let named = name_web_seeds(&place.folder, seeds.to_vec()).unwrap();
    assert_eq!(named.web_seeds(), seeds);
    assert_ne!(named.id(), plain.id());
    assert_eq!(named.fragment_ids(), plain.fragment_ids());
    let read = read_manifest(&place.folder).unwrap();
    assert_eq!((read.id(), read.web_seeds()), (named.id(), &seeds[..]));
    // Cutting again forgets nothing.
    assert_eq!(cut_again(&place).unwrap().id(), named.id());
    assert!(verify_folder(&place.folder, &mut ()).unwrap().is_complete());
    let joined = place.root.path().join("joined.gguf");
    join_folder(&place.folder, &joined, &mut ()).unwrap();
    assert_eq!(fs::read(&joined).unwrap(), fs::read(&place.model).unwrap());
    // None again: the model it was.
    let none = name_web_seeds(&place.folder, Vec::new()).unwrap();
    assert_eq!(none.id(), plain.id());
}

#[test]
fn what_is_no_folder_on_a_web_server_is_refused_as_a_seed() {
    let place = place();
    let manifest = cut_again(&place).unwrap();
    let long = format!("https://{}/", "a".repeat(600));
    for seed in [
        "",
        "https://",
        "https:///",
        "https://example.org",
        "ftp://example.org/",
        "file:///etc/",
        "https://user@example.org/",
        "https://example.org/?file=/",
        "https://example.org/#/",
        "https://example.org/a b/",
        "https://example.org/\n/",
        "https://exämple.org/",
        &long,
    ] {
        let refused = manifest.with_web_seeds(vec![seed.to_owned()]);
        assert!(refused.is_err(), "{seed:?}");
    }
    let seed = |number: usize| format!("https://example.org/{number}/");
    assert!(manifest.with_web_seeds(vec![seed(1), seed(1)]).is_err());
    let many = |count| manifest.with_web_seeds((0..count).map(seed).collect());
    assert!(many(16).is_ok() && many(17).is_err());
    // A stranger's manifest is held to the same.
    let encoded = many(1).unwrap().encode();
    assert_eq!(
        fragments::Manifest::decode(&encoded).unwrap().web_seeds(),
        [seed(0)]
    );
    let place = encoded.len() - seed(0).len();
    let mut hostile = encoded;
    hostile[place..place + 5].copy_from_slice(b"file:");
    assert!(fragments::Manifest::decode(&hostile).is_err());
}
