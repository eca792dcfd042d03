//! How the largest models are cut, from their headers alone.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

use fragments::{Class, DEFAULT_FRAGMENT_SIZE, PartKind, Plan, Summary};
use gguf::{Header, Writer, generate::Preset};

fn summary(writer: &Writer) -> (Plan, Summary) {
    let header = Header::parse(&writer.header_bytes(), Some(writer.file_len())).unwrap();
    let plan = Plan::new(&header, writer.file_len(), DEFAULT_FRAGMENT_SIZE).unwrap();
    let summary = Summary::of_plan(&header, writer.file_len(), DEFAULT_FRAGMENT_SIZE, &plan);
    println!(
        "{} fragments, {:.1} % full",
        summary.fragments, summary.fullness
    );
    for kind in &summary.kinds {
        println!(
            "{:?} {:?}: {}, {:.1} %",
            kind.kind, kind.class, kind.fragments, kind.fullness
        );
    }
    let opaque = plan
        .parts()
        .find(|(.., part)| part.kind == PartKind::Opaque);
    assert_eq!(opaque, None);
    (plan, summary)
}

fn writer(preset: Preset) -> Writer {
    preset.writer(None).unwrap()
}

#[test]
fn a_model_of_14_gb_fills_its_fragments() {
    let writer = writer(Preset::MagistralSmall2509);
    assert!(
        (14.2e9..14.4e9).contains(&(writer.file_len() as f64)),
        "{}",
        writer.file_len()
    );
    let (plan, summary) = summary(&writer);
    assert!((1400..1600).contains(&plan.fragments.len()));
    assert!(summary.fullness >= 85.0);
    // Four tiles to a fragment; single ones only where attention left room.
    let tiles = |wanted: u32| {
        let parts = plan.parts().filter(|(.., part)| match &part.kind {
            PartKind::FeedForward { columns, .. } => columns.end - columns.start == wanted * 256,
            _ => false,
        });
        parts.count()
    };
    assert_eq!(tiles(4) * 4 + tiles(1), 40 * 128);
    assert!(tiles(1) <= 40 * 4);
}

#[test]
fn a_model_of_400_gb_fills_its_fragments() {
    let writer = writer(Preset::MistralLarge3);
    assert!(
        (395e9..415e9).contains(&(writer.file_len() as f64)),
        "{}",
        writer.file_len()
    );
    let (plan, summary) = summary(&writer);
    assert!((40_000..47_000).contains(&plan.fragments.len()));
    assert!(summary.fullness >= 85.0);
}

#[test]
fn fragments_hold_parts_of_neighbouring_layers_only() {
    for preset in [Preset::MagistralSmall2509, Preset::MistralLarge3] {
        let (plan, _) = summary(&writer(preset));
        for fragment in &plan.fragments {
            let small = fragment
                .parts
                .iter()
                .any(|part| matches!(part.kind, PartKind::Small { .. }));
            let layers = fragment.parts.iter().filter_map(|part| part.kind.layer());
            let (first, last) = layers.fold((u32::MAX, 0), |(first, last), layer| {
                (first.min(layer), last.max(layer))
            });
            assert!(
                small || first == u32::MAX || last - first <= 2,
                "{first} to {last}"
            );
            let experts = fragment.parts.iter().all(|part| {
                matches!(
                    part.kind,
                    PartKind::FeedForward {
                        expert: Some(_),
                        ..
                    }
                )
            });
            assert_eq!(experts, fragment.class == Class::Conditional);
        }
    }
}
