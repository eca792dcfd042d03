//! Who holds what so that layers can be run.

use std::{collections::BTreeSet, ops::Range};

use anyhow::{Context, Result};
use swarm::stages::Shape;

use crate::Network;

/// What a token asks of the network's model.
pub(crate) fn shape(network: &Network) -> Result<Shape> {
    let manifest = fragments::read_manifest(&network.folder()).context("no manifest")?;
    Ok(steps::shape(manifest.header(), manifest.plan()))
}

/// How many layers there are between embedding and output head.
pub(crate) fn count(shape: &Shape) -> u32 {
    shape.layers.iter().filter(|layer| !layer.private).count() as u32
}

/// The fragments that every token needs of some layers, as an option lists them.
pub(crate) fn needed(shape: &Shape, layers: Range<u32>) -> String {
    let body = shape.layers.iter().filter(|layer| !layer.private);
    let steps = body
        .skip(layers.start as usize)
        .take(layers.len())
        .flat_map(|layer| &layer.steps);
    let fragments: BTreeSet<_> = steps
        .flat_map(|step| &step.always)
        .map(|part| part.fragment.0)
        .collect();
    let list: Vec<_> = fragments.iter().map(u32::to_string).collect();
    list.join(",")
}
