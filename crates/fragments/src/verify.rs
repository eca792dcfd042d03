use serde::Serialize;

use crate::{
    fragment::FragmentError,
    id::{FragmentId, ModelId},
    manifest::Manifest,
    progress::{Progress, Stage},
    store::{Store, StoreError},
};

/// What checking a model's fragments found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The model.
    pub model: ModelId,
    /// How many of its fragments are there and as they must be.
    pub good: u32,
    /// Those that are not there.
    pub missing: Vec<Missing>,
    /// Those that are there but wrong.
    pub bad: Vec<Bad>,
}

/// A fragment that is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// Its index in the manifest.
    pub index: u32,
    /// Its id.
    pub id: FragmentId,
}

/// A fragment that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bad {
    /// Its index in the manifest.
    pub index: u32,
    /// Its id.
    pub id: FragmentId,
    /// What is wrong with it.
    pub reason: String,
}

impl Report {
    /// Whether everything is there and good.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.bad.is_empty()
    }
}

/// Why a fragment is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("it cannot be read: {0}")]
    Store(#[from] StoreError),
    #[error(transparent)]
    Fragment(#[from] FragmentError),
}

/// Checks all fragments of a model; those that are missing or bad do not stop it.
pub fn verify(
    manifest: &Manifest,
    store: &(impl Store + ?Sized),
    progress: &mut dyn Progress,
) -> Report {
    let plans = &manifest.plan().fragments;
    progress.begin(
        Stage::Verifying,
        plans.iter().map(|plan| u64::from(plan.file_len)).sum(),
    );
    let mut report = Report {
        model: manifest.id(),
        good: 0,
        missing: Vec::new(),
        bad: Vec::new(),
    };
    for ((index, &id), plan) in (0..).zip(manifest.fragment_ids()).zip(plans) {
        match check(manifest, index, &id, store) {
            Ok(true) => report.good += 1,
            Ok(false) => report.missing.push(Missing { index, id }),
            Err(error) => report.bad.push(Bad {
                index,
                id,
                reason: error.to_string(),
            }),
        }
        progress.advance(plan.file_len.into());
    }
    report
}

fn check(
    manifest: &Manifest,
    index: u32,
    id: &FragmentId,
    store: &(impl Store + ?Sized),
) -> Result<bool, Unusable> {
    let Some(bytes) = store.get(id)? else {
        return Ok(false);
    };
    manifest.open_fragment(index, bytes)?;
    Ok(true)
}
