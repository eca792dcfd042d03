//! Stored content, read for peers block by block.

use std::{rc::Rc, sync::Arc};

use bytes::Bytes;
use fragments::{FragmentId, ModelId};
use swarm::{Asked, Content, ContentId, Event, Recent, Ticket};
use web_bridge::store::Store;

use super::{Engine, clock};

/// Bytes of contents kept in memory: some fragments for each of a few peers that fetch several at a time.
const KEPT: usize = 96 << 20;

/// A block that somebody asks for.
type Read = (Ticket, Option<u32>);

/// What was read last.
pub(super) struct Library(Recent<Read>);

impl Default for Library {
    fn default() -> Self {
        Self(Recent::new(KEPT))
    }
}

impl Library {
    pub(super) fn keep(&mut self, content: ContentId, bytes: Bytes) {
        self.0.keep(content, bytes);
    }
}

impl Engine {
    /// Reads a block for a peer.
    pub(super) async fn read(&self, ticket: Ticket, content: ContentId, block: Option<u32>) {
        let asked = self.update(|state| {
            let asked = state.library.0.ask(content, (ticket, block));
            (asked, state.store.clone(), state.id)
        });
        let Some((asked, store, id)) = asked else {
            return;
        };
        match asked {
            Asked::Here(content, read) => self.give(Some(&content), read),
            // Whoever loads it gives it to all.
            Asked::Waits => {}
            Asked::Load => {
                let bytes = match store {
                    Some(store) => load(store, content, id).await,
                    None => None,
                };
                let bytes = bytes.map(Bytes::from);
                let loaded = self.update(|state| state.library.0.loaded(content, bytes));
                let (content, reads) = loaded.unwrap_or_default();
                for read in reads {
                    self.give(content.as_ref(), read);
                }
            }
        }
    }

    /// A peer that asks for what is gone or damaged is told that it is not here, and asks somebody else.
    fn give(&self, content: Option<&Arc<Content>>, (ticket, block): Read) {
        // The first time the whole is hashed, and never given if that is not its name.
        let result = content.and_then(|content| content.block(block));
        let event = Event::ContentRead { ticket, result };
        self.update(|state| state.node.handle_event(event, clock::now()));
    }
}

async fn load(store: Rc<Store>, content: ContentId, model: Option<ModelId>) -> Option<Vec<u8>> {
    let read = if model == Some(ModelId(content.0)) {
        store.manifest(&ModelId(content.0).to_string()).await
    } else {
        store.fragment(&FragmentId(content.0).to_string()).await
    };
    read.ok().flatten()
}
