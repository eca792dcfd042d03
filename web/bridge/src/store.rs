//! IndexedDB: one database for all tabs of this browser.
//!
//! Fragments and manifests are stored under the text of their ids, whole and verified; what is still on its way
//! is stored as chunks, so that a download goes on after a reload where it stopped. A fragment takes the place of
//! its chunks in one transaction: whatever happens, either of them is there.

use std::{cell::RefCell, rc::Rc};

use js_sys::Uint8Array;
use rexie::{KeyRange, ObjectStore, Rexie, Transaction, TransactionMode, TransactionResult};
use wasm_bindgen::{JsCast, JsValue};

const DATABASE: &str = "iap2p";
const VERSION: u32 = 1;
const FRAGMENTS: &str = "fragments";
const CHUNKS: &str = "chunks";
const MANIFESTS: &str = "manifests";

/// What IndexedDB refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No room: the origin's quota or the disk is used up. What was stored before is untouched.
    #[error("the browser grants no more storage")]
    Quota,
    /// Everything else: storage is blocked, damaged, or in use by a newer version of the application.
    #[error("the browser's storage does not work: {0}")]
    Failed(String),
}

impl From<rexie::Error> for Error {
    fn from(error: rexie::Error) -> Self {
        let text = match &error {
            rexie::Error::IdbError(inner) => inner.to_string(),
            other => other.to_string(),
        };
        if text.contains("QuotaExceeded") {
            Self::Quota
        } else {
            Self::Failed(text)
        }
    }
}

/// Result of this module.
pub type Result<T> = std::result::Result<T, Error>;

/// A database that is opened again when the browser has closed it, as it does when its user clears what sites store. Then
/// it is empty.
pub(crate) struct Database {
    name: &'static str,
    stores: &'static [&'static str],
    open: RefCell<Rc<Rexie>>,
}

impl Database {
    /// Opens it, and makes it the first time.
    pub(crate) async fn open(name: &'static str, stores: &'static [&'static str]) -> Result<Self> {
        Ok(Self {
            name,
            stores,
            open: RefCell::new(Rc::new(connect(name, stores).await?)),
        })
    }

    pub(crate) async fn read(&self, stores: &[&str]) -> Result<Transaction> {
        self.begin(stores, TransactionMode::ReadOnly).await
    }

    pub(crate) async fn write(&self, stores: &[&str]) -> Result<Transaction> {
        self.begin(stores, TransactionMode::ReadWrite).await
    }

    async fn begin(&self, stores: &[&str], mode: TransactionMode) -> Result<Transaction> {
        let open = self.open.borrow().clone();
        if let Ok(transaction) = open.transaction(stores, mode) {
            return Ok(transaction);
        }
        let again = Rc::new(connect(self.name, self.stores).await?);
        self.open.replace(again.clone());
        Ok(again.transaction(stores, mode)?)
    }
}

async fn connect(name: &str, stores: &[&str]) -> Result<Rexie> {
    let builder = Rexie::builder(name).version(VERSION);
    let add = |builder: rexie::RexieBuilder, name: &&str| {
        builder.add_object_store(ObjectStore::new(name))
    };
    Ok(stores.iter().fold(builder, add).build().await?)
}

/// The open database.
pub struct Store(Database);

impl Store {
    /// Opens the database, and makes it the first time.
    pub async fn open() -> Result<Self> {
        Ok(Self(
            Database::open(DATABASE, &[FRAGMENTS, CHUNKS, MANIFESTS]).await?,
        ))
    }

    /// The bytes of a fragment.
    pub async fn fragment(&self, id: &str) -> Result<Option<Vec<u8>>> {
        self.bytes(FRAGMENTS, id).await
    }

    /// The ids of all stored fragments.
    pub async fn fragments(&self) -> Result<Vec<String>> {
        let transaction = self.0.read(&[FRAGMENTS]).await?;
        let keys = transaction
            .store(FRAGMENTS)?
            .get_all_keys(None, None)
            .await?;
        Ok(keys.iter().filter_map(JsValue::as_string).collect())
    }

    /// Keeps a verified fragment and forgets the chunks it was made of.
    pub async fn keep_fragment(&self, id: &str, bytes: &[u8]) -> Result<()> {
        let transaction = self.0.write(&[FRAGMENTS, CHUNKS]).await?;
        transaction
            .store(FRAGMENTS)?
            .put(&Uint8Array::from(bytes), Some(&id.into()))
            .await?;
        delete_all(&transaction, id).await?;
        finish(transaction).await
    }

    /// Forgets a fragment.
    pub async fn forget_fragment(&self, id: &str) -> Result<()> {
        let transaction = self.0.write(&[FRAGMENTS]).await?;
        transaction.store(FRAGMENTS)?.delete(id.into()).await?;
        finish(transaction).await
    }

    /// The manifest of a model.
    pub async fn manifest(&self, id: &str) -> Result<Option<Vec<u8>>> {
        self.bytes(MANIFESTS, id).await
    }

    /// Keeps a verified manifest and forgets the chunks it was made of.
    pub async fn keep_manifest(&self, id: &str, bytes: &[u8]) -> Result<()> {
        let transaction = self.0.write(&[MANIFESTS, CHUNKS]).await?;
        transaction
            .store(MANIFESTS)?
            .put(&Uint8Array::from(bytes), Some(&id.into()))
            .await?;
        delete_all(&transaction, id).await?;
        finish(transaction).await
    }

    /// Keeps a piece of a download.
    pub async fn keep_chunk(&self, id: &str, offset: u64, bytes: &[u8]) -> Result<()> {
        let transaction = self.0.write(&[CHUNKS]).await?;
        let key = chunk_key(id, offset);
        transaction
            .store(CHUNKS)?
            .put(&Uint8Array::from(bytes), Some(&key))
            .await?;
        finish(transaction).await
    }

    /// What an interrupted download has got already: its bytes from the start up to the first gap.
    pub async fn chunks(&self, id: &str) -> Result<Vec<u8>> {
        let transaction = self.0.read(&[CHUNKS]).await?;
        let store = transaction.store(CHUNKS)?;
        let mut bytes = Vec::new();
        // Keys are ordered by offset.
        for (key, value) in store.scan(Some(range(id)?), None, None, None).await? {
            if key != chunk_key(id, bytes.len() as u64) {
                break;
            }
            let Ok(chunk) = value.dyn_into::<Uint8Array>() else {
                break;
            };
            bytes.extend(chunk.to_vec());
        }
        Ok(bytes)
    }

    /// The ids of all downloads of which something is here.
    pub async fn partial(&self) -> Result<Vec<String>> {
        let transaction = self.0.read(&[CHUNKS]).await?;
        let keys = transaction.store(CHUNKS)?.get_all_keys(None, None).await?;
        let mut ids: Vec<String> = keys
            .iter()
            .filter_map(JsValue::as_string)
            .filter_map(|key| Some(key.split_once('/')?.0.to_owned()))
            .collect();
        ids.dedup();
        Ok(ids)
    }

    /// Forgets a download that turned out to be bad.
    pub async fn forget_chunks(&self, id: &str) -> Result<()> {
        let transaction = self.0.write(&[CHUNKS]).await?;
        delete_all(&transaction, id).await?;
        finish(transaction).await
    }

    async fn bytes(&self, store: &str, id: &str) -> Result<Option<Vec<u8>>> {
        let transaction = self.0.read(&[store]).await?;
        let found = transaction.store(store)?.get(id.into()).await?;
        Ok(found
            .and_then(|value| value.dyn_into().ok())
            .map(|bytes: Uint8Array| bytes.to_vec()))
    }
}

/// Waits until the transaction is on the disk.
pub(crate) async fn finish(transaction: Transaction) -> Result<()> {
    match transaction.done().await? {
        TransactionResult::Committed => Ok(()),
        // Nobody here aborts: the browser does, when the disk or the quota ends during the commit.
        TransactionResult::Aborted => Err(Error::Quota),
    }
}

async fn delete_all(transaction: &Transaction, id: &str) -> Result<()> {
    let store = transaction.store(CHUNKS)?;
    for key in store.get_all_keys(Some(range(id)?), None).await? {
        store.delete(key).await?;
    }
    Ok(())
}

fn chunk_key(id: &str, offset: u64) -> JsValue {
    format!("{id}/{offset:012}").into()
}

fn range(id: &str) -> Result<KeyRange> {
    // '0' follows '/' in the order of code points.
    let (from, to) = (format!("{id}/"), format!("{id}0"));
    KeyRange::bound(&from.into(), &to.into(), None, Some(true))
        .map_err(|error| Error::Failed(error.to_string()))
}
