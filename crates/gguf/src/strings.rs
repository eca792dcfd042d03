use std::fmt;

/// A list of texts kept in one allocation, because vocabularies have 131,072 of them and more.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Strings {
    text: String,
    /// Where each entry ends in `text`.
    ends: Vec<u32>,
}

impl Strings {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entry.
    ///
    /// # Panics
    /// If all entries together exceed 4 GiB, 32 times the longest header that is read.
    pub fn push(&mut self, entry: &str) {
        self.text.push_str(entry);
        let end = u32::try_from(self.text.len()).expect("texts of a header are shorter than 4 GiB");
        self.ends.push(end);
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The entry at `index`.
    pub fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)?;
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        Some(&self.text[start as usize..end as usize])
    }

    /// All entries in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let entry = &self.text[start..end as usize];
            start = end as usize;
            entry
        })
    }

    pub(crate) fn shrink(&mut self) {
        self.text.shrink_to_fit();
        self.ends.shrink_to_fit();
    }
}

impl<S: AsRef<str>> FromIterator<S> for Strings {
    fn from_iter<I: IntoIterator<Item = S>>(entries: I) -> Self {
        let mut strings = Self::new();
        for entry in entries {
            strings.push(entry.as_ref());
        }
        strings
    }
}

impl fmt::Debug for Strings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
