use std::io::Cursor;

use bytes::Bytes;

use crate::{
    assemble::assemble,
    cut::{CutError, cut_with},
    id::FragmentId,
    manifest::Manifest,
    model_files::ModelFiles,
    trailing::Trailing,
};

/// Cuts a model that is in memory, or mapped into it. The fragments are made one by one as the iterator
/// advances, so that a model need not be there twice.
pub fn cut_in_memory(
    model: &[u8],
    fragment_size: u32,
) -> Result<(Manifest, Fragments<'_>), CutError> {
    cut_files_in_memory(&[model], fragment_size)
}

/// The same with the files of a model that was split.
pub fn cut_files_in_memory<'a>(
    files: &[&'a [u8]],
    fragment_size: u32,
) -> Result<(Manifest, Fragments<'a>), CutError> {
    let files = files.iter().copied().map(Cursor::new).collect();
    let mut model = ModelFiles::open(files)?;
    let hashing = Trailing::new(model.extents());
    let manifest = cut_with(&mut model, fragment_size, hashing, &mut (), |_, _| Ok(()))?;
    let fragments = Fragments {
        model,
        manifest: manifest.clone(),
        next: 0,
    };
    Ok((manifest, fragments))
}

/// The fragments of a model in memory, in the plan's order.
#[derive(Clone, Debug)]
pub struct Fragments<'a> {
    model: ModelFiles<Cursor<&'a [u8]>>,
    manifest: Manifest,
    next: usize,
}

impl Fragments<'_> {
    /// The fragment with this index.
    pub fn get(&self, index: u32) -> Option<(FragmentId, Bytes)> {
        let index = index as usize;
        let id = *self.manifest.fragment_ids().get(index)?;
        let plan = self.manifest.plan().fragments.get(index..=index)?;
        let mut files = Vec::new();
        assemble(
            self.manifest.header(),
            plan,
            &mut self.model.span(),
            &mut files,
        )
        .expect("the same bytes were read when the model was cut");
        Some((id, files.pop()?.into()))
    }
}

impl Iterator for Fragments<'_> {
    type Item = (FragmentId, Bytes);

    fn next(&mut self) -> Option<Self::Item> {
        // There are fewer than 2^32 fragments.
        let item = self.get(self.next as u32)?;
        self.next += 1;
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.manifest.fragment_ids().len() - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Fragments<'_> {}
