//! The conversations that this browser keeps.

use std::rc::Rc;

use leptos::{prelude::*, task::spawn_local};
use web_bridge::{
    archive::{Archive, Head},
    locks::{self, Lock},
};

use super::chat;
use crate::platform::clock;

/// All of them. Copies are the same thing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Conversations {
    /// What a list of them shows, the one changed last first.
    pub(crate) heads: RwSignal<Vec<Head>>,
    /// Why nothing is kept.
    pub(crate) problem: RwSignal<Option<String>>,
    archive: StoredValue<Option<Rc<Archive>>, LocalStorage>,
    /// That no other tab writes to the one shown here.
    lock: StoredValue<Option<Lock>, LocalStorage>,
}

impl Conversations {
    pub(crate) fn new() -> Self {
        Self {
            heads: RwSignal::new(Vec::new()),
            problem: RwSignal::new(None),
            archive: StoredValue::new_local(None),
            lock: StoredValue::new_local(None),
        }
    }

    async fn archive(self) -> Option<Rc<Archive>> {
        if let Some(archive) = self.archive.get_value() {
            return Some(archive);
        }
        match Archive::open().await {
            Ok(archive) => {
                let archive = Rc::new(archive);
                self.archive.set_value(Some(archive.clone()));
                Some(archive)
            }
            Err(error) => {
                self.problem.set(Some(error.to_string()));
                None
            }
        }
    }

    /// Notes what went wrong, or that nothing does.
    fn note<T>(self, result: web_bridge::store::Result<T>) -> Option<T> {
        match result {
            Ok(value) => {
                self.problem.set(None);
                Some(value)
            }
            Err(error) => {
                self.problem.set(Some(error.to_string()));
                None
            }
        }
    }

    /// Looks what there is, with what other tabs have said meanwhile.
    pub(crate) async fn look(self) {
        if let Some(archive) = self.archive().await
            && let Some(heads) = self.note(archive.heads().await)
        {
            self.heads.set(heads);
        }
    }

    /// Keeps a conversation; the title is that of a new one.
    pub(super) fn keep(self, id: String, title: String, body: String, unfinished: bool) {
        let known = self
            .heads
            .with_untracked(|heads| heads.iter().find(|it| it.id == id).cloned());
        let title = known.map_or(title, |head| head.title);
        let head = Head {
            id,
            title,
            changed: clock::date(),
            unfinished,
        };
        self.heads.update(|heads| {
            heads.retain(|it| it.id != head.id);
            heads.insert(0, head.clone());
        });
        spawn_local(async move {
            if let Some(archive) = self.archive().await {
                self.note(archive.keep(&head, &body).await);
            }
        });
    }

    pub(crate) fn rename(self, id: &str, title: &str) {
        let title = title.trim();
        let head = self.heads.try_update(|heads| {
            let head = heads
                .iter_mut()
                .find(|it| it.id == id && !title.is_empty())?;
            head.title = title.to_owned();
            Some(head.clone())
        });
        let Some(head) = head.flatten() else {
            return;
        };
        spawn_local(async move {
            if let Some(archive) = self.archive().await {
                self.note(archive.keep_head(&head).await);
            }
        });
    }

    pub(crate) fn forget(self, id: String) {
        self.heads.update(|heads| heads.retain(|it| it.id != id));
        spawn_local(async move {
            if let Some(archive) = self.archive().await {
                self.note(archive.forget(&id).await);
            }
        });
    }

    pub(crate) async fn body(self, id: &str) -> Option<String> {
        let archive = self.archive().await?;
        self.note(archive.body(id).await)?
    }

    /// The ids of those in which something is said.
    pub(crate) async fn find(self, words: &str) -> Vec<String> {
        let Some(archive) = self.archive().await else {
            return Vec::new();
        };
        let bodies = self.note(archive.bodies().await).unwrap_or_default();
        let words = words.to_lowercase();
        let says = |body: &str| chat::texts(body).any(|text| text.to_lowercase().contains(&words));
        let found = bodies.into_iter().filter(|(_, body)| says(body));
        found.map(|(id, _)| id).collect()
    }

    /// Takes a conversation for this tab, if no other has it, in place of the one it had.
    pub(super) async fn claim(self, id: &str) -> bool {
        match locks::claim(&format!("iap2p-conversation-{id}")).await {
            Some(lock) => {
                self.lock.set_value(Some(lock));
                true
            }
            None => false,
        }
    }

    /// This tab has none any more.
    pub(super) fn release(self) {
        self.lock.set_value(None);
    }
}
