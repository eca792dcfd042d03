//! Fragments are fetched from others, and kept.

use crate::common::{Lab, PATIENCE, demo_model};
use crate::world::{World, computers};
use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

#[test]
fn a_node_fetches_its_share_and_finds_it_again() {
    let mut world = World::new();
    let store = world.lab.path("store");
    let half = world.fragments.div_ceil(2).to_string();
    let (model, address) = (world.model.clone(), world.address.clone());
    let start = |lab: &Lab, count: &str| lab.fetch(&model, &store, count, &address);
    let mut first = start(&world.lab, &half);
    first.wait_until_ready();
    assert_eq!(first.stop(), Some(0));
    // The other half comes from the first, which holds its share already, and the entry.
    let files = || {
        fs::read_dir(&store)
            .unwrap()
            .filter(|e| {
                e.as_ref()
                    .unwrap()
                    .path()
                    .extension()
                    .is_some_and(|e| e == "fragment")
            })
            .count()
    };
    assert_eq!(files().to_string(), half);
    let mut all = start(&world.lab, "1000");
    all.wait_until_ready();
    let fetched = all
        .seen()
        .iter()
        .filter(|event| event["event"] == "fetched")
        .count() as u32;
    assert_eq!(
        fetched,
        world.fragments - world.fragments.div_ceil(2),
        "what was there was fetched again"
    );
    assert_eq!(files() as u32, world.fragments);
    let told = world.generate(&[]);
    assert_eq!(told["tokens"], world.expected(&[])["tokens"]);
    assert_eq!(computers(&told), BTreeSet::from([all.peer()]));
    assert_eq!(world.entry.stop(), Some(0));
}

#[test]
fn a_fetch_that_was_cut_short_goes_on_where_it_stopped() {
    let lab = Lab::new();
    let folder = lab.cut(&demo_model(), "3000000");
    // Slow enough to be killed in the middle.
    let entry = [
        "bootstrap",
        "--http",
        "127.0.0.1:0",
        "--model",
        folder.to_str().unwrap(),
        "--upload",
        "1M",
        "--listen",
        "/ip4/127.0.0.1/tcp/0",
    ];
    let mut entry = lab.start(entry);
    entry.wait_until_ready();
    let address = entry.address("/tcp/");
    let model = entry.wait_for("model", |event| Some(event["model"].as_str()?.to_owned()));
    let store = lab.path("store");
    // The longest beginning that is kept.
    let begun = || {
        let files = fs::read_dir(&store).into_iter().flatten();
        let files = files.filter_map(|file| Some(file.ok()?.path()));
        let files = files.filter(|path| path.extension().is_some_and(|e| e == "download"));
        let files = files.filter_map(|path| {
            let id = path.file_stem()?.to_str()?.to_owned();
            Some((fs::metadata(path).ok()?.len(), id))
        });
        files.max()
    };
    let start = || lab.fetch(&model, &store, "1000", &address);
    let mut first = start();
    let end = Instant::now() + PATIENCE;
    while begun().is_none_or(|(bytes, _)| bytes < 500_000) {
        assert!(Instant::now() < end, "nothing was kept: {:?}", begun());
        std::thread::sleep(Duration::from_millis(10));
    }
    first.kill();
    let (kept, id) = begun().unwrap();
    let mut second = start();
    let had = second.wait_for("fetched", |event| {
        (event["id"] == id.as_str()).then(|| event["had"].as_u64())?
    });
    assert_eq!(had, kept);
    second.wait_until_ready();
    assert_eq!(begun(), None, "the beginning is in the way");
    assert_eq!(entry.stop(), Some(0));
}
