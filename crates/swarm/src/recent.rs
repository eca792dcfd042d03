//! Contents in memory of which others fetch blocks, for shells that have the rest on a slow disk.

use crate::{Content, ContentId};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// What was given last, as far as it fits, and reads that wait for what is being loaded.
///
/// A peer fetches many blocks of one content, one after the other, and several peers fetch several at a time: each is
/// loaded and hashed once, as long as there is room for all that are in demand. At most [`Config::read_slots`] reads wait.
///
/// [`Config::read_slots`]: crate::Config::read_slots
#[derive(Debug)]
pub struct Recent<R> {
    most_bytes: usize,
    bytes: usize,
    /// What was asked for longest ago first.
    kept: VecDeque<(ContentId, Arc<Content>)>,
    loading: BTreeMap<ContentId, Vec<R>>,
}

/// What becomes of a read.
#[derive(Debug)]
pub enum Asked<R> {
    /// The content is here.
    Here(Arc<Content>, R),
    /// Load it, then call [`Recent::loaded`], also if there is none.
    Load,
    /// Somebody is loading it; the read is given back then.
    Waits,
}

impl<R> Recent<R> {
    /// Keeps so many bytes at most, or a single content that is longer.
    #[must_use]
    pub fn new(most_bytes: usize) -> Self {
        Self {
            most_bytes,
            bytes: 0,
            kept: VecDeque::new(),
            loading: BTreeMap::new(),
        }
    }

    /// Somebody wants to read.
    pub fn ask(&mut self, content: ContentId, read: R) -> Asked<R> {
        if let Some(kept) = self.take_out(content).filter(|kept| !kept.is_damaged()) {
            self.put_in(content, kept.clone());
            return Asked::Here(kept, read);
        }
        let loading = self.loading.contains_key(&content);
        self.loading.entry(content).or_default().push(read);
        if loading { Asked::Waits } else { Asked::Load }
    }

    /// Content was loaded, or is not there. Gives the reads that waited for it.
    pub fn loaded(
        &mut self,
        content: ContentId,
        bytes: Option<Bytes>,
    ) -> (Option<Arc<Content>>, Vec<R>) {
        let waited = self.loading.remove(&content).unwrap_or_default();
        (bytes.map(|bytes| self.keep(content, bytes)), waited)
    }

    /// Content that is here anyway, and will be asked for.
    pub fn keep(&mut self, content: ContentId, bytes: Bytes) -> Arc<Content> {
        let whole = Arc::new(Content::new(content, bytes));
        // What was kept of it before may be what turned out to be damaged.
        drop(self.take_out(content));
        self.put_in(content, whole.clone());
        whole
    }

    fn take_out(&mut self, content: ContentId) -> Option<Arc<Content>> {
        let place = self.kept.iter().position(|(known, _)| *known == content)?;
        let (_, kept) = self.kept.remove(place)?;
        self.bytes -= kept.bytes().len();
        Some(kept)
    }

    fn put_in(&mut self, content: ContentId, whole: Arc<Content>) {
        self.bytes += whole.bytes().len();
        self.kept.push_back((content, whole));
        while self.bytes > self.most_bytes
            && self.kept.len() > 1
            && let Some((_, oldest)) = self.kept.pop_front()
        {
            self.bytes -= oldest.bytes().len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The blocks that peers ask for, one round after the other; gives how often something was loaded.
    fn give(contents: &[(ContentId, Bytes)], most_bytes: usize, rounds: u32) -> usize {
        let mut recent = Recent::new(most_bytes);
        let mut loads = 0;
        for _ in 0..rounds {
            for (name, bytes) in contents {
                match recent.ask(*name, ()) {
                    Asked::Here(content, ()) => assert_eq!(content.bytes(), bytes),
                    Asked::Load => {
                        loads += 1;
                        let (content, waited) = recent.loaded(*name, Some(bytes.clone()));
                        assert!(content.is_some() && waited.len() == 1);
                    }
                    Asked::Waits => panic!("nothing is being loaded"),
                }
                assert!(recent.bytes <= most_bytes);
            }
        }
        loads
    }

    fn content(seed: u8) -> (ContentId, Bytes) {
        let bytes = Bytes::from(vec![seed; 1000]);
        (ContentId(*blake3::hash(&bytes).as_bytes()), bytes)
    }

    #[test]
    fn what_is_in_demand_is_loaded_once() {
        let contents: Vec<_> = (0..8).map(content).collect();
        assert_eq!(give(&contents, 8000, 40), 8);
    }

    #[test]
    fn what_is_asked_for_stays_and_what_is_not_goes() {
        let mut recent = Recent::<u8>::new(4000);
        let contents: Vec<_> = (0..20).map(content).collect();
        let (wanted, bytes) = contents[0].clone();
        recent.keep(wanted, bytes);
        for (other, bytes) in &contents[1..] {
            recent.keep(*other, bytes.clone());
            assert!(matches!(recent.ask(wanted, 0), Asked::Here(..)));
            assert!(recent.bytes <= 4000);
        }
        assert!(matches!(recent.ask(contents[1].0, 0), Asked::Load));
    }

    #[test]
    fn reads_of_the_same_wait_for_one_load() {
        let mut recent = Recent::new(4000);
        let (name, bytes) = content(1);
        assert!(matches!(recent.ask(name, 1), Asked::Load));
        for read in 2..=8 {
            assert!(matches!(recent.ask(name, read), Asked::Waits));
        }
        let (content, waited) = recent.loaded(name, Some(bytes));
        assert_eq!(waited, [1, 2, 3, 4, 5, 6, 7, 8]);
        assert!(content.is_some_and(|it| it.block(Some(0)).is_some()));
        // What is not there is looked for again when it is asked for again.
        let gone = ContentId([9; 32]);
        assert!(matches!(recent.ask(gone, 1), Asked::Load));
        let (content, waited) = recent.loaded(gone, None);
        assert!(content.is_none() && waited == [1]);
        assert!(matches!(recent.ask(gone, 2), Asked::Load));
    }

    #[test]
    fn what_is_damaged_is_not_kept_and_what_is_too_long_is_kept_alone() {
        let mut recent = Recent::new(4000);
        let (name, bytes) = content(1);
        let damaged = recent.keep(name, Bytes::from_static(b"something else"));
        assert!(damaged.block(Some(0)).is_none());
        assert!(matches!(recent.ask(name, ()), Asked::Load));
        let _ = recent.loaded(name, Some(bytes));
        let long = Bytes::from(vec![0; 5000]);
        recent.keep(ContentId([2; 32]), long);
        assert_eq!((recent.bytes, recent.kept.len()), (5000, 1));
    }
}
