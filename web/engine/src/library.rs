//! Stored content, read for peers range by range.

use std::{collections::VecDeque, rc::Rc};

use bytes::Bytes;
use fragments::{FragmentId, ModelId};
use swarm::{ContentId, Event, Ticket};
use web_bridge::store::Store;

use super::{Engine, clock};

/// Contents kept in memory: a peer that fetches one asks for many ranges of it, one after the other.
const KEPT: usize = 4;

/// What was read last, the latest at the end.
#[derive(Default)]
pub(super) struct Library(VecDeque<(ContentId, Bytes)>);

impl Library {
    fn find(&self, content: ContentId) -> Option<Bytes> {
        self.0
            .iter()
            .find(|(known, _)| *known == content)
            .map(|(_, bytes)| bytes.clone())
    }

    pub(super) fn keep(&mut self, content: ContentId, bytes: Bytes) {
        self.0.retain(|(known, _)| *known != content);
        self.0.push_back((content, bytes));
        if self.0.len() > KEPT {
            self.0.pop_front();
        }
    }
}

impl Engine {
    /// Reads a range for a peer.
    pub(super) async fn read(&self, ticket: Ticket, content: ContentId, offset: u64, len: u64) {
        let bytes = self.content(content).await;
        let result = bytes.map(|bytes| {
            let total = bytes.len() as u64;
            // Both are at most the total, which came from a usize.
            let start = offset.min(total) as usize;
            let end = offset.saturating_add(len).min(total) as usize;
            (total, bytes.slice(start..end))
        });
        let event = Event::ContentRead { ticket, result };
        self.update(|state| state.node.handle_event(event, clock::now()));
    }

    async fn content(&self, content: ContentId) -> Option<Bytes> {
        let (kept, store, id) = self.update(|state| {
            let kept = state.library.find(content);
            (kept, state.store.clone(), state.id)
        })?;
        if kept.is_some() {
            return kept;
        }
        let bytes = Bytes::from(load(store?, content, id).await?);
        self.update(|state| state.library.keep(content, bytes.clone()));
        Some(bytes)
    }
}

async fn load(store: Rc<Store>, content: ContentId, model: Option<ModelId>) -> Option<Vec<u8>> {
    let read = if model == Some(ModelId(content.0)) {
        store.manifest(&ModelId(content.0).to_string()).await
    } else {
        store.fragment(&FragmentId(content.0).to_string()).await
    };
    // A peer that asks for what is gone or damaged is told that it is not here, and asks somebody else.
    let bytes = read.ok().flatten()?;
    (FragmentId::of(&bytes).0 == content.0).then_some(bytes)
}
