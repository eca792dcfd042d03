//! Conversations, kept in this browser: one database for all its tabs, apart from that of fragments, which may be given up
//! when room is wanted.

use serde::{Deserialize, Serialize};
use wasm_bindgen::JsValue;

use crate::store::{Database, Error, Result, finish};

const DATABASE: &str = "iap2p-conversations";
/// What a list of them shows.
const HEADS: &str = "heads";
/// What was said.
const BODIES: &str = "bodies";

/// What is shown of a conversation in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// Names it for ever.
    pub id: String,
    /// For people.
    pub title: String,
    /// Milliseconds since 1970.
    pub changed: f64,
    /// Its last answer was on its way.
    #[serde(default)]
    pub unfinished: bool,
}

/// The open database.
pub struct Archive(Database);

impl Archive {
    /// Opens the database, and makes it the first time.
    pub async fn open() -> Result<Self> {
        Ok(Self(Database::open(DATABASE, &[HEADS, BODIES]).await?))
    }

    /// The heads of all, the one changed last first.
    pub async fn heads(&self) -> Result<Vec<Head>> {
        let transaction = self.0.read(&[HEADS]).await?;
        let values = transaction.store(HEADS)?.get_all(None, None).await?;
        let mut heads: Vec<Head> = values
            .into_iter()
            // One of another version that cannot be read is left where it is.
            .filter_map(|value| serde_wasm_bindgen::from_value(value).ok())
            .collect();
        heads.sort_by(|a, b| b.changed.total_cmp(&a.changed));
        Ok(heads)
    }

    /// What was said in one.
    pub async fn body(&self, id: &str) -> Result<Option<String>> {
        let transaction = self.0.read(&[BODIES]).await?;
        let value = transaction.store(BODIES)?.get(id.into()).await?;
        Ok(value.and_then(|value| value.as_string()))
    }

    /// What was said in all, by their ids.
    pub async fn bodies(&self) -> Result<Vec<(String, String)>> {
        let transaction = self.0.read(&[BODIES]).await?;
        let store = transaction.store(BODIES)?;
        let all = store.scan(None, None, None, None).await?;
        let texts = all
            .into_iter()
            .map(|(key, value)| Some((key.as_string()?, value.as_string()?)));
        Ok(texts.flatten().collect())
    }

    /// Keeps one, in place of what was kept of it.
    pub async fn keep(&self, head: &Head, body: &str) -> Result<()> {
        let transaction = self.0.write(&[HEADS, BODIES]).await?;
        let key = JsValue::from(&head.id);
        transaction
            .store(HEADS)?
            .put(&value(head)?, Some(&key))
            .await?;
        transaction
            .store(BODIES)?
            .put(&body.into(), Some(&key))
            .await?;
        finish(transaction).await
    }

    /// Keeps the head of one alone.
    pub async fn keep_head(&self, head: &Head) -> Result<()> {
        let transaction = self.0.write(&[HEADS]).await?;
        let store = transaction.store(HEADS)?;
        store
            .put(&value(head)?, Some(&JsValue::from(&head.id)))
            .await?;
        finish(transaction).await
    }

    /// Forgets one.
    pub async fn forget(&self, id: &str) -> Result<()> {
        let transaction = self.0.write(&[HEADS, BODIES]).await?;
        transaction.store(HEADS)?.delete(id.into()).await?;
        transaction.store(BODIES)?.delete(id.into()).await?;
        finish(transaction).await
    }
}

fn value(head: &Head) -> Result<JsValue> {
    serde_wasm_bindgen::to_value(head).map_err(|error| Error::Failed(error.to_string()))
}
