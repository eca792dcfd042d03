//! Stored content, read for peers block by block.

use std::{collections::VecDeque, rc::Rc, sync::Arc};

use bytes::Bytes;
use fragments::{FragmentId, ModelId};
use swarm::{Content, ContentId, Event, Ticket};
use web_bridge::store::Store;

use super::{Engine, clock};

/// Contents kept in memory: a peer that fetches one asks for many blocks of it, one after the other.
const KEPT: usize = 4;

/// What was read last, the latest at the end.
#[derive(Default)]
pub(super) struct Library(VecDeque<(ContentId, Arc<Content>)>);

impl Library {
    fn find(&self, content: ContentId) -> Option<Arc<Content>> {
        self.0
            .iter()
            .find(|(known, _)| *known == content)
            .map(|(_, content)| content.clone())
    }

    pub(super) fn keep(&mut self, content: ContentId, bytes: Bytes) -> Arc<Content> {
        let whole = Arc::new(Content::new(content, bytes));
        self.0.retain(|(known, _)| *known != content);
        self.0.push_back((content, whole.clone()));
        if self.0.len() > KEPT {
            self.0.pop_front();
        }
        whole
    }
}

impl Engine {
    /// Reads a block for a peer.
    pub(super) async fn read(&self, ticket: Ticket, content: ContentId, block: Option<u32>) {
        let content = self.content(content).await;
        let result = content.and_then(|content| content.block(block));
        let event = Event::ContentRead { ticket, result };
        self.update(|state| state.node.handle_event(event, clock::now()));
    }

    async fn content(&self, content: ContentId) -> Option<Arc<Content>> {
        let (kept, store, id) = self.update(|state| {
            let kept = state.library.find(content);
            (kept, state.store.clone(), state.id)
        })?;
        if kept.is_some() {
            return kept;
        }
        let bytes = Bytes::from(load(store?, content, id).await?);
        self.update(|state| state.library.keep(content, bytes))
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
